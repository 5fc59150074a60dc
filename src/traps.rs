//! What EL2 traps. The values come from the model, which hides in the ID registers what is trapped here. What a guest
//! finds in its own registers when it starts is in el1.rs.

use aarch64_cpu::registers::{HCR_EL2, MIDR_EL1};
use core::arch::asm;
use tock_registers::interfaces::{Readable, Writeable};

use partita_model::idregs::controls::Controls;
use partita_model::idregs::{Guest, Host};
use partita_model::smccc::Mitigations;
use partita_model::speculation::Speculation;
use partita_model::weaken::{Guard, removed};

use crate::gic::{Version, version};
use crate::partition::Partition;
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
    /// Of a core with these.
    pub fn new(host: &Host, speculation: &Speculation) -> Self {
        Self { ids: Guest::new(host, version() == Version::V3), mitigations: Mitigations::new(speculation) }
    }
}

/// HCR_EL2.VSE: a virtual SError is pending for the guest of this core.
pub const VSE: u64 = 1 << 8;

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

/// Sets EL2's controls over this core's guest, a virtual CPU of this partition's.
///
/// # Safety
/// The partition's stage 2 is complete, and no guest runs on this core.
pub unsafe fn set(partition: &Partition, vcpu: usize) {
    let host = host();
    let counters = if host.has_pmu() { (mrs!("pmcr_el0") >> 11 & 0x1f) as u8 } else { 0 };
    let controls = Controls::new(&host, counters);
    let controls = if partition.spares_others { controls.alone(&host) } else { controls };
    // SAFETY: as the caller promises. Registers of optional features are written only where the feature is.
    unsafe {
        msr!("vtcr_el2", partition.vtcr);
        msr!("vttbr_el2", partition.vttbr);
        msr!("vpidr_el2", MIDR_EL1.get());
        // Bit 31 is RES1; U = 0: part of a multiprocessor; Aff0 = virtual CPU.
        msr!("vmpidr_el2", 1 << 31 | vcpu as u64);
        quiet(&controls);
        msr!("cptr_el2", controls.cptr);
        // The OS lock, set by a cold reset, and the double lock are EL2's and stay open (MDCR_EL2.TDOSA).
        msr!("oslar_el1", 0);
        msr!("osdlr_el1", 0);
        msr!("mdcr_el2", controls.mdcr);
        msr!("hstr_el2", controls.hstr);
        msr!("cnthctl_el2", controls.cnthctl);
        msr!("cntvoff_el2", 0);
        if let Some(value) = controls.hcrx {
            msr!("s3_4_c1_c2_2", value);
        }
        if controls.fine_grained {
            // A test build without the guard: nTPIDR2_EL0 (55) set.
            let open = if removed(Guard::FineGrained) { 1 << 55 } else { 0 };
            msr!("s3_4_c1_c1_4", open);
            msr!("s3_4_c1_c1_5", open);
            msr!("s3_4_c1_c1_6", 0);
            msr!("s3_4_c3_c1_4", 0);
            msr!("s3_4_c3_c1_5", 0);
        }
        if controls.fine_grained_2 {
            msr!("s3_4_c3_c1_0", 0);
            msr!("s3_4_c3_c1_1", 0);
            msr!("s3_4_c3_c1_2", 0);
            msr!("s3_4_c3_c1_3", 0);
            msr!("s3_4_c3_c1_7", 0);
        }
        if host.field(4, 0, 28) != 0 {
            // VSESR_EL2 (FEAT_RAS): the syndrome of a virtual SError, UNKNOWN out of reset.
            msr!("s3_4_c5_c2_3", 0);
        }
        if let Some(value) = controls.mpam2 {
            msr!("s3_4_c10_c5_0", value);
            // What EL1 and EL0 count as: MPAM1_EL1, MPAM0_EL1.
            msr!("s3_0_c10_c5_0", 0);
            msr!("s3_0_c10_c5_1", 0);
            // MPAMIDR_EL1.HAS_HCR: MPAMHCR_EL2, no virtual numbers, and MPAMIDR_EL1 traps.
            if mrs!("s3_0_c10_c4_4") & 1 << 17 != 0 {
                msr!("s3_4_c10_c4_0", 1 << 31);
            }
        }
        asm!("isb", options(nostack, preserves_flags));
        if let Some(value) = controls.zcr {
            msr!("s3_4_c1_c2_0", value);
        }
        msr!("hcr_el2", controls.hcr);
        asm!("isb", "tlbi vmalls12e1", "dsb nsh", "isb", options(nostack, preserves_flags));
    }
}

/// Turns off what firmware may have left recording, and what changes the meaning of vector instructions.
///
/// # Safety
/// No guest runs on this core. CPTR_EL2 is written after this.
unsafe fn quiet(controls: &Controls) {
    let recorders = &controls.recorders;
    // SAFETY: as the caller promises. Each exists where `controls` says so, and firmware that shows a feature lets EL2
    // control it (Linux, Documentation/arch/arm64/booting.rst). A buffer that EL3 owns is EL3's (PMBIDR_EL1.P, TRBIDR_EL1.P).
    unsafe {
        if recorders.counters {
            msr!("pmcntenclr_el0", u64::from(u32::MAX));
            msr!("pmintenclr_el1", u64::from(u32::MAX));
        }
        if recorders.profiling && mrs!("s3_0_c9_c10_7") & 1 << 4 == 0 {
            // PMSCR_EL2, PMBLIMITR_EL1.
            msr!("s3_4_c9_c9_0", 0);
            msr!("s3_0_c9_c10_0", 0);
        }
        if recorders.trace_filter {
            // TRFCR_EL2, TRFCR_EL1.
            msr!("s3_4_c1_c2_1", 0);
            msr!("s3_0_c1_c2_1", 0);
        }
        if recorders.trace_buffer && mrs!("s3_0_c9_c11_7") & 1 << 4 == 0 {
            // TRBLIMITR_EL1.
            msr!("s3_0_c9_c11_0", 0);
        }
        if recorders.branches {
            // BRBCR_EL2, BRBCR_EL1.
            msr!("s2_4_c9_c0_0", 0);
            msr!("s2_1_c9_c0_0", 0);
        }
        if recorders.matrices {
            // SVCR, which CPTR_EL2.TSM (bit 12) traps at EL2 too.
            msr!("cptr_el2", controls.cptr & !(1 << 12));
            asm!("isb", options(nostack, preserves_flags));
            msr!("s3_3_c4_c2_2", 0);
        }
    }
}
