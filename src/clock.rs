//! Time, to bound what EL2 waits for. It never waits on a guest's word.

use core::arch::asm;

use crate::sysreg::mrs;

/// A moment after which waiting is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// So many seconds from now.
    pub fn after_seconds(seconds: u64) -> Self {
        Self::after_milliseconds(seconds * 1000)
    }

    /// So many milliseconds from now, by the system counter.
    pub fn after_milliseconds(milliseconds_from_now: u64) -> Self {
        Self(now().saturating_add(milliseconds(milliseconds_from_now)))
    }

    /// Whether it is later than that.
    pub fn passed(self) -> bool {
        now() > self.0
    }
}

/// Ticks of the system counter in a second. Firmware that did not set CNTFRQ_EL0 gets the architecture's 1 GHz (DDI 0487,
/// D12.1.2), so that what waits does so too long rather than too short.
pub fn frequency() -> u64 {
    match mrs!("cntfrq_el0") & 0xffff_ffff {
        0 => 1_000_000_000,
        told => told,
    }
}

/// So many milliseconds in ticks of the system counter.
pub fn milliseconds(count: u64) -> u64 {
    (count * frequency()).div_ceil(1000)
}

/// The system counter.
pub fn now() -> u64 {
    // SAFETY: a barrier: the counter is read after what came before (DDI 0487, D12.2.2).
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    let (first, second) = (mrs!("cntpct_el0"), mrs!("cntpct_el0"));
    // Erratum 858921 of Cortex-A73: a read while the lower half wraps may be wrong, and the other one is not then.
    if (first ^ second) >> 32 & 1 != 0 { first } else { second }
}
