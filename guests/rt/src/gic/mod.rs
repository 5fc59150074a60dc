//! The interrupt controller for guests: GICv3 or GICv2, whichever the tree names, behind one set of functions. The register
//! offsets that both distributors have are the users' business; what differs is here, and nowhere else.

mod v2;
mod v3;

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::{Machine, cpu};

/// Highest priority mask: every interrupt is let through.
pub const ALL: u8 = 0xff;
/// Priority of every interrupt after [`init`].
pub const NORMAL: u8 = 0x80;

/// First of the INTIDs that say that there is nothing to take (IHI 0069, 2.2.1; IHI 0048, 3.2.5).
const SPECIAL: u32 = 1020;

/// The architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GICv2 (IHI 0048).
    V2,
    /// GICv3 (IHI 0069).
    V3,
}

/// Where the registers are.
#[derive(Clone, Copy, Debug)]
pub enum Gic {
    /// CPU interface of whichever core asks.
    V2 {
        /// First address of its pages.
        gicc: u64,
        /// Bytes of it: one page, or both.
        size: u64,
    },
    /// Redistributors; the CPU interface is in system registers.
    V3 {
        /// First redistributor, which the others follow.
        gicr: u64,
    },
}

/// An acknowledged interrupt, as the CPU interface wants it back: a GICv2's SGI carries its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken(u32);

impl Taken {
    /// Its INTID.
    pub fn intid(self) -> u32 {
        if version() == Version::V2 { self.0 & 0x3ff } else { self.0 }
    }

    /// The CPU interface that sent it, if it is a GICv2's SGI (GICC_IAR.CPUID, IHI 0048, 4.4.4).
    pub fn source(self) -> usize {
        if version() == Version::V2 { (self.0 >> 10 & 7) as usize } else { 0 }
    }
}

/// An interrupt that CPU interface 0 sent, or nobody.
impl From<u32> for Taken {
    fn from(intid: u32) -> Taken {
        Taken(intid)
    }
}

/// What the architectures do differently.
trait Controller {
    /// Sets up the distributor: every SPI disabled, idle, of normal priority; forwarding on.
    fn init(&self, cores: usize);
    /// Sets up the calling core's private interrupts and CPU interface: private ones disabled.
    fn init_core(&self);
    /// The frame with a core's private interrupts; the offsets in it are the distributor's. A GICv2 shows each core its own.
    fn private_frame(&self, core: usize) -> u64;
    fn enable(&self, intid: u32, on: bool);
    fn route(&self, spi: u32, core: usize, affinity: u64);
    fn send(&self, sgi: u32, targets: u16);
    fn send_to_others(&self, sgi: u32);
    fn acknowledge(&self) -> u32;
    fn highest_pending(&self) -> u32;
    fn running_priority(&self) -> u8;
    fn end(&self, taken: u32);
    fn deactivate(&self, taken: u32);
    fn set_split(&self, on: bool);
    fn set_signalling(&self, on: bool);
    fn set_mask(&self, mask: u8);
    fn set_binary_point(&self, point: u8);
    fn set_active(&self, priorities: u32);
}

/// The distributor; 0 until [`init`].
static GICD: AtomicUsize = AtomicUsize::new(0);
/// A GICv2's CPU interface, or 0.
static GICC: AtomicUsize = AtomicUsize::new(0);
/// It has one page.
static HALF: AtomicBool = AtomicBool::new(false);
/// A GICv3's first redistributor, or 0.
static GICR: AtomicUsize = AtomicUsize::new(0);

fn controller() -> &'static dyn Controller {
    match version() {
        Version::V2 => &v2::Gicv2,
        Version::V3 => &v3::Gicv3,
    }
}

/// Which one it is.
pub fn version() -> Version {
    if GICC.load(Ordering::Relaxed) != 0 { Version::V2 } else { Version::V3 }
}

/// The distributor.
pub fn gicd() -> u64 {
    GICD.load(Ordering::Relaxed) as u64
}

/// A GICv2's CPU interface.
pub fn gicc() -> u64 {
    GICC.load(Ordering::Relaxed) as u64
}

/// Whether the CPU interface is all that the architecture has. Of a direct partition's GICv2 the second page is not there, which has
/// GICC_DIR, nor are CPENDSGIR and SPENDSGIR, whose sources are the controller's.
pub fn is_whole() -> bool {
    !HALF.load(Ordering::Relaxed)
}

/// A GICv3's first redistributor.
pub fn gicr() -> u64 {
    GICR.load(Ordering::Relaxed) as u64
}

/// Sets the GIC up from the boot core: every interrupt disabled, of normal priority, and all priorities let through.
pub fn init(machine: &Machine) {
    GICD.store(machine.gicd as usize, Ordering::Relaxed);
    match machine.gic {
        Gic::V2 { gicc, size } => {
            GICC.store(gicc as usize, Ordering::Relaxed);
            HALF.store(size < 0x2000, Ordering::Relaxed);
        }
        Gic::V3 { gicr } => GICR.store(gicr as usize, Ordering::Relaxed),
    }
    controller().init(machine.cores.len());
    controller().init_core();
    set_mask(ALL);
}

/// Sets up the calling secondary core's part; `init` has set up everything else.
pub fn init_secondary() {
    controller().init_core();
    set_mask(ALL);
}

/// The frame that holds an interrupt's registers: for a private one, this core's.
pub fn frame(intid: u32) -> u64 {
    if intid < 32 { private_frame(cpu::index()) } else { gicd() }
}

/// The frame with a core's private interrupts. A GICv2 shows each core only its own.
pub fn private_frame(core: usize) -> u64 {
    controller().private_frame(core)
}

/// Enables or disables an interrupt: a private one on this core.
pub fn enable(intid: u32, on: bool) {
    controller().enable(intid, on);
}

/// Routes an SPI to a core, by its number and its affinity.
pub fn route(spi: u32, core: usize, affinity: u64) {
    controller().route(spi, core, affinity);
}

/// Sends SGI `sgi` to the cores of cluster 0 in `targets` (a bit each).
pub fn send(sgi: u32, targets: u16) {
    controller().send(sgi, targets);
}

/// Sends SGI `sgi` to all cores but this one.
pub fn send_to_others(sgi: u32) {
    controller().send_to_others(sgi);
}

/// Acknowledges the most urgent interrupt.
pub fn acknowledge() -> Option<Taken> {
    let taken = Taken(controller().acknowledge());
    (taken.intid() < SPECIAL).then_some(taken)
}

/// INTID of the most urgent pending interrupt, or a special one.
pub fn highest_pending() -> u32 {
    Taken(controller().highest_pending()).intid()
}

/// The priority of the most urgent active interrupt; idle reads as ones in all implemented bits.
pub fn running_priority() -> u8 {
    controller().running_priority()
}

/// Drops the priority (and unless it was [`set_split`], deactivates).
pub fn end(taken: impl Into<Taken>) {
    controller().end(taken.into().0);
}

/// Deactivates by number, where the end does not.
pub fn deactivate(taken: impl Into<Taken>) {
    controller().deactivate(taken.into().0);
}

/// EOImode: whether the end of an interrupt drops its priority only.
pub fn set_split(on: bool) {
    controller().set_split(on);
}

/// Whether this core's CPU interface signals interrupts at all.
pub fn set_signalling(on: bool) {
    controller().set_signalling(on);
}

/// Lets through only what is more urgent.
pub fn set_mask(mask: u8) {
    controller().set_mask(mask);
}

/// Sets how priorities are split into group and subpriority.
pub fn set_binary_point(point: u8) {
    controller().set_binary_point(point);
}

/// Forgets the priorities of interrupts that were never ended.
pub fn forget_active() {
    controller().set_active(0);
}

/// Has the CPU interface believe that an interrupt of priority 0x80 is active, so that [`end`] of any number has a priority to
/// drop: bit 16 of 32 levels, or of 16 (IHI 0069, 4.8.6).
pub fn forge_active() {
    controller().set_active(1 << 16 | 1 << 8);
}
