//! A fuzzer's bytes, read as numbers. A short input goes on in zeros, so that every prefix of one means something, and
//! removing its end is a step towards a smaller one.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The whole of it.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left, as it is.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The next bytes, at most as many.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn little<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.take(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.little())
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.little())
    }

    /// Four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.little())
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.little())
    }

    /// One bit of a byte.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 != 0
    }

    /// A number below `limit`, from one byte.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.u8()) % limit.max(1)
    }

    /// One of these, by one byte.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A number that means something, or is near one that does, or is any.
    pub fn number(&mut self, known: &[u64]) -> u64 {
        let kind = self.u8();
        match kind {
            0..=0x3f => known[usize::from(kind) % known.len()],
            0x40..=0x5f => known[usize::from(kind) % known.len()].wrapping_add(self.u8() as i8 as u64),
            0x60..=0x7f => u64::from(self.u8()),
            0x80..=0x9f => known[usize::from(kind) % known.len()] | self.u64() << 32,
            0xa0..=0xbf => 1 << (kind & 0x1f) << (self.u8() & 0x20),
            _ => self.u64(),
        }
    }
}
