//! Set/way cache maintenance, done by address over the partition's memory.
//!
//! A guest's sets and ways are not its memory: they are the core's, whatever is in them. What the guest wants is that
//! its memory is clean, so the first operation of a series cleans all of it, and the rest of the series does nothing.
//! A series is what one loop does: it ends when the loop starts over, or when another loop runs.

use crate::cache;
use crate::core::Core;
use crate::sysreg::mrs;
use partita_model::lifecycle::State;

/// Where the current series began, and where it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Series {
    first: Option<(u64, u64)>,
    at: u64,
}

/// Performs one operation; `operand` names level, set and way.
pub fn operate(core: &mut Core, operand: u64) {
    let pc = mrs!("elr_el2");
    let series = core.set_way;
    if series.at == pc && series.first != Some((pc, operand)) {
        return;
    }
    core.set_way = Series { first: Some((pc, operand)), at: pc };
    let partition = core.partition;
    for memory in &partition.memory {
        // In steps of at most 2 MiB, between which the core answers its partition, and stops with it.
        let mut done = 0;
        while done < memory.ipa.size {
            let mut piece = memory.physical();
            piece.base.0 += done;
            piece.size = (memory.ipa.size - done).min(crate::layout::BLOCK as u64);
            core.stage1.window(piece, |bytes, _| cache::flush(bytes.as_mut_ptr() as usize, bytes.len()));
            done += piece.size;
            partition.mailbox.serve(core.vcpu);
            if !partition.life().is(State::Running) {
                return;
            }
        }
    }
}
