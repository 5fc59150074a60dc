//! What a guest finds in EL1's and EL0's registers when it starts: the values after reset where the architecture has
//! some, else zero. Nothing that an earlier guest of this core wrote is left; what no guest can write (traps.rs) is not
//! here. vectors.S sees to the general and the vector registers, gic/ to the virtual interrupt interface.

use aarch64_cpu::registers::HCR_EL2;
use core::arch::asm;
use partita_model::idregs::{Host, Kept};
use tock_registers::interfaces::{Readable, Writeable};

use crate::sysreg::msr;
use crate::traps;

/// Brings every register that a guest can write to a state that depends on nobody who ran here before. Called when no
/// guest runs on this core.
pub fn reset() {
    let host = traps::host();
    let kept = Kept::of(&host);
    base();
    debug(&host);
    optional(&kept);
    // SAFETY: drops what was cached for who ran here before, after the registers that it came from.
    unsafe {
        asm!("isb", "tlbi vmalls12e1", "ic iallu", "dsb nsh", "isb", options(nostack, preserves_flags))
    };
}

/// What every core has.
fn base() {
    // SAFETY: no guest runs on this core. SCTLR_EL1: RES1 bits and everything off (DDI 0487, SCTLR_EL1). A virtual
    // SError that was not taken was for who ran here before.
    unsafe {
        HCR_EL2.set(HCR_EL2.get() & !traps::VSE);
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
        msr!("cntkctl_el1", 0);
        msr!("cntv_ctl_el0", 0);
        msr!("cntv_cval_el0", 0);
        msr!("cntp_ctl_el0", 0);
        msr!("cntp_cval_el0", 0);
        // FPCR and FPSR by encoding: this image is built without floating point.
        msr!("s3_3_c4_c4_0", 0);
        msr!("s3_3_c4_c4_1", 0);
    }
}

macro_rules! debug_registers {
    ($breakpoints:expr, $watchpoints:expr; $($n:literal)*) => {$(
        if $n < $breakpoints {
            // DBGBCR<n>_EL1, DBGBVR<n>_EL1: off before it is changed.
            msr!(concat!("s2_0_c0_c", $n, "_5"), 0);
            msr!(concat!("s2_0_c0_c", $n, "_4"), 0);
        }
        if $n < $watchpoints {
            // DBGWCR<n>_EL1, DBGWVR<n>_EL1.
            msr!(concat!("s2_0_c0_c", $n, "_7"), 0);
            msr!(concat!("s2_0_c0_c", $n, "_6"), 0);
        }
    )*};
}

/// Self-hosted debug (DDI 0487, D2): the guest's own, but for the OS lock.
fn debug(host: &Host) {
    // SAFETY: no guest runs on this core, and EL2 uses none of these. Only those are written that exist.
    unsafe {
        msr!("mdscr_el1", 0);
        msr!("mdccint_el1", 0);
        msr!("dbgclaimclr_el1", 0xff);
        // What was written to the debugger's channel can be read back here.
        msr!("osdtrtx_el1", 0);
        msr!("osdtrrx_el1", 0);
        debug_registers!(host.breakpoints(), host.watchpoints(); 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
}

/// What some cores have and a guest gets with them.
fn optional(kept: &Kept) {
    // SAFETY: no guest runs on this core. Registers are written only where `kept` says that they exist, and no control
    // of EL2's traps them, as the guest has them.
    unsafe {
        if kept.pointer_keys {
            // APIA, APIB, APDA, APDB, APGA: low and high half each (DDI 0487, D24.2).
            msr!("s3_0_c2_c1_0", 0);
            msr!("s3_0_c2_c1_1", 0);
            msr!("s3_0_c2_c1_2", 0);
            msr!("s3_0_c2_c1_3", 0);
            msr!("s3_0_c2_c2_0", 0);
            msr!("s3_0_c2_c2_1", 0);
            msr!("s3_0_c2_c2_2", 0);
            msr!("s3_0_c2_c2_3", 0);
            msr!("s3_0_c2_c3_0", 0);
            msr!("s3_0_c2_c3_1", 0);
        }
        if kept.software_context {
            // SCXTNUM_EL1, SCXTNUM_EL0.
            msr!("s3_0_c13_c0_7", 0);
            msr!("s3_3_c13_c0_7", 0);
        }
        if kept.deferred_errors {
            // VDISR_EL2, which is the guest's DISR_EL1 while HCR_EL2.AMO is set.
            msr!("s3_4_c12_c1_1", 0);
        }
        if kept.scalable_vectors {
            // ZCR_EL1; predicates and FFR at EL2's length, the greatest (ZCR_EL2.LEN). Of the vectors themselves,
            // vectors.S clears the part that is not V's by clearing V (DDI 0487, C1.2.5).
            msr!("s3_0_c1_c2_0", 0);
            asm!(
                ".arch_extension sve",
                "pfalse p0.b",
                "pfalse p1.b",
                "pfalse p2.b",
                "pfalse p3.b",
                "pfalse p4.b",
                "pfalse p5.b",
                "pfalse p6.b",
                "pfalse p7.b",
                "pfalse p8.b",
                "pfalse p9.b",
                "pfalse p10.b",
                "pfalse p11.b",
                "pfalse p12.b",
                "pfalse p13.b",
                "pfalse p14.b",
                "pfalse p15.b",
                "wrffr p0.b",
                ".arch_extension nosve",
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}
