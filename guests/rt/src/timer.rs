//! The generic timer's two EL1 timers, by compare value.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTPCT_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable,
    Writeable,
};

/// Counter ticks in a second.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// The virtual count, not read ahead of what comes before.
pub fn now() -> u64 {
    barrier::isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// The physical count.
pub fn physical_now() -> u64 {
    barrier::isb(barrier::SY);
    CNTPCT_EL0.get()
}

/// Lets the virtual timer fire when the virtual count reaches `at`.
pub fn set_virtual(at: u64) {
    CNTV_CVAL_EL0.set(at);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
    barrier::isb(barrier::SY);
}

/// Whether the virtual timer is on and has reached its compare value (CNTV_CTL_EL0.ISTATUS).
pub fn virtual_expired() -> bool {
    CNTV_CTL_EL0.matches_all(CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::ISTATUS::SET)
}

/// Whether the virtual timer is on.
pub fn virtual_is_on() -> bool {
    CNTV_CTL_EL0.is_set(CNTV_CTL_EL0::ENABLE)
}

/// Stops the virtual timer.
pub fn stop_virtual() {
    CNTV_CTL_EL0.set(0);
    barrier::isb(barrier::SY);
}

/// Lets the physical timer fire when the physical count reaches `at`.
pub fn set_physical(at: u64) {
    CNTP_CVAL_EL0.set(at);
    CNTP_CTL_EL0.write(CNTP_CTL_EL0::ENABLE::SET);
    barrier::isb(barrier::SY);
}

/// Stops the physical timer.
pub fn stop_physical() {
    CNTP_CTL_EL0.set(0);
    barrier::isb(barrier::SY);
}

/// Spins for `ticks` of the virtual count.
pub fn spin(ticks: u64) {
    let start = now();
    while now().wrapping_sub(start) < ticks {
        core::hint::spin_loop();
    }
}
