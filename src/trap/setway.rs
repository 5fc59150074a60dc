//! Set/way cache maintenance, done by address over the partition's memory.
//!
//! A guest's sets and ways are not its memory: they are the core's, whatever is in them. What the guest wants is that
//! its memory is clean, so the first operation of a loop cleans all of it, and the rest of the loop does nothing. A
//! loop is known by its instruction and its cache level; it starts over with the operand that it started with.

use aarch64_cpu::registers::ELR_EL2;
use arrayvec::ArrayVec;
use partita_model::lifecycle::State;
use tock_registers::interfaces::Readable;

use crate::core::Core;

/// Loops that are remembered at a time; one that is not known begins, which is safe and only slower.
const LOOPS: usize = 8;

/// Bytes that are cleaned between two looks at what others want of this core.
const PIECE: u64 = 64 << 10;

/// Where the loops began that the guest is in.
#[derive(Clone, Debug, Default)]
pub struct Series(ArrayVec<Loop, LOOPS>);

#[derive(Clone, Copy, Debug)]
struct Loop {
    pc: u64,
    first: u64,
}

/// Cache level of an operand, bits 3..1 (DDI 0487, DC CISW).
const fn level(operand: u64) -> u64 {
    operand >> 1 & 7
}

impl Series {
    /// Whether this operation is the first of a loop.
    fn begins(&mut self, pc: u64, operand: u64) -> bool {
        match self.0.iter().find(|known| known.pc == pc && level(known.first) == level(operand)) {
            Some(known) if known.first != operand => return false,
            Some(_) => self.0.clear(),
            None if self.0.is_full() => self.0.clear(),
            None => {}
        }
        let _ = self.0.try_push(Loop { pc, first: operand });
        true
    }
}

/// Performs one operation; `operand` names level, set and way.
pub fn operate(core: &mut Core, operand: u64) {
    if !core.set_way.begins(ELR_EL2.get(), operand) {
        return;
    }
    let partition = core.partition;
    for memory in &partition.memory {
        // Piece by piece: between them the core answers its partition, and stops with it.
        let mut done = 0;
        while done < memory.ipa.size {
            let mut piece = memory.physical();
            piece.base.0 += done;
            piece.size = (memory.ipa.size - done).min(PIECE);
            // Cleaning is what the window does when it closes.
            core.window.each(piece, |_, _| ());
            done += piece.size;
            partition.mailbox.serve(core.vcpu);
            if !partition.life().is(State::Running) {
                return;
            }
        }
    }
}
