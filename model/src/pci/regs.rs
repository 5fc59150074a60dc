//! Registers of configuration space: offsets of the doublewords that hold them, and bits.

/// Vendor and device (PCI 6.2.1).
pub const ID: u16 = 0x00;
/// Command, and status above it.
pub const COMMAND: u16 = 0x04;
/// Status by itself.
pub const STATUS: u16 = 0x06;
/// Revision and class.
pub const CLASS: u16 = 0x08;
/// Cache line size, latency timer, header type, BIST.
pub const HEADER: u16 = 0x0c;
/// First base address register of six.
pub const BAR: u16 = 0x10;
/// Bus numbers of a bridge (PCI-to-PCI Bridge Architecture 1.2, 3.2.5).
pub const BUSES: u16 = 0x18;
/// Subsystem vendor and device.
pub const SUBSYSTEM: u16 = 0x2c;
/// First capability.
pub const CAPABILITIES: u16 = 0x34;
/// Interrupt line and pin.
pub const INTERRUPT: u16 = 0x3c;
/// First byte behind the header, and one behind the space that conventional PCI has.
pub const DEVICE_SPECIFIC: u16 = 0x40;
pub const CONVENTIONAL_END: u16 = 0x100;

/// Command: memory space (PCI 6.2.2).
pub const MEMORY: u16 = 1 << 1;
/// Command: bus master, which is what DMA and message-signalled interrupts need.
pub const MASTER: u16 = 1 << 2;
/// Command: interrupt disable: no INTx is asserted.
pub const INTX_DISABLE: u16 = 1 << 10;

/// Status: there is a list of capabilities (PCI 6.2.3).
pub const HAS_CAPABILITIES: u16 = 1 << 4;
/// Status: error bits, cleared by writing ones.
pub const STATUS_ERRORS: u16 = 0xf900;

/// Header type in its doubleword: the layout (PCI 6.2.1), and that the device has several functions.
pub const LAYOUT: u32 = 0x7f << 16;
pub const LAYOUT_BRIDGE: u32 = 1 << 16;
pub const MULTI_FUNCTION: u32 = 1 << 23;

/// BAR: I/O space (PCI 6.2.5.1).
pub const BAR_IO: u32 = 1;
/// BAR: the memory type's field, and its value for 64 bits.
pub const BAR_TYPE: u32 = 3 << 1;
pub const BAR_WIDE: u32 = 2 << 1;
/// BAR: bits that are no address.
pub const BAR_FLAGS: u32 = 0xf;

/// Capability IDs (PCI Code and ID Assignment 1.11, 2).
pub mod cap {
    pub const POWER: u8 = 0x01;
    pub const MSI: u8 = 0x05;
    pub const VENDOR: u8 = 0x09;
    pub const EXPRESS: u8 = 0x10;
    pub const MSI_X: u8 = 0x11;
    pub const ENHANCED_ALLOCATION: u8 = 0x14;
}

/// Extended capability IDs (the same, 3).
pub mod ext {
    pub const ATS: u16 = 0x000f;
    pub const SR_IOV: u16 = 0x0010;
    pub const PAGE_REQUEST: u16 = 0x0013;
    pub const PASID: u16 = 0x001b;
}
