//! Roll call: no partition starts before every core that one owns has come and is ready, so that a core that does not
//! come is one error on a machine on which nothing runs.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::clock::Deadline;

/// Cores that came, other than the first.
static PRESENT: AtomicUsize = AtomicUsize::new(0);
/// All have come.
static GO: AtomicBool = AtomicBool::new(false);

/// How long a core may take from its start to its own [`report`]. It takes some thousand instructions.
const PATIENCE_SECONDS: u64 = 10;

/// Says that the calling core is ready, and waits until all are.
pub fn report() {
    PRESENT.fetch_add(1, Ordering::AcqRel);
    while !GO.load(Ordering::Acquire) {
        // SAFETY: waits; `go` sends the event, and one that was sent before the wait ends it at once.
        unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) };
    }
}

/// Waits until so many others have come; whether they did in time.
pub fn await_cores(count: usize) -> bool {
    let deadline = Deadline::after_seconds(PATIENCE_SECONDS);
    while PRESENT.load(Ordering::Acquire) < count {
        if deadline.passed() {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Lets every core begin.
pub fn go() {
    GO.store(true, Ordering::Release);
    // SAFETY: the store is visible (DSB) before the event wakes who waits for it.
    unsafe { asm!("dsb ish", "sev", options(nostack, preserves_flags)) };
}
