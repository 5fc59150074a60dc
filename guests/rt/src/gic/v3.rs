//! GICv3: distributor and redistributors by the arm-gic driver behind a lock, the CPU interface by system registers.

use core::arch::asm;
use core::ptr::NonNull;

use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use spin::mutex::SpinMutex;

use super::{Controller, gicd, gicr};
use crate::{cpu, mmio};

/// Bytes of one redistributor: its RD and SGI frames (IHI 0069, 12.10).
const REDISTRIBUTOR: u64 = 0x2_0000;
const SGI_FRAME: u64 = 0x1_0000;
const IROUTER: u64 = 0x6000;

static GIC: SpinMutex<Option<GicV3<'static>>> = SpinMutex::new(None);

macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading a register of the CPU interface does not touch memory.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) };
        value
    }};
}

macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: what the CPU interface does to interrupts moves no memory under Rust.
        unsafe { asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) };
    }};
}

/// The GICv3.
pub struct Gicv3;

impl Controller for Gicv3 {
    fn init(&self, cores: usize) {
        let gicd = NonNull::new(gicd() as *mut Gicd).expect("the tree has no distributor");
        let gicr = NonNull::new(gicr() as *mut GicrSgi).expect("the tree has no redistributor");
        // SAFETY: the tree names the registers, the map has them as Device, and they are touched only here or by tests that
        // hold no reference.
        let gic = unsafe { GicV3::new(UniqueMmioPointer::new(gicd), gicr, cores) };
        let mut gic = gic.expect("the redistributor is of no known kind");
        gic.setup(cpu::index());
        *GIC.lock() = Some(gic);
    }

    fn init_core(&self) {
        with(|gic| gic.init_cpu(cpu::index()));
        GicCpuInterface::enable_group1(true);
    }

    fn private_frame(&self, core: usize) -> u64 {
        gicr() + core as u64 * REDISTRIBUTOR + SGI_FRAME
    }

    fn enable(&self, intid: u32, on: bool) {
        with(|gic| gic.enable_interrupt(id(intid), Some(cpu::index()), on)).expect("no such interrupt");
    }

    fn route(&self, spi: u32, _: usize, affinity: u64) {
        mmio::write64(gicd() + IROUTER + u64::from(spi) * 8, affinity);
    }

    fn send(&self, sgi: u32, targets: u16) {
        let list = SgiTarget::List { affinity3: 0, affinity2: 0, affinity1: 0, target_list: targets };
        GicCpuInterface::send_sgi(id(sgi), list, SgiTargetGroup::CurrentGroup1).expect("not an SGI");
    }

    fn send_to_others(&self, sgi: u32) {
        GicCpuInterface::send_sgi(id(sgi), SgiTarget::All, SgiTargetGroup::CurrentGroup1)
            .expect("not an SGI");
    }

    fn acknowledge(&self) -> u32 {
        read!("S3_0_C12_C12_0") as u32 & 0xff_ffff // ICC_IAR1_EL1
    }

    fn highest_pending(&self) -> u32 {
        read!("S3_0_C12_C12_2") as u32 & 0xff_ffff // ICC_HPPIR1_EL1
    }

    fn running_priority(&self) -> u8 {
        read!("S3_0_C12_C11_3") as u8 // ICC_RPR_EL1
    }

    fn end(&self, taken: u32) {
        GicCpuInterface::end_interrupt(id(taken), InterruptGroup::Group1);
    }

    fn deactivate(&self, taken: u32) {
        write!("S3_0_C12_C11_1", u64::from(taken)); // ICC_DIR_EL1
    }

    fn set_split(&self, on: bool) {
        write!("S3_0_C12_C12_4", u64::from(on) << 1); // ICC_CTLR_EL1.EOImode
    }

    fn set_signalling(&self, on: bool) {
        write!("S3_0_C12_C12_7", u64::from(on)); // ICC_IGRPEN1_EL1
    }

    fn set_mask(&self, mask: u8) {
        GicCpuInterface::set_priority_mask(mask);
    }

    fn set_binary_point(&self, point: u8) {
        write!("S3_0_C12_C12_3", u64::from(point)); // ICC_BPR1_EL1
    }

    fn set_active(&self, priorities: u32) {
        write!("S3_0_C12_C9_0", u64::from(priorities)); // ICC_AP1R0_EL1 (IHI 0069, 12.2.6)
    }
}

fn with<T>(work: impl FnOnce(&mut GicV3<'static>) -> T) -> T {
    cpu::with_interrupts_masked(|| work(GIC.lock().as_mut().expect("gic::init was not called")))
}

/// arm-gic's name of an interrupt.
fn id(intid: u32) -> IntId {
    match intid {
        0..16 => IntId::sgi(intid),
        16..32 => IntId::ppi(intid - 16),
        _ => IntId::spi(intid - 32),
    }
}
