//! The register maps of the distributors and of a redistributor's two frames, as tables (IHI 0069, 12.8 and 12.10;
//! IHI 0048, 4.1.2).
//!
//! What is in no row reads as zero and ignores writes, as does an access of a width that the register has not, or
//! that is not aligned to its width.

use super::Version;

/// A register, or an array of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    /// GICD_CTLR.
    DistControl,
    /// GICD_TYPER.
    DistType,
    /// GICD_IIDR, GICR_IIDR.
    Implementer,
    /// GICD_IROUTER<n>.
    Route,
    /// GICD_ITARGETSR: a byte of CPU interfaces per interrupt.
    Targets,
    /// GICD_SGIR.
    SendSgi,
    /// GICD_CPENDSGIR: a byte of sources per SGI.
    ClearSgi,
    /// GICD_SPENDSGIR: a byte of sources per SGI.
    SetSgi,
    /// GICR_TYPER.
    RedistType,
    /// GICR_WAKER.
    Waker,
    /// PIDR4..7, PIDR0..3, CIDR0..3.
    Identity,
    /// A register with one bit per interrupt.
    Word(WordRegister),
    /// IPRIORITYR: a byte per interrupt.
    Priority,
    /// ICFGR: two bits per interrupt.
    Config,
}

/// Registers with one bit per interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordRegister {
    /// IGROUPR.
    Group,
    /// ISENABLER.
    SetEnable,
    /// ICENABLER.
    ClearEnable,
    /// ISPENDR.
    SetPending,
    /// ICPENDR.
    ClearPending,
    /// ISACTIVER.
    SetActive,
    /// ICACTIVER.
    ClearActive,
}

/// One row: first byte, first byte after it, the widths in bytes that it allows (as a mask), what it is.
type Row = (u64, u64, u8, Register);

/// Words only.
const W: u8 = 4;
/// Bytes and words.
const BW: u8 = 1 | 4;
/// Words and doublewords.
const WD: u8 = 4 | 8;

/// The distributor with affinity routing: no ITARGETSR, SGIR or SGI pending bits. One security state: no IGRPMODR,
/// NSACR. No message-based SPIs: no SETSPI and CLRSPI.
pub(super) const DISTRIBUTOR: &[Row] = &[
    (0x0000, 0x0004, W, Register::DistControl),
    (0x0004, 0x0008, W, Register::DistType),
    (0x0008, 0x000c, W, Register::Implementer),
    (0x0080, 0x0100, W, Register::Word(WordRegister::Group)),
    (0x0100, 0x0180, W, Register::Word(WordRegister::SetEnable)),
    (0x0180, 0x0200, W, Register::Word(WordRegister::ClearEnable)),
    (0x0200, 0x0280, W, Register::Word(WordRegister::SetPending)),
    (0x0280, 0x0300, W, Register::Word(WordRegister::ClearPending)),
    (0x0300, 0x0380, W, Register::Word(WordRegister::SetActive)),
    (0x0380, 0x0400, W, Register::Word(WordRegister::ClearActive)),
    (0x0400, 0x07fc, BW, Register::Priority),
    (0x0c00, 0x0d00, W, Register::Config),
    (0x6000, 0x7fe0, WD, Register::Route),
    (0xffd0, 0x1_0000, W, Register::Identity),
];

/// A GICv2 distributor without the Security Extensions: no NSACR. Word 0 of each array is banked.
pub(super) const DISTRIBUTOR_V2: &[Row] = &[
    (0x000, 0x004, W, Register::DistControl),
    (0x004, 0x008, W, Register::DistType),
    (0x008, 0x00c, W, Register::Implementer),
    (0x080, 0x100, W, Register::Word(WordRegister::Group)),
    (0x100, 0x180, W, Register::Word(WordRegister::SetEnable)),
    (0x180, 0x200, W, Register::Word(WordRegister::ClearEnable)),
    (0x200, 0x280, W, Register::Word(WordRegister::SetPending)),
    (0x280, 0x300, W, Register::Word(WordRegister::ClearPending)),
    (0x300, 0x380, W, Register::Word(WordRegister::SetActive)),
    (0x380, 0x400, W, Register::Word(WordRegister::ClearActive)),
    (0x400, 0x7fc, BW, Register::Priority),
    (0x800, 0xbfc, BW, Register::Targets),
    (0xc00, 0xd00, W, Register::Config),
    (0xf00, 0xf04, W, Register::SendSgi),
    (0xf10, 0xf20, BW, Register::ClearSgi),
    (0xf20, 0xf30, BW, Register::SetSgi),
    (0xfd0, 0x1000, W, Register::Identity),
];

/// A redistributor: RD_base, then SGI_base at 64 KiB. No LPIs: GICR_CTLR and their registers are zero.
pub(super) const REDISTRIBUTOR: &[Row] = &[
    (0x0004, 0x0008, W, Register::Implementer),
    (0x0008, 0x0010, WD, Register::RedistType),
    (0x0014, 0x0018, W, Register::Waker),
    (0xffd0, 0x1_0000, W, Register::Identity),
    (0x1_0080, 0x1_0084, W, Register::Word(WordRegister::Group)),
    (0x1_0100, 0x1_0104, W, Register::Word(WordRegister::SetEnable)),
    (0x1_0180, 0x1_0184, W, Register::Word(WordRegister::ClearEnable)),
    (0x1_0200, 0x1_0204, W, Register::Word(WordRegister::SetPending)),
    (0x1_0280, 0x1_0284, W, Register::Word(WordRegister::ClearPending)),
    (0x1_0300, 0x1_0304, W, Register::Word(WordRegister::SetActive)),
    (0x1_0380, 0x1_0384, W, Register::Word(WordRegister::ClearActive)),
    (0x1_0400, 0x1_0420, BW, Register::Priority),
    (0x1_0c00, 0x1_0c08, W, Register::Config),
];

/// Finds the register of an access, and the byte within its array.
pub(super) fn decode(rows: &[Row], offset: u64, width: u8) -> Option<(Register, u64)> {
    if !matches!(width, 1 | 2 | 4 | 8) || !offset.is_multiple_of(u64::from(width)) {
        return None;
    }
    let (first, _, _, register) = rows
        .iter()
        .find(|(first, end, widths, _)| (*first..*end).contains(&offset) && widths & width != 0)?;
    Some((*register, offset - first))
}

/// IIDR: product 'P', revision 0, JEP106 code of Arm as there is none of our own (IHI 0069, 12.9.17).
pub(super) const IIDR: u64 = 0x5000_043b;

/// The identity registers by byte from PIDR4. PIDR2.ArchRev = 3: GICv3 (IHI 0069, 12.9.24), or 2 (IHI 0048, 4.3.18);
/// the rest as in Arm's own.
pub(super) fn identity(version: Version, byte: u64) -> u64 {
    const V3: [u8; 12] = [0x44, 0, 0, 0, 0x92, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1];
    const V2: [u8; 12] = [0x04, 0, 0, 0, 0x90, 0xb4, 0x2b, 0, 0x0d, 0xf0, 0x05, 0xb1];
    let values = if version == Version::V2 { V2 } else { V3 };
    values.get(byte as usize / 4).map_or(0, |value| u64::from(*value))
}
