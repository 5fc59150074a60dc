//! The physical side of a partition's virtual GIC: performs what the model asks, and decides nothing. Masks come cut
//! down to what the partition owns.

use core::sync::atomic::Ordering;

use partita_model::gic::{Bits, Hw, Op, State, Word};

use super::{ICACTIVER, ICENABLER, ICPENDR, ISACTIVER, ISENABLER, ISPENDR, cpu};
use crate::board;
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

impl Hw for Physical<'_> {
    fn read(&mut self, word: Word, bits: Bits) -> u32 {
        match word {
            Word::Private(vcpu) => self.partition.vcpus[vcpu].redist.read(set_register(bits)),
            Word::Shared(index) => board::distributor().read(set_register(bits), index),
        }
    }

    fn set(&mut self, word: Word, bits: Bits, mask: u32) {
        match word {
            Word::Private(vcpu) => self.partition.vcpus[vcpu].redist.write(set_register(bits), mask),
            Word::Shared(index) => board::distributor().write(set_register(bits), index, mask),
        }
    }

    fn clear(&mut self, word: Word, bits: Bits, mask: u32) {
        match word {
            Word::Private(vcpu) => {
                let redist = self.partition.vcpus[vcpu].redist;
                redist.write(clear_register(bits), mask);
                if bits == Bits::Enable {
                    redist.wait();
                }
            }
            Word::Shared(index) => {
                board::distributor().write(clear_register(bits), index, mask);
                if bits == Bits::Enable {
                    board::distributor().wait();
                }
            }
        }
    }

    fn set_edge(&mut self, word: Word, intid: u32, edge: bool) -> bool {
        match word {
            Word::Private(vcpu) => self.partition.vcpus[vcpu].redist.set_edge(intid, edge),
            Word::Shared(_) => board::distributor().set_edge(intid, edge),
        }
    }

    fn route(&mut self, intid: u32, vcpu: usize) {
        board::distributor().route(intid, self.partition.vcpus[vcpu].mpidr);
    }

    fn set_ready(&mut self, vcpu: usize, intid: u32, image: u64) {
        if let Some(entry) = self.partition.vcpus[vcpu].ready.get(intid as usize) {
            entry.store(image, Ordering::Relaxed);
            // SAFETY: a barrier: the fast path of the other core sees the image before what follows takes effect.
            unsafe { core::arch::asm!("dsb ishst", options(nostack, preserves_flags)) };
        }
    }

    fn kick(&mut self, vcpu: usize) {
        cpu::kick(self.partition.vcpus[vcpu].mpidr);
    }

    fn remote(&mut self, vcpu: usize, op: Op) -> State {
        self.partition.mailbox.ask(vcpu, op, || cpu::kick(self.partition.vcpus[vcpu].mpidr))
    }
}
