//! A core's CPU interface and list registers (IHI 0069, 12.2 and 12.4).

use partita_model::gic::{Control, ListRegisters};
use partita_model::sysreg::Interface;

use crate::gic::{KICK, PRIORITY, Shape, Taken};
use crate::sysreg::{mrs, msr};

/// ICH_HCR_EL2.En.
const EN: u64 = 1 << 0;
/// ICH_HCR_EL2.EOIcount, bits 31..27.
const EOI_COUNT: u32 = 27;

/// Brings the physical interface to EL2's use: Group 1 on, split priority drop and deactivation, nothing masked; and
/// the virtual one to its state after reset.
pub fn init() {
    // SAFETY: this core's interrupt controls, with interrupts masked at EL2; the guest is not running.
    unsafe {
        // SRE, DFB, DIB, Enable: system registers at every level (12.2.22).
        msr!("icc_sre_el2", 0xf);
        core::arch::asm!("isb", options(nostack, preserves_flags));
        msr!("icc_sre_el1", 0x7);
        // EOImode = 1 (bit 1): EOIR drops priority, DIR deactivates.
        msr!("icc_ctlr_el1", mrs!("icc_ctlr_el1") | 1 << 1);
        msr!("icc_pmr_el1", 0xff);
        msr!("icc_bpr1_el1", 0);
        msr!("icc_igrpen1_el1", 1);
    }
    reset_virtual();
}

/// ICH_HCR_EL2.TC: what is common to both groups traps (SGI registers, PMR, CTLR, RPR, DIR).
const TC: u64 = 1 << 10;
/// ICC_CTLR_EL1.CBPR and EOImode: what a guest may set.
pub const CTLR_OPEN: u64 = 1 << 1 | 1 << 0;

/// Makes the physical interface the guest's, as after reset: everything masked, groups off, nothing active.
pub fn give() {
    // SAFETY: this core's interrupt controls, at EL2, with nothing acknowledged; the guest takes interrupts from here on.
    unsafe {
        msr!("icc_pmr_el1", 0);
        quieten();
        msr!("ich_hcr_el2", TC);
    }
    crate::gic::to_el2(false);
}

/// Ends whatever the guest left at the physical interface. [`init`] follows.
pub fn take_back() {
    crate::gic::to_el2(true);
    // SAFETY: as above; the guest does not run any more.
    unsafe { quieten() };
}

/// Groups off, one step of end of interrupt, no active priorities.
///
/// # Safety
/// Nothing that EL2 acknowledged is still to be ended.
unsafe fn quieten() {
    // ICC_CTLR_EL1.PRIbits: active-priority registers beyond the first exist with more than five preemption bits, and are
    // UNDEFINED else (12.2.1).
    let bits = (mrs!("icc_ctlr_el1") >> 8 & 7) + 1;
    // SAFETY: as the caller promises.
    unsafe {
        msr!("icc_igrpen1_el1", 0);
        msr!("icc_igrpen0_el1", 0);
        msr!("icc_ctlr_el1", mrs!("icc_ctlr_el1") & !CTLR_OPEN);
        msr!("icc_bpr0_el1", 0);
        msr!("icc_bpr1_el1", 0);
        msr!("icc_ap0r0_el1", 0);
        msr!("icc_ap1r0_el1", 0);
        if bits >= 6 {
            msr!("icc_ap0r1_el1", 0);
            msr!("icc_ap1r1_el1", 0);
        }
        if bits >= 7 {
            msr!("icc_ap0r2_el1", 0);
            msr!("icc_ap1r2_el1", 0);
            msr!("icc_ap0r3_el1", 0);
            msr!("icc_ap1r3_el1", 0);
        }
        core::arch::asm!("isb", options(nostack, preserves_flags));
    }
}

/// A guest's access to a register of the physical interface that traps (ICH_HCR_EL2.TC): what it reads.
pub fn trapped(register: Interface, write: Option<u64>) -> u64 {
    match (register, write) {
        (Interface::Priority, None) => mrs!("icc_pmr_el1"),
        (Interface::Running, None) => mrs!("icc_rpr_el1"),
        (Interface::Control, None) => mrs!("icc_ctlr_el1"),
        // SAFETY: what the guest masks, and how it ends interrupts, on this core, is its own affair: nothing of EL2's comes here.
        (Interface::Priority, Some(value)) => unsafe {
            msr!("icc_pmr_el1", value & 0xff);
            0
        },
        // SAFETY: as above.
        (Interface::Control, Some(value)) => unsafe {
            msr!("icc_ctlr_el1", mrs!("icc_ctlr_el1") & !CTLR_OPEN | value & CTLR_OPEN);
            0
        },
        (Interface::Running, Some(_)) => 0,
        (Interface::Deactivate, write) => {
            // Without EOImode it does nothing (12.2.6 leaves it open).
            if let Some(intid) = write.filter(|_| mrs!("icc_ctlr_el1") & 1 << 1 != 0) {
                deactivate(Taken(intid as u32));
            }
            0
        }
    }
}

/// Brings the virtual interface to its state after reset.
pub fn reset_virtual() {
    let mut lrs = Lrs;
    for index in 0..lrs.count() {
        lrs.write(index, 0);
    }
    // ICH_VTR_EL2.PREbits, which may be fewer than PRIbits.
    let preemption_bits = (mrs!("ich_vtr_el2") >> 26 & 7) + 1;
    // SAFETY: this core's virtual interface, while its guest does not run. Active-priority registers beyond the first
    // exist only with more than five preemption bits, and are UNDEFINED else (12.4.1).
    unsafe {
        msr!("ich_vmcr_el2", 0);
        msr!("ich_ap0r0_el2", 0);
        msr!("ich_ap1r0_el2", 0);
        if preemption_bits >= 6 {
            msr!("ich_ap0r1_el2", 0);
            msr!("ich_ap1r1_el2", 0);
        }
        if preemption_bits >= 7 {
            msr!("ich_ap0r2_el2", 0);
            msr!("ich_ap1r2_el2", 0);
            msr!("ich_ap0r3_el2", 0);
            msr!("ich_ap1r3_el2", 0);
        }
        msr!("ich_hcr_el2", EN);
        core::arch::asm!("isb", options(nostack, preserves_flags));
    }
}

/// What a guest has (ICH_VTR_EL2.PRIbits and .TDS).
pub fn shape() -> Shape {
    let vtr = mrs!("ich_vtr_el2");
    Shape { priority_bits: (vtr >> 29 & 7) as u8 + 1, traps_dir: vtr & 1 << 19 != 0 }
}

/// Lets only EL2's own interrupts through to this core while its guest does not run; the guest's stay pending.
pub fn mask_all_but_kick(masked: bool) {
    // SAFETY: this core's physical priority mask.
    unsafe {
        msr!("icc_pmr_el1", if masked { u64::from(PRIORITY) } else { 0xff });
        core::arch::asm!("isb", options(nostack, preserves_flags));
    }
}

/// Drops the priority of an acknowledged interrupt.
pub fn drop_priority(taken: Taken) {
    // SAFETY: EL2 acknowledged this interrupt.
    unsafe { msr!("icc_eoir1_el1", u64::from(taken.0)) };
}

/// Deactivates an interrupt that no guest will.
pub fn deactivate(taken: Taken) {
    // SAFETY: EL2 acknowledged this interrupt and gave it to no guest.
    unsafe { msr!("icc_dir_el1", u64::from(taken.0)) };
}

/// Acknowledges the most urgent interrupt (1023: none).
pub fn acknowledge() -> Taken {
    Taken(mrs!("icc_iar1_el1") as u32)
}

/// The value of ICC_SGI1R_EL1 that sends an SGI to the core with this MPIDR (12.2.23).
pub fn sgi(mpidr: u64, intid: u32) -> u64 {
    let (aff0, aff1, aff2, aff3) = (mpidr & 0xff, mpidr >> 8 & 0xff, mpidr >> 16 & 0xff, mpidr >> 32 & 0xff);
    aff3 << 48 | (aff0 >> 4) << 44 | aff2 << 32 | u64::from(intid) << 24 | aff1 << 16 | 1 << (aff0 & 15)
}

/// Sends the kick to the core with this MPIDR.
pub fn kick(mpidr: u64) {
    send(mpidr, KICK, false);
}

/// Sends an SGI to the core with this MPIDR.
pub fn send(mpidr: u64, intid: u32, group0: bool) {
    let value = sgi(mpidr, intid);
    // SAFETY: what was written before is visible before the SGI arrives (DSB). The kick only makes a core look; others go to a
    // direct partition's own cores.
    unsafe {
        core::arch::asm!("dsb ish", options(nostack, preserves_flags));
        if group0 {
            msr!("icc_sgi0r_el1", value);
        } else {
            msr!("icc_sgi1r_el1", value);
        }
        core::arch::asm!("isb", options(nostack, preserves_flags));
    }
}

/// The list registers of this core.
#[derive(Debug)]
pub struct Lrs;

macro_rules! by_index {
    ($index:expr, $macro:ident $(, $value:expr)?) => {
        match $index {
            0 => $macro!("ich_lr0_el2" $(, $value)?),
            1 => $macro!("ich_lr1_el2" $(, $value)?),
            2 => $macro!("ich_lr2_el2" $(, $value)?),
            3 => $macro!("ich_lr3_el2" $(, $value)?),
            4 => $macro!("ich_lr4_el2" $(, $value)?),
            5 => $macro!("ich_lr5_el2" $(, $value)?),
            6 => $macro!("ich_lr6_el2" $(, $value)?),
            7 => $macro!("ich_lr7_el2" $(, $value)?),
            8 => $macro!("ich_lr8_el2" $(, $value)?),
            9 => $macro!("ich_lr9_el2" $(, $value)?),
            10 => $macro!("ich_lr10_el2" $(, $value)?),
            11 => $macro!("ich_lr11_el2" $(, $value)?),
            12 => $macro!("ich_lr12_el2" $(, $value)?),
            13 => $macro!("ich_lr13_el2" $(, $value)?),
            14 => $macro!("ich_lr14_el2" $(, $value)?),
            _ => $macro!("ich_lr15_el2" $(, $value)?),
        }
    };
}

impl ListRegisters for Lrs {
    fn count(&self) -> usize {
        (mrs!("ich_vtr_el2") & 0x1f) as usize + 1
    }

    fn read(&self, index: usize) -> u64 {
        by_index!(index, mrs)
    }

    fn write(&mut self, index: usize, image: u64) {
        // SAFETY: list registers only say what this core's guest sees pending; the model keeps them consistent.
        unsafe { by_index!(index, msr, image) };
    }

    fn ended(&self) -> u32 {
        mrs!("ich_eisr_el2") as u32 & 0xffff
    }

    fn take_eoi_count(&mut self) -> u32 {
        let control = mrs!("ich_hcr_el2");
        // SAFETY: clears the count and nothing else.
        unsafe { msr!("ich_hcr_el2", control & !(0x1f << EOI_COUNT)) };
        (control >> EOI_COUNT) as u32 & 0x1f
    }

    fn set_control(&mut self, control: Control) {
        // SAFETY: maintenance conditions and the DIR trap of this core.
        unsafe { msr!("ich_hcr_el2", EN | control.bits()) };
    }

    fn enabled_groups(&self) -> u32 {
        mrs!("ich_vmcr_el2") as u32 & 3
    }
}
