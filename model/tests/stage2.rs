//! Stage-2 tables against an independent implementation (aarch64-paging), against golden dumps, and bit by bit.

use std::collections::HashMap;
use std::fmt::Write;

use aarch64_paging::descriptor::{PhysicalAddress, Stage2Attributes};
use aarch64_paging::paging::{Constraints, MemoryRegion, RootTable, Stage2};
use aarch64_paging::target::TargetAllocator;
use partita_model::addr::{Ipa, IpaSpan, Pa};
use partita_model::stage2::{
    self, Error, Kind, Leaf, Mapping, Shape, Tables, build, leaf, pages_needed, translate, vtcr, walk,
};
use proptest::prelude::*;

/// Tables in a vector, as if at this address.
struct Memory {
    words: Vec<u64>,
    limit: usize,
    pages: usize,
}

const BASE: u64 = 0x8000_0000;

impl Memory {
    fn new(limit: usize) -> Self {
        Self { words: Vec::new(), limit, pages: 0 }
    }
    fn at(table: Pa, index: usize) -> usize {
        (table.0 - BASE) as usize / 8 + index
    }
}

impl Tables for Memory {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        assert!(pages.is_power_of_two());
        let first = (self.words.len() / 512).next_multiple_of(pages);
        self.pages += pages;
        if self.pages > self.limit {
            return None;
        }
        self.words.resize((first + pages) * 512, 0);
        Some(Pa(BASE + first as u64 * 4096))
    }
    fn read(&self, table: Pa, index: usize) -> u64 {
        self.words[Self::at(table, index)]
    }
    fn write(&mut self, table: Pa, index: usize, value: u64) {
        let at = Self::at(table, index);
        self.words[at] = value;
    }
}

fn mapping(ipa: u64, pa: u64, size: u64, kind: Kind) -> Mapping {
    Mapping { ipa: IpaSpan::new(Ipa(ipa), size).unwrap(), pa: Pa(pa), kind }
}

fn built(mappings: &[Mapping], top: u64) -> (Memory, Shape, Pa) {
    let shape = Shape::for_top(Ipa(top), 48).unwrap();
    let mut memory = Memory::new(1 << 20);
    let root = build(&mut memory, &shape, mappings).unwrap();
    assert_eq!(root.0 % (u64::from(shape.root_pages) * 4096), 0);
    assert_eq!(pages_needed(&shape, mappings), Ok(memory.pages));
    (memory, shape, root)
}

fn leaves(mappings: &[Mapping], top: u64) -> Vec<Leaf> {
    let (memory, shape, root) = built(mappings, top);
    let mut all = Vec::new();
    walk(&memory, &shape, root, &mut |leaf| all.push(leaf));
    all
}

/// What aarch64-paging makes of the same mappings: (descriptor, level) of each block and page.
fn oracle(mappings: &[Mapping]) -> Vec<(u64, u8)> {
    let mut table = RootTable::new(TargetAllocator::new(0x4000_0000), 0, Stage2);
    let mut sorted = mappings.to_vec();
    sorted.sort_by_key(|m| m.ipa.base);
    // It maps range by range, so neighbours that continue each other are joined for it first.
    let mut joined: Vec<Mapping> = Vec::new();
    for m in sorted {
        match joined.last_mut() {
            Some(l) if l.kind == m.kind && l.ipa.end() == m.ipa.base && l.pa.0 + l.ipa.size == m.pa.0 => {
                l.ipa.size += m.ipa.size;
            }
            _ => joined.push(m),
        }
    }
    for m in &joined {
        let (write, cached) = (
            Stage2Attributes::S2AP_ACCESS_RW,
            Stage2Attributes::MEMATTR_NORMAL_INNER_WB
                | Stage2Attributes::MEMATTR_NORMAL_OUTER_WB
                | Stage2Attributes::SH_INNER,
        );
        let flags = Stage2Attributes::VALID
            | Stage2Attributes::ACCESS_FLAG
            | match m.kind {
                Kind::Memory => write | cached,
                Kind::Device => write | Stage2Attributes::MEMATTR_DEVICE_nGnRE | Stage2Attributes::XN,
                Kind::Shown => Stage2Attributes::S2AP_ACCESS_RO | cached | Stage2Attributes::XN,
            };
        let region = MemoryRegion::new(m.ipa.base.0 as usize, m.ipa.end().0 as usize);
        table.map_range(&region, PhysicalAddress(m.pa.0 as usize), flags, Constraints::empty()).unwrap();
    }
    let mut all = Vec::new();
    for m in &joined {
        let region = MemoryRegion::new(m.ipa.base.0 as usize, m.ipa.end().0 as usize);
        table
            .walk_range(&region, &mut |_, descriptor, level| {
                if descriptor.is_valid() && (level == 3 || !descriptor.is_table_or_page()) {
                    let bits = (descriptor.output_address().0 | descriptor.flags().bits()) as u64;
                    all.push((bits, level as u8));
                }
                Ok(())
            })
            .unwrap();
    }
    all
}

/// The Contiguous hint (DDI 0487 D8.3.1), which the oracle has none of.
const HINT: u64 = 1 << 52;

/// The same leaves in the same order, whoever made them; and the hint where sixteen of them are as one, and nowhere else.
fn compare(mappings: &[Mapping], top: u64) {
    let leaves = leaves(mappings, top);
    let ours: Vec<_> = leaves.iter().map(|l| (l.descriptor & !HINT, l.level)).collect();
    assert_eq!(ours, oracle(mappings));
    let places: HashMap<u64, &Leaf> = leaves.iter().map(|leaf| (leaf.ipa.base.0, leaf)).collect();
    for leaf in &leaves {
        let group = 16 * leaf.ipa.size;
        let first = leaf.ipa.base.0 / group * group;
        let as_one = places.get(&first).is_some_and(|head| {
            head.pa.0 % group == 0
                && (0..16).all(|n| {
                    places.get(&(first + n * leaf.ipa.size)).is_some_and(|other| {
                        other.level == leaf.level
                            && other.pa.0 == head.pa.0 + n * leaf.ipa.size
                            && other.kind() == leaf.kind()
                    })
                })
        });
        assert_eq!(leaf.descriptor & HINT != 0, as_one, "{leaf:x?}");
    }
}

/// Where the hint begins and ends, at each level, and that both addresses have to be aligned for it.
#[test]
fn sixteen_are_as_one() {
    for unit in [0x1000_u64, 0x20_0000, 0x4000_0000] {
        let hinted = |first: u64, target: u64, count: u64| {
            let wanted = [mapping(first * unit, target * unit, count * unit, Kind::Memory)];
            compare(&wanted, 64 * 0x4000_0000);
            leaves(&wanted, 64 * 0x4000_0000).iter().filter(|leaf| leaf.descriptor & HINT != 0).count()
        };
        assert_eq!([15, 16, 17, 31, 32].map(|count| hinted(16, 32, count)), [0, 16, 16, 16, 32]);
        assert_eq!([(15, 31), (17, 33)].map(|(first, target)| hinted(first, target, 32)), [16, 16]);
        assert_eq!([(16, 33), (17, 32), (16, 40)].map(|(first, target)| hinted(first, target, 32)), [0; 3]);
    }
}

#[test]
fn shapes() {
    let shape =
        |top: u64, bits| Shape::for_top(Ipa(top), bits).map(|s| (s.t0sz, s.sl0, s.start_level, s.root_pages));
    assert_eq!(shape(0, 40), Ok((32, 1, 1, 1)));
    assert_eq!(shape(1 << 32, 32), Ok((32, 1, 1, 1)));
    assert_eq!(shape((1 << 32) + 1, 40), Ok((31, 1, 1, 1)));
    assert_eq!(shape(1 << 39, 40), Ok((25, 1, 1, 1)));
    assert_eq!(shape((1 << 39) + 1, 40), Ok((24, 1, 1, 2)));
    assert_eq!(shape(1 << 43, 44), Ok((21, 1, 1, 16)));
    assert_eq!(shape((1 << 43) + 1, 44), Ok((20, 2, 0, 1)));
    assert_eq!(shape(1 << 48, 52), Ok((16, 2, 0, 1)));
    assert_eq!(shape((1 << 48) + 1, 52), Err(Error::TooWide { top: Ipa((1 << 48) + 1), pa_bits: 48 }));
    assert_eq!(shape((1 << 32) + 1, 32), Err(Error::TooWide { top: Ipa((1 << 32) + 1), pa_bits: 32 }));
    assert!(shape(u64::MAX, 48).is_err());
}

#[test]
fn vtcr_bits() {
    let shape = Shape::for_top(Ipa(1 << 32), 40).unwrap();
    // RES1 | PS 40 bits | SH0 inner | ORGN0 | IRGN0 write-back | SL0 level 1 | T0SZ 32
    assert_eq!(vtcr(&shape, 40), 0x8002_3560);
    assert_eq!(vtcr(&shape, 44) >> 16 & 7, 4);
    assert_eq!(vtcr(&shape, 48) >> 16 & 7, 5);
    assert_eq!(vtcr(&shape, 52) >> 16 & 7, 5);
    assert_eq!(vtcr(&shape, 36) >> 16 & 7, 1);
    assert_eq!(vtcr(&shape, 32) >> 16 & 7, 0);
    assert_eq!(vtcr(&shape, 42) >> 16 & 7, 3);
    let wide = Shape::for_top(Ipa(1 << 48), 48).unwrap();
    assert_eq!(vtcr(&wide, 48), 0x8005_3590);
}

#[test]
fn descriptor_bits() {
    let found = leaves(
        &[
            mapping(0x4000_0000, 0x8000_0000, 1 << 30, Kind::Memory),
            mapping(0x900_0000, 0x900_0000, 0x1000, Kind::Device),
            mapping(0x20_0000, 0x4020_0000, 0x20_0000, Kind::Memory),
            mapping(0x910_1000, 0x4100_2000, 0x1000, Kind::Shown),
        ],
        1 << 32,
    );
    let seen: Vec<_> =
        found.iter().map(|l| (l.ipa.base.0, l.pa.0, l.level, l.descriptor, l.kind())).collect();
    assert_eq!(
        seen,
        [
            (0x20_0000, 0x4020_0000, 2, 0x4020_07fd, Some(Kind::Memory)),
            (0x900_0000, 0x900_0000, 3, 0x0040_0000_0900_04c7, Some(Kind::Device)),
            (0x910_1000, 0x4100_2000, 3, 0x0040_0000_4100_277f, Some(Kind::Shown)),
            (0x4000_0000, 0x8000_0000, 1, 0x8000_07fd, Some(Kind::Memory)),
        ]
    );
}

#[test]
fn refused() {
    let shape = Shape::for_top(Ipa(1 << 32), 40).unwrap();
    let of = |mappings: &[Mapping]| {
        let result = build(&mut Memory::new(100), &shape, mappings);
        assert_eq!(pages_needed(&shape, mappings).err(), result.err());
        result.unwrap_err()
    };
    for bad in [
        mapping(0x1000, 0x1000, 0, Kind::Memory),
        mapping(0x1000, 0x1000, 0x800, Kind::Memory),
        mapping(0x1800, 0x1000, 0x1000, Kind::Memory),
        mapping(0x1000, 0x1800, 0x1000, Kind::Memory),
    ] {
        assert_eq!(of(&[bad]), Error::Unaligned(bad));
    }
    let beyond = mapping((1 << 32) - 0x1000, 0, 0x2000, Kind::Memory);
    assert_eq!(of(&[beyond]), Error::OutOfRange(beyond));
    let high = mapping(0, (1 << 48) - 0x1000, 0x2000, Kind::Memory);
    assert_eq!(of(&[high]), Error::OutOfRange(high));
    let wrapping =
        Mapping { ipa: IpaSpan { base: Ipa(!0xfff), size: 0x2000 }, pa: Pa(0), kind: Kind::Memory };
    assert_eq!(of(&[wrapping]), Error::OutOfRange(wrapping));
    let (a, b) = (mapping(0, 0, 0x3000, Kind::Memory), mapping(0x2000, 0x9000, 0x1000, Kind::Device));
    assert_eq!(of(&[b, a]), Error::Overlap(a.ipa, b.ipa));
    // A root alone does not do for a page.
    let page = mapping(0, 0, 0x1000, Kind::Memory);
    assert_eq!(build(&mut Memory::new(2), &shape, &[page]), Err(Error::NoMemory));
    assert_eq!(build(&mut Memory::new(0), &shape, &[page]), Err(Error::NoMemory));
    assert!(build(&mut Memory::new(3), &shape, &[page]).is_ok());
}

#[test]
fn concatenated_roots_translate() {
    // 41 bits: four root tables; index 1536 lies in the last.
    let m = mapping(1536 << 30, 0x4000_0000, 0x20_0000, Kind::Memory);
    let (memory, shape, root) = built(&[m], m.ipa.end().0);
    assert_eq!(shape.root_pages, 4);
    assert_eq!(translate(&memory, &shape, root, Ipa((1536 << 30) + 0x1234)), Some(Pa(0x4000_1234)));
    assert_eq!(translate(&memory, &shape, root, Ipa(0x1234)), None);
    assert_eq!(translate(&memory, &shape, root, Ipa(1 << 41 | 1536 << 30)), None);
    compare(&[m], m.ipa.end().0);
    // 44 bits and more: from level 0, where nothing can be a block.
    let m = mapping(1 << 45, 1 << 40, 3 << 30, Kind::Memory);
    compare(&[m], m.ipa.end().0);
    assert_eq!(leaves(&[m], m.ipa.end().0).len(), 3);
}

#[test]
fn neighbours_share_a_block() {
    let halves = [
        mapping(0x4010_0000, 0x8010_0000, 0x10_0000, Kind::Memory),
        mapping(0x4000_0000, 0x8000_0000, 0x10_0000, Kind::Memory),
    ];
    assert_eq!(leaves(&halves, 1 << 32).len(), 1);
    compare(&halves, 1 << 32);
}

/// One line for each run of alike leaves.
fn dump(mappings: &[Mapping], pa_bits: u32) -> String {
    let top = mappings.iter().map(|m| m.ipa.end()).max().unwrap();
    let shape = Shape::for_top(top, pa_bits).unwrap();
    let mut text = format!(
        "# level {} t0sz {} root pages {} tables {} vtcr {:#x}\n",
        shape.start_level,
        shape.t0sz,
        shape.root_pages,
        pages_needed(&shape, mappings).unwrap(),
        vtcr(&shape, pa_bits)
    );
    let mut run: Option<(Leaf, u64)> = None;
    let mut line = |run: Option<(Leaf, u64)>| {
        if let Some((first, n)) = run {
            let size = ["", "1 GiB", "2 MiB", "4 KiB"][usize::from(first.level)];
            let span = IpaSpan::new(first.ipa.base, first.ipa.size * n).unwrap();
            let kind = first.kind().unwrap();
            writeln!(text, "{span} -> {}  {n} x {size}  {kind:?} {:#x}", first.pa, first.descriptor).unwrap();
        }
    };
    for leaf in leaves(mappings, top.0) {
        match &mut run {
            Some((first, n))
                if first.level == leaf.level
                    && first.kind() == leaf.kind()
                    && (first.descriptor ^ leaf.descriptor) & HINT == 0
                    && first.ipa.base.0 + first.ipa.size * *n == leaf.ipa.base.0
                    && first.pa.0 + first.ipa.size * *n == leaf.pa.0 =>
            {
                *n += 1;
            }
            _ => line(run.replace((leaf, 1))),
        }
    }
    line(run);
    text
}

#[test]
fn golden() {
    let cases: [(&str, &[Mapping], u32); 4] = [
        (
            "linux",
            &[
                mapping(0x4000_0000, 0x4020_0000, 0x1000_0000, Kind::Memory),
                mapping(0x901_0000, 0x901_0000, 0x1000, Kind::Device),
            ],
            44,
        ),
        (
            "mixed",
            &[
                // 1 GiB blocks where base and target agree, smaller ones towards the ends.
                mapping(0x3fff_f000, 0xbfff_f000, 0x8020_2000, Kind::Memory),
                mapping(0xfe20_1000, 0xfe20_1000, 0x3000, Kind::Device),
                // Agrees to 4 KiB only.
                mapping(0x1_0000_0000, 0x2_0000_1000, 0x4000, Kind::Memory),
            ],
            40,
        ),
        ("high", &[mapping(0x100_0000_0000, 0x4000_0000, 0x4000_0000, Kind::Memory)], 44),
        ("level0", &[mapping(0x1000_0000_0000, 0x10_0000_0000, 0x20_0000, Kind::Memory)], 48),
    ];
    for (name, mappings, pa_bits) in cases {
        let path = format!("{}/tests/golden/stage2-{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = dump(mappings, pa_bits);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, golden, "{path} differs; UPDATE_GOLDEN=1 rewrites it");
    }
}

/// Disjoint mappings in a space of 41 bits, with alignments that give all three leaf sizes, none of more than 2048 leaves.
fn mappings() -> impl Strategy<Value = Vec<Mapping>> {
    let aligned = (0_u64..1 << 18, prop_oneof![Just(12), Just(20), Just(21), Just(30)]);
    let one = (0_u64..0x800, 1_u64..600, aligned, any::<bool>(), prop_oneof![Just(12), Just(21), Just(30)]);
    proptest::collection::vec(one, 0..5).prop_map(|list| {
        let mut at = 0_u64;
        let mut all = Vec::new();
        for (gap, pages, (pa, shift), device, unit) in list {
            let leaf = 1_u64
                << match unit.min(shift) {
                    20 => 12,
                    other => other,
                };
            let unit: u64 = 1 << unit;
            let base =
                at.next_multiple_of(unit) + (gap & 7) * unit + if gap & 0x400 != 0 { 0x1000 } else { 0 };
            let size = if unit == 1 << 30 { unit * (pages & 3) + 0x1000 } else { unit * pages };
            let size = size.min(2048 * leaf);
            if base + size > 1 << 41 {
                break;
            }
            let pa = ((pa << shift) + (base & 0x3000_0000)) & ((1 << 47) - 1) & !0xfff;
            let kind = match (device, pa & 0x1000) {
                (true, 0) => Kind::Device,
                (true, _) => Kind::Shown,
                (false, _) => Kind::Memory,
            };
            all.push(mapping(base, pa, size, kind));
            at = base + size;
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn leaves_are_as_the_oracle_makes_them(mappings in mappings()) {
        compare(&mappings, 1 << 41);
    }

    #[test]
    fn every_translation_is_the_mappings(mappings in mappings(), probes in proptest::collection::vec(any::<u64>(), 16)) {
        let (memory, shape, root) = built(&mappings, 1 << 41);
        let edges = mappings.iter().flat_map(|m| {
            let (base, end) = (m.ipa.base.0, m.ipa.end().0);
            [base.wrapping_sub(1), base, base + m.ipa.size / 2, end - 1, end]
        });
        for ipa in edges.chain(probes.iter().map(|p| p & ((1 << 42) - 1))).map(Ipa) {
            let expected = mappings.iter().find(|m| m.ipa.contains(ipa));
            let found = leaf(&memory, &shape, root, ipa);
            prop_assert_eq!(found.and_then(|l| l.kind()), expected.map(|m| m.kind));
            prop_assert_eq!(
                translate(&memory, &shape, root, ipa),
                expected.map(|m| Pa(m.pa.0 + (ipa.0 - m.ipa.base.0)))
            );
        }
        // Nothing is reachable that was not mapped, and all that was mapped is.
        let mut bytes = 0;
        walk(&memory, &shape, root, &mut |leaf| bytes += leaf.ipa.size);
        prop_assert_eq!(bytes, mappings.iter().map(|m| m.ipa.size).sum::<u64>());
    }

    #[test]
    fn any_input_is_answered(raw in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..4),
                             top: u64, bits in 0_u32..70, mask in prop_oneof![Just(u64::MAX), Just(0xffff_f000)]) {
        let Ok(shape) = Shape::for_top(Ipa(top), bits) else { return Ok(()) };
        let list: Vec<_> = raw.iter().map(|&(ipa, pa, size)| Mapping {
            ipa: IpaSpan { base: Ipa(ipa & mask), size: size & 0xff_ffff & mask }, pa: Pa(pa & mask), kind: Kind::Memory,
        }).collect();
        let needed = stage2::pages_needed(&shape, &list);
        let result = build(&mut Memory::new(1 << 20), &shape, &list);
        prop_assert_eq!(needed.err(), result.err());
    }
}

/// Neighbours become one piece only where guest and host addresses go on, and the kind is the same.
#[test]
fn what_does_not_go_on_stays_apart() {
    let first = mapping(0x4000_0000, 0x8000_0000, 0x10_0000, Kind::Memory);
    for second in [
        mapping(0x4010_0000, 0x8020_0000, 0x10_0000, Kind::Memory),
        mapping(0x4020_0000, 0x8010_0000, 0x10_0000, Kind::Memory),
        mapping(0x4010_0000, 0x8010_0000, 0x10_0000, Kind::Device),
    ] {
        compare(&[first, second], 0x8000_0000);
    }
}

/// A descriptor has 48 bits of address (DDI 0487 D8.3.1): memory may end there, and not a page later.
#[test]
fn memory_at_the_end_of_physical_addresses() {
    let shape = Shape::for_top(Ipa(1 << 40), 48).unwrap();
    let top = 1_u64 << 48;
    let at =
        |pa: u64| build(&mut Memory::new(100), &shape, &[mapping(0x4000_0000, pa, 0x2000, Kind::Memory)]);
    assert!(at(top - 0x2000).is_ok());
    assert!(matches!(at(top - 0x1000), Err(Error::OutOfRange(_))));
}

#[test]
fn errors_say_what_and_how_to_mend_it() {
    let odd = mapping(0x4000_0000, 0x8000_0800, 0x1000, Kind::Memory);
    let span = |base| IpaSpan::new(Ipa(base), 0x1000).unwrap();
    for (error, words) in [
        (Error::TooWide { top: Ipa(1 << 40), pa_bits: 36 }, "do not fit into the 36 bits"),
        (Error::Unaligned(odd), "use multiples of 0x1000"),
        (Error::OutOfRange(odd), "beyond what the tables translate"),
        (Error::Overlap(span(0x1000), span(0x1000)), "one guest address has one meaning"),
        (Error::NoMemory, "no memory left for translation tables"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}
