//! `partitactl`: a Linux partition's view of the partitions that it manages, and its word over them.
//!
//! docs/supervision.md says what the device is. `tree` finds it, `device` says what it can be asked, `area`, `log` and `crash` read
//! what it tells, as from somebody who may tell anything; `show` and `metrics` have the forms in which that is shown. Nothing
//! knows more of the machine than [`device::Device`], so that all of it runs and is tested on any computer; `memory` is the one
//! place that touches real registers.
#![deny(unsafe_code)]

pub mod area;
pub mod args;
pub mod cmd;
pub mod crash;
pub mod device;
mod error;
mod io;
pub mod log;
// Registers and areas are mapped and read here, and nowhere else.
#[allow(unsafe_code)]
mod memory;
mod metrics;
mod open;
mod show;
mod table;
mod terminal;
mod text;
pub mod tree;

use std::process::ExitCode;

use clap::Parser;

pub use error::Error;
pub use io::Output;

/// The program: reads the command line, finds the device, does what was asked.
pub fn main() -> ExitCode {
    let args = args::Cli::parse();
    let mut stdout = std::io::stdout().lock();
    let mut stderr = std::io::stderr().lock();
    let output = &mut Output::of_process(&mut stdout, &mut stderr);
    ExitCode::from(match cmd::run(&args, || open::open(&args.place), output) {
        Ok(()) => 0,
        Err(error) => {
            output.error(&error);
            error.status()
        }
    })
}
