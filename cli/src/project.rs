//! Where the project's own folders are: the platforms, the guests, the hypervisor's source, and the cache.

use std::env;
use std::path::{Path, PathBuf};

/// The project's root: `PARTITA_ROOT`, or where this tool was built.
pub fn root() -> PathBuf {
    match env::var_os("PARTITA_ROOT") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned(),
    }
}

/// Where fetched and computed files are kept between runs.
pub fn cache() -> PathBuf {
    if let Some(cache) = env::var_os("PARTITA_CACHE") {
        return PathBuf::from(cache);
    }
    if let Some(cache) = env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        return Path::new(&cache).join("partita");
    }
    env::var_os("HOME").map_or_else(env::temp_dir, PathBuf::from).join(".cache/partita")
}
