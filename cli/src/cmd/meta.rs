//! `partita completions` and `partita man`: made from the command line's own description.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{folder, print};
use crate::args::Cli;
use crate::failure::{Failure, Outcome};

/// Prints a completion script.
pub fn completions(shell: Shell) -> Outcome<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "partita", &mut script);
    print(&script)
}

/// Writes partita.1 and one page for each command.
pub fn man(to: &Path) -> Outcome<()> {
    folder(to)?;
    clap_mangen::generate_to(Cli::command(), to).map_err(|error| Failure::file(to, &error))
}
