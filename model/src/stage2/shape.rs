//! How wide a partition's address space is and where its walk starts; VTCR_EL2 follows from that.

use super::{Error, shift};
use crate::addr::Ipa;

/// The form of a set of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// VTCR_EL2.T0SZ: 64 less the bits of a guest address.
    pub t0sz: u8,
    /// VTCR_EL2.SL0: 0b01 starts at level 1, 0b10 at level 0 (4 KiB granule).
    pub sl0: u8,
    /// The level of the root.
    pub start_level: u8,
    /// Root tables, concatenated: 1, 2, 4, 8 or 16.
    pub root_pages: u8,
}

/// The widest address that this model handles. Cores with 52 bits (FEAT_LPA) are used with 48: more needs another
/// granule or descriptor format.
const MAX_BITS: u32 = 48;
/// Narrower spaces are legal, but gain nothing: a walk from level 1 is one table for 31 to 39 bits.
const MIN_BITS: u32 = 32;
/// Bits that one root table at level 1 resolves; up to four more by concatenation (DDI 0487 D8.2.2).
const LEVEL1_BITS: u32 = 39;
/// Most bits of a walk from level 1. Beyond it the walk starts at level 0, which the architecture allows only to
/// cores with 44 or more physical bits: whoever needs it has them, as guest addresses never exceed physical ones.
const LEVEL1_MAX_BITS: u32 = LEVEL1_BITS + 4;

impl Shape {
    /// The smallest form that translates every address below `top`, on cores with `pa_bits` physical address bits
    /// (ID_AA64MMFR0_EL1.PARange in bits: 32, 36, 40, 42, 44, 48, 52).
    ///
    /// The walk starts at level 1 wherever it can: level 2 would rule out 1 GiB blocks, level 0 costs a step.
    pub fn for_top(top: Ipa, pa_bits: u32) -> Result<Self, Error> {
        let pa_bits = pa_bits.min(MAX_BITS);
        let needed = u64::BITS - top.0.saturating_sub(1).leading_zeros();
        let bits = needed.max(MIN_BITS);
        if bits > pa_bits {
            return Err(Error::TooWide { top, pa_bits });
        }
        // The ranges checked above keep every cast below lossless: bits is 32 to 48.
        let t0sz = (64 - bits) as u8;
        Ok(if bits <= LEVEL1_MAX_BITS {
            let concatenated = bits.saturating_sub(LEVEL1_BITS);
            Self { t0sz, sl0: 0b01, start_level: 1, root_pages: 1 << concatenated }
        } else {
            Self { t0sz, sl0: 0b10, start_level: 0, root_pages: 1 }
        })
    }

    /// How many bits a guest address has.
    #[must_use]
    pub fn ipa_bits(&self) -> u32 {
        64 - u32::from(self.t0sz.clamp(16, 63))
    }

    /// How many entries the root has, all its tables together.
    #[must_use]
    pub(crate) fn root_entries(&self) -> usize {
        1 << self.ipa_bits().saturating_sub(shift(self.level())).min(13)
    }

    /// The root's level, whatever was put into the field.
    pub(super) fn level(&self) -> u8 {
        self.start_level.min(3)
    }
}

/// VTCR_EL2 for these tables (DDI 0487 D24.2.200) on cores with `pa_bits` physical address bits.
#[must_use]
pub fn vtcr(shape: &Shape, pa_bits: u32) -> u64 {
    // PS, bits 18:16: the output size. 0b110 (52 bits) is never used.
    let ps = match pa_bits {
        0..=35 => 0b000,
        36..=39 => 0b001,
        40..=41 => 0b010,
        42..=43 => 0b011,
        44..=47 => 0b100,
        _ => 0b101,
    };
    u64::from(shape.t0sz)                       // T0SZ, bits 5:0
        | u64::from(shape.sl0) << 6             // SL0, bits 7:6
        | 0b01 << 8                             // IRGN0: walks are Inner Write-Back, Write-Allocate cacheable
        | 0b01 << 10                            // ORGN0: and Outer
        | 0b11 << 12                            // SH0: Inner Shareable
                                                // TG0, bits 15:14 = 0b00: 4 KiB granule
        | ps << 16
                                                // VS, bit 19 = 0: 8-bit VMIDs, which every core has
                                                // HA and HD, bits 21 and 22 = 0: no hardware flag updates
        | 1 << 31 // RES1
}
