//! Who has the keyboard: the key Ctrl-] and what may follow it.

/// Ctrl-], the key that the console keeps for itself.
pub const KEY: u8 = 0x1d;

/// What Ctrl-] `?` prints.
pub const HELP: &str = "Ctrl-] then: 1-9 keyboard to that partition, n to the next one, a audit of all tables, c what failed last, \
                        ? this help, q stop all and power off, Ctrl-] send Ctrl-] itself";

/// What a byte from the host's keyboard means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// For the partition in focus.
    ToGuest(u8),
    /// The keyboard goes to this partition (0 is the first); there may be no such one.
    Focus(usize),
    /// The keyboard goes to the next partition with a console: see [`next`].
    Next,
    /// Print [`HELP`].
    Help,
    /// Have every core compare the tables that it runs under with the plan.
    Audit,
    /// Print every partition's last failure.
    Crash,
    /// Stop all partitions and power off.
    Quit,
}

/// The filter that all input goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Ctrl-] was the last byte.
    armed: bool,
}

impl Filter {
    /// A filter at rest.
    #[must_use]
    pub const fn new() -> Self {
        Self { armed: false }
    }

    /// Takes a byte.
    pub fn input(&mut self, byte: u8) -> Option<Event> {
        if !core::mem::replace(&mut self.armed, false) {
            self.armed = byte == KEY;
            return (!self.armed).then_some(Event::ToGuest(byte));
        }
        Some(match byte {
            KEY => Event::ToGuest(KEY),
            b'1'..=b'9' => Event::Focus(usize::from(byte - b'1')),
            b'n' | b'N' => Event::Next,
            b'a' | b'A' => Event::Audit,
            b'c' | b'C' => Event::Crash,
            b'q' | b'Q' => Event::Quit,
            // `?`, and whatever else was typed in hope.
            _ => Event::Help,
        })
    }
}

/// The partition after `current`, going round, that can have the keyboard; `None` if no partition can.
#[must_use]
pub fn next(current: usize, partitions: usize, can: impl Fn(usize) -> bool) -> Option<usize> {
    let after = current.saturating_add(1).min(partitions);
    (after..partitions).chain(0..after).find(|&partition| can(partition))
}
