//! QEMU's `edu` (docs/specs/edu.rst in its sources): a PCI function that copies memory by DMA, to a buffer of its own and
//! from there. It is found by the tree's generic ECAM bridge, and driven without interrupts.

use crate::Machine;
use crate::machine::{first_reg, is};
use crate::mmio::{read32, read64, write32, write64};

/// Vendor and device.
pub const ID: u32 = 0x11e8_1234;
/// Functions of one bus that are looked at.
const FUNCTIONS: u64 = 256;

/// Configuration space: command and status, and the first base address.
mod config {
    pub const COMMAND: u64 = 0x04;
    pub const BAR0: u64 = 0x10;
    /// COMMAND: memory space on, bus master on.
    pub const MEMORY: u32 = 1 << 1;
    pub const MASTER: u32 = 1 << 2;
}

/// Its registers.
mod register {
    pub const SOURCE: u64 = 0x80;
    pub const TARGET: u64 = 0x88;
    pub const COUNT: u64 = 0x90;
    pub const COMMAND: u64 = 0x98;
    /// COMMAND: start, and stays set until it is done.
    pub const START: u64 = 1 << 0;
    /// COMMAND: from the buffer to memory; else from memory to the buffer.
    pub const TO_MEMORY: u64 = 1 << 1;
}

/// Where its buffer is, in its own addresses.
const BUFFER: u64 = 0x4_0000;
/// Bytes of its buffer.
pub const BUFFER_SIZE: u64 = 4096;
/// Bytes of its registers.
const SIZE: u64 = 0x10_0000;

/// Its registers for DMA, wherever they are.
#[derive(Clone, Copy, Debug)]
pub struct Registers(pub u64);

impl Registers {
    /// Starts to copy memory into its buffer, or back.
    pub fn start(self, memory: u64, bytes: u64, to_memory: bool) {
        let (source, target) = if to_memory { (BUFFER, memory) } else { (memory, BUFFER) };
        write64(self.0 + register::SOURCE, source);
        write64(self.0 + register::TARGET, target);
        write64(self.0 + register::COUNT, bytes);
        barrier();
        let direction = if to_memory { register::TO_MEMORY } else { 0 };
        write64(self.0 + register::COMMAND, register::START | direction);
    }

    /// Whether it is still at it.
    pub fn is_busy(self) -> bool {
        let busy = read64(self.0 + register::COMMAND) & register::START != 0;
        barrier();
        busy
    }
}

/// What was written before is in memory before the device looks, and what it wrote is there before it is read.
fn barrier() {
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("dsb sy", options(nostack, preserves_flags)) }
}

/// An `edu`, ready for use.
#[derive(Clone, Copy, Debug)]
pub struct Edu {
    registers: Registers,
    config: u64,
}

impl Edu {
    /// The first one on the first bus behind the tree's bridge, if it has one.
    pub fn find(machine: &Machine) -> Option<Edu> {
        let bridge = machine.tree.all_nodes().find(|node| is(node, "pci-host-ecam-generic"))?;
        let (ecam, _) = first_reg(&bridge)?;
        // A function's registers are in 4 KiB from (bus << 20 | device << 15 | function << 12) on.
        let config = (0..FUNCTIONS).map(|number| ecam + (number << 12)).find(|at| read32(*at) == ID)?;
        if read32(config + config::BAR0) & !0xf == 0 {
            let free = window(bridge.property("ranges")?.value)?.next_multiple_of(SIZE);
            write32(config + config::BAR0, u32::try_from(free).ok()?);
        }
        let edu = Edu { registers: Registers(u64::from(read32(config + config::BAR0) & !0xf)), config };
        edu.master(true);
        Some(edu)
    }

    /// Turns its DMA on or off in its own configuration space.
    pub fn master(&self, on: bool) {
        let command = config::MEMORY | if on { config::MASTER } else { 0 };
        write32(self.config + config::COMMAND, command);
    }

    /// Where its registers are.
    pub fn registers(&self) -> u64 {
        self.registers.0
    }

    /// Reads memory into its buffer by DMA. Where that is refused the buffer stays as it was, and nobody tells.
    pub fn load(&self, from: u64, bytes: u64) {
        self.run(from, bytes, false);
    }

    /// Writes its buffer to memory by DMA.
    pub fn store(&self, to: u64, bytes: u64) {
        self.run(to, bytes, true);
    }

    fn run(&self, memory: u64, bytes: u64, to_memory: bool) {
        self.registers.start(memory, bytes, to_memory);
        while self.registers.is_busy() {
            core::hint::spin_loop();
        }
    }
}

/// The first window for 32-bit memory in a bridge's `ranges`, as a physical address: entries of three cells of a PCI
/// address, two of an address of the CPU's, two of a size.
fn window(ranges: &[u8]) -> Option<u64> {
    let cell = |entry: &[u8], at: usize| {
        Some(u64::from(u32::from_be_bytes(entry.get(at * 4..at * 4 + 4)?.try_into().ok()?)))
    };
    let entry = ranges.chunks(28).find(|entry| cell(entry, 0).is_some_and(|space| space >> 24 & 3 == 2))?;
    Some(cell(entry, 3)? << 32 | cell(entry, 4)?)
}
