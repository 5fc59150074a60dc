//! Where words go: data to standard output, what is said about it to standard error, colours to terminals that want them.

use std::env;
use std::io::{self, IsTerminal, Write};

use crate::error::Error;

/// The program's two streams.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    said: &'a mut dyn Write,
    /// Standard output is a terminal.
    pub terminal: bool,
    /// It takes colours.
    pub colour: bool,
}

impl<'a> Output<'a> {
    /// Those of this process.
    pub fn of_process(out: &'a mut dyn Write, said: &'a mut dyn Write) -> Self {
        let terminal = io::stdout().is_terminal();
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { out, said, terminal, colour: terminal && !refused && !dumb }
    }

    /// Some that are no terminal.
    pub fn plain(out: &'a mut dyn Write, said: &'a mut dyn Write) -> Self {
        Self { out, said, terminal: false, colour: false }
    }

    /// Data.
    ///
    /// # Errors
    /// When nobody reads it any more, or it cannot be written.
    pub fn print(&mut self, text: &str) -> Result<(), Error> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::Closed),
            Err(error) => Err(Error::File("standard output".into(), error)),
        }
    }

    /// JSON, with a line for itself.
    ///
    /// # Errors
    /// As `print`.
    pub fn json(&mut self, value: &serde_json::Value) -> Result<(), Error> {
        self.print(&format!("{value:#}\n"))
    }

    /// Something about the data. If nobody hears it that changes nothing.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.said, "partitactl: {text}");
    }

    /// An error, unless the user knows.
    pub fn error(&mut self, error: &Error) {
        if !error.is_told() {
            let _ = writeln!(self.said, "partitactl: error: {error}");
        }
    }

    /// A state's word in its colour: SGR codes of ECMA-48.
    #[must_use]
    pub fn state(&self, word: &str) -> String {
        let code = match word {
            _ if !self.colour => return word.to_owned(),
            "running" => "32",
            "failed" => "31;1",
            "off" => "2",
            _ => "33",
        };
        format!("\x1b[{code}m{word}\x1b[m")
    }
}
