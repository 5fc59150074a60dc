//! QEMU's edu device (docs/specs/edu.rst): a register to see that it lives, an interrupt on demand, and DMA.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub use partita_guest::edu::ID;
use partita_guest::edu::Registers;
use partita_guest::mmio::{read32, write32};
use partita_guest::{gic, timer};

const VERSION: u64 = 0x00;
const ALIVE: u64 = 0x04;
const RAISED: u64 = 0x24;
const RAISE: u64 = 0x60;
const LOWER: u64 = 0x64;

/// Its registers while interrupts are taken, and those that came with what it had raised.
static REGISTERS: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(0);

/// An edu at this address.
#[derive(Clone, Copy)]
pub struct Edu(pub u64);

impl Edu {
    /// What it says that it is.
    pub fn version(self) -> u32 {
        read32(self.0 + VERSION)
    }

    /// The register that gives back the complement of what was written last.
    pub fn alive(self) -> u32 {
        read32(self.0 + ALIVE)
    }

    pub fn set_alive(self, value: u32) {
        write32(self.0 + ALIVE, value);
    }

    /// Asks for an interrupt.
    pub fn raise(self, value: u32) {
        REGISTERS.store(self.0, Ordering::Release);
        write32(self.0 + RAISE, value);
    }

    /// Starts to copy memory into its buffer, or back.
    pub fn start(self, memory: u64, bytes: u64, to_memory: bool) {
        Registers(self.0).start(memory, bytes, to_memory);
    }

    /// Does it and waits for its end; false if that does not come.
    pub fn copy(self, memory: u64, bytes: u64, to_memory: bool) -> bool {
        self.start(memory, bytes, to_memory);
        soon(|| !Registers(self.0).is_busy())
    }
}

/// Whether something becomes true within ten seconds.
pub fn soon(done: impl Fn() -> bool) -> bool {
    let end = timer::now() + 10 * timer::frequency();
    while timer::now() < end {
        if done() {
            return true;
        }
    }
    done()
}

/// Interrupts so far, and what the last one was raised with.
pub fn interrupts() -> (u32, u32) {
    (COUNT.load(Ordering::Acquire), LAST.load(Ordering::Acquire))
}

/// The guest's interrupt handler: the device's line is level, so it falls before the end of interrupt.
pub fn interrupted() {
    let Some(taken) = gic::acknowledge() else { return };
    let edu = REGISTERS.load(Ordering::Acquire);
    if edu != 0 {
        let raised = read32(edu + RAISED);
        write32(edu + LOWER, raised);
        LAST.store(raised, Ordering::Release);
    }
    COUNT.fetch_add(1, Ordering::AcqRel);
    gic::end(taken);
}
