//! A machine's instructions as the plugin counts them (tests/counter).

use std::ops::Range;

use tempfile::NamedTempFile;

use crate::build;

/// Where a run of the plugin writes.
pub struct Counter {
    log: NamedTempFile,
    words: String,
}

/// What was counted when something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `mark`, `kernel`, `end`, or `at-ADDRESS`.
    pub what: String,
    /// The core that it happened on.
    pub core: usize,
    /// By core.
    pub counts: Vec<Count>,
}

/// A core's instructions since reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// At EL2, by address.
    pub el2: u64,
    /// All others. EL2's own are among them as long as its MMU is off.
    pub other: u64,
    /// Those of EL2's that were to be counted apart, too.
    pub apart: u64,
}

impl Counter {
    /// One for Partita.
    pub fn new() -> Counter {
        Counter { log: NamedTempFile::new().expect("a file for the counts"), words: String::new() }
    }

    /// One for a hypervisor that has these addresses.
    pub fn of(el2: Range<u64>) -> Counter {
        Counter { words: format!(",el2={:x}-{:x}", el2.start, el2.end), ..Counter::new() }
    }

    /// Counts these addresses apart.
    pub fn apart(mut self, ranges: &[Range<u64>]) -> Counter {
        self.words.extend(ranges.iter().map(|range| format!(",apart={:x}-{:x}", range.start, range.end)));
        self
    }

    /// Notes whenever one of these addresses is executed.
    pub fn at(mut self, addresses: impl IntoIterator<Item = u64>) -> Counter {
        self.words.extend(addresses.into_iter().map(|address| format!(",at={address:x}")));
        self
    }

    /// QEMU's arguments.
    pub fn args(&self) -> [String; 2] {
        let plugin =
            format!("{},log={}{}", build::counter().display(), self.log.path().display(), self.words);
        ["-plugin".to_owned(), plugin]
    }

    /// What it has written so far, as it is.
    pub fn text(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the plugin wrote its counts")
    }

    /// What it has written so far.
    pub fn notes(&self) -> Vec<Note> {
        self.text().lines().filter_map(note).collect()
    }

    /// Only the marks of guests.
    pub fn marks(&self) -> Vec<Note> {
        self.notes().into_iter().filter(|note| note.what == "mark").collect()
    }
}

/// A line of the plugin's: `WHAT CORE: EL2/OTHER/APART ...`.
fn note(line: &str) -> Option<Note> {
    let (head, counts) = line.split_once(": ")?;
    let (what, core) = head.split_once(' ')?;
    let count = |word: &str| {
        let [el2, other, apart] =
            word.split('/').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?[..]
        else {
            return None;
        };
        Some(Count { el2, other, apart })
    };
    let counts = counts.split(' ').map(count).collect::<Option<_>>()?;
    Some(Note { what: what.to_owned(), core: core.parse().ok()?, counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_plugin_are_read() {
        let counts = vec![Count { el2: 5, other: 6, apart: 0 }, Count { el2: 70, other: 8, apart: 9 }];
        assert_eq!(note("mark 1: 5/6/0 70/8/9"), Some(Note { what: "mark".to_owned(), core: 1, counts }));
        assert_eq!(note("mark 1: 5/6"), None);
        // One that is being written.
        assert_eq!(note("mark 1: 5/6/0 7"), None);
    }
}
