//! One line at the bottom of the terminal, below a region in which everything else scrolls, so that it never comes between the
//! console's bytes. It is drawn on standard error, while the console goes to standard output: whoever keeps one of them has not the
//! other's bytes.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::lives::Lives;
use crate::ui::Ui;

/// How often times are shown anew.
const PACE: Duration = Duration::from_secs(1);
/// Bytes of the console that may belong to a control sequence.
const TAIL: usize = 64;
/// A terminal of fewer lines or columns has no place for it.
const LEAST: (u16, u16) = (4, 20);

/// The line. It goes away with the value.
pub struct Bar {
    lives: Lives,
    /// Lines and columns of the terminal, once the region is set.
    size: Option<(u16, u16)>,
    drawn: Instant,
    tail: Vec<u8>,
}

impl Bar {
    /// A bar, where both streams and the keyboard are a terminal that knows its size.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, ui: Ui) -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal();
        if ui.quiet() || dumb || !terminal {
            return None;
        }
        Some(Self::of(Lives::new(names, Instant::now())))
    }

    fn of(lives: Lives) -> Self {
        Self { lives, size: None, drawn: Instant::now(), tail: Vec::new() }
    }

    /// Takes what the machine has printed.
    pub fn see(&mut self, bytes: &[u8]) {
        self.lives.see(bytes, Instant::now());
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
    }

    /// Draws it, if there is something new.
    pub fn tick(&mut self) {
        let size = || tcgetwinsize(io::stderr()).map(|size| (size.ws_row, size.ws_col)).unwrap_or_default();
        if let Some(text) = self.next(Instant::now(), size) {
            draw(&text);
        }
    }

    /// What to draw now on a terminal of that size: nothing while the console is within a letter.
    fn next(&mut self, now: Instant, size: impl FnOnce() -> (u16, u16)) -> Option<String> {
        if !is_between(&self.tail) {
            return None;
        }
        let due = now.saturating_duration_since(self.drawn) >= PACE || self.size.is_none();
        if !self.lives.changed() && !due {
            return None;
        }
        self.drawn = now;
        let size = size();
        if size.0 < LEAST.0 || size.1 < LEAST.1 {
            return None;
        }
        let mut text = String::new();
        if self.size != Some(size) {
            text += &region(size.0);
            self.size = Some(size);
        }
        text += &line(size.0, &self.lives.text(now, usize::from(size.1) - 1));
        Some(text)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((rows, _)) = self.size {
            draw(&format!("\x1b7\x1b[r\x1b[{rows};1H\x1b[K\x1b8"));
        }
    }
}

/// All but the last line scrolls (DECSTBM). Setting that moves the cursor, so it is kept (DECSC, DECRC); a line feed and a step
/// up first, for a cursor that is in the last line.
fn region(rows: u16) -> String {
    format!("\n\x1b7\x1b[1;{}r\x1b8\x1b[1A", rows - 1)
}

/// The last line, in reverse.
fn line(rows: u16, text: &str) -> String {
    format!("\x1b7\x1b[{rows};1H\x1b[7m{text}\x1b[m\x1b[K\x1b8")
}

/// In one write, so that nothing of the console's comes into it.
fn draw(text: &str) {
    // A terminal that is gone shows nothing.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether the console's bytes do not end within a control sequence (ECMA-48, 5.4: a final byte ends it) or a letter of several bytes.
fn is_between(tail: &[u8]) -> bool {
    if tail.last().is_some_and(|byte| !byte.is_ascii()) {
        return false;
    }
    let Some(escape) = tail.iter().rposition(|byte| *byte == 0x1b) else { return true };
    match &tail[escape + 1..] {
        [] => false,
        [b'[', rest @ ..] => rest.iter().any(|byte| (0x40..=0x7e).contains(byte)),
        [b']' | b'P' | b'X' | b'^' | b'_', rest @ ..] => rest.contains(&7),
        rest => rest.iter().any(|byte| (0x30..=0x7e).contains(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_the_end_of_a_sequence() {
        for (tail, between) in [
            (&b""[..], true),
            (b"abc\r\n", true),
            (b"abc", true),
            (b"\x1b", false),
            (b"\x1b[31", false),
            (b"\x1b[31m", true),
            (b"\x1b[31mred\x1b[", false),
            (b"\x1b]0;title", false),
            (b"\x1b]0;title\x07", true),
            (b"\x1b(", false),
            (b"\x1b(B", true),
            ("é".as_bytes(), false),
        ] {
            assert_eq!(is_between(tail), between, "{tail:?}");
        }
    }

    #[test]
    fn it_is_drawn_between_letters_when_something_is_new() {
        let now = Instant::now();
        let mut bar = Bar::of(Lives::new(["one"].into_iter(), now));
        let mut next = |bytes: &[u8], seconds, size| {
            bar.see(bytes);
            let drawn = bar.next(now + Duration::from_secs(seconds), || size);
            // There is no terminal to be tidied up in the end.
            bar.size = bar.size.filter(|_| drawn.is_some());
            drawn
        };
        assert_eq!(next(b"[one] \x1b[3", 0, (24, 80)), None, "within a sequence");
        assert!(next(b"1mhello\r\n", 0, (24, 80)).is_some_and(|text| text.starts_with(&region(24))));
        let again = next(b"more", 1, (24, 80)).expect("times are shown anew");
        assert!(again.starts_with("\x1b7\x1b[24;1H\x1b[7mone: running "), "{again:?}");
        assert!(next(b"", 2, (30, 80)).is_some_and(|text| text.starts_with(&region(30))), "another size");
        assert_eq!(next(b"", 2, (30, 80)), None, "nothing is new");
        assert_eq!(next(b"", 9, (2, 80)), None, "there is no place");
    }

    #[test]
    fn the_cursor_is_where_it_was() {
        assert_eq!(region(24), "\n\x1b7\x1b[1;23r\x1b8\x1b[1A");
        assert_eq!(line(24, "x"), "\x1b7\x1b[24;1H\x1b[7mx\x1b[m\x1b[K\x1b8");
    }
}
