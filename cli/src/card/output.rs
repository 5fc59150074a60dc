//! The file that is written: never anything but a file, and under its name never half of one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::{Failure, Outcome};

/// A place for a card's image, free or taken by an older one.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
}

impl Output {
    /// Refuses what must not be overwritten.
    pub fn new(path: &Path) -> Outcome<Self> {
        let shown = path.display();
        if path == Path::new("-") {
            return Err(Failure::Usage("-o -: a card's image cannot go to standard output".to_owned()));
        }
        let kind = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned() });
            }
            Err(error) => return Err(Failure::file(path, &error)),
            Ok(metadata) => metadata.file_type(),
        };
        if kind.is_block_device() {
            return Err(Failure::Usage(format!(
                "{shown} is a block device, which this command never writes to; write a file and flash that: \
                 sudo dd if=sd.img of={shown} bs=4M conv=fsync status=progress"
            )));
        }
        if !kind.is_file() {
            return Err(Failure::Usage(format!("{shown} is no regular file; give the name of one")));
        }
        // A symbolic link stays, and the file that it leads to is replaced.
        let path = fs::canonicalize(path).map_err(|error| Failure::file(path, &error))?;
        let older = is_image(&path).map_err(|error| Failure::file(&path, &error))?;
        if !older {
            return Err(Failure::Usage(format!(
                "{shown} exists and is no card's image of Partita's; remove it first, or give another name"
            )));
        }
        Ok(Self { path })
    }

    /// Has `fill` write an empty file beside the place, and puts that there once it is whole.
    pub fn write<T>(&self, fill: impl FnOnce(&mut File) -> io::Result<T>) -> Outcome<T> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let failed = |error: io::Error| Failure::file(&self.path, &error);
        let mut builder = tempfile::Builder::new();
        // As a file that is simply created: what the user's mask leaves of it.
        builder.prefix(".partita-").suffix(".new").permissions(fs::Permissions::from_mode(0o666));
        let mut new: NamedTempFile = builder.tempfile_in(folder).map_err(failed)?;
        let result = fill(new.as_file_mut()).map_err(failed)?;
        new.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(result)
    }
}

/// Whether a file is empty or begins as a card's image does: not some other disk's, which somebody may still want.
fn is_image(path: &Path) -> io::Result<bool> {
    let mut sector = Vec::new();
    File::open(path)?.take(super::SECTOR).read_to_end(&mut sector)?;
    Ok(sector.is_empty() || super::table::is_ours(&sector))
}
