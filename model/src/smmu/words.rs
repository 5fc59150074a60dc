//! A line put together by itself: core::fmt calls through pointers and has ways to panic, and events are told while
//! partitions run.

/// Most bytes of a line.
const MOST: usize = 160;

/// A line; what does not fit is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    bytes: [u8; MOST],
    len: usize,
}

impl Default for Words {
    fn default() -> Self {
        Self { bytes: [0; MOST], len: 0 }
    }
}

impl Words {
    /// Adds text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.push(byte);
        }
        self
    }

    /// Adds a number in hexadecimal, as `{:#x}` has it.
    #[must_use]
    pub fn hex(self, number: u64) -> Self {
        let mut words = self.text("0x");
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            let digit = (number >> (4 * place) & 0xf) as u8;
            words.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
        }
        words
    }

    /// Adds a number in decimal.
    #[must_use]
    pub fn number(self, number: u32) -> Self {
        let (mut words, mut unit) = (self, 1_000_000_000);
        while unit > 0 {
            if number >= unit || unit == 1 {
                words.push(b'0' + (number / unit % 10) as u8);
            }
            unit /= 10;
        }
        words
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
