//! Follows a partition's console: the last bytes of it, and then those that come.

use std::mem::offset_of;

use partita_abi::supervision::{LOG_BYTES, LOG_MARGIN, Log};

use crate::area::{self, AreaError};
use crate::device::Area;

/// How many bytes a reader can be sure of.
const WHOLE: u64 = (LOG_BYTES - LOG_MARGIN) as u64;

/// Where a reader is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Follower {
    /// The number of the next byte; none before the first look.
    next: Option<u64>,
}

/// What came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many came before them that could not be read in time.
    pub missed: u64,
}

impl Follower {
    /// What came since the last look; at the first one all that is there.
    ///
    /// # Errors
    /// When the area cannot be believed.
    pub fn look(&mut self, area: Area<'_>) -> Result<News, AreaError> {
        area.refresh();
        let at = area::layout(area.words)?.log;
        let word = |offset: usize| area.words.word(at + offset).unwrap_or_default();
        let head = || word(offset_of!(Log, head));
        let end = head();
        // A count that goes back is that of a machine which began anew, or of nobody to be believed: begin anew as well.
        let (from, counts) = match self.next {
            Some(next) if next <= end => (next, true),
            _ => (0, false),
        };
        let first = from.max(end.saturating_sub(LOG_BYTES as u64));
        let words: Vec<u64> =
            (0..LOG_BYTES / 8).map(|index| word(offset_of!(Log, bytes) + 8 * index)).collect();
        // What was overwritten while it was copied shows by the count, which may still be in the caches.
        area.refresh();
        let whole = first.max(head().saturating_sub(WHOLE)).min(end);
        let byte = |number: u64| {
            let place = (number % LOG_BYTES as u64) as usize;
            words[place / 8].to_le_bytes()[place % 8]
        };
        self.next = Some(end);
        Ok(News { bytes: (whole..end).map(byte).collect(), missed: if counts { whole - from } else { 0 } })
    }
}

/// The lines of what was read at a first look: a line of which the beginning is gone is none.
#[must_use]
pub fn lines(news: &News, output: u64) -> Vec<String> {
    let text = text(&news.bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if (news.bytes.len() as u64) < output && !lines.is_empty() {
        lines.remove(0);
    }
    lines.into_iter().map(str::to_owned).collect()
}

/// Bytes as text that does nothing to a terminal: a partition is not to move its manager's cursor.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let clean = |letter: char| match letter {
        '\n' | '\t' => Some(letter),
        '\r' => None,
        letter if letter.is_control() => Some('\u{fffd}'),
        letter => Some(letter),
    };
    String::from_utf8_lossy(bytes).chars().filter_map(clean).collect()
}
