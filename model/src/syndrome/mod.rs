//! What ESR_EL2 says about a trap (DDI 0487, ESR_EL2), and what a guest is told instead (see [`inject`]).
//!
//! Nothing is guessed: an access whose syndrome does not carry all that is needed to emulate it is
//! [`Access::NotDecodable`], and the guest gets an external abort.

pub mod inject;

#[cfg(test)]
mod tests;

use crate::addr::Ipa;

/// A trap, by exception class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// WFI, WFE, WFIT or WFET (EC 0x01).
    Wfx {
        /// WFE or WFET.
        event: bool,
        /// WFIT or WFET: it has a deadline.
        timed: bool,
    },
    /// HVC from AArch64 (EC 0x16). ELR_EL2 is past the instruction already.
    Hvc(u16),
    /// SMC from AArch64, trapped by HCR_EL2.TSC (EC 0x17). ELR_EL2 is **at** the instruction: skip it.
    Smc(u16),
    /// MSR, MRS or a system instruction from AArch64 (EC 0x18). ELR_EL2 is at the instruction.
    SysReg(SysAccess),
    /// An instruction abort from the guest (EC 0x20): only stage 2 routes one to EL2.
    InstructionAbort(Abort),
    /// A data abort from the guest (EC 0x24).
    DataAbort(Abort),
    /// An SError interrupt (EC 0x2f); the ISS.
    SError(u32),
    /// The use of a feature that is hidden from the guest: FP by CPTR_EL2 (0x07), PAuth (0x09), LS64 (0x0a),
    /// 128-bit registers (0x14), SVE (0x19), ERET under nested virtualization (0x1a), TSTART (0x1b), SME (0x1d), and AArch32 forms of all
    /// system register accesses and calls (0x03..0x06, 0x08, 0x0c, 0x12, 0x13): it gets an undefined instruction.
    Hidden(u8),
    /// Any other class. None of them is routed to EL2 with the traps that Partita sets.
    Other(u8),
}

/// The exception class field of an ESR.
#[must_use]
pub const fn class(esr: u64) -> u8 {
    (esr >> 26 & 0x3f) as u8
}

impl Trap {
    /// Decodes ESR_EL2 of a synchronous exception or an SError.
    #[must_use]
    pub const fn decode(esr: u64) -> Self {
        let ec = class(esr);
        match ec {
            // TI, bits 1..0: 00 WFI, 01 WFE, 10 WFIT, 11 WFET.
            0x01 => Self::Wfx { event: esr & 1 != 0, timed: esr & 2 != 0 },
            0x16 => Self::Hvc(esr as u16),
            0x17 => Self::Smc(esr as u16),
            0x18 => Self::SysReg(SysAccess::decode(esr)),
            0x20 => Self::InstructionAbort(Abort(esr)),
            0x24 => Self::DataAbort(Abort(esr)),
            0x2f => Self::SError(esr as u32 & 0x01ff_ffff),
            0x03..=0x0a | 0x0c | 0x12..=0x14 | 0x19..=0x1b | 0x1d => Self::Hidden(ec),
            _ => Self::Other(ec),
        }
    }
}

/// Name of a system register or instruction: `S<op0>_<op1>_C<crn>_C<crm>_<op2>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Encoding {
    /// op0: 3 registers, 2 debug and trace, 1 instructions.
    pub op0: u8,
    /// op1.
    pub op1: u8,
    /// CRn.
    pub crn: u8,
    /// CRm.
    pub crm: u8,
    /// op2.
    pub op2: u8,
}

impl Encoding {
    /// An encoding by its five fields.
    #[must_use]
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self { op0, op1, crn, crm, op2 }
    }
}

impl core::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "S{}_{}_C{}_C{}_{}", self.op0, self.op1, self.crn, self.crm, self.op2)
    }
}

/// A trapped MSR, MRS or system instruction (ISS of EC 0x18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysAccess {
    /// What is accessed.
    pub register: Encoding,
    /// The general register; 31 is the zero register.
    pub rt: u8,
    /// MRS (or SYSL); otherwise MSR or SYS.
    pub read: bool,
}

impl SysAccess {
    const fn decode(esr: u64) -> Self {
        Self {
            register: Encoding {
                op0: (esr >> 20 & 3) as u8,
                op2: (esr >> 17 & 7) as u8,
                op1: (esr >> 14 & 7) as u8,
                crn: (esr >> 10 & 0xf) as u8,
                crm: (esr >> 1 & 0xf) as u8,
            },
            rt: (esr >> 5 & 0x1f) as u8,
            read: esr & 1 != 0,
        }
    }
}

/// The syndrome of an abort that was routed to EL2 (the whole of ESR_EL2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Abort(pub u64);

impl core::fmt::Debug for Abort {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Abort({:#x})", self.0)
    }
}

/// What a data abort asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load or store whose every detail is known.
    Mmio(Mmio),
    /// The syndrome does not tell (register pairs, write-back, atomics, cache maintenance, a stage 1 walk), or the
    /// fault is not one for a missing mapping.
    NotDecodable,
}

impl Abort {
    /// Fault status code.
    #[must_use]
    pub const fn status(self) -> u8 {
        (self.0 & 0x3f) as u8
    }

    /// Whether it was a write (WnR); set for cache maintenance too. Meaningless in an instruction abort.
    #[must_use]
    pub const fn write(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// Whether a stage 1 table walk faulted at stage 2 (S1PTW).
    #[must_use]
    pub const fn stage1_walk(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// Whether a cache maintenance or address translation instruction faulted (CM).
    #[must_use]
    pub const fn maintenance(self) -> bool {
        self.0 & 1 << 8 != 0
    }

    /// Whether FAR_EL2 is not valid (FnV; defined for status 0x10, a synchronous external abort, only).
    #[must_use]
    pub const fn far_unknown(self) -> bool {
        self.status() == 0x10 && self.0 & 1 << 10 != 0
    }

    /// Whether it is a stage 2 translation fault: levels 0..3 (0x04..0x07) and -1 (0x2b). Of the faults a guest can
    /// cause these are the ones for which HPFAR_EL2 is valid without a stage 1 walk (DDI 0487, HPFAR_EL2); after a
    /// permission fault it is UNKNOWN, so a permission fault is never taken for an access to a device.
    #[must_use]
    pub const fn translation(self) -> bool {
        matches!(self.status(), 0x04..=0x07 | 0x2b)
    }

    /// The access, if it can be emulated.
    #[must_use]
    pub const fn access(self) -> Access {
        let valid = self.0 & 1 << 24 != 0;
        if !valid || !self.translation() || self.stage1_walk() || self.maintenance() {
            return Access::NotDecodable;
        }
        Access::Mmio(Mmio {
            write: self.write(),
            width: 1 << (self.0 >> 22 & 3),
            register: (self.0 >> 16 & 0x1f) as u8,
            sign_extend: self.0 & 1 << 21 != 0,
            sixty_four: self.0 & 1 << 15 != 0,
        })
    }
}

/// A load or store to be emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mmio {
    /// A store.
    pub write: bool,
    /// Bytes: 1, 2, 4 or 8.
    pub width: u8,
    /// The general register; 31 is the zero register.
    pub register: u8,
    /// A load that extends the sign (LDRSB, LDRSH, LDRSW).
    pub sign_extend: bool,
    /// The register is X, not W: how far the sign extends.
    pub sixty_four: bool,
}

impl Mmio {
    /// What a store puts on the bus: `register` cut to the width. A guest that runs big-endian (SCTLR_EL1.EE at EL1,
    /// E0E at EL0) means the bytes in the other order.
    #[must_use]
    pub const fn stored(self, register: u64, big_endian: bool) -> u64 {
        self.ordered(self.cut(register), big_endian)
    }

    /// What a load leaves in the X register when the device answered `value`. A load to a W register clears the
    /// upper half.
    #[must_use]
    pub const fn loaded(self, value: u64, big_endian: bool) -> u64 {
        let value = self.ordered(self.cut(value), big_endian);
        if !self.sign_extend {
            return value;
        }
        let unused = 64 - 8 * self.width as u32;
        let extended = ((value << unused) as i64 >> unused) as u64;
        if self.sixty_four { extended } else { extended & 0xffff_ffff }
    }

    const fn cut(self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - 8 * self.width as u32))
    }

    const fn ordered(self, value: u64, big_endian: bool) -> u64 {
        if big_endian { value.swap_bytes() >> (64 - 8 * self.width as u32) } else { value }
    }
}

/// The guest-physical address of a stage 2 fault: page from HPFAR_EL2 (FIPA, bits 43..4), offset from FAR_EL2.
#[must_use]
pub const fn fault_ipa(hpfar: u64, far: u64) -> Ipa {
    Ipa((hpfar & 0x0fff_ffff_fff0) << 8 | far & 0xfff)
}

/// ELR and SPSR as they must be after an emulated instruction: past it, as a completed instruction leaves PSTATE
/// (BTYPE zero; SS zero, so that a guest's single step ends here: DDI 0487, "The software step state machine").
#[must_use]
pub const fn skip(pc: u64, pstate: u64) -> (u64, u64) {
    (pc.wrapping_add(4), pstate & !(inject::BTYPE | inject::SS))
}
