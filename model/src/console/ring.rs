//! A byte ring of fixed size between one producer and one consumer, who may be on different cores.
//!
//! It is made of atomics only: used against its rule (two producers at once) it garbles bytes and does no other harm.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// A ring of `N` bytes; `N` is a power of two.
///
/// A partition's lies where those who manage it read it (`partita_abi::supervision::Log`): the last `N` bytes that were pushed stay
/// there, as a byte is overwritten by the one that comes `N` later and by no other.
#[derive(Debug)]
#[repr(C)]
pub struct Ring<const N: usize> {
    /// Bytes ever pushed, modulo 2^64. Written by the producer.
    head: AtomicUsize,
    /// Bytes ever popped. Written by the consumer. `head - tail` is at most `N`.
    tail: AtomicUsize,
    bytes: [AtomicU8; N],
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two(), "a ring's size is a power of two") };
        Self { bytes: [const { AtomicU8::new(0) }; N], head: AtomicUsize::new(0), tail: AtomicUsize::new(0) }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        let tail = self.tail.load(Ordering::Acquire);
        self.head.load(Ordering::Acquire).wrapping_sub(tail).min(N)
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that can be pushed.
    #[must_use]
    pub fn free(&self) -> usize {
        N - self.len()
    }

    /// Producer: pushes all of it, visible to the consumer at once, or nothing and says `false`.
    #[must_use]
    pub fn push(&self, bytes: &[u8]) -> bool {
        if bytes.len() > self.free() {
            return false;
        }
        let head = self.head.load(Ordering::Relaxed);
        for (offset, byte) in bytes.iter().enumerate() {
            self.slot(head.wrapping_add(offset), |slot| slot.store(*byte, Ordering::Relaxed));
        }
        // Release: whoever sees the new head sees the bytes.
        self.head.store(head.wrapping_add(bytes.len()), Ordering::Release);
        true
    }

    /// Consumer: takes the oldest bytes, as many as fit; how many.
    pub fn pop(&self, out: &mut [u8]) -> usize {
        self.pop_while(out, |_| true)
    }

    /// Consumer: like [`Self::pop`], but not beyond the end of a line.
    pub fn pop_line(&self, out: &mut [u8]) -> usize {
        self.pop_while(out, |byte| byte != b'\n')
    }

    /// Takes bytes up to and including the first for which `more` is false.
    fn pop_while(&self, out: &mut [u8], more: impl Fn(u8) -> bool) -> usize {
        let (tail, waiting) = (self.tail.load(Ordering::Relaxed), self.len());
        let mut taken = 0;
        for place in out.iter_mut().take(waiting) {
            *place = self.slot(tail.wrapping_add(taken), |slot| slot.load(Ordering::Relaxed));
            taken += 1;
            if !more(*place) {
                break;
            }
        }
        // Release: the producer overwrites a slot only after it was read.
        self.tail.store(tail.wrapping_add(taken), Ordering::Release);
        taken
    }

    fn slot<T: Default>(&self, index: usize, action: impl FnOnce(&AtomicU8) -> T) -> T {
        // Always in range: N is a power of two.
        self.bytes.get(index & (N - 1)).map_or_else(T::default, action)
    }
}
