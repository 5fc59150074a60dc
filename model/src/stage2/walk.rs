//! Reads tables back: for tests, for the drawing of a plan, and for EL2's own proof of what a partition can reach.

use super::{ADDRESS, CONTIGUOUS, Kind, Shape, TABLE_OR_PAGE, Tables, VALID, shift};
use crate::addr::{Ipa, IpaSpan, Pa};

/// A block or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The addresses that it translates.
    pub ipa: IpaSpan,
    /// To where.
    pub pa: Pa,
    /// Its level: 1 (1 GiB), 2 (2 MiB) or 3 (4 KiB).
    pub level: u8,
    /// The descriptor as it stands in the table.
    pub descriptor: u64,
}

impl Leaf {
    /// What it maps; none if its attributes are of no kind that [`super::build`] writes.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        let attributes = self.descriptor & !(ADDRESS | CONTIGUOUS | TABLE_OR_PAGE | VALID);
        [Kind::Memory, Kind::Device, Kind::Shown].into_iter().find(|kind| kind.attributes() == attributes)
    }

    fn new(level: u8, entry_base: u64, descriptor: u64) -> Self {
        let size = 1_u64 << shift(level);
        let pa = Pa(descriptor & ADDRESS & !(size - 1));
        Self { ipa: IpaSpan { base: Ipa(entry_base), size }, pa, level, descriptor }
    }
}

/// What an entry is.
enum Entry {
    Table(Pa),
    Leaf(Leaf),
    Invalid,
}

fn decode(level: u8, entry_base: u64, descriptor: u64) -> Entry {
    // DDI 0487 D8.3.1: bit 0 clear is invalid; bit 1 set is a table, at level 3 a page; clear a block, which
    // exists at levels 1 and 2 only.
    match (descriptor & VALID != 0, descriptor & TABLE_OR_PAGE != 0, level) {
        (true, true, 0..=2) => Entry::Table(Pa(descriptor & ADDRESS)),
        (true, true, 3) | (true, false, 1 | 2) => Entry::Leaf(Leaf::new(level, entry_base, descriptor)),
        _ => Entry::Invalid,
    }
}

/// Calls `visit` for each block and page, by rising guest address.
pub fn walk(tables: &impl Tables, shape: &Shape, root: Pa, visit: &mut impl FnMut(Leaf)) {
    walk_table(tables, root, shape.level(), shape.root_entries(), 0, visit);
}

fn walk_table(
    tables: &impl Tables,
    table: Pa,
    level: u8,
    entries: usize,
    base: u64,
    visit: &mut impl FnMut(Leaf),
) {
    for index in 0..entries {
        let entry_base = base + ((index as u64) << shift(level));
        match decode(level, entry_base, tables.read(table, index)) {
            Entry::Table(next) => walk_table(tables, next, level + 1, 512, entry_base, visit),
            Entry::Leaf(leaf) => visit(leaf),
            Entry::Invalid => {}
        }
    }
}

/// The block or page that translates an address, if one does.
#[must_use]
pub fn leaf(tables: &impl Tables, shape: &Shape, root: Pa, ipa: Ipa) -> Option<Leaf> {
    if ipa.0 >> shape.ipa_bits() != 0 {
        return None;
    }
    let mut table = root;
    let mut mask = u64::MAX;
    for level in shape.level()..=3 {
        let index = (ipa.0 & mask) >> shift(level);
        let entry_base = ipa.0 & !((1_u64 << shift(level)) - 1);
        match decode(level, entry_base, tables.read(table, usize::try_from(index).ok()?)) {
            Entry::Table(next) => table = next,
            Entry::Leaf(leaf) => return Some(leaf),
            Entry::Invalid => return None,
        }
        mask = (1_u64 << shift(level)) - 1;
    }
    None
}

/// Where an address leads, if it is mapped.
#[must_use]
pub fn translate(tables: &impl Tables, shape: &Shape, root: Pa, ipa: Ipa) -> Option<Pa> {
    let leaf = leaf(tables, shape, root, ipa)?;
    Some(Pa(leaf.pa.0 + (ipa.0 - leaf.ipa.base.0)))
}
