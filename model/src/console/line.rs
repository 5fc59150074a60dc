//! From a guest's bytes to lines with its name in front.
//!
//! Out of focus a partition's output appears by whole lines, each as a terminal would show it when it ends: `\r`,
//! backspaces and erasures are carried out in a buffer, colours and all other sequences are dropped. In focus it
//! appears at once, so that prompts and echoes work, with colours; but the cursor never leaves the guest's own text.
//!
//! What comes out is given to the caller to push into the partition's ring: whole, so that a line is in it or is not.

use arrayvec::ArrayVec;

use super::escape::{Op, Parser};
use crate::weaken::{Guard, removed};

/// Characters of a line; a longer one goes on in a line of its own.
pub const WIDTH: usize = 160;

/// The longest name (the overlay's rule) with its brackets and space.
const PREFIX: usize = 31 + 3;

/// The most that one call gives out: a line of four-byte characters with its prefix, the start of the next one, and
/// what moves the cursor. A guest's byte may be taken while the ring has this much free.
pub const MOST: usize = 2 * PREFIX + 4 * WIDTH + 64;

/// One partition's output side. It lives behind the partition's lock.
#[derive(Clone, Debug)]
pub struct Assembler {
    prefix: ArrayVec<u8, PREFIX>,
    parser: Parser,
    line: Line,
    /// The keyboard is here: show everything at once.
    focused: bool,
    /// The line is on the terminal, as it is in the buffer.
    shown: bool,
    /// It was, all of it, when it was interrupted, and has not changed since.
    told: bool,
    /// A `\r` that has not been carried out, since `\n` mostly follows.
    returned: bool,
    /// Colours other than the terminal's own are set.
    styled: bool,
    /// What a call gives out.
    staged: ArrayVec<u8, MOST>,
}

impl Assembler {
    /// For a partition of this name, out of focus. A name longer than the overlay allows is cut.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut prefix = ArrayVec::new();
        for byte in [b'['].into_iter().chain(name.bytes().take(31)).chain(*b"] ") {
            let _ = prefix.try_push(byte);
        }
        Self {
            prefix,
            parser: Parser::new(),
            line: Line::default(),
            focused: false,
            shown: false,
            told: false,
            returned: false,
            styled: false,
            staged: ArrayVec::new_const(),
        }
    }

    /// How many bytes the guest may be told that there is room for, with `free` bytes in the ring. The promise is for
    /// the next one; ask again after it.
    #[must_use]
    pub const fn room(free: usize) -> usize {
        (free + 1).saturating_sub(MOST)
    }

    /// Takes a byte of the guest's; what to push into the ring.
    pub fn put(&mut self, byte: u8) -> &[u8] {
        self.staged.clear();
        if removed(Guard::ConsoleClean) {
            return self.raw(byte);
        }
        let mut ops = ArrayVec::<Op, 2>::new();
        self.parser.feed(byte, &mut |op| {
            let _ = ops.try_push(op);
        });
        for op in ops {
            self.act(op);
        }
        &self.staged
    }

    /// What a test build without the guard gives out: the byte as it is, behind the name.
    fn raw(&mut self, byte: u8) -> &[u8] {
        self.show();
        let _ = self.staged.try_push(byte);
        self.shown = byte != b'\n';
        &self.staged
    }

    /// Gives or takes the focus; what to push into the ring.
    pub fn focus(&mut self, focused: bool) -> &[u8] {
        self.staged.clear();
        if self.focused != focused {
            if focused {
                self.focused = true;
                if !self.line.is_empty() {
                    self.show();
                }
            } else {
                if self.shown {
                    self.end_line();
                }
                self.focused = false;
            }
        }
        &self.staged
    }

    /// Somebody else's lines have come between: the line is no longer what the terminal shows last. It will be shown
    /// again with the next byte, unless that ends it.
    pub fn interrupted(&mut self) {
        self.told |= self.shown;
        self.shown = false;
        self.styled = false;
    }

    /// Ends an unfinished line, since the partition is off or starts anew; what to push into the ring.
    pub fn finish(&mut self) -> &[u8] {
        self.staged.clear();
        self.parser = Parser::new();
        if core::mem::take(&mut self.told) {
            self.line = Line::default();
        } else if self.shown || !self.line.is_empty() {
            self.end_line();
        }
        self.returned = false;
        &self.staged
    }

    fn act(&mut self, op: Op) {
        if op == Op::Return {
            self.returned = true;
            return;
        }
        if core::mem::take(&mut self.told) && op == Op::Newline {
            // The terminal has all of it, in a line that has ended.
            (self.line, self.returned) = (Line::default(), false);
            return;
        }
        if core::mem::take(&mut self.returned) && op != Op::Newline {
            let column = self.line.cursor;
            self.move_left(column);
        }
        match op {
            Op::Print(c) => self.print(c),
            Op::Tab => {
                for _ in self.line.cursor % 8..8 {
                    self.move_right();
                }
            }
            Op::Newline => self.end_line(),
            Op::Return => {}
            Op::Bell => {
                if self.focused {
                    // It is part of a line, as whatever else a guest sends.
                    self.show();
                    self.stage("\x07");
                }
            }
            Op::Left(n) => self.move_left(usize::from(n)),
            Op::Right(n) => (0..usize::from(n).min(WIDTH)).for_each(|_| self.move_right()),
            Op::Column(n) => {
                let column = usize::from(n.saturating_sub(1)).min(WIDTH - 1);
                self.move_left(self.line.cursor.saturating_sub(column));
                (self.line.cursor..column).for_each(|_| self.move_right());
            }
            Op::EraseRight => {
                self.line.erase_right();
                if self.shown {
                    self.stage("\x1b[J");
                }
            }
            Op::EraseLeft => {
                self.line.erase_left();
                self.redraw();
            }
            Op::EraseLine => {
                self.line.erase_left();
                self.line.erase_right();
                self.redraw();
            }
            Op::Style(parameters) => {
                if self.focused {
                    self.show();
                    self.styled = true;
                    self.stage("\x1b[");
                    for (index, parameter) in parameters.iter().enumerate() {
                        self.stage(if index == 0 { "" } else { ";" });
                        self.stage_number(usize::from(*parameter));
                    }
                    self.stage("m");
                }
            }
        }
    }

    fn print(&mut self, c: char) {
        if !self.line.has_room() {
            self.end_line();
        }
        if self.focused {
            self.show();
            self.stage_char(c);
        }
        self.line.print(c);
    }

    fn move_left(&mut self, cells: usize) {
        let columns = self.line.left(cells);
        if self.shown && columns > 0 {
            self.stage_left(columns);
        }
    }

    /// One cell to the right; past the end of the text a blank is written.
    fn move_right(&mut self) {
        match self.line.under_cursor() {
            Some(c) => {
                if self.shown {
                    // Printing what is there moves over it, whatever its width.
                    self.stage_char(c);
                }
                self.line.cursor += 1;
            }
            None if self.line.has_room() => self.print(' '),
            None => {}
        }
    }

    /// Ends the line on the terminal and in the buffer. Out of focus, this is where all of it appears.
    fn end_line(&mut self) {
        self.show();
        if core::mem::take(&mut self.styled) {
            self.stage("\x1b[m");
        }
        self.stage("\n");
        self.line = Line::default();
        self.shown = false;
    }

    /// Puts the line so far on the terminal, unless it is there.
    fn show(&mut self) {
        if self.shown {
            return;
        }
        (self.shown, self.told) = (true, false);
        self.stage_line();
    }

    /// Puts the line on the terminal anew, over what it was.
    fn redraw(&mut self) {
        if self.shown {
            self.stage("\r");
            self.stage_line();
            self.stage("\x1b[K");
        }
    }

    fn stage_line(&mut self) {
        if !removed(Guard::ConsoleName) {
            let _ = self.staged.try_extend_from_slice(&self.prefix);
        }
        let line = core::mem::take(&mut self.line);
        for &c in &line.cells {
            self.stage_char(c);
        }
        let columns: usize = line.cells.iter().skip(line.cursor).map(|c| columns(*c)).sum();
        self.line = line;
        if self.focused && columns > 0 {
            self.stage_left(columns);
        }
    }

    fn stage_left(&mut self, columns: usize) {
        if columns == 1 {
            self.stage("\x08");
        } else {
            self.stage("\x1b[");
            self.stage_number(columns);
            self.stage("D");
        }
    }

    fn stage_char(&mut self, c: char) {
        self.stage(c.encode_utf8(&mut [0; 4]));
    }

    fn stage(&mut self, text: &str) {
        // MOST is enough, and were it not, bytes would be lost here, not the hypervisor.
        let _ = self.staged.try_extend_from_slice(text.as_bytes());
    }

    /// In decimal digits. `core::fmt` would do it by functions that are called through tables, and that may panic.
    fn stage_number(&mut self, number: usize) {
        let mut digits = ArrayVec::<u8, 20>::new();
        let mut left = number;
        loop {
            let _ = digits.try_push(b'0' + (left % 10) as u8);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        for digit in digits.into_iter().rev() {
            let _ = self.staged.try_push(digit);
        }
    }
}

/// The columns that a character is certain to take on a terminal, for moving left over it. Zero from the combining
/// marks on: taking a mark for a letter would let a guest back up into the prefix, the other way round it only looks odd.
const fn columns(c: char) -> usize {
    if (c as u32) < 0x300 { 1 } else { 0 }
}

/// A line as a terminal holds it. The cursor is at most at the end of the text.
#[derive(Clone, Debug, Default)]
struct Line {
    cells: ArrayVec<char, WIDTH>,
    cursor: usize,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn has_room(&self) -> bool {
        self.cursor < WIDTH
    }

    fn under_cursor(&self) -> Option<char> {
        self.cells.get(self.cursor).copied()
    }

    fn print(&mut self, c: char) {
        match self.cells.get_mut(self.cursor) {
            Some(cell) => *cell = c,
            None => {
                let _ = self.cells.try_push(c);
            }
        }
        self.cursor = (self.cursor + 1).min(self.cells.len());
    }

    /// Moves left; by how many columns.
    fn left(&mut self, cells: usize) -> usize {
        let from = self.cursor;
        self.cursor = from.saturating_sub(cells);
        self.cells.iter().take(from).skip(self.cursor).map(|c| columns(*c)).sum()
    }

    fn erase_right(&mut self) {
        self.cells.truncate(self.cursor);
    }

    fn erase_left(&mut self) {
        for cell in self.cells.iter_mut().take(self.cursor.saturating_add(1)) {
            *cell = ' ';
        }
    }
}
