//! The software state of thirty-two interrupts, and sets of interrupt numbers. Data only: nothing here acts.

use alloc::boxed::Box;
use alloc::vec;

use super::lr::{self, Kind};

/// The set bits of a mask, lowest first.
pub(super) fn bits(mut mask: u32) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros());
        mask &= mask.wrapping_sub(1);
        bit
    })
}

/// Thirty-two interrupts: one word of the distributor, or the private ones of one vCPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Bank {
    /// Backed by a physical interrupt of the same number.
    pub physical: u32,
    /// Software's: SGIs in a private bank, an emulated device's SPIs in a shared one.
    pub software: u32,
    /// ISENABLER.
    pub enabled: u32,
    /// IGROUPR.
    pub group1: u32,
    /// Edge-triggered (ICFGR); else level-sensitive.
    pub edge: u32,
    /// May be delivered: enabled, its group enabled at the distributor, and its vCPU on. A physical one is enabled
    /// in the physical controller exactly while this is set, but for what is `muted`.
    pub forwarded: u32,
    /// Made active by a register write, or left active by a vCPU that went off: active in no list register.
    pub held: u32,
    /// Cleared while a core was between acknowledging it and taking the partition's lock: to be dropped there.
    pub cancelled: u32,
    /// Input level of an emulated device's SPI.
    pub line: u32,
    /// Pending whatever the line says: an edge of an emulated device, or a write to ISPENDR of a level-sensitive one.
    pub latch: u32,
    /// The instance in flight came from `latch`, which is therefore clear again.
    pub taken: u32,
    /// Direct: an emulated device's physical SPI, which EL2 makes pending.
    pub driven: u32,
    /// None of these may take the fast path: somebody else may have ended what is in flight.
    pub wary: bool,
    /// Somebody did: disabled in the physical controller until the guest ends it, so that it comes once more and not as often as
    /// somebody likes. Its list register asks for maintenance then, as nothing physical ends with it.
    pub muted: u32,
    /// An emulated device's SPI that is in a list register, or active outside of one.
    pub loaded: u32,
    /// IPRIORITYR, cut to the implemented bits.
    pub priority: [u8; 32],
}

impl Bank {
    /// What the guest sees of this word.
    pub fn owned(&self) -> u32 {
        self.physical | self.software
    }

    /// Emulated devices' SPIs that are pending outside the list registers. Not for SGIs.
    pub fn asserted(&self) -> u32 {
        self.software & (self.latch | self.line & !self.edge)
    }

    /// The image of a list register for one of these interrupts, pending.
    pub fn image(&self, intid: u32) -> u64 {
        let bit = 1 << (intid % 32);
        let kind = match () {
            () if self.physical & !self.muted & bit != 0 => Kind::Physical,
            () if intid < 16 => Kind::Plain,
            () => Kind::Notified,
        };
        lr::image(intid, self.priority(intid), self.group1 & bit != 0, kind)
    }

    /// The image for a table that is read without the lock: 0 when the interrupt must take the slow path. What was
    /// written of SGIs is not here but in what cores share.
    pub fn ready(&self, intid: u32) -> u64 {
        let slow = self.held | self.cancelled | self.latch | self.taken;
        if !self.wary && self.forwarded & !slow & 1 << (intid % 32) != 0 { self.image(intid) } else { 0 }
    }

    /// The priority of one of these interrupts.
    pub fn priority(&self, intid: u32) -> u8 {
        self.priority.get(intid as usize % 32).copied().unwrap_or(0)
    }

    /// Back to how firmware hands over: disabled, Group 1, highest priority. `edge` is the trigger per interrupt.
    pub fn reset(&mut self, edge: u32) {
        let Bank { physical, software, driven, wary, .. } = *self;
        *self =
            Bank { physical, software, driven, wary, group1: physical | software, edge, ..Bank::default() };
    }
}

/// A set of INTIDs with room for all of them, so that it cannot overflow.
#[derive(Debug)]
pub(super) struct Set {
    words: Box<[u32]>,
}

impl Set {
    pub fn new(words: usize) -> Self {
        Set { words: vec![0; words].into_boxed_slice() }
    }

    pub fn insert(&mut self, intid: u32) {
        if let Some(word) = self.words.get_mut(intid as usize / 32) {
            *word |= 1 << (intid % 32);
        }
    }

    /// The members of one word.
    pub fn word(&self, word: usize) -> u32 {
        self.words.get(word).copied().unwrap_or(0)
    }

    /// Takes out those of one word that are in the mask, and tells which were there.
    pub fn take(&mut self, word: usize, mask: u32) -> u32 {
        let Some(word) = self.words.get_mut(word) else { return 0 };
        let taken = *word & mask;
        *word &= !mask;
        taken
    }

    pub fn remove(&mut self, intid: u32) {
        self.take(intid as usize / 32, 1 << (intid % 32));
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.words).flat_map(|(index, word)| bits(*word).map(move |bit| 32 * index + bit))
    }

    pub fn clear(&mut self) {
        self.words.fill(0);
    }
}
