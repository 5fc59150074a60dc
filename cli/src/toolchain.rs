//! Building what runs on the board (the hypervisor, Partita's own guests, `partitactl` for Linux) with the toolchain that set-up chose.
//! scripts/cargo knows which one that is; cargo's own messages go to standard error as they come.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;

/// The target of everything that runs at EL2 or in a unikernel: no floating point, as that belongs to the guests.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The target of what is for Linux in a partition: one static program, whatever that Linux has.
pub const LINUX: &str = "aarch64-unknown-linux-musl";

/// Why a package was not built.
#[derive(Debug)]
pub enum BuildError {
    /// scripts/cargo could not be started.
    Start {
        /// The script.
        script: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// cargo failed; it has said why.
    Failed {
        /// The package.
        package: String,
        /// cargo's exit status.
        status: ExitStatus,
    },
    /// cargo built the package, but it has no program.
    NoProgram(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { script, error } => {
                write!(f, "{}: {error}; set PARTITA_ROOT to Partita's source", script.display())
            }
            Self::Failed { package, status } => write!(f, "building {package} failed ({status})"),
            Self::NoProgram(package) => write!(f, "the package {package} builds no program"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds a package of the workspace at `root` for a target, in one of cargo's profiles, and returns its ELF file.
///
/// # Errors
/// When cargo cannot be started or fails, or when the package is not a program.
pub fn build(root: &Path, package: &str, target: &str, profile: &str) -> Result<PathBuf, BuildError> {
    let script = root.join("scripts/cargo");
    let mut command = Command::new(&script);
    command.args(["build", "--quiet", "--package", package, "--target", target, "--profile", profile]);
    command.arg("--message-format=json-render-diagnostics");
    let output = command
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| BuildError::Start { script, error })?;
    if !output.status.success() {
        return Err(BuildError::Failed { package: package.to_owned(), status: output.status });
    }
    program(&output.stdout).ok_or_else(|| BuildError::NoProgram(package.to_owned()))
}

/// The last program among cargo's messages: one JSON value a line, of which those about programs have `executable`.
fn program(messages: &[u8]) -> Option<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let messages = br#"{"reason":"compiler-artifact","executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"x"},"executable":"/t/x"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(program(messages), Some(PathBuf::from("/t/x")));
        assert_eq!(program(b"{}\n"), None);
    }

    #[test]
    fn a_wrong_root_is_named() {
        let error = build(Path::new("/nowhere"), "partita", TARGET, "release").unwrap_err();
        assert!(error.to_string().contains("PARTITA_ROOT"), "{error}");
    }
}
