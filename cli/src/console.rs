//! The user's terminal while a machine runs: raw, so that every key reaches the guest, and as it was afterwards.

use std::io::{self, IsTerminal};

use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};

/// The terminal in raw mode until this value goes.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Makes the terminal raw, if standard input and output are one.
    pub fn enter() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        // Our own messages end in a bare line feed.
        raw.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// For the machine.
    Send(u8),
    /// The first half of an escape.
    Wait,
    /// The machine is to be stopped.
    Quit,
}

/// QEMU's own escape: Ctrl-A x stops the machine, Ctrl-A Ctrl-A (or a) sends one Ctrl-A.
#[derive(Debug, Default)]
pub struct Escape {
    pending: bool,
}

impl Escape {
    const CTRL_A: u8 = 1;

    /// Takes a key.
    pub fn press(&mut self, byte: u8) -> Key {
        match (std::mem::take(&mut self.pending), byte) {
            (false, Self::CTRL_A) => {
                self.pending = true;
                Key::Wait
            }
            (true, b'x' | b'X') => Key::Quit,
            (true, b'a') => Key::Send(Self::CTRL_A),
            (_, byte) => Key::Send(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_a_x_quits_and_all_else_is_sent() {
        let mut escape = Escape::default();
        let mut press = |byte| escape.press(byte);
        assert_eq!([press(b'x'), press(3), press(0x1d)], [Key::Send(b'x'), Key::Send(3), Key::Send(0x1d)]);
        assert_eq!([press(1), press(1)], [Key::Wait, Key::Send(1)]);
        assert_eq!([press(1), press(b'a')], [Key::Wait, Key::Send(1)]);
        assert_eq!([press(1), press(b'x')], [Key::Wait, Key::Quit]);
    }
}
