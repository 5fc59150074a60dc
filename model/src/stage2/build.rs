//! Fills tables from a list of mappings.

use alloc::vec::Vec;

use super::{
    ADDRESS, CONTIGUOUS, CONTIGUOUS_ENTRIES, Error, Mapping, Shape, TABLE_OR_PAGE, Tables, VALID, shift,
};
use crate::addr::{IpaSpan, PAGE, Pa, PaSpan};
use crate::sort;

/// Makes the tables for these mappings and returns the root. Their order does not matter.
///
/// On an error the tables made so far are of no use; nothing refers to them.
pub fn build(tables: &mut impl Tables, shape: &Shape, mappings: &[Mapping]) -> Result<Pa, Error> {
    let runs = runs(shape, mappings)?;
    let root = tables.alloc(shape.root_pages.into()).ok_or(Error::NoMemory)?;
    for run in &runs {
        fill(tables, root, shape.level(), 0, run, *run)?;
    }
    Ok(root)
}

/// How many 4 KiB tables [`build`] will allocate, the root's included.
pub fn pages_needed(shape: &Shape, mappings: &[Mapping]) -> Result<usize, Error> {
    // Runs are sorted and disjoint: a table that two runs share is the last one that was counted at its level.
    let mut last = [None; 4];
    let mut pages = usize::from(shape.root_pages);
    for run in &runs(shape, mappings)? {
        pages += count(shape.level(), *run, &mut last);
    }
    Ok(pages)
}

/// Checks the mappings and joins neighbours that continue each other, so that they share blocks.
fn runs(shape: &Shape, mappings: &[Mapping]) -> Result<Vec<Mapping>, Error> {
    let limit = 1_u64 << shape.ipa_bits();
    let mut sorted = mappings.to_vec();
    sort::by(&mut sorted, |a, b| a.ipa < b.ipa);
    let mut runs: Vec<Mapping> = Vec::with_capacity(sorted.len());
    for mapping in sorted {
        if mapping.ipa.size == 0 || !mapping.ipa.is_aligned(PAGE) || !mapping.physical().is_aligned(PAGE) {
            return Err(Error::Unaligned(mapping));
        }
        // A span's fields are public, so its end is computed here anew, with the overflow seen.
        let ipa_end = IpaSpan::new(mapping.ipa.base, mapping.ipa.size).map(|s| s.end());
        let pa_end = PaSpan::new(mapping.pa, mapping.ipa.size).map(|s| s.end());
        if ipa_end.is_none_or(|end| end.0 > limit) || pa_end.is_none_or(|end| end.0 > ADDRESS + PAGE) {
            return Err(Error::OutOfRange(mapping));
        }
        match runs.last_mut() {
            Some(last) if last.ipa.end() > mapping.ipa.base => {
                return Err(Error::Overlap(last.ipa, mapping.ipa));
            }
            Some(last)
                if last.ipa.end() == mapping.ipa.base
                    && last.physical().end() == mapping.pa
                    && last.kind == mapping.kind =>
            {
                last.ipa.size += mapping.ipa.size;
            }
            _ => runs.push(mapping),
        }
    }
    Ok(runs)
}

/// The first part of a run, up to the end of the entry at `level` in which it begins; and what is left of it.
fn first_entry(level: u8, run: Mapping) -> (Mapping, Option<Mapping>) {
    let entry = 1_u64 << shift(level);
    let size = (entry - run.ipa.base.0 % entry).min(run.ipa.size);
    let part = Mapping { ipa: IpaSpan { base: run.ipa.base, size }, ..run };
    let rest = (size < run.ipa.size).then(|| Mapping {
        ipa: IpaSpan { base: part.ipa.end(), size: run.ipa.size - size },
        pa: part.physical().end(),
        ..run
    });
    (part, rest)
}

/// Whether one descriptor at `level` can map the part: whole pages at level 3, blocks at 2 and 1, none at 0.
fn is_leaf(level: u8, part: &Mapping) -> bool {
    let entry = 1_u64 << shift(level);
    level >= 1 && part.ipa.size == entry && part.pa.0.is_multiple_of(entry)
}

/// The Contiguous hint for an entry at `level` that maps a part of `whole`, if all of its group maps that too.
fn hint(level: u8, part: &Mapping, whole: &Mapping) -> u64 {
    let group = CONTIGUOUS_ENTRIES << shift(level);
    let into = part.ipa.base.0 % group;
    let base = part.ipa.base.0 - into;
    let within = whole.ipa.base.0 <= base && whole.ipa.end().0 - base >= group;
    if within && part.pa.0 % group == into { CONTIGUOUS } else { 0 }
}

/// Maps what is left of the run `whole` into the table at `level` that translates the addresses from `base` on. At most four
/// calls deep.
fn fill(
    tables: &mut impl Tables,
    table: Pa,
    level: u8,
    base: u64,
    whole: &Mapping,
    left: Mapping,
) -> Result<(), Error> {
    let mut left = Some(left);
    while let Some(run) = left {
        let (part, rest) = first_entry(level, run);
        left = rest;
        let index = (part.ipa.base.0 - base) >> shift(level);
        let entry_base = base + (index << shift(level));
        let index = index as usize;
        let old = tables.read(table, index);
        if is_leaf(level, &part) || level == 3 {
            if old & VALID != 0 {
                return Err(Error::Overlap(part.ipa, part.ipa));
            }
            let page = if level == 3 { TABLE_OR_PAGE } else { 0 };
            let attributes = part.kind.attributes() | hint(level, &part, whole);
            tables.write(table, index, part.pa.0 | attributes | page | VALID);
            continue;
        }
        let next = if old & VALID == 0 {
            let next = tables.alloc(1).ok_or(Error::NoMemory)?;
            tables.write(table, index, (next.0 & ADDRESS) | TABLE_OR_PAGE | VALID);
            next
        } else if old & TABLE_OR_PAGE != 0 {
            Pa(old & ADDRESS)
        } else {
            return Err(Error::Overlap(part.ipa, part.ipa));
        };
        fill(tables, next, level + 1, entry_base, whole, part)?;
    }
    Ok(())
}

/// How many tables below `level` the run needs that none before it needed.
fn count(level: u8, run: Mapping, last: &mut [Option<u64>; 4]) -> usize {
    let mut pages = 0;
    let mut left = if level < 3 { Some(run) } else { None };
    while let Some(run) = left {
        let (part, rest) = first_entry(level, run);
        left = rest;
        if is_leaf(level, &part) {
            continue;
        }
        let entry = Some(part.ipa.base.0 >> shift(level));
        if let Some(seen) = last.get_mut(usize::from(level))
            && *seen != entry
        {
            *seen = entry;
            pages += 1;
        }
        pages += count(level + 1, part, last);
    }
    pages
}
