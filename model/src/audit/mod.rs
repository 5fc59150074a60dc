//! The audit: whether translation tables, as they lie in memory, map what the plan says; nothing more, nothing less,
//! with no other rights. It believes nothing of the code that made them, and reads them as the hardware does.
//!
//! It goes on in steps of one table each, so that a core that audits itself can look after its guest in between; it
//! allocates nothing, and what it says needs no `core::fmt` (EL2 has none of that on its exits).

mod fault;
mod regions;
#[cfg(test)]
mod tests;

pub use fault::{Fault, Words};
pub use regions::{Region, Rights, Rule, check, join};

use crate::addr::Pa;
use crate::stage2::Shape;

/// A descriptor is valid (DDI 0487 D8.3.1, bit 0).
const VALID: u64 = 1;
/// A table at levels 0 to 2, a page at level 3 (D8.3.1, bit 1).
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Output address (D8.3.1, bits 47:12).
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// The Contiguous hint, bit 52 of a block or page (D8.3.1): it is one of sixteen that are as one.
const CONTIGUOUS: u64 = 1 << 52;
/// NSTable, APTable, XNTable, PXNTable: rights that a table takes from all below it (D8.3.1, bits 63:59). None is used.
const TABLE_RIGHTS: u64 = 0x1f << 59;

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// Which tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    start: u8,
    entries: usize,
    /// Whether the Contiguous hint is where it can be; else it is nowhere.
    hints: bool,
}

impl Form {
    /// EL2's own: 48 bits from level 0.
    pub const EL2: Self = Self { start: 0, entries: ENTRIES, hints: false };

    /// A partition's.
    #[must_use]
    pub fn stage2(shape: &Shape) -> Self {
        Self { start: shape.start_level.min(3), entries: shape.root_entries(), hints: true }
    }
}

/// A block or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The first address that it translates.
    pub input: u64,
    /// To where, as the descriptor has it.
    pub output: Pa,
    /// Bytes.
    pub size: u64,
    /// Everything else in the descriptor.
    pub attributes: u64,
}

/// How many address bits lie below an entry of a table at `level`.
const fn shift(level: u8) -> u32 {
    12 + 9 * (3 - level as u32)
}

/// A walk through tables, compared with what is wanted.
#[derive(Clone, Debug)]
pub struct Audit<'a> {
    form: Form,
    wanted: &'a [Region],
    /// The table at each level that the walk is in, and the next entry of each.
    path: [(Pa, usize); 4],
    level: u8,
    over: bool,
    /// Tables that may still come: a loop of tables ends.
    tables: u64,
    /// How far the wanted regions have been seen: an index, and bytes of that region.
    seen: (usize, u64),
    leaves: u64,
}

impl<'a> Audit<'a> {
    /// Of the tables with this root. `wanted` is as [`join`] gives it.
    #[must_use]
    pub fn new(form: Form, root: Pa, wanted: &'a [Region]) -> Self {
        let mut path = [(Pa(0), 0); 4];
        if let Some(first) = path.get_mut(usize::from(form.start)) {
            first.0 = root;
        }
        // At each end of a region a table of each level, and one for each 2 MiB.
        let tables =
            wanted.iter().fold(0_u64, |sum, region| sum.saturating_add(7 + (region.size >> shift(2))));
        Self { form, wanted, path, level: form.start, over: false, tables, seen: (0, 0), leaves: 0 }
    }

    /// The page with the descriptors that the next step reads; none: it is over.
    #[must_use]
    pub fn page(&self) -> Option<Pa> {
        let (table, next) = self.path.get(usize::from(self.level)).filter(|_| !self.over)?;
        // A root of several tables: they lie one behind the other (D8.2.2).
        Some(Pa(table.0.wrapping_add((*next / ENTRIES * 0x1000) as u64)))
    }

    /// How many blocks and pages were seen.
    #[must_use]
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Reads at most `most` descriptors of the current [`Self::page`]; `read` gives them by their index there.
    ///
    /// # Errors
    /// What is first found wrong. The audit is over then.
    pub fn step(&mut self, most: usize, read: impl Fn(usize) -> u64) -> Result<(), Fault> {
        let page = self.page();
        let (mut left, mut result) = (most, Ok(()));
        while result.is_ok() && left > 0 && page.is_some() && self.page() == page {
            result = self.entries(&mut left, &read);
        }
        self.over |= result.is_err();
        result
    }

    /// All of it at once; `read` gives the descriptor at an index of a page.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run(&mut self, read: impl Fn(Pa, usize) -> u64) -> Result<(), Fault> {
        while let Some(page) = self.page() {
            self.step(ENTRIES, |index| read(page, index))?;
        }
        Ok(())
    }

    /// Entries of the page up to the first that is valid, which is looked at: most are not. At most `left` are read.
    fn entries(&mut self, left: &mut usize, read: impl Fn(usize) -> u64) -> Result<(), Fault> {
        let entries = if self.level == self.form.start { self.form.entries } else { ENTRIES };
        let Some((_, next)) = self.path.get_mut(usize::from(self.level)) else { return Ok(()) };
        // Not into the next page of a root of several tables.
        let first = *next;
        let stop = entries.min(first.saturating_add((*left).min(ENTRIES - first % ENTRIES)));
        let mut rest = (first..stop).map(|index| (index + 1, read(index % ENTRIES)));
        let found = rest.find(|(_, descriptor)| descriptor & VALID != 0);
        *next = found.map_or(stop, |(after, _)| after);
        *left = left.saturating_sub(next.saturating_sub(first));
        let Some((_, descriptor)) = found else {
            return if *next >= entries { self.up() } else { Ok(()) };
        };
        let input = self.input();
        let is_table_or_page = descriptor & TABLE_OR_PAGE != 0;
        match (is_table_or_page, self.level) {
            (true, 0..=2) => self.down(input, descriptor),
            (true, 3) | (false, 1 | 2) => self.leaf(Leaf {
                input,
                output: Pa(descriptor & ADDRESS),
                size: 1 << shift(self.level),
                attributes: descriptor & !(ADDRESS | TABLE_OR_PAGE | VALID),
            }),
            _ => Err(Fault::Reserved { input, descriptor }),
        }
    }

    /// The address that the entry read last begins at.
    fn input(&self) -> u64 {
        let part = |(level, (_, next)): (u8, &(Pa, usize))| (next.saturating_sub(1) as u64) << shift(level);
        let path = (0..4_u8).zip(&self.path);
        path.filter(|(level, _)| (self.form.start..=self.level).contains(level)).map(part).sum()
    }

    fn up(&mut self) -> Result<(), Fault> {
        if self.level > self.form.start {
            self.level -= 1;
            return Ok(());
        }
        self.over = true;
        self.left().map_or(Ok(()), |region| Err(Fault::Missing(region)))
    }

    fn down(&mut self, input: u64, descriptor: u64) -> Result<(), Fault> {
        let fault = Fault::Table { input, descriptor };
        self.tables = self.tables.checked_sub(1).ok_or(fault)?;
        if descriptor & TABLE_RIGHTS != 0 {
            return Err(fault);
        }
        self.level += 1;
        if let Some(entry) = self.path.get_mut(usize::from(self.level)) {
            *entry = (Pa(descriptor & ADDRESS), 0);
        }
        Ok(())
    }

    /// What of the wanted regions is next: what was not seen of it yet.
    fn left(&self) -> Option<Region> {
        let (index, done) = self.seen;
        let region = self.wanted.get(index)?;
        Some(Region {
            input: region.input + done,
            output: Pa(region.output.0 + done),
            size: region.size - done,
            attributes: region.attributes,
        })
    }

    /// The Contiguous hint, where it belongs: all sixteen of the leaf's group are of the region that is next, and that region's
    /// addresses agree in all bits below the group. Anywhere else a core could take foreign memory for the partition's.
    fn hint(&self, leaf: &Leaf) -> u64 {
        let Some(region) = self.wanted.get(self.seen.0).filter(|_| self.form.hints) else { return 0 };
        let group = leaf.size.saturating_mul(16);
        let first = leaf.input & !(group - 1);
        let within = region.input <= first && group <= region.end().saturating_sub(first);
        let aligned = (region.input ^ region.output.0).is_multiple_of(group);
        if within && aligned { CONTIGUOUS } else { 0 }
    }

    fn leaf(&mut self, leaf: Leaf) -> Result<(), Fault> {
        self.leaves += 1;
        let Some(next) = self.left().filter(|next| next.input <= leaf.input) else {
            return Err(Fault::Extra(leaf));
        };
        if next.input < leaf.input {
            return Err(Fault::Missing(next));
        }
        let wanted = Region { attributes: next.attributes | self.hint(&leaf), ..next };
        if wanted.output != leaf.output || wanted.attributes != leaf.attributes {
            return Err(Fault::Other { leaf, wanted });
        }
        if leaf.size > next.size {
            return Err(Fault::Extra(leaf));
        }
        self.seen = if leaf.size == next.size {
            (self.seen.0 + 1, 0)
        } else {
            (self.seen.0, self.seen.1 + leaf.size)
        };
        Ok(())
    }
}
