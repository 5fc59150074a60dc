//! The physical side of a partition's virtual GIC: performs what the model asks, and decides nothing. Masks come cut
//! down to what the partition owns.

use core::sync::atomic::Ordering;

use partita_model::gic::{Bits, Hw, Op, State, Word};

use super::{
    Frame, ICACTIVER, ICENABLER, ICPENDR, IGROUPR, IPRIORITYR, ISACTIVER, ISENABLER, ISPENDR, Seat,
    controller, dist,
};
use crate::partition::Partition;

/// The physical interrupt controller as one core of a partition may use it.
#[derive(Debug)]
pub struct Physical<'a> {
    /// The partition.
    pub partition: &'a Partition,
}

const fn set_register(bits: Bits) -> usize {
    match bits {
        Bits::Enable => ISENABLER,
        Bits::Pending => ISPENDR,
        Bits::Active => ISACTIVER,
    }
}

const fn clear_register(bits: Bits) -> usize {
    match bits {
        Bits::Enable => ICENABLER,
        Bits::Pending => ICPENDR,
        Bits::Active => ICACTIVER,
    }
}

impl Physical<'_> {
    /// The frame of a word, the word's place in each of its arrays, and whose it is. None: the partition has no such
    /// virtual CPU, which the model never asks for.
    fn place(&self, word: Word) -> Option<(Frame, usize, Option<Seat>)> {
        match word {
            Word::Private(vcpu) => {
                let seat = self.seat(vcpu)?;
                Some((controller().private(seat), 0, Some(seat)))
            }
            Word::Shared(index) => Some((dist::frame(), 4 * index, None)),
        }
    }

    fn seat(&self, vcpu: usize) -> Option<Seat> {
        self.partition.vcpus.get(vcpu).map(|vcpu| vcpu.seat)
    }
}

impl Hw for Physical<'_> {
    fn read(&mut self, word: Word, bits: Bits) -> u32 {
        self.place(word).map_or(0, |(frame, offset, _)| frame.read(set_register(bits) + offset))
    }

    fn set(&mut self, word: Word, bits: Bits, mask: u32) {
        if let Some((frame, offset, _)) = self.place(word) {
            frame.write(set_register(bits) + offset, mask);
        }
    }

    fn clear(&mut self, word: Word, bits: Bits, mask: u32) {
        let Some((frame, offset, seat)) = self.place(word) else { return };
        match bits {
            Bits::Enable => controller().disable(seat, clear_register(bits) + offset, mask),
            Bits::Pending | Bits::Active => frame.write(clear_register(bits) + offset, mask),
        }
    }

    fn set_priority(&mut self, word: Word, intid: u32, priority: u8) {
        if let Some((frame, ..)) = self.place(word) {
            frame.write_byte(IPRIORITYR + intid as usize, priority);
        }
    }

    fn set_groups(&mut self, word: Word, mask: u32, group1: u32) {
        let Some((frame, offset, _)) = self.place(word) else { return };
        let change = |frame: Frame| {
            let at = IGROUPR + offset;
            frame.write(at, frame.read(at) & !mask | group1 & mask);
        };
        if matches!(word, Word::Private(_)) { change(frame) } else { dist::alone(change) }
    }

    fn set_edge(&mut self, word: Word, intid: u32, edge: bool) -> bool {
        self.place(word).is_some_and(|(frame, ..)| dist::set_edge(frame, intid, edge))
    }

    fn route(&mut self, intid: u32, vcpu: usize) {
        if let Some(seat) = self.seat(vcpu) {
            controller().route(intid, seat);
        }
    }

    fn set_ready(&mut self, vcpu: usize, intid: u32, image: u64) {
        let table = self.partition.vcpus.get(vcpu).map(|vcpu| &vcpu.ready);
        if let Some(entry) = table.and_then(|table| table.get(intid as usize)) {
            entry.store(if image == 0 { 0 } else { controller().ready(image) }, Ordering::Relaxed);
            // SAFETY: a barrier: the fast path of the other core sees the image before what follows takes effect.
            unsafe { core::arch::asm!("dsb ishst", options(nostack, preserves_flags)) };
        }
    }

    fn kick(&mut self, vcpu: usize) {
        self.partition.kick(vcpu);
    }

    fn remote(&mut self, vcpu: usize, op: Op) -> State {
        if vcpu >= self.partition.vcpus.len() {
            // Nobody would answer.
            return State::default();
        }
        self.partition.mailbox.ask(vcpu, op, || self.partition.kick(vcpu))
    }
}
