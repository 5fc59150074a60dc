//! Numbers from a seed: xorshift64*, each core with a sequence of its own.

/// A sequence.
pub struct Random(u64);

impl Random {
    /// The sequence of a seed and a core.
    pub fn new(seed: u64, core: u64) -> Random {
        // SplitMix64's steps, so that neighbouring seeds have nothing in common. Zero would stay zero.
        let mut state = seed.wrapping_add((core + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((state ^ state >> 31) | 1)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.any() >> 16) % limit
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A value as registers hold them: small, one bit, all ones, any.
    pub fn value(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => self.below(32),
            3 | 4 => 1 << self.below(64),
            5 => self.any() & 0xffff_ffff,
            _ => self.any(),
        }
    }
}
