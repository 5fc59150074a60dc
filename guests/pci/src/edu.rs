//! QEMU's edu device (docs/specs/edu.rst): a register to see that it lives, an interrupt on demand, and DMA between memory and
//! a buffer of its own.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use partita_guest::mmio::{read32, read64, write32, write64};
use partita_guest::{gic, timer};

/// Vendor and device.
pub const ID: u32 = 0x11e8_1234;

const VERSION: u64 = 0x00;
const ALIVE: u64 = 0x04;
const RAISED: u64 = 0x24;
const RAISE: u64 = 0x60;
const LOWER: u64 = 0x64;
const DMA_FROM: u64 = 0x80;
const DMA_TO: u64 = 0x88;
const DMA_BYTES: u64 = 0x90;
const DMA_COMMAND: u64 = 0x98;
/// Command: start; from the buffer to memory.
const START: u64 = 1;
const TO_MEMORY: u64 = 2;
/// Where DMA finds the device's buffer.
const BUFFER: u64 = 0x4_0000;

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
        let (from, to) = if to_memory { (BUFFER, memory) } else { (memory, BUFFER) };
        write64(self.0 + DMA_FROM, from);
        write64(self.0 + DMA_TO, to);
        write64(self.0 + DMA_BYTES, bytes);
        write64(self.0 + DMA_COMMAND, START | if to_memory { TO_MEMORY } else { 0 });
    }

    /// Does it and waits for its end; false if that does not come.
    pub fn copy(self, memory: u64, bytes: u64, to_memory: bool) -> bool {
        self.start(memory, bytes, to_memory);
        soon(|| read64(self.0 + DMA_COMMAND) & START == 0)
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
