//! The hardware side of partitions' watchdogs (`partita_model::watchdog`): EL2's physical timer (CNTHP), on the core of the
//! virtual CPU that stored to it last. Its interrupt is EL2's own on cores of partitions with a watchdog, and as urgent as a kick:
//! it comes whatever the guest is at, and also while this core's virtual CPU is off, as the core stays the partition's.
//!
//! A timer that was set before another core took over fires once, and is not set again.

use aarch64_cpu::asm::barrier;
use partita_model::lifecycle::Cause;
pub use partita_model::watchdog::Frame;
use partita_model::weaken::{Guard, removed};
use spin::mutex::SpinMutexGuard;

use crate::core::Core;
use crate::partition::{Partition, State};
use crate::sysreg::msr;
use crate::{board, clock, life};

/// CNTHP_CTL_EL2.ENABLE; IMASK is clear (DDI 0487, CNTHP_CTL_EL2).
const ENABLE: u64 = 1 << 0;

/// A guest's access to one of the frames: what it reads.
pub fn access(core: &mut Core, frame: Frame, offset: u64, width: u8, write: Option<u64>) -> u64 {
    if write.is_some() && frame.is_refreshed_by(offset, width) {
        core.partition.status.beat(core.vcpu);
    }
    let mut state = core.partition.lock(core.vcpu);
    let value = state.watchdog.access(core.vcpu, frame, offset, width, write, clock::now());
    if perform(core, state) {
        life::stop(core, Cause::Watchdog);
    }
    value
}

/// Brings the partition's watchdog up to date, if it has one. Whether the partition has failed by it.
pub fn look(core: &mut Core) -> bool {
    if core.partition.watchdog.is_none() {
        return false;
    }
    let mut state = core.partition.lock(core.vcpu);
    state.watchdog.advance(clock::now());
    perform(core, state)
}

/// Whether an interrupt is the timer's; then it is turned off, so that it can be deactivated. [`look`] follows.
pub fn silence(partition: &Partition, intid: u32) -> bool {
    let timer = partition.watchdog.is_some() && intid == board::timer_intid();
    if timer {
        set_timer(None);
    }
    timer
}

/// Drives the line, sets this core's timer, and says whether the partition has failed.
fn perform(core: &mut Core, mut state: SpinMutexGuard<'_, State>) -> bool {
    let (line, expired) = (state.watchdog.line(), state.watchdog.has_expired());
    set_timer(state.watchdog.deadline(core.vcpu));
    if let Some(intid) = core.partition.watchdog {
        core.set_line(&mut state, intid, line);
    }
    drop(state);
    core.refresh();
    expired && !removed(Guard::WatchdogFails)
}

/// Sets this core's timer, or turns it off.
pub fn set_timer(deadline: Option<u64>) {
    // SAFETY: EL2's own timer, which nothing else uses. It fires when the counter has reached the compare value.
    unsafe {
        if let Some(deadline) = deadline {
            msr!("cnthp_cval_el2", deadline);
        }
        msr!("cnthp_ctl_el2", if deadline.is_some() { ENABLE } else { 0 });
    }
    barrier::isb(barrier::SY);
}
