//! SYSTEM_RESET: only this partition starts again, from a clean state.

use partita_guest::mmio::{read32, write32, write64};
use partita_guest::{machine, psci, start};

use crate::check::{Env, Outcome, Row};
use crate::rows::memory::first_stain;
use crate::{cores, fail, same, skip};

pub const ALONE: &[Row] = &[Row::here("system-reset", system_reset)];

/// PL031 match register: nothing else uses it, and a reset of the partition does not reset its devices.
const RTC_MATCH: u64 = 0x4;
const BEEN_HERE: u32 = 0x7e57_ab1e;

/// Dirties all memory, leaves another core running, resets; the second time round everything is as at first.
fn system_reset(env: &Env) -> Outcome {
    let Some(rtc) = env.machine.tree.find_compatible(&["arm,pl031"]) else { skip!("no RTC in the tree") };
    let Some((rtc, _)) = machine::first_reg(&rtc) else { skip!("the RTC has no registers") };
    if read32(rtc + RTC_MATCH) == BEEN_HERE {
        write32(rtc + RTC_MATCH, 0);
        if let Some((at, value)) = first_stain(env) {
            fail!("after the reset {at:#x} holds {value:#x}");
        }
        for affinity in env.machine.cores.iter().skip(1) {
            same!(psci::affinity_info(*affinity, 0), 1, "AFFINITY_INFO of core {affinity} after the reset");
        }
        return Ok(());
    }
    write32(rtc + RTC_MATCH, BEEN_HERE);
    same!(read32(rtc + RTC_MATCH), BEEN_HERE, "the RTC's match register");
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
    write32(rtc + RTC_MATCH, 0);
    fail!("SYSTEM_RESET came back with {answer}");
}
