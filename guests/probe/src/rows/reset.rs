//! SYSTEM_RESET: only this partition starts again, from a clean state.

use partita_guest::mmio::{read32, write32, write64};
use partita_guest::{machine, psci, start};

use crate::check::{Env, Outcome, Row};
use crate::rows::memory::first_stain;
use crate::{cores, fail, same, skip};

pub const ALONE: &[Row] = &[Row::here("system-reset", system_reset)];

/// Registers that keep a note: a reset of the partition does not reset its devices, and nothing else uses the RTC's match
/// register, or the second compare register of the Pi's system timer (whose bus counts 2 GiB lower than the core does).
const NOTES: [(&str, u64); 2] = [("arm,pl031", 0x4), ("brcm,bcm2835-system-timer", 0x8000_0010)];
const BEEN_HERE: u32 = 0x7e57_ab1e;

/// Dirties all memory, leaves another core running, resets; the second time round everything is as at first.
fn system_reset(env: &Env) -> Outcome {
    let place = |(name, offset)| {
        let device = env.machine.tree.find_compatible(&[name])?;
        Some(machine::first_reg(&device)?.0 + offset)
    };
    let Some(note) = NOTES.into_iter().find_map(place) else { skip!("no device to leave a note in") };
    if read32(note) == BEEN_HERE {
        write32(note, 0);
        if let Some((at, value)) = first_stain(env) {
            fail!("after the reset {at:#x} holds {value:#x}");
        }
        for affinity in env.machine.cores.iter().skip(1) {
            same!(psci::affinity_info(*affinity, 0), 1, "AFFINITY_INFO of core {affinity} after the reset");
        }
        return Ok(());
    }
    write32(note, BEEN_HERE);
    same!(read32(note), BEEN_HERE, "the note");
    let (first, end) = start::image();
    let (tree, size) = env.machine.tree_at;
    for &(base, length) in env.machine.memory.iter() {
        for at in (base..base + length).step_by(4096) {
            if (at + 8 <= first || at >= end) && (at + 8 <= tree || at >= tree + size) {
                write64(at, 0xdead_beef);
            }
        }
    }
    cores::leave_one_spinning(env);
    let answer = psci::system_reset();
    write32(note, 0);
    fail!("SYSTEM_RESET came back with {answer}");
}
