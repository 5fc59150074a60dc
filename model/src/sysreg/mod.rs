//! What to do about a trapped MSR, MRS or system instruction.
//!
//! The rule is: what the guest's ID registers ([`Guest`]) do not show is undefined, as on a core without the
//! feature. The table below holds the exceptions to it, all of them registers that every Armv8-A core has.

#[cfg(test)]
mod tests;

use crate::idregs::Guest;
use crate::syndrome::{Encoding, SysAccess};
use crate::weaken::{Guard, removed};

/// What EL2 does. After all but [`Action::Undefined`] the instruction is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put this into the general register (MRS).
    Value(u64),
    /// Do nothing (MSR).
    Ignore,
    /// Inject an undefined instruction.
    Undefined,
    /// Generate an SGI by the value of the general register.
    Sgi(SgiRegister),
    /// Do to the partition's memory, by address, what the guest asked for one set and way.
    SetWay(SetWay),
    /// Execute this maintenance instruction: what the guest asked of all cores, for its own core only. Its operand is the
    /// guest's, its VMID is the partition's in any case.
    Local(Encoding),
}

/// The registers that generate SGIs (IHI 0069, ICC_SGI*R_EL1). They trap while HCR_EL2.IMO or FMO is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiRegister {
    /// ICC_SGI1R_EL1: Group 1 of this security state.
    Sgi1,
    /// ICC_ASGI1R_EL1: Group 1 of the other security state.
    Asgi1,
    /// ICC_SGI0R_EL1: Group 0.
    Sgi0,
}

/// Registers of the physical CPU interface that trap where interrupts do not pass EL2 (ICH_HCR_EL2.TC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// ICC_PMR_EL1.
    Priority,
    /// ICC_CTLR_EL1.
    Control,
    /// ICC_RPR_EL1, read-only.
    Running,
    /// ICC_DIR_EL1, write-only.
    Deactivate,
}

impl Interface {
    /// What an access is to, if it is to one of these and in a direction that the register has.
    #[must_use]
    pub fn of(access: &SysAccess) -> Option<Self> {
        const PMR: Encoding = Encoding::new(3, 0, 4, 6, 0);
        const DIR: Encoding = Encoding::new(3, 0, 12, 11, 1);
        const RPR: Encoding = Encoding::new(3, 0, 12, 11, 3);
        const CTLR: Encoding = Encoding::new(3, 0, 12, 12, 4);
        match (access.register, access.read) {
            (PMR, _) => Some(Self::Priority),
            (CTLR, _) => Some(Self::Control),
            (RPR, true) => Some(Self::Running),
            (DIR, false) => Some(Self::Deactivate),
            _ => None,
        }
    }
}

/// Set/way cache maintenance (HCR_EL2.TSW).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetWay {
    /// DC ISW. By address it must be done as clean and invalidate: the line may hold what others still need
    /// (as HCR_EL2.SWIO has the core do it).
    Invalidate,
    /// DC CSW.
    Clean,
    /// DC CISW.
    CleanInvalidate,
}

/// How a register of the table reads and takes writes.
#[derive(Clone, Copy)]
enum Treatment {
    /// Reads this; writes are ignored.
    Reads(u64),
    /// Write-only.
    Generates(SgiRegister),
    /// An instruction, encoded as a write.
    Maintains(SetWay),
}

use Treatment::{Generates, Maintains, Reads};

/// The registers that a guest may touch and that may trap, by encoding (op0, op1, CRn, CRm, op2).
static KNOWN: [(Encoding, Treatment); 24] = [
    // DC ISW, CSW, CISW (C6, C10, C14 of CRn 7). The forms on tags (op2 4 and 6) are MTE's, which is hidden.
    (Encoding::new(1, 0, 7, 6, 2), Maintains(SetWay::Invalidate)),
    (Encoding::new(1, 0, 7, 10, 2), Maintains(SetWay::Clean)),
    (Encoding::new(1, 0, 7, 14, 2), Maintains(SetWay::CleanInvalidate)),
    // MDRAR_EL1 (no debug ROM; MDCR_EL2.TDRA), OSLAR_EL1, OSLSR_EL1 (OSLM = 0b10: lock implemented, and free),
    // OSDLR_EL1, DBGPRCR_EL1 (MDCR_EL2.TDOSA): written by every kernel's reset path.
    (Encoding::new(2, 0, 1, 0, 0), Reads(0)),
    (Encoding::new(2, 0, 1, 0, 4), Reads(0)),
    (Encoding::new(2, 0, 1, 1, 4), Reads(1 << 3)),
    (Encoding::new(2, 0, 1, 3, 4), Reads(0)),
    (Encoding::new(2, 0, 1, 4, 4), Reads(0)),
    // The debugger's channel, where MDCR_EL2.TDCC is: OSDTRRX_EL1, MDCCINT_EL1, OSDTRTX_EL1, MDCCSR_EL0 (empty),
    // DBGDTR_EL0, DBGDTRRX_EL0 and DBGDTRTX_EL0.
    (Encoding::new(2, 0, 0, 0, 2), Reads(0)),
    (Encoding::new(2, 0, 0, 2, 0), Reads(0)),
    (Encoding::new(2, 0, 0, 3, 2), Reads(0)),
    (Encoding::new(2, 3, 0, 1, 0), Reads(0)),
    (Encoding::new(2, 3, 0, 4, 0), Reads(0)),
    (Encoding::new(2, 3, 0, 5, 0), Reads(0)),
    // REVIDR_EL1 and AIDR_EL1 (HCR_EL2.TID1): implementation-defined, and zero says nothing.
    (Encoding::new(3, 0, 0, 0, 6), Reads(0)),
    (Encoding::new(3, 1, 0, 0, 7), Reads(0)),
    // ACTLR_EL1 (HCR_EL2.TACR).
    (Encoding::new(3, 0, 1, 0, 1), Reads(0)),
    // ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ICC_SGI0R_EL1.
    (Encoding::new(3, 0, 12, 11, 5), Generates(SgiRegister::Sgi1)),
    (Encoding::new(3, 0, 12, 11, 6), Generates(SgiRegister::Asgi1)),
    (Encoding::new(3, 0, 12, 11, 7), Generates(SgiRegister::Sgi0)),
    // CPUACTLR_EL1, CPUECTLR_EL1, L2CTLR_EL1, L2ECTLR_EL1 of Arm's cores up to Cortex-A73 (HCR_EL2.TIDCP): boot loaders
    // set errata bits there; EL2 and firmware have done so before. All other implementation-defined ones are undefined.
    (Encoding::new(3, 1, 15, 2, 0), Reads(0)),
    (Encoding::new(3, 1, 15, 2, 1), Reads(0)),
    (Encoding::new(3, 1, 11, 0, 2), Reads(0)),
    (Encoding::new(3, 1, 11, 0, 3), Reads(0)),
];

/// Whether the guest has GICv3's system registers (ID_AA64PFR0_EL1.GIC).
fn has_gic(ids: &Guest) -> bool {
    ids.get(Encoding::new(3, 0, 0, 4, 0)).is_some_and(|value| value >> 24 & 0xf != 0)
}

/// The instruction for the own core that does what one for the inner or outer shareable domain does (DDI 0487, C5.3 and C5.5).
/// IC IALLUIS is C1, IC IALLU C5. TLBI: C1 and C3 are those by address, ASID or for all, outer and inner shareable, and C7
/// the same for one core; C5, C2 and C6 those by range. CRn is 8, or 9 with nXS.
fn local(everywhere: Encoding) -> Option<Encoding> {
    match everywhere {
        Encoding { op0: 1, op1: 0, crn: 7, crm: 1, op2: 0 } => Some(Encoding { crm: 5, ..everywhere }),
        Encoding { op0: 1, op1: 0, crn: 8 | 9, crm: 1 | 3, op2: 0..=3 | 5 | 7 } => {
            Some(Encoding { crm: 7, ..everywhere })
        }
        Encoding { op0: 1, op1: 0, crn: 8 | 9, crm: 2 | 5, op2: 1 | 3 | 5 | 7 } => {
            Some(Encoding { crm: 6, ..everywhere })
        }
        _ => None,
    }
}

/// Decides a trapped access on a core whose guest sees these ID registers.
#[must_use]
pub fn action(access: &SysAccess, ids: &Guest) -> Action {
    if let Some(value) = ids.get(access.register) {
        // ID registers are read-only (DDI 0487: MSR to one is undefined).
        return if access.read { Action::Value(value) } else { Action::Undefined };
    }
    if let (Some(instruction), false) = (local(access.register), access.read) {
        return Action::Local(instruction);
    }
    let known = KNOWN.iter().find(|(register, _)| *register == access.register);
    match (known, access.read) {
        (Some((_, Reads(value))), true) => Action::Value(*value),
        (Some((_, Reads(_))), false) => Action::Ignore,
        (Some((_, Generates(register))), false) if has_gic(ids) => Action::Sgi(*register),
        (Some((_, Maintains(operation))), false) => Action::SetWay(*operation),
        (_, true) if removed(Guard::HiddenUndefined) => Action::Value(0),
        (_, false) if removed(Guard::HiddenUndefined) => Action::Ignore,
        _ => Action::Undefined,
    }
}
