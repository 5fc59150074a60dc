//! Two machines at once, also under plain `cargo test`, which starts as many tests as there are cores. (nextest runs each
//! test in a process of its own and has a group for this.)

use std::sync::{Condvar, Mutex, PoisonError};

static FREE: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

/// The right to run a machine.
pub struct Slot(());

impl Slot {
    /// Waits for it.
    pub fn take() -> Slot {
        let (count, changed) = &FREE;
        let mut free = count.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        FREE.1.notify_one();
    }
}
