//! Why an image of the kit could not be had, and what helps.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why an image of the kit could not be had.
#[derive(Debug)]
pub enum KitError {
    /// The kit has no such image.
    Unknown(String),
    /// It would have to be fetched, which `--offline` forbids.
    Offline {
        /// The image.
        name: String,
        /// The folder where it is looked for.
        folder: PathBuf,
    },
    /// It could not be fetched.
    Fetch {
        /// The image.
        name: String,
        /// The folder where it is looked for.
        folder: PathBuf,
        /// What the packages' tools said last.
        reason: String,
    },
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl KitError {
    /// Turns an error of the file system into one that names the file.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::File { path, error }
    }
}

impl fmt::Display for KitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "{name} is not an image of the kit; it has {}", super::NAMES.join(", "))
            }
            Self::Offline { name, folder } => {
                write!(f, "{name} is not in {} and --offline forbids fetching it; ", folder.display())?;
                write!(f, "run once without --offline, or put the file there")
            }
            Self::Fetch { name, folder, reason } => {
                write!(f, "{name} could not be fetched: {reason}; ")?;
                write!(f, "put the file into {} or beside the plan", folder.display())
            }
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for KitError {}
