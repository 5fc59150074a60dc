//! Registers as a guest would read them now, kept where they can be read without the partition's lock: EL2's assembly
//! answers loads from here, and stores that would change nothing.
//!
//! Only what no list register has a say in: control, type, groups, enables, priorities, triggers. With GICv3 a page stands
//! for the distributor, and one for each redistributor's SGI frame. GICv2's private registers are banked, so there each
//! virtual CPU has a page, which is the distributor as that one sees it. It holds no state of its own: what writes a
//! register writes here too, under the lock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use super::bank::{Bank, bits};
use super::hw::Word;
use super::{Version, Vgic};

/// Words of a page.
const WORDS: usize = 1024;
/// Where they begin: behind a byte for each.
const FIRST: usize = WORDS / 4;

/// One page of registers, and which of its words are here.
///
/// In memory: a byte for each of the 1024 words, 1 where it is here; then the words.
#[derive(Debug)]
pub struct Mirror(Box<[AtomicU32]>);

impl Mirror {
    /// Offset in bytes of the words; before them are the bytes that say which are here.
    pub const VALUES: usize = 4 * FIRST;
    /// First byte of ISENABLER, and the first behind it: where a store of bits that are set already changes nothing.
    pub const SET_ENABLE: core::ops::Range<usize> = 0x100..0x180;

    pub(super) fn new() -> Self {
        Self((0..FIRST + WORDS).map(|_| AtomicU32::new(0)).collect())
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
        let value = self.0.get(FIRST + index)?;
        let known = self.0.get(index / 4)?.load(Ordering::Relaxed) & bit(index) != 0;
        known.then(|| value.load(Ordering::Relaxed))
    }

    /// From now on the word at this offset is here.
    pub(super) fn set(&self, offset: usize, value: u32) {
        let index = offset / 4;
        if let (Some(word), Some(known)) = (self.0.get(FIRST + index), self.0.get(index / 4)) {
            word.store(value, Ordering::Relaxed);
            known.store(known.load(Ordering::Relaxed) | bit(index), Ordering::Relaxed);
        }
    }

    /// The enable bits of thirty-two interrupts, in both arrays, where they are since the reset.
    fn reflect_enabled(&self, index: usize, bank: &Bank) {
        for register in [Self::SET_ENABLE.start, 0x180] {
            if let Some(word) = self.0.get(FIRST + register / 4 + index) {
                word.store(bank.enabled, Ordering::Relaxed);
            }
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

/// What says that a word is here, among three others': its byte is 1, in a machine that has the least byte first.
fn bit(index: usize) -> u32 {
    1 << (8 * (index % 4))
}

/// How many pages there are.
pub(super) fn pages(version: Version, vcpus: usize) -> usize {
    if version == Version::V3 { 1 + vcpus } else { vcpus }
}

impl Vgic {
    /// Registers that cores may read without the lock. GICv3: the distributor's, then those of each redistributor's SGI
    /// frame (64 KiB from the redistributor's start). GICv2: the distributor's as each virtual CPU sees them.
    #[must_use]
    pub fn mirrors(&self) -> Arc<[Mirror]> {
        Arc::clone(&self.mirrors)
    }

    /// The pages that show a word's registers, and its place in each array there.
    fn mirrors_of(&self, word: Word) -> (&[Mirror], usize) {
        let (pages, index) = match (word, self.version) {
            (Word::Private(vcpu), Version::V3) => (vcpu + 1..vcpu + 2, 0),
            (Word::Private(vcpu), Version::V2) => (vcpu..vcpu + 1, 0),
            (Word::Shared(index), Version::V3) => (0..1, index),
            (Word::Shared(index), Version::V2) => (0..self.mirrors.len(), index),
        };
        (self.mirrors.get(pages).unwrap_or_default(), index)
    }

    /// Brings the mirror of a word's registers up to date.
    pub(super) fn reflect(&self, word: Word) {
        let (pages, index) = self.mirrors_of(word);
        if let Some(bank) = self.bank(word) {
            pages.iter().for_each(|mirror| mirror.reflect(index, bank));
        }
    }

    /// The same of its enable bits alone.
    pub(super) fn reflect_enabled(&self, word: Word) {
        let (pages, index) = self.mirrors_of(word);
        if let Some(bank) = self.bank(word) {
            pages.iter().for_each(|mirror| mirror.reflect_enabled(index, bank));
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
        for mirror in self.mirrors.iter().take(if self.version == Version::V3 { 1 } else { self.cpus.len() })
        {
            mirror.set(0, self.dist_control_value());
            mirror.set(4, self.dist_type() as u32);
        }
    }
}
