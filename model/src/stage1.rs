//! EL2's own tables (stage 1): 48 bits from level 0, 4 KiB granule, the largest blocks that alignment allows. Entries are only
//! ever added where there were none, so there is no splitting and no break-before-make.
//!
//! As in [`crate::stage2`], where tables live and how they are written is the caller's business.

use core::fmt;

use crate::addr::{PAGE, Pa};
use crate::audit::Region;
use crate::stage2::Tables;

/// A descriptor is valid (DDI 0487 D8.3.1, bit 0).
const VALID: u64 = 1;
/// A table at levels 0 to 2, a page at level 3 (D8.3.1, bit 1).
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Output address (D8.3.1, bits 47:12).
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// Entries of a table.
const ENTRIES: u64 = 512;
/// The level of pages.
const LAST: u8 = 3;

/// Why something cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Base, size or target is not a multiple of 4 KiB, or lies beyond 48 bits.
    Unfit(Region),
    /// Something else is mapped at this address already.
    Taken(u64),
    /// No memory for another table.
    NoMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(region) => write!(f, "{:#x} is not in whole pages of 48 bits", region.input),
            Self::Taken(input) => write!(f, "something else is mapped at {input:#x}"),
            Self::NoMemory => f.write_str("no memory left for translation tables"),
        }
    }
}

impl core::error::Error for Error {}

/// How many bytes an entry of a table at `level` maps.
const fn covered(level: u8) -> u64 {
    PAGE << (9 * (LAST - level) as u32)
}

fn index(input: u64, level: u8) -> usize {
    (input / covered(level) % ENTRIES) as usize
}

/// Tables of EL2's own, by their root. They are used with the same [`Tables`] all along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root(pub Pa);

/// An entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The table.
    pub table: Pa,
    /// Which entry of it.
    pub index: usize,
    /// The table's level.
    pub level: u8,
}

impl Root {
    /// Maps a region, with blocks where both its addresses allow, or with pages only. What is mapped already in the same way
    /// stays as it is.
    ///
    /// # Errors
    ///
    /// What of it is mapped otherwise, or cannot be. What comes before that is mapped then.
    pub fn map(self, tables: &mut impl Tables, region: &Region, blocks: bool) -> Result<(), Error> {
        let unfit = Error::Unfit(*region);
        let end = |from: u64| from.checked_add(region.size).filter(|end| *end <= 1 << 48).ok_or(unfit);
        let (input_end, _) = (end(region.input)?, end(region.output.0)?);
        if !(region.input | region.output.0 | region.size).is_multiple_of(PAGE) {
            return Err(unfit);
        }
        let (mut input, mut output) = (region.input, region.output.0);
        while input < input_end {
            let fits = |level: &u8| {
                (input | output).is_multiple_of(covered(*level)) && input_end - input >= covered(*level)
            };
            let level = if blocks { (1..LAST).find(fits).unwrap_or(LAST) } else { LAST };
            let first = self.entry(tables, input, level)?;
            let step = covered(first.level);
            let descriptor = |output: u64| {
                let kind = if first.level == LAST { TABLE_OR_PAGE } else { 0 };
                output | region.attributes | kind | VALID
            };
            if first.level < level {
                // A block above, which has to be what is wanted here.
                let before = input % step;
                let wanted = output.checked_sub(before).map(descriptor);
                if Some(tables.read(first.table, first.index)) != wanted {
                    return Err(Error::Taken(input));
                }
                let size = (step - before).min(input_end - input);
                (input, output) = (input + size, output + size);
                continue;
            }
            // To the end of the table, where a larger block may begin, or to the last that is whole.
            let count = (ENTRIES - first.index as u64).min((input_end - input) / step);
            let mut wanted = descriptor(output);
            for index in (first.index..).take(count as usize) {
                let there = tables.read(first.table, index);
                if there != wanted {
                    if there & VALID != 0 {
                        return Err(Error::Taken(input + (index - first.index) as u64 * step));
                    }
                    tables.write(first.table, index, wanted);
                }
                wanted += step;
            }
            (input, output) = (input + count * step, output + count * step);
        }
        Ok(())
    }

    /// The entry for an address at `level`, with tables made above it where there are none; or that of the block which
    /// translates it, at a level above.
    ///
    /// # Errors
    ///
    /// There is no memory for a table.
    pub fn entry(self, tables: &mut impl Tables, input: u64, level: u8) -> Result<Entry, Error> {
        let mut table = self.0;
        for above in 0..level {
            let index = index(input, above);
            let mut descriptor = tables.read(table, index);
            if descriptor & VALID == 0 {
                descriptor = tables.alloc(1).ok_or(Error::NoMemory)?.0 & ADDRESS | TABLE_OR_PAGE | VALID;
                tables.write(table, index, descriptor);
            }
            if descriptor & TABLE_OR_PAGE == 0 {
                return Ok(Entry { table, index, level: above });
            }
            table = Pa(descriptor & ADDRESS);
        }
        Ok(Entry { table, index: index(input, level), level })
    }
}
