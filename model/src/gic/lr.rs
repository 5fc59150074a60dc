//! List-register images (ICH_LR<n>_EL2, IHI 0069, 12.4.9) and operations on one core's list registers.
//!
//! [`perform`] is all that another core may do to this one's list registers. It keeps no state of its own.

use super::hw::{ListRegisters, Op, State};

/// State field: pending.
pub const PENDING: u64 = 1 << 62;
/// State field: active. Both bits: pending and active, only without [`HW`].
pub const ACTIVE: u64 = 1 << 63;
/// The guest's end of interrupt deactivates the physical interrupt too.
pub const HW: u64 = 1 << 61;
/// Group 1.
pub const GROUP1: u64 = 1 << 60;
/// Maintenance interrupt at the guest's end of interrupt. Only without [`HW`]: the bit belongs to pINTID else.
pub const EOI: u64 = 1 << 41;

/// Lowest of the three bits of an SGI's source with GICv2: CPUID there (IHI 0048, 5.3.8), pINTID's here.
const SOURCE_SHIFT: u32 = 32;
const PRIORITY_SHIFT: u32 = 48;
const PHYSICAL_SHIFT: u32 = 32;

/// What kind of interrupt an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Backed by the physical interrupt of the same number.
    Physical,
    /// Software's, with a maintenance interrupt at its end.
    Notified,
    /// Software's: an SGI.
    Plain,
}

/// A pending image.
#[must_use]
pub fn image(intid: u32, priority: u8, group1: bool, kind: Kind) -> u64 {
    let intid = u64::from(intid & 0x3ff);
    let kind = match kind {
        Kind::Physical => HW | intid << PHYSICAL_SHIFT,
        Kind::Notified => EOI,
        Kind::Plain => 0,
    };
    PENDING | kind | u64::from(group1) << 60 | u64::from(priority) << PRIORITY_SHIFT | intid
}

/// The image of a physical interrupt as one that is software's from now on, with maintenance at its end.
pub(super) fn untied(image: u64) -> u64 {
    image & !(HW | 0x3ff << PHYSICAL_SHIFT) | EOI
}

/// The virtual INTID of an image.
#[must_use]
pub fn intid(image: u64) -> u32 {
    image as u32 & 0x3ff
}

/// The priority of an image.
#[must_use]
pub fn priority(image: u64) -> u8 {
    (image >> PRIORITY_SHIFT) as u8
}

/// The image with another priority.
pub(super) fn with_priority(image: u64, priority: u8) -> u64 {
    image & !(0xff << PRIORITY_SHIFT) | u64::from(priority) << PRIORITY_SHIFT
}

/// The CPU interface that sent an SGI (GICv2).
pub(super) fn source(image: u64) -> u32 {
    (image >> SOURCE_SHIFT) as u32 & 7
}

/// The image with the CPU interface that sent it (GICv2).
pub(super) fn with_source(image: u64, source: u32) -> u64 {
    image | u64::from(source & 7) << SOURCE_SHIFT
}

/// The image as GICv2's GICH_LR<n> has it (IHI 0048, 5.3.8): HW, Grp1 and State in bits 31..28, five bits of priority
/// in 27..23, the physical number (or EOI in bit 19 and the source in 12..10) in 19..10, the virtual one in 9..0.
#[must_use]
pub fn to_gicv2(image: u64) -> u32 {
    let state = (image >> 62) as u32 & 3;
    let flags = (image >> 60) as u32 & 3;
    let priority = u32::from(priority(image)) >> 3;
    let physical = (image >> PHYSICAL_SHIFT) as u32 & 0x3ff;
    flags << 30 | state << 28 | priority << 23 | physical << 10 | intid(image)
}

/// The image that a GICv2's list register holds.
#[must_use]
pub fn from_gicv2(register: u32) -> u64 {
    let register = u64::from(register);
    let (flags, state, priority) = (register >> 30 & 3, register >> 28 & 3, register >> 23 & 0x1f);
    let physical = register >> 10 & 0x3ff;
    state << 62
        | flags << 60
        | priority << 3 << PRIORITY_SHIFT
        | physical << PHYSICAL_SHIFT
        | register & 0x3ff
}

/// Whether a list register with this image holds an interrupt.
#[must_use]
pub fn is_valid(image: u64) -> bool {
    image & (PENDING | ACTIVE) != 0
}

/// Whether a list register with this image may be filled: it holds nothing, and no end of interrupt that maintenance
/// has yet to see (ICH_ELRSR_EL2 has the same rule: invalid, and HW = 1 or EOI = 0).
#[must_use]
pub fn is_free(image: u64) -> bool {
    !is_valid(image) && !is_ended(image)
}

/// Whether the guest ended this interrupt and maintenance has not seen it yet (ICH_EISR_EL2's rule).
#[must_use]
pub fn is_ended(image: u64) -> bool {
    !is_valid(image) && image & (HW | EOI) == EOI
}

/// Whether the image is pending and not active. Only such a one may leave its list register again.
#[must_use]
pub fn is_waiting(image: u64) -> bool {
    image & (PENDING | ACTIVE) == PENDING
}

/// Performs an operation on the calling core's list registers: for itself or, from the kick handler, for another.
///
/// One that becomes neither pending nor active is cleared whole, so that its EOI bit cannot raise maintenance.
pub fn perform(op: Op, lrs: &mut impl ListRegisters) -> State {
    let (word, mask) = match op {
        Op::Query { word, mask } | Op::Withdraw { word, mask } | Op::Deactivate { word, mask } => {
            (word, mask)
        }
        Op::Update { intid, .. } => (intid / 32, 1 << (intid % 32)),
    };
    let mut state = State::default();
    for index in 0..lrs.count() {
        let old = lrs.read(index);
        let bit = 1 << (intid(old) % 32);
        if !is_valid(old) || intid(old) / 32 != word || mask & bit == 0 {
            continue;
        }
        if old & PENDING != 0 {
            state.pending |= bit;
        }
        if old & ACTIVE != 0 {
            state.active |= bit;
        }
        let new = match op {
            Op::Query { .. } => old,
            Op::Withdraw { .. } => old & !PENDING,
            Op::Deactivate { .. } => old & !ACTIVE,
            // The priority of an active one decides what may preempt it: it stays as acknowledged (IHI 0069, 4.8).
            Op::Update { .. } if old & ACTIVE != 0 => old,
            Op::Update { priority, group1, .. } => {
                with_priority(old, priority) & !GROUP1 | u64::from(group1) << 60
            }
        };
        if new != old {
            lrs.write(index, if is_valid(new) { new } else { 0 });
        }
    }
    state
}
