//! What the user sees beside the data: errors with their source line, notes, and progress. Everything here goes to
//! standard error; progress only when that is a terminal.

use std::env;
use std::io::{self, IsTerminal};
use std::process::Command;
use std::time::Duration;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Voice;
use crate::failure::Report;

/// How to speak.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    voice: Voice,
    terminal: bool,
    colour: bool,
}

impl Ui {
    /// As the command line, the terminal and `NO_COLOR` ask.
    pub fn new(voice: Voice) -> Self {
        let terminal = io::stderr().is_terminal();
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { voice, terminal, colour: terminal && !refused && !dumb }
    }

    /// Whether the network must not be asked.
    pub fn offline(&self) -> bool {
        self.voice.offline
    }

    /// Whether nothing but results and errors is wanted.
    pub fn quiet(&self) -> bool {
        self.voice.quiet
    }

    /// Shows an error.
    pub fn error(&self, report: &Report) {
        eprintln!("{}", self.render(&Level::ERROR, report));
    }

    /// Shows what the user should know although it stops nothing.
    pub fn note(&self, message: &str) {
        if !self.voice.quiet {
            let report = Report { message: message.to_owned(), place: None, help: Vec::new() };
            eprintln!("{}", self.render(&Level::NOTE, &report));
        }
    }

    /// With `-v`: a program that is about to be run.
    pub fn command(&self, command: &Command) {
        if self.voice.verbose > 0 {
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
            eprintln!("+ {}", words.join(" "));
        }
    }

    /// A line that says what takes a while; it goes away with the value.
    pub fn progress(&self, message: impl Into<String>) -> Progress {
        if self.voice.quiet || !self.terminal {
            return Progress { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress { bar }
    }

    fn render(&self, level: &Level<'_>, report: &Report) -> String {
        let renderer = if self.colour { Renderer::styled() } else { Renderer::plain() };
        let title = level.clone().primary_title(report.message.as_str());
        let mut group = match &report.place {
            Some(place) => title.element(
                Snippet::source(place.text.as_str())
                    .path(place.path.as_str())
                    .annotation(AnnotationKind::Primary.span(place.span.clone())),
            ),
            None => Group::with_title(title),
        };
        for help in &report.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// Something that takes a while.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// What is being done now.
    pub fn say(&self, message: &str) {
        self.bar.set_message(message.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
