//! Why a command does not end well, in words that say what to do, and the exit status that tells a script so.

use std::fmt;
use std::io;
use std::path::PathBuf;

use partita_abi::supervision::{VERSION, code};

use crate::area::AreaError;
use crate::tree::TreeError;

/// Why a command does not end well.
#[derive(Debug)]
pub enum Error {
    /// The device tree has no such device.
    ManagesNobody,
    /// The device's node is not as it should be.
    Tree(TreeError),
    /// The memory's file could not be opened or mapped.
    Memory {
        /// The file.
        path: PathBuf,
        /// The physical address, where it is about one.
        address: Option<u64>,
        /// Why.
        error: io::Error,
    },
    /// What is at the device's address is not it.
    NotTheDevice(&'static str, u64),
    /// A version of the device that is not known here.
    Version(u64),
    /// No partition of this name is managed.
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A partition's area cannot be believed.
    Area {
        /// The partition.
        partition: String,
        /// What of it.
        error: AreaError,
    },
    /// A command was refused.
    Refused {
        /// What was asked.
        request: &'static str,
        /// Of whom.
        partition: String,
        /// The hypervisor's code.
        code: i8,
    },
    /// Somebody else uses the device at the same time, without end.
    Busy,
    /// It was to run, and failed.
    Failed {
        /// Which one.
        partition: String,
        /// Why.
        cause: String,
    },
    /// It is not so in time.
    TimedOut {
        /// What was asked.
        request: &'static str,
        /// Of whom.
        partition: String,
        /// How long was waited.
        seconds: f64,
        /// The state that it is in.
        state: String,
        /// Its interrupts are direct.
        direct: bool,
    },
    /// It is not running; the output has said so.
    NotRunning,
    /// It has not failed, so there is nothing to show.
    NoRecord(String),
    /// Some of several did not end well; each has been told.
    Told(u8),
    /// A file could not be written.
    File(PathBuf, io::Error),
    /// Nobody reads standard output any more.
    Closed,
}

impl Error {
    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::NotRunning => 3,
            Self::Unknown { .. } => 4,
            Self::Refused { .. } => 5,
            Self::TimedOut { .. } => 124,
            Self::Told(status) => *status,
            Self::Closed => 0,
            _ => 1,
        }
    }

    /// Whether there is nothing more to be said.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self, Self::NotRunning | Self::Told(_) | Self::Closed)
    }
}

/// The hypervisor's code in words.
fn words(code: i8) -> String {
    match code {
        code::UNKNOWN => "it does not know this request: the hypervisor is older than this program".to_owned(),
        code::NO_SUCH => "it does not let this partition manage that one any more".to_owned(),
        code::MALFORMED => "it found the command malformed: the hypervisor is newer than this program".to_owned(),
        code::FINAL => {
            "it cannot be started any more: the hypervisor failed on a core of its, or the user ends everything"
                .to_owned()
        }
        other => format!("code {other}"),
    }
}

fn memory(
    f: &mut fmt::Formatter<'_>,
    path: &std::path::Path,
    address: Option<u64>,
    error: &io::Error,
) -> fmt::Result {
    let path = path.display();
    let at = address.map_or_else(String::new, |address| format!(" at {address:#x}"));
    match (error.kind(), address) {
        (io::ErrorKind::NotFound, _) => write!(
            f,
            "there is no {path}: the kernel has no CONFIG_DEVMEM, or nobody made the node (mknod {path} c 1 1)"
        ),
        (io::ErrorKind::PermissionDenied, None) => {
            write!(
                f,
                "{path}: {error}; run this as root (a container has to be given {path} and CAP_SYS_RAWIO)"
            )
        }
        (io::ErrorKind::PermissionDenied, Some(_)) => write!(
            f,
            "{path}{at}: the kernel refuses to map it; a driver has claimed it (see /proc/iomem, IO_STRICT_DEVMEM), or \
             the kernel is locked down (see /sys/kernel/security/lockdown)"
        ),
        _ => write!(f, "{path}{at}: {error}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ManagesNobody => write!(
                f,
                "this partition manages nobody: give it `manages = \"NAME\"` in the overlay (there is no node that is \
                 compatible with \"partita,supervisor\" in this machine's device tree)"
            ),
            Self::Tree(error) => write!(f, "{error}"),
            Self::Memory { path, address, error } => memory(f, path, *address, error),
            Self::NotTheDevice(what, value) => {
                write!(f, "the device tree is wrong about the supervisor device: its {what} reads {value:#x}")
            }
            Self::Version(version) => write!(
                f,
                "the supervisor device has version {version}; this program knows version {VERSION}: take the one that \
                 was built with the hypervisor"
            ),
            Self::Unknown { name, known } => {
                write!(f, "{name} is not managed by this partition; it manages {}", known.join(", "))
            }
            Self::Area { partition, error } => write!(f, "{partition}: its status page {error}"),
            Self::Refused { request, partition, code } => {
                write!(f, "{partition}: the hypervisor refuses to {request} it: {}", words(*code))
            }
            Self::Busy => write!(f, "another program uses the supervisor device without pause; try again"),
            Self::Failed { partition, cause } => {
                write!(f, "{partition} was started and failed: {cause}; see `partitactl crash {partition}`")
            }
            Self::TimedOut { request, partition, seconds, state, direct } => {
                write!(
                    f,
                    "{partition}: {request} was asked for and is not done after {seconds} s: it is {state}"
                )?;
                if *direct {
                    write!(
                        f,
                        "; its interrupts are direct, so it stops when its guest comes to the hypervisor"
                    )?;
                }
                Ok(())
            }
            Self::NoRecord(partition) => write!(f, "{partition} has not failed since power-on"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NotRunning | Self::Told(_) | Self::Closed => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
