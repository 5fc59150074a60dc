//! The commands. Each asks the device, and shows what it says.

mod change;
mod follow;
mod top;
mod watch;

use std::path::Path;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::device::Supervisor;
use crate::error::Error;
use crate::io::Output;

/// Does what the command line asks. `open` finds the device, for those commands that need it.
///
/// # Errors
/// When that does not end well.
pub fn run(
    args: &Cli,
    open: impl FnOnce() -> Result<Supervisor, Error>,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    use partita_abi::supervision::request::{RESTART, START, STOP};
    let json = args.json;
    match &args.command {
        Command::Completions { shell } => completions(*shell, output),
        Command::Man { folder } => man(folder),
        Command::List => watch::list(&open()?, json, output),
        Command::Status(status) => watch::status(&open()?, status, json, output),
        Command::IsActive { names, quiet } => watch::is_active(&open()?, names, *quiet, json, output),
        Command::Top(top) => top::top(&open()?, top, json, output),
        Command::Stop(change) => change::change(&open()?, STOP, change, json, output),
        Command::Start(change) => change::change(&open()?, START, change, json, output),
        Command::Restart(change) => change::change(&open()?, RESTART, change, json, output),
        Command::Log(log) => follow::log(&open()?, log, json, output),
        Command::Crash { name } => watch::crash(&open()?, name, json, output),
        Command::Metrics(metrics) => watch::metrics(&open()?, metrics, json, output),
    }
}

fn completions(shell: clap_complete::Shell, output: &mut Output<'_>) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "partitactl", &mut script);
    output.print(&String::from_utf8_lossy(&script))
}

fn man(to: &Path) -> Result<(), Error> {
    let made = std::fs::create_dir_all(to).and_then(|()| clap_mangen::generate_to(Cli::command(), to));
    made.map_err(|error| Error::File(to.to_owned(), error))
}

/// What becomes of several: an error of one is told, and the others go on.
#[derive(Default)]
struct Several {
    status: Option<u8>,
}

impl Several {
    /// Tells an error, or gives the value.
    fn take<T>(&mut self, result: Result<T, Error>, output: &mut Output<'_>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Closed) => Err(Error::Closed),
            Err(error) => {
                output.error(&error);
                self.status.get_or_insert(error.status());
                Ok(None)
            }
        }
    }

    /// All in all.
    fn end(self) -> Result<(), Error> {
        self.status.map_or(Ok(()), |status| Err(Error::Told(status)))
    }
}
