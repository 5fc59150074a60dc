//! Registers as a guest would read them now, kept where they can be read without the partition's lock: EL2's assembly
//! answers loads from here, and stores that would change nothing.
//!
//! Only what no list register has a say in: control, type, groups, enables, priorities, triggers. A page stands for the
//! distributor, and one for each redistributor's SGI frame (GICv3); GICv2's banked registers are in none. It holds no
//! state of its own: what writes a register writes here too, under the lock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use super::bank::{Bank, bits};
use super::hw::Word;
use super::{Version, Vgic};

/// Words of a page.
const WORDS: usize = 1024;

/// One page of registers, and which of its words are here.
///
/// In memory: 1024 words, then 32 words with a bit for each of them.
#[derive(Debug)]
pub struct Mirror(Box<[AtomicU32]>);

impl Mirror {
    /// Offset in bytes of the bits that say which words are here.
    pub const KNOWN: usize = 4 * WORDS;
    /// First byte of ISENABLER, and the first behind it: where a store of bits that are set already changes nothing.
    pub const SET_ENABLE: core::ops::Range<usize> = 0x100..0x180;

    pub(super) fn new() -> Self {
        Self((0..WORDS + WORDS / 32).map(|_| AtomicU32::new(0)).collect())
    }

    /// Where the words are, for who reads them without this type.
    #[must_use]
    pub fn words(&self) -> &[AtomicU32] {
        &self.0
    }

    /// The word at this offset, if it is here.
    #[must_use]
    pub fn read(&self, offset: u64) -> Option<u32> {
        let index = usize::try_from(offset / 4).ok().filter(|_| offset.is_multiple_of(4))?;
        // Behind the page there are no such bits.
        let known = self.0.get(WORDS + index / 32)?.load(Ordering::Relaxed) & 1 << (index % 32) != 0;
        known.then(|| self.0.get(index).map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    /// From now on the word at this offset is here.
    pub(super) fn set(&self, offset: usize, value: u32) {
        let index = offset / 4;
        if let (Some(word), Some(known)) = (self.0.get(index), self.0.get(WORDS + index / 32)) {
            word.store(value, Ordering::Relaxed);
            known.store(known.load(Ordering::Relaxed) | 1 << (index % 32), Ordering::Relaxed);
        }
    }

    /// The registers of thirty-two interrupts, at their place in each array.
    pub(super) fn reflect(&self, index: usize, bank: &Bank) {
        self.set(0x080 + 4 * index, bank.group1);
        self.set(Self::SET_ENABLE.start + 4 * index, bank.enabled);
        self.set(0x180 + 4 * index, bank.enabled);
        for (word, priorities) in bank.priority.as_chunks().0.iter().enumerate() {
            self.set(0x400 + 32 * index + 4 * word, u32::from_le_bytes(*priorities));
        }
        let edge = bank.edge & bank.owned();
        let fields = |half: u32| bits(half & 0xffff).fold(0, |all, bit| all | 2 << (2 * bit));
        self.set(0xc00 + 8 * index, fields(edge));
        self.set(0xc04 + 8 * index, fields(edge >> 16));
    }
}

impl Vgic {
    /// Registers that cores may read without the lock: the distributor's, then those of each redistributor's SGI frame
    /// (64 KiB from the redistributor's start; GICv3).
    #[must_use]
    pub fn mirrors(&self) -> Arc<[Mirror]> {
        Arc::clone(&self.mirrors)
    }

    /// Brings the mirror of a word's registers up to date.
    pub(super) fn reflect(&self, word: Word) {
        let (page, index) = match (word, self.version) {
            (Word::Private(vcpu), Version::V3) => (vcpu + 1, 0),
            (Word::Private(_), Version::V2) => return,
            (Word::Shared(index), _) => (0, index),
        };
        if let (Some(mirror), Some(bank)) = (self.mirrors.get(page), self.bank(word)) {
            mirror.reflect(index, bank);
        }
    }

    /// The same for all, and for what the distributor has once.
    pub(super) fn reflect_all(&self) {
        (0..self.cpus.len()).for_each(|vcpu| self.reflect(Word::Private(vcpu)));
        (1..=self.spis.len()).for_each(|index| self.reflect(Word::Shared(index)));
        self.reflect_control();
    }

    /// The same for GICD_CTLR and GICD_TYPER.
    pub(super) fn reflect_control(&self) {
        if let Some(mirror) = self.mirrors.first() {
            mirror.set(0, self.dist_control_value());
            mirror.set(4, self.dist_type() as u32);
        }
    }
}
