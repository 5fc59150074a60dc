//! Roll call: no partition starts before every core that one owns has come and is ready, so that a core that does not
//! come is one error on a machine on which nothing runs.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::cache;
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
    wait(|| PRESENT.load(Ordering::Acquire) >= count)
}

/// A core that no partition owns says by this that it has come to stay (boot.S). It has its caches off, so the word has
/// the largest cache line to itself (CTR_EL0.CWG: 2 KiB), and nobody else writes there.
#[repr(C, align(2048))]
#[derive(Debug)]
pub struct Stayed {
    came: AtomicU64,
    rest: [u64; 255],
}

impl Stayed {
    /// It has not come yet.
    pub const fn new() -> Self {
        Self { came: AtomicU64::new(0), rest: [0; 255] }
    }

    /// Where it writes.
    pub fn word(&self) -> usize {
        self.came.as_ptr() as usize
    }

    /// Waits until it has come; whether it did in time.
    pub fn wait(&self) -> bool {
        wait(|| {
            // What this core has of the line is clean, so it is dropped, and memory is read.
            cache::flush(self.word(), size_of::<u64>());
            self.came.load(Ordering::Relaxed) != 0
        })
    }
}

fn wait(come: impl Fn() -> bool) -> bool {
    let deadline = Deadline::after_seconds(PATIENCE_SECONDS);
    while !come() {
        if deadline.passed() {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Whether all have come and begun.
pub fn is_over() -> bool {
    GO.load(Ordering::Acquire)
}

/// Lets every core begin.
pub fn go() {
    GO.store(true, Ordering::Release);
    // SAFETY: the store is visible (DSB) before the event wakes who waits for it.
    unsafe { asm!("dsb ish", "sev", options(nostack, preserves_flags)) };
}
