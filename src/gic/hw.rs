//! The physical side of a partition's virtual GIC: performs what the model asks, and decides nothing. Masks come cut
//! down to what the partition owns.

use core::sync::atomic::Ordering;

use partita_model::gic::{Bits, Hw, Op, State, Word};

use super::{Frame, ICACTIVER, ICENABLER, ICPENDR, ISACTIVER, ISENABLER, ISPENDR, Seat, controller, dist};
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
    /// The frame of a word, the word's place in each of its arrays, and whose it is.
    fn place(&self, word: Word) -> (Frame, usize, Option<Seat>) {
        match word {
            Word::Private(vcpu) => {
                let seat = self.partition.vcpus[vcpu].seat;
                (controller().private(seat), 0, Some(seat))
            }
            Word::Shared(index) => (dist::frame(), 4 * index, None),
        }
    }
}

impl Hw for Physical<'_> {
    fn read(&mut self, word: Word, bits: Bits) -> u32 {
        let (frame, offset, _) = self.place(word);
        frame.read(set_register(bits) + offset)
    }

    fn set(&mut self, word: Word, bits: Bits, mask: u32) {
        let (frame, offset, _) = self.place(word);
        frame.write(set_register(bits) + offset, mask);
    }

    fn clear(&mut self, word: Word, bits: Bits, mask: u32) {
        let (frame, offset, seat) = self.place(word);
        frame.write(clear_register(bits) + offset, mask);
        if bits == Bits::Enable {
            controller().wait(seat);
        }
    }

    fn set_edge(&mut self, word: Word, intid: u32, edge: bool) -> bool {
        dist::set_edge(self.place(word).0, intid, edge)
    }

    fn route(&mut self, intid: u32, vcpu: usize) {
        controller().route(intid, self.partition.vcpus[vcpu].seat);
    }

    fn set_ready(&mut self, vcpu: usize, intid: u32, image: u64) {
        if let Some(entry) = self.partition.vcpus[vcpu].ready.get(intid as usize) {
            entry.store(if image == 0 { 0 } else { controller().ready(image) }, Ordering::Relaxed);
            // SAFETY: a barrier: the fast path of the other core sees the image before what follows takes effect.
            unsafe { core::arch::asm!("dsb ishst", options(nostack, preserves_flags)) };
        }
    }

    fn kick(&mut self, vcpu: usize) {
        controller().kick(self.partition.vcpus[vcpu].seat);
    }

    fn remote(&mut self, vcpu: usize, op: Op) -> State {
        let seat = self.partition.vcpus[vcpu].seat;
        self.partition.mailbox.ask(vcpu, op, || controller().kick(seat))
    }
}
