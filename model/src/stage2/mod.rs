//! Stage 2: the tables that turn a partition's addresses into physical ones, and nothing else of the machine.
//!
//! The contents are computed here; where tables live and how they are written is the caller's business (the
//! [`Tables`] trait). 4 KiB granule, the largest blocks that alignment allows, and the Contiguous hint
//! where sixteen of them are as one. Tables are built once, before a partition starts, and never changed under it: so there is no
//! unmapping, no splitting and no break-before-make.

mod build;
mod shape;
mod walk;

pub use build::{build, pages_needed};
pub use shape::{Shape, vtcr};
pub use walk::{Leaf, leaf, translate, walk};

use core::fmt;

use crate::addr::{Ipa, IpaSpan, Pa, PaSpan};
use crate::weaken::{Guard, removed};

/// Memory for translation tables.
pub trait Tables {
    /// `pages` (a power of two) contiguous 4 KiB tables, zeroed and aligned to their whole size.
    fn alloc(&mut self, pages: usize) -> Option<Pa>;
    /// The descriptor at `index`; the root's may exceed 511 where root tables are concatenated.
    fn read(&self, table: Pa, index: usize) -> u64;
    /// Sets the descriptor at `index`.
    fn write(&mut self, table: Pa, index: usize, value: u64);
}

/// A range of guest addresses and what is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// What the guest uses.
    pub ipa: IpaSpan,
    /// What it gets.
    pub pa: Pa,
    /// Of what kind.
    pub kind: Kind,
}

impl Mapping {
    /// The physical range.
    #[must_use]
    pub fn physical(&self) -> PaSpan {
        PaSpan { base: self.pa, size: self.ipa.size }
    }
}

/// What is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RAM: cacheable, readable, writable, executable. The guest's own stage 1 narrows it.
    Memory,
    /// Device registers: ordered, never cached, never executed.
    Device,
    /// Memory of the hypervisor's that a guest may read: cacheable, as the hypervisor writes it, never written nor executed.
    Shown,
}

/// A block or page descriptor is valid (DDI 0487 D8.3.1, bit 0).
const VALID: u64 = 1;
/// A table descriptor at levels 0 to 2, a page descriptor at level 3 (D8.3.1, bit 1).
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Output address of a table, block or page with 48-bit physical addresses (D8.3.1, bits 47:12).
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// MemAttr\[3:0\], bits 5:2 (D8.6.2; FEAT_S2FWB not used): Normal, Inner and Outer Write-Back Cacheable.
const MEMATTR_NORMAL_WB: u64 = 0b1111 << 2;
/// Device-nGnRE: the guest may make it stronger, not weaker.
const MEMATTR_DEVICE_NGNRE: u64 = 0b0001 << 2;
/// S2AP, bits 7:6: read and write (D8.4.2).
const S2AP_RW: u64 = 0b11 << 6;
/// S2AP, bits 7:6: read only (D8.4.2).
const S2AP_RO: u64 = 0b01 << 6;
/// SH, bits 9:8: Inner Shareable (D8.6.2). It is ignored for Device memory.
const SH_INNER: u64 = 0b11 << 8;
/// The access flag, bit 10: set, so that no access faults for it (D8.4.5).
const AF: u64 = 1 << 10;
/// The Contiguous hint, bit 52 (D8.3.1): [`CONTIGUOUS_ENTRIES`] entries, aligned to all of them in both addresses, have the same
/// attributes and lead to addresses that go on. A core may keep them as one.
const CONTIGUOUS: u64 = 1 << 52;
/// How many entries that are, at each level with the 4 KiB granule (D8.7.1).
const CONTIGUOUS_ENTRIES: u64 = 16;
/// XN\[1:0\] = 0b10, bits 54:53: no execution at EL1 nor EL0, with and without FEAT_XNX (D8.4.3).
const XN_ALL: u64 = 0b10 << 53;

impl Kind {
    /// The attribute bits of a block or page of this kind.
    #[must_use]
    pub fn attributes(self) -> u64 {
        match self {
            Self::Memory => MEMATTR_NORMAL_WB | S2AP_RW | SH_INNER | AF,
            Self::Device => MEMATTR_DEVICE_NGNRE | S2AP_RW | AF | XN_ALL,
            Self::Shown => {
                let rights = if removed(Guard::ManagesReadOnly) { S2AP_RW } else { S2AP_RO };
                let never = if removed(Guard::ManagesNoCode) { 0 } else { XN_ALL };
                MEMATTR_NORMAL_WB | rights | SH_INNER | AF | never
            }
        }
    }
}

/// How many address bits lie below an entry of a table at `level`: 12, 21, 30, 39 for levels 3, 2, 1, 0.
const fn shift(level: u8) -> u32 {
    12 + 9 * (3 - level as u32)
}

/// Why tables could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The highest address needs more bits than the cores translate to.
    TooWide {
        /// One past the highest guest address.
        top: Ipa,
        /// Physical address bits of the cores, at most 48.
        pa_bits: u32,
    },
    /// A mapping's base, size or target is not a multiple of 4 KiB, or it is empty.
    Unaligned(Mapping),
    /// A mapping ends beyond the translated addresses.
    OutOfRange(Mapping),
    /// Two mappings share guest addresses.
    Overlap(IpaSpan, IpaSpan),
    /// No memory for another table.
    NoMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooWide { top, pa_bits } => {
                write!(
                    f,
                    "guest addresses up to {top} do not fit into the {pa_bits} bits that the cores translate"
                )
            }
            Self::Unaligned(m) => {
                write!(f, "{} at {} is empty or not in whole pages; use multiples of 0x1000", m.ipa, m.pa)
            }
            Self::OutOfRange(m) => write!(f, "{} at {} lies beyond what the tables translate", m.ipa, m.pa),
            Self::Overlap(a, b) => write!(f, "{a} and {b} overlap; one guest address has one meaning"),
            Self::NoMemory => f.write_str("no memory left for translation tables"),
        }
    }
}

impl core::error::Error for Error {}
