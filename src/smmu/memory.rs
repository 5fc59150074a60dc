//! What an SMMU reads and writes in EL2's memory: stream tables and queues.

use core::sync::atomic::{Ordering, fence};

use partita_model::addr::Pa;
use partita_model::smmu::{Event, Queue};
use partita_model::stage2::Tables;

use crate::layout::{self, PAGE};
use crate::{cache, heap};

/// Memory for stream tables, in the arena that is open. Where the SMMU does not see the cores' caches each word is
/// cleaned to where it does.
#[derive(Clone, Copy, Debug)]
pub struct Coherence(pub bool);

impl Coherence {
    /// After a write, or before a read of what the SMMU wrote.
    fn meet(self, address: usize, size: usize) {
        if !self.0 {
            cache::flush(address, size);
        }
    }
}

impl Tables for Coherence {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        let pages = pages.next_power_of_two();
        let at = heap::pages(pages, pages * PAGE);
        self.meet(at, pages * PAGE);
        Some(layout::pa_of(at))
    }

    fn read(&self, table: Pa, index: usize) -> u64 {
        // SAFETY: `table` came from `alloc`, and the model stays within it. Only EL2 writes there.
        unsafe { (layout::va_of(table) as *const u64).add(index).read_volatile() }
    }

    fn write(&mut self, table: Pa, index: usize, value: u64) {
        let at = layout::va_of(table) + index * size_of::<u64>();
        // SAFETY: as above. The SMMU may read it at the same time, in one access (IHI 0070, 3.21.3).
        unsafe { (at as *mut u64).write_volatile(value) };
        self.meet(at, size_of::<u64>());
    }
}

/// The memory of a queue: a page.
#[derive(Debug)]
pub struct Ring {
    /// Its size.
    pub queue: Queue,
    at: usize,
    coherence: Coherence,
}

impl Ring {
    /// As many entries of `bytes` each as fit into a page, and as the SMMU can have.
    pub fn new(bytes: usize, most: u8, coherence: Coherence) -> Self {
        let fit = (PAGE / bytes).ilog2() as u8;
        let at = heap::pages(1, PAGE);
        coherence.meet(at, PAGE);
        Self { queue: Queue::new(fit.min(most)), at, coherence }
    }

    /// For the base register: address, size, and the hint to allocate in caches (RA or WA, bit 62).
    pub fn base(&self) -> u64 {
        1 << 62 | layout::pa_of(self.at).0 | u64::from(self.queue.log2())
    }

    /// Puts a command where a counter points.
    pub fn put(&mut self, counter: u32, words: [u64; 2]) {
        let at = self.at + self.queue.index(counter) * size_of_val(&words);
        // SAFETY: within the page of this ring, whose entries are this size; the counter's entry is not the SMMU's.
        unsafe { (at as *mut [u64; 2]).write_volatile(words) };
        self.coherence.meet(at, size_of_val(&words));
    }

    /// The event where a counter points.
    pub fn get(&self, counter: u32) -> Event {
        let size = size_of::<[u64; Event::WORDS]>();
        let at = self.at + self.queue.index(counter) * size;
        self.coherence.meet(at, size);
        // The counter was read before (IHI 0070, 3.5.2).
        fence(Ordering::Acquire);
        // SAFETY: within the page of this ring, whose entries are this size; the SMMU has written it.
        Event::decode(unsafe { (at as *const [u64; Event::WORDS]).read_volatile() })
    }
}
