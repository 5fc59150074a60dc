//! The host bridge: where its configuration space and its window are, and how functions get addresses there.

use partita_guest::machine::first_reg;
use partita_guest::mmio::{read8, read16, read32, write8, write16, write32};
use partita_guest::{Machine, machine};

/// Command register: memory space, bus master, interrupt disable (PCI 3.0, 6.2.2).
pub const COMMAND: u64 = 4;
pub const MEMORY: u16 = 1 << 1;
pub const MASTER: u16 = 1 << 2;
pub const INTX_DISABLE: u16 = 1 << 10;

/// What the tree says of the bridge.
pub struct Bridge {
    ecam: u64,
    /// Its first window of 32-bit memory: address on the bus, address for the core, size.
    pub window: (u64, u64, u64),
    /// The map of interrupts: cells in big endian.
    map: &'static [u8],
    /// Bytes of an entry: the GIC's unit address differs.
    entry: usize,
}

impl Bridge {
    /// The first one in the tree.
    pub fn find(machine: &Machine) -> Option<Bridge> {
        let node = machine.tree.find_compatible(&["pci-host-ecam-generic"])?;
        let (ecam, _) = first_reg(&node)?;
        let ranges = node.property("ranges")?.value;
        // Three cells on the bus, two for the core, two for the size; space 2 is memory of 32 bits.
        let range = ranges.chunks_exact(28).find(|range| range[0] & 3 == 2)?;
        let number = |at: usize| range[at..at + 8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let map = node.property("interrupt-map").map_or(&[][..], |map| map.value);
        let gic = machine.tree.all_nodes().find(|node| {
            machine::is(node, "arm,gic-v3")
                || machine::is(node, "arm,gic-400")
                || machine::is(node, "arm,cortex-a15-gic")
        })?;
        let unit = gic.property("#address-cells").and_then(|cells| cells.as_usize()).unwrap_or(0);
        Some(Bridge { ecam, window: (number(4), number(12), number(20)), map, entry: 4 * (5 + unit + 3) })
    }

    /// Function `number` (device and function) of the root bus.
    pub fn function(&self, number: u8) -> Function {
        Function { at: self.ecam + (u64::from(number) << 12), number }
    }

    /// The functions that answer.
    pub fn functions(&self) -> impl Iterator<Item = Function> {
        (0..=u8::MAX).map(|number| self.function(number)).filter(|function| function.read32(0) != u32::MAX)
    }

    /// The INTID that pin A of a function leads to.
    pub fn interrupt(&self, function: &Function) -> Option<u32> {
        let cell = |bytes: &[u8], at: usize| {
            bytes[4 * at..4 * at + 4].iter().fold(0, |all, byte| all << 8 | u32::from(*byte))
        };
        let cells = self.entry / 4;
        let mut entries = self.map.chunks_exact(self.entry);
        let device = u32::from(function.number & 0xf8) << 8;
        let found = entries.find(|entry| {
            // QEMU's own map has a mask that leaves two bits of the device's number.
            let unit = cell(entry, 0);
            (unit == device || unit == device & 0x1800) && cell(entry, 3) == 1
        })?;
        Some(cell(found, cells - 2) + 32)
    }
}

/// A function of the root bus.
pub struct Function {
    at: u64,
    /// Device and function.
    pub number: u8,
}

impl Function {
    pub fn read8(&self, register: u64) -> u8 {
        read8(self.at + register)
    }

    pub fn read16(&self, register: u64) -> u16 {
        read16(self.at + register)
    }

    pub fn read32(&self, register: u64) -> u32 {
        read32(self.at + register)
    }

    pub fn write8(&self, register: u64, value: u8) {
        write8(self.at + register, value);
    }

    pub fn write16(&self, register: u64, value: u16) {
        write16(self.at + register, value);
    }

    pub fn write32(&self, register: u64, value: u32) {
        write32(self.at + register, value);
    }

    /// The bytes that base address register `index` decodes, if it is one of 32-bit memory.
    pub fn size(&self, index: u64) -> u32 {
        let register = 0x10 + 4 * index;
        let before = self.read32(register);
        self.write32(register, u32::MAX);
        let mask = self.read32(register) & !0xf;
        self.write32(register, before);
        mask.wrapping_neg()
    }
}
