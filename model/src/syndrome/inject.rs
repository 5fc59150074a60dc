//! The exception that a guest gets in place of what it may not do: what AArch64.TakeException (DDI 0487,
//! "Exception entry") does when the target is EL1, as a plain function. EL2 writes the results to the registers and returns.

use super::Abort;

/// PSTATE/SPSR: SP selection and exception level, and M[4] for AArch32 state.
pub const MODE: u64 = 0x1f;
/// PSTATE/SPSR: EL1 with SP_EL1.
pub const EL1H: u64 = 0b0101;
/// PSTATE/SPSR: D, A, I and F masks.
pub const DAIF: u64 = 0xf << 6;
/// PSTATE/SPSR: branch type.
pub const BTYPE: u64 = 3 << 10;
/// PSTATE/SPSR: speculative store bypass safe.
pub const SSBS: u64 = 1 << 12;
/// PSTATE/SPSR: all interrupts masked (FEAT_NMI).
pub const ALLINT: u64 = 1 << 13;
/// PSTATE/SPSR: software step.
pub const SS: u64 = 1 << 21;
/// PSTATE/SPSR: privileged access never.
pub const PAN: u64 = 1 << 22;
/// PSTATE/SPSR: data independent timing.
pub const DIT: u64 = 1 << 24;
/// PSTATE/SPSR: tag check override.
pub const TCO: u64 = 1 << 25;
/// PSTATE/SPSR: condition flags.
pub const NZCV: u64 = 0xf << 28;

/// SCTLR_EL1.SPAN: PAN is left alone on exception entry.
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: the value of SSBS on exception entry.
const SCTLR_DSSBS: u64 = 1 << 44;
/// SCTLR_EL1.SPINTMASK: ALLINT is not set on exception entry.
const SCTLR_SPINTMASK: u64 = 1 << 62;

/// ESR: instruction length. One for every class composed here: EC 0, aborts without a valid syndrome (ISV = 0) and
/// instruction aborts always have it set (DDI 0487, ESR_EL1.IL).
const IL: u64 = 1 << 25;
/// Fault status: synchronous external abort, not on a table walk.
const EXTERNAL_ABORT: u64 = 0x10;

/// The core's features (not the guest's view of them) that exception entry depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// FEAT_PAN: ID_AA64MMFR1_EL1.PAN is not 0.
    pub pan: bool,
    /// FEAT_SSBS: ID_AA64PFR1_EL1.SSBS is not 0.
    pub ssbs: bool,
    /// FEAT_MTE2: ID_AA64PFR1_EL1.MTE is 2 or more.
    pub mte: bool,
    /// FEAT_NMI: ID_AA64PFR1_EL1.NMI is not 0.
    pub nmi: bool,
    /// FEAT_DIT: ID_AA64PFR0_EL1.DIT is not 0.
    pub dit: bool,
}

impl Features {
    /// Reads the features from the core's own ID registers.
    #[must_use]
    pub const fn new(pfr0: u64, pfr1: u64, mmfr1: u64) -> Self {
        Self {
            pan: mmfr1 >> 20 & 0xf != 0,
            ssbs: pfr1 >> 4 & 0xf != 0,
            mte: pfr1 >> 8 & 0xf >= 2,
            nmi: pfr1 >> 36 & 0xf != 0,
            dit: pfr0 >> 48 & 0xf != 0,
        }
    }
}

/// The guest's state at the trap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// ELR_EL2.
    pub pc: u64,
    /// SPSR_EL2.
    pub pstate: u64,
    /// VBAR_EL1.
    pub vbar: u64,
    /// SCTLR_EL1.
    pub sctlr: u64,
}

/// What happens to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// An undefined instruction (EC 0x00).
    Undefined,
    /// A synchronous external abort of the data access that trapped.
    DataAbort {
        /// The syndrome at EL2; WnR, CM and FnV carry over.
        cause: Abort,
        /// FAR_EL2.
        far: u64,
    },
    /// A synchronous external abort of the instruction fetch that trapped.
    InstructionAbort {
        /// The syndrome at EL2; FnV carries over.
        cause: Abort,
        /// FAR_EL2.
        far: u64,
    },
}

/// The registers to write before ERET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// ELR_EL2: the vector.
    pub pc: u64,
    /// SPSR_EL2: PSTATE in the handler.
    pub pstate: u64,
    /// ELR_EL1: the instruction that trapped.
    pub elr_el1: u64,
    /// SPSR_EL1: PSTATE at the trap.
    pub spsr_el1: u64,
    /// ESR_EL1.
    pub esr_el1: u64,
    /// FAR_EL1, where the exception has one.
    pub far_el1: Option<u64>,
}

/// Computes the entry to a synchronous exception at EL1.
#[must_use]
pub const fn enter(context: &Context, features: Features, exception: Exception) -> Entry {
    let lower = context.pstate & 0xf == 0 || context.pstate & 0x10 != 0;
    // The class of an abort says whether it comes from a lower level (0x20, 0x24) or from EL1 itself (+1).
    let same = if lower { 0 } else { 1 };
    let (esr_el1, far_el1) = match exception {
        Exception::Undefined => (IL, None),
        Exception::DataAbort { cause, far } => {
            let kept = cause.0 & (1 << 6 | 1 << 8) | not_valid(cause);
            ((0x24 + same) << 26 | IL | kept | EXTERNAL_ABORT, Some(far))
        }
        Exception::InstructionAbort { cause, far } => {
            ((0x20 + same) << 26 | IL | not_valid(cause) | EXTERNAL_ABORT, Some(far))
        }
    };
    Entry {
        // VBAR_EL1 bits 10..0 are RES0, so that a set one does not move the vector.
        pc: (context.vbar & !0x7ff).wrapping_add(vector(context.pstate)),
        pstate: handler_pstate(context, features),
        elr_el1: context.pc,
        spsr_el1: context.pstate,
        esr_el1,
        far_el1,
    }
}

/// FnV, where the cause has it.
const fn not_valid(cause: Abort) -> u64 {
    if cause.far_unknown() { 1 << 10 } else { 0 }
}

/// Offset of the synchronous vector (DDI 0487, "Exception vectors").
const fn vector(pstate: u64) -> u64 {
    match pstate & MODE {
        mode if mode & 0x10 != 0 => 0x600,
        0 => 0x400,
        mode if mode & 1 == 0 => 0x000,
        _ => 0x200,
    }
}

const fn handler_pstate(context: &Context, features: Features) -> u64 {
    let mut new = EL1H | DAIF | context.pstate & NZCV;
    if features.pan {
        new |= context.pstate & PAN;
        if context.sctlr & SCTLR_SPAN == 0 {
            new |= PAN;
        }
    }
    if features.dit {
        new |= context.pstate & DIT;
    }
    if features.ssbs && context.sctlr & SCTLR_DSSBS != 0 {
        new |= SSBS;
    }
    if features.mte {
        new |= TCO;
    }
    if features.nmi && context.sctlr & SCTLR_SPINTMASK == 0 {
        new |= ALLINT;
    }
    // IL, SS, UAO and BTYPE become zero.
    new
}
