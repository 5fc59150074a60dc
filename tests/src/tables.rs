//! Translation tables as the hardware reads them (DDI 0487 D8.3: 4 KiB granule, 48-bit output): written for the tests
//! alone, so that they share no mistake with the code that makes the tables.

use std::collections::BTreeSet;

const OUTPUT: u64 = 0x0000_ffff_ffff_f000;

/// A block or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// The address that is translated.
    pub input: u64,
    /// To where.
    pub output: u64,
    /// Bytes.
    pub size: u64,
    /// Its descriptor without the output address.
    pub attributes: u64,
}

impl Leaf {
    /// Whether its output has any of these bytes.
    pub fn reaches(&self, base: u64, size: u64) -> bool {
        self.output < base + size && base < self.output + self.size
    }
}

/// What tables translate, in the order of input addresses, and where the tables themselves lie.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// All leaves.
    pub leaves: Vec<Leaf>,
    /// Physical addresses of all tables.
    pub tables: BTreeSet<u64>,
}

/// Walks tables that translate `bits` bits from `level` on; `read` gives the 512 descriptors at a physical address. A
/// root larger than a page is as many tables one behind the other (D8.2.2).
pub fn walk(root: u64, level: u32, bits: u32, mut read: impl FnMut(u64) -> Vec<u64>) -> Walk {
    let mut walk = Walk::default();
    let entries = 1_u64 << (bits - shift(level));
    for page in 0..entries.div_ceil(512) {
        let entries = entries.min(512) as usize;
        descend(&mut walk, root + (page << 12), level, page << (shift(level) + 9), entries, &mut read);
    }
    walk
}

fn shift(level: u32) -> u32 {
    12 + 9 * (3 - level)
}

fn descend(
    walk: &mut Walk,
    table: u64,
    level: u32,
    base: u64,
    entries: usize,
    read: &mut dyn FnMut(u64) -> Vec<u64>,
) {
    assert!(walk.tables.insert(table), "the table at {table:#x} is used twice");
    for (index, descriptor) in read(table).into_iter().take(entries).enumerate() {
        let input = base + ((index as u64) << shift(level));
        match (descriptor & 3, level) {
            (0 | 2, _) => {}
            (3, 0..=2) => {
                assert_eq!(descriptor >> 59, 0, "no rights in the descriptors of tables: {descriptor:#x}");
                descend(walk, descriptor & OUTPUT, level + 1, input, 512, read);
            }
            (3, 3) | (1, 1 | 2) => {
                let size = 1 << shift(level);
                let output = descriptor & OUTPUT;
                assert_eq!(output % size, 0, "a block is aligned to its size: {descriptor:#x}");
                walk.leaves.push(Leaf { input, output, size, attributes: descriptor & !OUTPUT });
            }
            _ => panic!("a reserved descriptor at level {level}: {descriptor:#x}"),
        }
    }
}

/// Joins leaves that go on where the one before them ends, with the same rights.
pub fn join(leaves: &[Leaf]) -> Vec<Leaf> {
    let mut joined: Vec<Leaf> = Vec::new();
    for leaf in leaves {
        // Bit 1 tells pages from blocks, no more.
        let leaf = Leaf { attributes: leaf.attributes & !2, ..*leaf };
        match joined.last_mut() {
            Some(last)
                if last.input + last.size == leaf.input
                    && last.output + last.size == leaf.output
                    && last.attributes == leaf.attributes =>
            {
                last.size += leaf.size;
            }
            _ => joined.push(leaf),
        }
    }
    joined
}
