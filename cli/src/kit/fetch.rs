//! Fetching from the machine's package archive: runs scripts/guest-packages, which knows about apt.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{KitError, Options};

/// Brings images into the cache, each as `images/NAME`. The first is the one that was asked for.
pub fn fetch(names: &[&str], options: Options<'_>) -> Result<(), KitError> {
    let folder = options.cache.join("images");
    let name = names.first().copied().unwrap_or_default();
    if options.offline {
        return Err(KitError::Offline { name: name.to_owned(), folder });
    }
    (options.progress)(&format!("fetching {name}"));
    let failed = |reason: String| KitError::Fetch { name: name.to_owned(), folder: folder.clone(), reason };
    let script = options.root.join("scripts/guest-packages");
    let mut child = Command::new(&script)
        .arg(options.cache)
        .args(names)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(KitError::at(&script))?;
    // Its lines are progress while all goes well; the last one says why where it does not.
    let mut last = String::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let Ok(line) = line else { break };
        last = line.strip_prefix("guest-packages: ").unwrap_or(&line).to_owned();
        (options.progress)(&last);
    }
    let status = child.wait().map_err(KitError::at(&script))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(if last.is_empty() { status.to_string() } else { last }))
    }
}
