//! The `partita` host tool: checks, draws, builds and runs plans, on the same model as the hypervisor.
//!
//! Data goes to standard output, everything said about it to standard error; the exit status tells a script what
//! happened (`failure`). The model judges plans, this tool finds its inputs and shows its answers.
#![forbid(unsafe_code)]

mod args;
mod bar;
mod bare;
mod board;
mod card;
mod cmd;
mod console;
mod drawing;
mod elf;
mod failure;
mod files;
mod kit;
mod layout;
mod lines;
mod lives;
mod machine;
mod project;
mod report;
mod session;
mod source;
mod symbols;
mod table;
mod tool;
mod toolchain;
mod tree;
mod ui;
mod verdict;
mod vm;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::ui::Ui;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.voice);
    match cmd::dispatch(&cli, ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let status = failure.status();
            ui.error(&failure.report());
            ExitCode::from(status)
        }
    }
}
