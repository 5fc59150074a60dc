//! A board's firmware from the distribution's packages, kept in the cache as `firmware/PACKAGE/FILE`.

use std::fs::{self, File};
use std::path::PathBuf;

use super::{KitError, Options, fetch};

/// The paths of files of packages, each given as package and file name, after fetching what is missing.
///
/// # Errors
/// When one cannot be fetched, or the cache cannot be written.
pub fn firmware(files: &[(&str, &str)], options: Options<'_>) -> Result<Vec<PathBuf>, KitError> {
    let folder = options.cache.join("firmware");
    let path = |(package, file): &(&str, &str)| folder.join(package).join(file);
    let missing = || -> Vec<String> {
        let missing = files.iter().filter(|file| !path(file).is_file());
        missing.map(|(package, file)| format!("{package}:{file}")).collect()
    };
    if !missing().is_empty() {
        fs::create_dir_all(&folder).map_err(KitError::at(&folder))?;
        let lock_path = options.cache.join("lock");
        let lock = File::create(&lock_path).map_err(KitError::at(&lock_path))?;
        // Released when the file is closed, also by a crash.
        lock.lock().map_err(KitError::at(&lock_path))?;
        let names = missing();
        if !names.is_empty() {
            fetch::fetch(&names.iter().map(String::as_str).collect::<Vec<_>>(), options)?;
        }
    }
    Ok(files.iter().map(path).collect())
}
