//! What guests need that are tables of rows: how a row ends and why, which rows were asked for, and below this module
//! instructions made at run time, the other cores at work, and interrupts that are counted.

pub mod code;
pub mod cores;
pub mod irq;

use core::fmt::{self, Display, Formatter, Write};

use spin::mutex::SpinMutex;

use crate::{Machine, args};

/// What rows know.
pub struct Env {
    /// The machine by its tree.
    pub machine: &'static Machine,
    /// Running without Partita.
    pub native: bool,
}

impl Env {
    /// Whether the bootargs ask for a row: `test=NAME,...` picks rows, groups or GROUP/ROW (default: all but those of group
    /// `alone`), `skip=NAME,...` leaves some out.
    pub fn selects(&self, group: &str, row: &str) -> bool {
        let named = |list: &str| {
            list.split(',')
                .any(|name| name == group || name == row || name.split_once('/') == Some((group, row)))
        };
        let asked = match args::get(self.machine.bootargs, "test") {
            Some(list) => named(list),
            None => group != "alone",
        };
        asked && !args::get(self.machine.bootargs, "skip").is_some_and(named)
    }
}

/// How a row ended, if not well.
pub enum End {
    /// Something was not as it should be; `why` has the words.
    Failed,
    /// What the machine lacks for it.
    Skipped(&'static str),
}

/// A row's result.
pub type Outcome = Result<(), End>;

/// What was wrong with the row that failed last.
static WHY: SpinMutex<Text> = SpinMutex::new(Text { bytes: [0; 240], len: 0 });

/// Keeps the words and ends the row.
pub fn failed(words: fmt::Arguments) -> Outcome {
    let mut why = WHY.lock();
    why.len = 0;
    // An error only says that the words were cut.
    let _ = why.write_fmt(words);
    Err(End::Failed)
}

/// What was wrong with the row that failed last.
pub fn why() -> impl Display {
    WHY.lock()
}

/// A few words without an allocator; what does not fit is cut.
struct Text {
    bytes: [u8; 240],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        for byte in words.bytes() {
            *self.bytes.get_mut(self.len).ok_or(fmt::Error)? = byte;
            self.len += 1;
        }
        Ok(())
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("?"))
    }
}

/// Ends the row as failed.
#[macro_export]
macro_rules! fail {
    ($($words:tt)*) => {
        return $crate::rows::failed(format_args!($($words)*))
    };
}

/// Ends the row as failed unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($words:tt)*) => {
        if !$condition {
            $crate::fail!($($words)*);
        }
    };
}

/// Ends the row as failed unless both values are equal; prints both.
#[macro_export]
macro_rules! same {
    ($seen:expr, $wanted:expr, $($words:tt)*) => {{
        let (seen, wanted) = ($seen, $wanted);
        if seen != wanted {
            $crate::fail!("{}: {:x?}, not {:x?} (hexadecimal)", format_args!($($words)*), seen, wanted);
        }
    }};
}

/// Ends the row as skipped.
#[macro_export]
macro_rules! skip {
    ($why:literal) => {
        return Err($crate::rows::End::Skipped($why))
    };
}
