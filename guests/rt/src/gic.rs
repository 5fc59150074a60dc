//! GICv3 for guests: the arm-gic driver behind a lock, and the few register offsets that guests use by name.

use core::ptr::NonNull;

use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use spin::mutex::SpinMutex;

use crate::{Machine, cpu};

static GIC: SpinMutex<Option<GicV3<'static>>> = SpinMutex::new(None);

/// Highest priority mask: every interrupt is let through.
pub const ALL: u8 = 0xff;

/// Sets the GIC up from the boot core: everything Group 1, priority 0x80, disabled.
pub fn init(machine: &Machine) {
    let gicd = NonNull::new(machine.gicd as *mut Gicd).expect("the tree has no distributor");
    let gicr = NonNull::new(machine.gicr as *mut GicrSgi).expect("the tree has no redistributor");
    // SAFETY: the tree names the registers, the map has them as Device, and they are touched only here or by tests that
    // hold no reference.
    let gic = unsafe { GicV3::new(UniqueMmioPointer::new(gicd), gicr, machine.cores.len()) };
    let mut gic = gic.expect("the redistributor is of no known kind");
    gic.setup(cpu::index());
    *GIC.lock() = Some(gic);
    GicCpuInterface::set_priority_mask(ALL);
}

/// Sets up the CPU interface and redistributor of a secondary core; `init` has set up everything else.
pub fn init_secondary() {
    with(|gic| gic.init_cpu(cpu::index()));
    GicCpuInterface::enable_group1(true);
    GicCpuInterface::set_priority_mask(ALL);
}

/// The driver, for what this module does not wrap.
pub fn with<T>(work: impl FnOnce(&mut GicV3<'static>) -> T) -> T {
    cpu::with_interrupts_masked(|| work(GIC.lock().as_mut().expect("gic::init was not called")))
}

/// Enables or disables an interrupt: a private one on this core.
pub fn enable(intid: u32, on: bool) {
    with(|gic| gic.enable_interrupt(id(intid), Some(cpu::index()), on)).expect("no such interrupt");
}

/// Acknowledges the most urgent interrupt.
pub fn acknowledge() -> Option<u32> {
    GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1).map(|id| id.raw_value())
}

/// Drops the priority (and with EOImode 0 deactivates).
pub fn end(intid: u32) {
    GicCpuInterface::end_interrupt(id(intid), InterruptGroup::Group1);
}

/// Sends SGI `sgi` to the cores of cluster 0 in `targets` (a bit each).
pub fn send(sgi: u32, targets: u16) {
    let list = SgiTarget::List { affinity3: 0, affinity2: 0, affinity1: 0, target_list: targets };
    GicCpuInterface::send_sgi(id(sgi), list, SgiTargetGroup::CurrentGroup1).expect("not an SGI");
}

/// arm-gic's name of an interrupt.
pub fn id(intid: u32) -> IntId {
    match intid {
        0..16 => IntId::sgi(intid),
        16..32 => IntId::ppi(intid - 16),
        _ => IntId::spi(intid - 32),
    }
}
