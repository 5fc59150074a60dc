//! Running other programs: a missing one is exit status 125 and a sentence about where it comes from.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::{env, thread};

use crate::failure::{Failure, Outcome};

/// Whether a program is on the path.
pub fn is_installed(name: &str) -> bool {
    find(name).is_some()
}

/// Where a program is on the path.
pub fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What is said when a program cannot be started.
pub fn cannot_start(name: &str, error: &io::Error) -> Failure {
    if error.kind() != io::ErrorKind::NotFound {
        return Failure::Missing(format!("{name} could not be started: {error}"));
    }
    let package = match name {
        "dtc" => "device-tree-compiler",
        "cpp" | "cc" => "gcc",
        "qemu-system-aarch64" => "qemu-system-arm (9.0 or newer)",
        other => other,
    };
    Failure::Missing(format!(
        "{name} is not installed; `make setup` does it, or install {package} (Debian's name)"
    ))
}

/// Runs a program to its end and takes what it printed.
pub fn output(command: &mut Command, name: &str) -> Outcome<Output> {
    command.output().map_err(|error| cannot_start(name, &error))
}

/// The same, with `input` on its standard input.
pub fn output_with(command: &mut Command, name: &str, input: &[u8]) -> Outcome<Output> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| cannot_start(name, &error))?;
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        // A program that stops reading has said why on its standard error, so a broken pipe is no news.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input)));
        child.wait_with_output()
    })
    .map_err(|error| cannot_start(name, &error))
}
