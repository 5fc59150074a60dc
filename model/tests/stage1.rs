//! EL2's own tables against an independent implementation (aarch64-paging), and what is refused.

use aarch64_paging::descriptor::{El23Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El2, MemoryRegion, RootTable};
use aarch64_paging::target::TargetAllocator;
use partita_model::addr::{PAGE, Pa, PaSpan};
use partita_model::audit::{Audit, Form, Region, Rights, join};
use partita_model::stage1::{Error, Root};
use partita_model::stage2::Tables;
use proptest::prelude::*;

/// Tables in a vector, as if at this address.
struct Memory(Vec<u64>, usize);

const BASE: u64 = 0x8000_0000;

impl Tables for Memory {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        assert_eq!(pages, 1);
        let first = self.0.len();
        self.1 = self.1.checked_sub(1)?;
        self.0.resize(first + 512, 0);
        Some(Pa(BASE + 8 * first as u64))
    }
    fn read(&self, table: Pa, index: usize) -> u64 {
        assert!(index < 512);
        self.0[(table.0 - BASE) as usize / 8 + index]
    }
    fn write(&mut self, table: Pa, index: usize, value: u64) {
        assert!(index < 512);
        self.0[(table.0 - BASE) as usize / 8 + index] = value;
    }
}

impl Memory {
    fn new() -> (Self, Root) {
        let mut memory = Self(Vec::new(), 1000);
        let root = memory.alloc(1).unwrap();
        (memory, Root(root))
    }

    /// Blocks and pages: address, descriptor, level.
    fn leaves(&self, table: Pa, level: u8, base: u64, found: &mut Vec<(u64, u64, u8)>) {
        for index in 0..512 {
            let descriptor = self.read(table, index);
            let input = base + ((index as u64) << (39 - 9 * level));
            match (descriptor & 3, level) {
                (0, _) => {}
                (3, 0..3) => self.leaves(Pa(descriptor & 0xffff_ffff_f000), level + 1, input, found),
                (1, 1 | 2) | (3, 3) => found.push((input, descriptor, level)),
                _ => panic!("{descriptor:#x} at level {level}"),
            }
        }
    }
}

fn region(input: u64, output: u64, size: u64, rights: Rights) -> Region {
    Region::own(input as usize, PaSpan { base: Pa(output), size }, rights)
}

/// The same blocks and pages, whoever made them.
fn compare(regions: &[Region], blocks: bool) {
    let (mut memory, root) = Memory::new();
    let mut table = RootTable::new(TargetAllocator::new(0x4000_0000), 0, El2);
    let constraints = if blocks { Constraints::empty() } else { Constraints::NO_BLOCK_MAPPINGS };
    let mut theirs = Vec::new();
    for region in regions {
        root.map(&mut memory, region, blocks).unwrap();
        let flags = El23Attributes::from_bits_retain(region.attributes as usize) | El23Attributes::VALID;
        let range = MemoryRegion::new(region.input as usize, (region.input + region.size) as usize);
        let output = PhysicalAddress(region.output.0 as usize);
        table.map_range(&range, output, flags, constraints | Constraints::NO_CONTIGUOUS_HINT).unwrap();
    }
    for region in regions {
        let range = MemoryRegion::new(region.input as usize, (region.input + region.size) as usize);
        table
            .walk_range(&range, &mut |at, descriptor, level| {
                if descriptor.is_valid() && (level == 3 || !descriptor.is_table_or_page()) {
                    let bits = descriptor.output_address().0 | descriptor.flags().bits();
                    theirs.push((at.start().0 as u64, bits as u64, level as u8));
                }
                Ok(())
            })
            .unwrap();
    }
    theirs.sort_unstable();
    theirs.dedup();
    let mut ours = Vec::new();
    memory.leaves(root.0, 0, 0, &mut ours);
    assert_eq!(ours, theirs);
    // And the audit, which shares no code with either, finds them as they are to be.
    let wanted = join(regions.to_vec());
    Audit::new(Form::EL2, root.0, &wanted)
        .run(|page, index| memory.read(page, index))
        .unwrap_or_else(|fault| panic!("{fault}"));
}

const VA: u64 = 0x8000_0000_0000;
const MIB2: u64 = 1 << 21;
const GIB: u64 = 1 << 30;

#[test]
fn the_largest_blocks_that_both_addresses_allow() {
    compare(&[region(VA + GIB - 3 * PAGE, GIB - 3 * PAGE, 2 * GIB + MIB2, Rights::Constant)], true);
    compare(&[region(VA + GIB, MIB2, GIB, Rights::Data)], true);
    compare(&[region(VA + GIB, PAGE, 2 * MIB2, Rights::Device)], true);
    compare(&[region(VA, 0, 3 * MIB2, Rights::Text)], false);
    compare(&[region(VA, 0, 0, Rights::Text)], true);
}

proptest! {
    #[test]
    fn as_another_does_it(
        pieces in prop::collection::vec((0..6_u64, 0..3_u64, 0..2_u64, 0..1500_u64, 0..4_usize), 0..6),
        blocks in any::<bool>(),
    ) {
        let rights = [Rights::Text, Rights::Constant, Rights::Data, Rights::Device];
        let (mut at, mut regions) = (VA, Vec::new());
        for (gap, twos, offset, pages, right) in pieces {
            at += gap * PAGE + twos * MIB2;
            let size = pages * PAGE;
            let output = at - VA + GIB + offset * PAGE;
            regions.push(region(at, output, size, rights[right]));
            at += size;
        }
        compare(&regions.into_iter().filter(|region| region.size != 0).collect::<Vec<_>>(), blocks);
    }
}

#[test]
fn what_is_mapped_the_same_way_stays() {
    let (mut memory, root) = Memory::new();
    let all = region(VA, GIB, MIB2 + 2 * PAGE, Rights::Device);
    root.map(&mut memory, &all, true).unwrap();
    let before = memory.0.clone();
    let parts = [
        region(VA, GIB, MIB2, Rights::Device),
        region(VA + 3 * PAGE, GIB + 3 * PAGE, 5 * PAGE, Rights::Device),
        region(VA + MIB2 - PAGE, GIB + MIB2 - PAGE, 3 * PAGE, Rights::Device),
    ];
    for part in parts {
        root.map(&mut memory, &part, true).unwrap();
        assert_eq!(memory.0, before, "{part:?}");
    }
}

/// A region that begins within a block, and ends within it or goes on behind it.
#[test]
fn a_block_covers_its_part_of_a_region() {
    for (first, pages, more) in [(1, 2, 0), (3, 509, 0), (3, 510, 1), (511, 3, 2), (0, 513, 1)] {
        let (mut memory, root) = Memory::new();
        root.map(&mut memory, &region(VA, GIB, MIB2, Rights::Data), true).unwrap();
        let part = region(VA + first * PAGE, GIB + first * PAGE, pages * PAGE, Rights::Data);
        root.map(&mut memory, &part, false).unwrap();
        let mut found = Vec::new();
        memory.leaves(root.0, 0, 0, &mut found);
        let behind: Vec<_> =
            found.iter().filter(|leaf| leaf.2 == 3).map(|leaf| (leaf.0, leaf.1 & !0xfff)).collect();
        let wanted: Vec<_> = (0..more).map(|n| (VA + MIB2 + n * PAGE, behind[n as usize].1)).collect();
        assert_eq!(behind, wanted, "{first} {pages}");
        for (n, leaf) in (0..).zip(&behind) {
            assert_eq!(leaf.1 & 0xffff_ffff_f000, GIB + MIB2 + n * PAGE);
        }
    }
}

#[test]
fn errors_say_where() {
    let (mut memory, root) = Memory::new();
    let mut said = |region: &Region| root.map(&mut memory, region, true).unwrap_err().to_string();
    let odd = Region { input: VA + 8, output: Pa(GIB), size: PAGE, attributes: 0 };
    assert_eq!(said(&odd), format!("{:#x} is not in whole pages of 48 bits", VA + 8));
    memory.1 = 0;
    let said = root.map(&mut memory, &region(VA, GIB, PAGE, Rights::Data), true).unwrap_err().to_string();
    assert_eq!(said, "no memory left for translation tables");
    memory.1 = 100;
    root.map(&mut memory, &region(VA, GIB, PAGE, Rights::Data), true).unwrap();
    let said = root.map(&mut memory, &region(VA, GIB, PAGE, Rights::Text), true).unwrap_err().to_string();
    assert_eq!(said, format!("something else is mapped at {VA:#x}"));
}

#[test]
fn nothing_is_mapped_twice_otherwise() {
    let (mut memory, root) = Memory::new();
    root.map(&mut memory, &region(VA, GIB, MIB2 + 2 * PAGE, Rights::Device), true).unwrap();
    let before = memory.0.clone();
    for (other, at) in [
        (region(VA, GIB + MIB2, MIB2, Rights::Device), VA),
        (region(VA, GIB, MIB2, Rights::Data), VA),
        (region(VA + PAGE, GIB, PAGE, Rights::Device), VA + PAGE),
        (region(VA + PAGE, 0, PAGE, Rights::Device), VA + PAGE),
        (region(VA + PAGE, GIB + PAGE, PAGE, Rights::Constant), VA + PAGE),
        (region(VA + MIB2 + PAGE, GIB, PAGE, Rights::Device), VA + MIB2 + PAGE),
        (region(VA + MIB2, GIB + MIB2, MIB2, Rights::Device), VA + MIB2),
    ] {
        assert_eq!(root.map(&mut memory, &other, true), Err(Error::Taken(at)), "{other:?}");
        assert_eq!(memory.0, before, "{other:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut memory, root) = Memory::new();
    let fit = Region { input: VA, output: Pa(GIB), size: PAGE, attributes: Rights::Data.attributes() };
    for unfit in [
        Region { input: VA + 8, ..fit },
        Region { output: Pa(GIB + 8), ..fit },
        Region { size: 8, ..fit },
        Region { input: (1 << 48) - PAGE, size: 2 * PAGE, ..fit },
        Region { output: Pa((1 << 48) - PAGE), size: 2 * PAGE, ..fit },
        Region { input: u64::MAX - PAGE + 1, ..fit },
    ] {
        assert_eq!(root.map(&mut memory, &unfit, true), Err(Error::Unfit(unfit)));
    }
    memory.1 = 2;
    assert_eq!(root.map(&mut memory, &fit, true), Err(Error::NoMemory));
    memory.1 = 1;
    root.map(&mut memory, &fit, true).unwrap();
}

#[test]
fn an_entry_is_where_a_walk_finds_it() {
    let (mut memory, root) = Memory::new();
    let at = VA + GIB + 5 * MIB2 + 7 * PAGE;
    let entry = root.entry(&mut memory, at, 3).unwrap();
    assert_eq!((entry.index, entry.level), (7, 3));
    memory.write(entry.table, entry.index, 0x1003);
    let mut found = Vec::new();
    memory.leaves(root.0, 0, 0, &mut found);
    assert_eq!(found, [(at, 0x1003, 3)]);
    // A block that is there already is the entry.
    root.map(&mut memory, &region(VA, GIB, MIB2, Rights::Data), true).unwrap();
    assert_eq!(root.entry(&mut memory, VA + PAGE, 3).unwrap().level, 2);
}
