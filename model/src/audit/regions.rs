//! What is wanted: pieces of an address space, and the rules that they have to keep themselves.

use alloc::vec::Vec;

use crate::addr::{Pa, PaSpan};
use crate::sort;
use crate::stage2::Mapping;

/// A piece of an address space and what is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub input: u64,
    /// What is behind it.
    pub output: Pa,
    /// Bytes.
    pub size: u64,
    /// Attributes of its blocks and pages, as descriptors have them.
    pub attributes: u64,
}

impl Region {
    /// A piece of EL2's own address space.
    #[must_use]
    pub fn own(input: usize, physical: PaSpan, rights: Rights) -> Self {
        let pages = physical.pages();
        Self { input: input as u64, output: pages.base, size: pages.size, attributes: rights.attributes() }
    }

    fn physical(&self) -> PaSpan {
        PaSpan { base: self.output, size: self.size }
    }

    pub(super) fn end(&self) -> u64 {
        self.input.saturating_add(self.size)
    }
}

impl From<&Mapping> for Region {
    fn from(mapping: &Mapping) -> Self {
        Self {
            input: mapping.ipa.base.0,
            output: mapping.pa,
            size: mapping.ipa.size,
            attributes: mapping.kind.attributes(),
        }
    }
}

/// What EL2 may do with a piece of its own address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Code: read and executed.
    Text,
    /// Read.
    Constant,
    /// Read and written.
    Data,
    /// Device registers: read and written, ordered, never cached.
    Device,
}

/// AttrIndx\[2:0\], bits 4:2 (DDI 0487 D8.6.2): 0 is Device-nGnRE in MAIR_EL2, 1 is normal write-back (boot.S).
const INDEX: u64 = 7 << 2;
const NORMAL: u64 = 1 << 2;
/// AP\[1\], bit 6: RES1 at EL2 (D8.4.1).
const RES1: u64 = 1 << 6;
/// AP\[2\], bit 7: read-only.
const READ_ONLY: u64 = 1 << 7;
/// SH, bits 9:8: inner shareable.
const INNER: u64 = 3 << 8;
/// AF, bit 10: no access faults for it.
const AF: u64 = 1 << 10;
/// XN, bit 54.
const XN: u64 = 1 << 54;

impl Rights {
    /// The attribute bits of a block or page of EL2's stage 1.
    #[must_use]
    pub const fn attributes(self) -> u64 {
        match self {
            Self::Text => NORMAL | INNER | AF | RES1 | READ_ONLY,
            Self::Constant => NORMAL | INNER | AF | RES1 | READ_ONLY | XN,
            Self::Data => NORMAL | INNER | AF | RES1 | XN,
            Self::Device => AF | RES1 | XN,
        }
    }
}

/// A rule that what is wanted of EL2's own tables breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It can be written and executed, or is a device that can be executed.
    Executable(Region),
    /// It reaches a partition's memory.
    Foreign(Region),
    /// It is where nothing may be.
    Guard(Region),
    /// Two pieces have an address in common.
    Overlap(Region),
}

/// Sorts pieces, leaves out what is there twice, and joins those that continue each other: blocks may reach over both. Pieces that overlap stay apart,
/// and no tables agree with them.
#[must_use]
pub fn join(mut regions: Vec<Region>) -> Vec<Region> {
    regions.retain(|region| region.size != 0);
    sort::by(&mut regions, |a, b| a.input < b.input);
    regions.dedup();
    let mut joined: Vec<Region> = Vec::with_capacity(regions.len());
    for region in regions {
        match joined.last_mut() {
            Some(last)
                if last.end() == region.input
                    && last.physical().end() == region.output
                    && last.attributes == region.attributes =>
            {
                last.size += region.size;
            }
            _ => joined.push(region),
        }
    }
    joined
}

/// Checks what is wanted of EL2's own tables, by rising address: W^X, nothing of the partitions, nothing in `guards`.
///
/// # Errors
/// The first rule that is broken.
pub fn check(
    wanted: &[Region],
    partitions: &[PaSpan],
    guards: &[core::ops::Range<usize>],
) -> Result<(), Rule> {
    let mut end = 0;
    for region in wanted {
        let device = region.attributes & INDEX == 0;
        let writable = region.attributes & READ_ONLY == 0;
        if region.attributes & XN == 0 && (writable || device) {
            return Err(Rule::Executable(*region));
        }
        if partitions.iter().any(|memory| memory.overlaps(&region.physical())) {
            return Err(Rule::Foreign(*region));
        }
        if guards.iter().any(|guard| region.input < guard.end as u64 && (guard.start as u64) < region.end()) {
            return Err(Rule::Guard(*region));
        }
        if region.input < end {
            return Err(Rule::Overlap(*region));
        }
        end = region.end();
    }
    Ok(())
}
