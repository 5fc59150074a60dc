//! SYSTEM_RESET: only this partition starts again, from a clean state.

use partita_guest::mmio::{read32, write32, write64};
use partita_guest::{machine, psci, start};

use crate::check::{End, Env, Outcome, Row};
use crate::rows::memory::first_stain;
use crate::{cores, fail, same};

pub const ALONE: &[Row] = &[Row::here("system-reset", system_reset)];

/// Registers that keep a note: a reset of the partition does not reset its devices, and nothing else uses the RTC's match
/// register, or the second compare register of the Pi's system timer (whose bus counts 2 GiB lower than the core does).
const NOTES: [(&str, u64); 2] = [("arm,pl031", 0x4), ("brcm,bcm2835-system-timer", 0x8000_0010)];
const BEEN_HERE: u32 = 0x7e57_ab1e;

/// A register that outlives a reset of the partition, with what the life before left there.
pub struct Note(u64);

impl Note {
    /// Whether this is the second life; the note is taken off.
    pub fn taken(&self) -> bool {
        let been_here = read32(self.0) == BEEN_HERE;
        if been_here {
            write32(self.0, 0);
        }
        been_here
    }

    /// Leaves it for the next life.
    pub fn leave(&self) {
        write32(self.0, BEEN_HERE);
    }
}

/// Where this machine keeps a note.
pub fn note(env: &Env) -> Result<Note, End> {
    let place = |(name, offset)| {
        let device = env.machine.tree.find_compatible(&[name])?;
        Some(machine::first_reg(&device)?.0 + offset)
    };
    NOTES.into_iter().find_map(place).map(Note).ok_or(End::Skipped("no device to leave a note in"))
}

/// Dirties all memory, leaves another core running, resets; the second time round everything is as at first.
fn system_reset(env: &Env) -> Outcome {
    let note = note(env)?;
    if note.taken() {
        if let Some((at, value)) = first_stain(env) {
            fail!("after the reset {at:#x} holds {value:#x}");
        }
        for affinity in env.machine.cores.iter().skip(1) {
            same!(psci::affinity_info(*affinity, 0), 1, "AFFINITY_INFO of core {affinity} after the reset");
        }
        return Ok(());
    }
    note.leave();
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
    note.taken();
    fail!("SYSTEM_RESET came back with {answer}");
}
