//! The stream table: an entry for every stream, most of them one that aborts.
//!
//! Two levels, of which the lower has 64 entries in each of its tables, a page. Tables whose entries would all be the
//! same are one table: that of streams that nobody has, and one for each partition that has all 64. So a bridge with
//! 65,536 streams takes four pages, whether it is given or not.

use alloc::vec::Vec;

use super::entry::{WORDS, nobody};
use super::{Features, Guard, Mode, Unfit};
use crate::addr::Pa;
use crate::plan::Streams;
use crate::stage2::Tables;

/// Streams of a lower table, as a power of two (SMMU_STRTAB_BASE_CFG.SPLIT: 6, 8 or 10).
const SPLIT: u8 = 6;
/// Entries of a lower table.
const ENTRIES: u32 = 1 << SPLIT;
/// Most bits of a StreamID that the table tells apart; the upper level is then 128 KiB.
const MOST_BITS: u8 = 20;
/// STE words in a page.
const PAGE_WORDS: usize = 512;
/// L1STD.Span, bits 4:0: a lower table has 2^(Span-1) entries (IHI 0070, 5.1). L2Ptr is in bits 51:6.
const SPAN: u64 = SPLIT as u64 + 1;
const L2PTR: u64 = 0x000f_ffff_ffff_ffc0;

/// A partition's part of an SMMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its streams, disjoint from everybody else's.
    pub streams: Vec<Streams>,
    /// What they are translated by.
    pub guard: Guard,
}

/// A stream table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTable {
    /// Where it is: SMMU_STRTAB_BASE.ADDR.
    pub base: Pa,
    /// SMMU_STRTAB_BASE_CFG.
    pub config: u32,
    /// What each owner has of it.
    pub owned: Vec<Owned>,
}

/// The entries of one owner. Those in a shared table stand for many streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned(Vec<Entries>);

/// Entries next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entries {
    table: Pa,
    first: u32,
    count: u32,
}

impl Owned {
    /// Sets all of an owner's entries. Those that the SMMU has read already it has to be told to forget.
    pub fn set(&self, tables: &mut impl Tables, guard: &Guard, mode: Mode) {
        let words = guard.entry(mode);
        for run in &self.0 {
            for entry in run.first..run.first.saturating_add(run.count) {
                write(tables, run.table, entry, words);
            }
        }
    }
}

/// The most pages that [`build`] can take, with those that alignment costs.
#[must_use]
pub fn pages_needed<'o>(owners: impl Iterator<Item = &'o Owner> + Clone) -> usize {
    let runs = || owners.clone().flat_map(|owner| &owner.streams);
    let highest = runs().map(Streams::last).max().unwrap_or(0);
    let bits = (u32::BITS - highest.leading_zeros()).clamp(SPLIT.into(), MOST_BITS.into());
    let upper = (size_of::<u64>() << (bits - u32::from(SPLIT))).div_ceil(PAGE_WORDS * size_of::<u64>());
    // Nobody's; the upper level; each owner's own; and one where each run begins and one where it ends.
    1 + 2 * upper.next_power_of_two() + owners.clone().count() + 2 * runs().count()
}

/// Makes the table of an SMMU on which every stream aborts; [`Owned::set`] lets an owner's through.
///
/// # Errors
///
/// Where the SMMU lacks a stream, or the table has no room.
pub fn build(tables: &mut impl Tables, features: &Features, owners: &[Owner]) -> Result<StreamTable, Unfit> {
    let highest = owners.iter().flat_map(|owner| &owner.streams).map(Streams::last).max().unwrap_or(0);
    if u64::from(highest) >> features.stream_bits != 0 {
        return Err(Unfit::NoStream(highest));
    }
    let needed = (u32::BITS - highest.leading_zeros()) as u8;
    if needed > MOST_BITS || (needed > SPLIT && !features.two_level) {
        return Err(Unfit::TooManyStreams(highest));
    }
    // Streams beyond the table are aborted too (C_BAD_STREAMID), so it need not be larger.
    let bits = needed.max(SPLIT);
    let mut maker = Maker::new(tables, bits)?;
    let owned = owners.iter().map(|owner| maker.own(owner)).collect::<Result<_, _>>()?;
    let (base, format) = match maker.upper {
        Some(upper) => (upper, 1 << 16 | u32::from(SPLIT) << 6),
        None => (maker.nobody, 0),
    };
    // LOG2SIZE, bits 5:0; SPLIT, bits 10:6; FMT, bits 17:16 (6.3: SMMU_STRTAB_BASE_CFG).
    let log2 = bits.min(features.stream_bits);
    Ok(StreamTable { base, config: u32::from(log2) | format, owned })
}

fn write(tables: &mut impl Tables, table: Pa, entry: u32, words: [u64; WORDS]) {
    let first = entry as usize % (PAGE_WORDS / WORDS) * WORDS;
    // The first word says whether the others count: it is the last to become so.
    for (place, word) in words.into_iter().enumerate().rev() {
        if tables.read(table, first + place) != word {
            tables.write(table, first + place, word);
        }
    }
}

struct Maker<'a, T> {
    tables: &'a mut T,
    /// The upper level; none where a single lower table is all.
    upper: Option<Pa>,
    /// The lower table of streams that nobody has.
    nobody: Pa,
}

impl<'a, T: Tables> Maker<'a, T> {
    fn new(tables: &'a mut T, bits: u8) -> Result<Self, Unfit> {
        let mut maker = Self { tables, upper: None, nobody: Pa(0) };
        maker.nobody = maker.lower(0..ENTRIES, nobody())?;
        if bits > SPLIT {
            let groups = 1_usize << (bits - SPLIT);
            let pages = (groups * size_of::<u64>()).div_ceil(PAGE_WORDS * size_of::<u64>());
            let upper = maker.tables.alloc(pages).ok_or(Unfit::NoMemory)?;
            maker.upper = Some(upper);
            for group in 0..groups {
                maker.point(upper, group as u32, maker.nobody);
            }
        }
        Ok(maker)
    }

    /// A lower table in which these entries are as given, and the rest abort.
    fn lower(&mut self, entries: core::ops::Range<u32>, words: [u64; WORDS]) -> Result<Pa, Unfit> {
        let table = self.tables.alloc(1).ok_or(Unfit::NoMemory)?;
        for entry in 0..ENTRIES {
            write(self.tables, table, entry, if entries.contains(&entry) { words } else { nobody() });
        }
        Ok(table)
    }

    fn point(&mut self, upper: Pa, group: u32, lower: Pa) {
        self.tables.write(upper, group as usize, lower.0 & L2PTR | SPAN);
    }

    /// The lower table of a group of streams that is not shared.
    fn own_lower(&mut self, group: u32) -> Result<Pa, Unfit> {
        let Some(upper) = self.upper else { return Ok(self.nobody) };
        let now = Pa(self.tables.read(upper, group as usize) & L2PTR);
        if now != self.nobody {
            return Ok(now);
        }
        let lower = self.lower(0..0, nobody())?;
        self.point(upper, group, lower);
        Ok(lower)
    }

    fn own(&mut self, owner: &Owner) -> Result<Owned, Unfit> {
        let words = owner.guard.entry(Mode::Abort);
        let (mut owned, mut full) = (Vec::new(), None);
        for run in &owner.streams {
            for group in run.first / ENTRIES..=run.last() / ENTRIES {
                let base = group * ENTRIES;
                let (first, last) = (run.first.max(base), run.last().min(base + (ENTRIES - 1)));
                let count = last - first + 1;
                let whole = count == ENTRIES;
                let table = match (self.upper, full) {
                    (Some(upper), Some(full)) if whole => {
                        self.point(upper, group, full);
                        continue;
                    }
                    (Some(upper), None) if whole => {
                        let table = self.lower(0..ENTRIES, words)?;
                        full = Some(table);
                        self.point(upper, group, table);
                        table
                    }
                    _ => self.own_lower(group)?,
                };
                let entries = Entries { table, first: first - base, count };
                for entry in entries.first..entries.first + count {
                    write(self.tables, table, entry, words);
                }
                owned.push(entries);
            }
        }
        Ok(Owned(owned))
    }
}
