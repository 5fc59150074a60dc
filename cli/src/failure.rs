//! Why a command ends otherwise than well, and the exit status that tells a script so. Nothing here prints.

use std::io;
use std::path::Path;

use crate::source::Place;

/// What a command returns.
pub type Outcome<T> = Result<T, Failure>;

/// Why a command did not end well.
#[derive(Debug)]
pub enum Failure {
    /// The plan, the tree or another input is wrong.
    Input(Box<Report>),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// A partition failed, or the machine ended without a word about its partitions.
    Partition(String),
    /// The time of `--timeout` is over.
    TimedOut(u64),
    /// A tool that does the work is not installed, or a file that set-up brings is missing.
    Missing(String),
    /// The user or the system asked the tool to stop.
    Interrupted,
}

/// An error or warning in words, with the place in the plan's source where it is known.
#[derive(Debug)]
pub struct Report {
    /// The words.
    pub message: String,
    /// Where in the source.
    pub place: Option<Place>,
    /// What else may help, each a sentence.
    pub help: Vec<String>,
}

impl Failure {
    /// An input error that has no place in a source.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input(Box::new(Report { message: message.into(), place: None, help: Vec::new() }))
    }

    /// An input error about a file that could not be read or written.
    pub fn file(path: &Path, error: &io::Error) -> Self {
        Self::input(format!("{}: {error}", path.display()))
    }

    /// The exit status, as DESIGN.md's "Commands" fixes it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Input(_) => 1,
            Self::Usage(_) => 2,
            Self::Partition(_) => 3,
            Self::TimedOut(_) => 124,
            Self::Missing(_) => 125,
            Self::Interrupted => 130,
        }
    }

    /// What is shown to the user.
    pub fn report(self) -> Report {
        let message = match self {
            Self::Input(report) => return *report,
            Self::Usage(message) | Self::Partition(message) | Self::Missing(message) => message,
            Self::TimedOut(seconds) => format!("the machine was stopped after {seconds} s (--timeout)"),
            Self::Interrupted => "interrupted".to_owned(),
        };
        Report { message, place: None, help: Vec::new() }
    }
}
