//! The queues between EL2 and an SMMU: rings whose producer and consumer each count with one bit more than an index has.

/// The size of a queue, and what its two counters mean (IHI 0070, 3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    log2: u8,
}

impl Queue {
    /// A queue of 2^`log2` entries, at most 2^19.
    #[must_use]
    pub fn new(log2: u8) -> Self {
        Self { log2: log2.min(19) }
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(self) -> u32 {
        1 << self.log2
    }

    /// As the base registers want it.
    #[must_use]
    pub fn log2(self) -> u8 {
        self.log2
    }

    /// Where a counter points. Whatever else is in the register (the consumer's error, the producer's overflow) is not
    /// part of it.
    #[must_use]
    pub fn index(self, counter: u32) -> usize {
        (counter & (self.entries() - 1)) as usize
    }

    /// A counter alone: index and wrap.
    #[must_use]
    pub fn counter(self, register: u32) -> u32 {
        register & (2 * self.entries() - 1)
    }

    /// The counter after it.
    #[must_use]
    pub fn next(self, counter: u32) -> u32 {
        self.counter(counter.wrapping_add(1))
    }

    /// Whether there is nothing to consume.
    #[must_use]
    pub fn is_empty(self, producer: u32, consumer: u32) -> bool {
        self.counter(producer) == self.counter(consumer)
    }

    /// Whether there is no room to produce: the same index, and the wraps differ.
    #[must_use]
    pub fn is_full(self, producer: u32, consumer: u32) -> bool {
        self.counter(producer) ^ self.counter(consumer) == self.entries()
    }
}
