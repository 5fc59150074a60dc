//! What EL2 traps, and what a guest finds in EL1's registers when it starts. The values come from the model, which
//! hides in the ID registers what is trapped here.

use aarch64_cpu::registers::{HCR_EL2, MIDR_EL1};
use core::arch::asm;
use tock_registers::interfaces::{Readable, Writeable};

use partita_model::idregs::controls::Controls;
use partita_model::idregs::{Guest, Host};
use partita_model::smccc::Mitigations;

use crate::gic::{Version, version};
use crate::power;
use crate::sysreg::{mrs, msr};

macro_rules! id_registers {
    ($crm:expr, $op2:expr; $($c:literal: $($o:literal)*),*) => {
        match ($crm, $op2) {
            $($(($c, $o) => id_registers!(@$c $o),)*)*
            _ => 0,
        }
    };
    (@$c:literal $o:literal) => {{
        let value: u64;
        // SAFETY: reads a register of the ID space, all of which exists (DDI 0487 D17.2).
        unsafe {
            asm!(concat!("mrs {}, S3_0_C0_C", $c, "_", $o), out(reg) value, options(nomem, nostack, preserves_flags));
        }
        value
    }};
}

/// The core's own ID registers.
pub fn host() -> Host {
    Host::read(|crm, op2| {
        id_registers!(crm, op2;
            4: 0 1 2 3 4 5 6 7, 5: 0 1 2 3 4 5 6 7, 6: 0 1 2 3 4 5 6 7, 7: 0 1 2 3 4 5 6 7)
    })
}

/// What the guest on this core finds, and what calls it may make. Cores of one board may differ.
#[derive(Debug, Default)]
pub struct View {
    /// Its ID registers.
    pub ids: Guest,
    /// What it is told of speculation workarounds.
    pub mitigations: Mitigations,
}

impl View {
    /// Of the calling core.
    pub fn of_this_core() -> Self {
        let (host, firmware) = (host(), power::workarounds());
        let mitigations = Mitigations::new(MIDR_EL1.get(), host.get(4, 0), host.get(4, 1), firmware);
        Self { ids: Guest::new(&host, version() == Version::V3), mitigations }
    }
}

/// HCR_EL2.VSE: a virtual SError is pending for the guest of this core.
const VSE: u64 = 1 << 8;

/// Gives the guest of this core a virtual SError, which it takes when it unmasks it.
pub fn pend_serror() {
    HCR_EL2.set(HCR_EL2.get() | VSE);
}

/// Physical address bits of the calling core, at most 48 (ID_AA64MMFR0_EL1.PARange).
pub fn pa_bits() -> u32 {
    match host().field(7, 0, 0) {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

/// Sets EL2's controls over this core's guest.
///
/// # Safety
/// The stage 2 that `vttbr` and `vtcr` name is complete, and no guest runs on this core.
pub unsafe fn set(vttbr: u64, vtcr: u64, vcpu: usize) {
    let host = host();
    let counters = if host.has_pmu() { (mrs!("pmcr_el0") >> 11 & 0x1f) as u8 } else { 0 };
    let controls = Controls::new(&host, counters);
    // SAFETY: as the caller promises. Registers of optional features are written only where the feature is.
    unsafe {
        msr!("vtcr_el2", vtcr);
        msr!("vttbr_el2", vttbr);
        msr!("vpidr_el2", MIDR_EL1.get());
        // Bit 31 is RES1; U = 0: part of a multiprocessor; Aff0 = virtual CPU.
        msr!("vmpidr_el2", 1 << 31 | vcpu as u64);
        msr!("cptr_el2", controls.cptr);
        msr!("mdcr_el2", controls.mdcr);
        msr!("hstr_el2", controls.hstr);
        msr!("cnthctl_el2", controls.cnthctl);
        msr!("cntvoff_el2", 0);
        if let Some(value) = controls.hcrx {
            msr!("s3_4_c1_c2_2", value);
        }
        if controls.fine_grained {
            msr!("s3_4_c1_c1_4", 0);
            msr!("s3_4_c1_c1_5", 0);
            msr!("s3_4_c1_c1_6", 0);
            msr!("s3_4_c3_c1_4", 0);
            msr!("s3_4_c3_c1_5", 0);
        }
        if host.field(4, 0, 28) != 0 {
            // VSESR_EL2 (FEAT_RAS): the syndrome of a virtual SError, UNKNOWN out of reset.
            msr!("s3_4_c5_c2_3", 0);
        }
        if let Some(value) = controls.mpam2 {
            msr!("s3_4_c10_c5_0", value);
        }
        asm!("isb", options(nostack, preserves_flags));
        if let Some(value) = controls.zcr {
            msr!("s3_4_c1_c2_0", value);
        }
        msr!("hcr_el2", controls.hcr);
        asm!("isb", "tlbi vmalls12e1", "dsb nsh", "isb", options(nostack, preserves_flags));
    }
}

/// Brings what a guest can change at EL1 and EL0 to a state that depends on nobody who ran here before.
pub fn reset_el1() {
    // SAFETY: no guest runs on this core. SCTLR_EL1: RES1 bits and everything off (DDI 0487, SCTLR_EL1). A virtual
    // SError that was not taken was for who ran here before.
    unsafe {
        HCR_EL2.set(HCR_EL2.get() & !VSE);
        msr!("sctlr_el1", 0x30d0_0800);
        msr!("tcr_el1", 0);
        msr!("ttbr0_el1", 0);
        msr!("ttbr1_el1", 0);
        msr!("mair_el1", 0);
        msr!("amair_el1", 0);
        msr!("vbar_el1", 0);
        msr!("cpacr_el1", 0);
        msr!("contextidr_el1", 0);
        msr!("tpidr_el0", 0);
        msr!("tpidrro_el0", 0);
        msr!("tpidr_el1", 0);
        msr!("sp_el0", 0);
        msr!("sp_el1", 0);
        msr!("elr_el1", 0);
        msr!("spsr_el1", 0);
        msr!("esr_el1", 0);
        msr!("far_el1", 0);
        msr!("afsr0_el1", 0);
        msr!("afsr1_el1", 0);
        msr!("par_el1", 0);
        msr!("csselr_el1", 0);
        msr!("mdscr_el1", 0);
        msr!("cntkctl_el1", 0);
        msr!("cntv_ctl_el0", 0);
        msr!("cntv_cval_el0", 0);
        msr!("cntp_ctl_el0", 0);
        msr!("cntp_cval_el0", 0);
        asm!("isb", "tlbi vmalls12e1", "ic iallu", "dsb nsh", "isb", options(nostack, preserves_flags));
    }
}
