//! The commands, one file each.

mod build;
mod check;
mod crash;
mod devices;
mod dtb;
mod image;
mod meta;
mod plan;
mod run;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::args::{Cli, Command};
use crate::failure::{Failure, Outcome};
use crate::ui::Ui;

/// Does what the command line asks.
pub fn dispatch(cli: &Cli, ui: Ui) -> Outcome<()> {
    match &cli.command {
        Command::Devices(args) => devices::devices(args, ui),
        Command::Check(args) => check::check(args, ui),
        Command::Plan(args) => plan::plan(args, ui),
        Command::Dtb(args) => dtb::dtb(args, ui),
        Command::Build(args) => build::build(args, ui),
        Command::Image(args) => image::image(args, ui),
        Command::Run(args) => run::run(args, ui),
        Command::Crash(args) => crash::crash(args, ui),
        Command::Completions { shell } => meta::completions(*shell),
        Command::Man { folder } => meta::man(folder),
    }
}

/// Data to standard output. A reader that has gone (`partita plan X | head`) is no error.
fn print(bytes: &[u8]) -> Outcome<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::input(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Data to a file, or to standard output for `-`.
fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    if path == Path::new("-") {
        return print(bytes);
    }
    fs::write(path, bytes).map_err(|error| Failure::file(path, &error))
}

/// A folder, made where it is missing.
fn folder(path: &Path) -> Outcome<()> {
    fs::create_dir_all(path).map_err(|error| Failure::file(path, &error))
}
