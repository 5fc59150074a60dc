use std::collections::BTreeMap;

use super::*;
use crate::addr::{Ipa, PaSpan, Span};
use crate::stage2::{self, Kind, Mapping, Tables};

/// Tables in a map.
#[derive(Clone, Default)]
struct Memory {
    words: BTreeMap<(u64, usize), u64>,
    next: u64,
}

impl Tables for Memory {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        let size = pages as u64 * 0x1000;
        self.next = self.next.max(0x10_0000).next_multiple_of(size);
        let table = Pa(self.next);
        self.next += size;
        Some(table)
    }

    fn read(&self, table: Pa, index: usize) -> u64 {
        let page = table.0 + (index / ENTRIES * 0x1000) as u64;
        self.words.get(&(page, index % ENTRIES)).copied().unwrap_or(0)
    }

    fn write(&mut self, table: Pa, index: usize, value: u64) {
        let page = table.0 + (index / ENTRIES * 0x1000) as u64;
        self.words.insert((page, index % ENTRIES), value);
    }
}

fn mapping(ipa: u64, size: u64, pa: u64, kind: Kind) -> Mapping {
    Mapping { ipa: Span { base: Ipa(ipa), size }, pa: Pa(pa), kind }
}

/// Blocks, pages at both ends, a device, and a second piece that goes on where the first ends.
fn mappings() -> Vec<Mapping> {
    vec![
        mapping(0x4000_0000, 0x40_3000, 0x8020_0000, Kind::Memory),
        mapping(0x0900_0000, 0x1000, 0x0900_0000, Kind::Device),
        mapping(0x8000_0000, 0x5000, 0x9000_1000, Kind::Memory),
        mapping(0x4040_3000, 0x1f_d000, 0x8060_3000, Kind::Memory),
    ]
}

struct Case {
    memory: Memory,
    root: Pa,
    form: Form,
    wanted: Vec<Region>,
}

fn case(mappings: &[Mapping]) -> Case {
    let top = mappings.iter().map(|mapping| mapping.ipa.end()).max().expect("some");
    let shape = Shape::for_top(top, 48).expect("it fits");
    let mut memory = Memory::default();
    let root = stage2::build(&mut memory, &shape, mappings).expect("they can be built");
    let wanted = join(mappings.iter().map(Region::from).collect());
    Case { memory, root, form: Form::stage2(&shape), wanted }
}

impl Case {
    fn audit(&self) -> Result<u64, Fault> {
        let mut audit = Audit::new(self.form, self.root, &self.wanted);
        audit.run(|page, index| self.memory.read(page, index))?;
        Ok(audit.leaves())
    }

    /// The place of the descriptor that translates an address.
    fn place(&self, input: u64) -> (u64, usize) {
        let mut table = self.root.0;
        for level in self.form.start..=3 {
            let mask = if level == self.form.start { u64::MAX } else { 0x1ff };
            let index = (input >> shift(level) & mask) as usize;
            let place = (table + (index / ENTRIES * 0x1000) as u64, index % ENTRIES);
            match self.memory.words.get(&place) {
                Some(next) if next & 3 == 3 && level < 3 => table = next & ADDRESS,
                _ => return place,
            }
        }
        unreachable!("level 3 has no tables")
    }

    fn change(&mut self, input: u64, change: impl FnOnce(u64) -> u64) {
        let place = self.place(input);
        let word = self.memory.words.entry(place).or_insert(0);
        *word = change(*word);
    }
}

#[test]
fn what_was_built_is_as_planned() {
    // Three blocks (the second piece completes the third), one device page, five pages.
    assert_eq!(case(&mappings()).audit(), Ok(9));
    // From level 0, and with a root of several tables.
    assert_eq!(case(&[mapping(0x9000_0000_0000, 0x4000_0000, 0, Kind::Memory)]).audit(), Ok(1));
    assert_eq!(case(&[mapping(0x1ff_c000_0000, 0x4000_0000, 0, Kind::Memory)]).audit(), Ok(1));
    // And behind what it comes back to in the first of them.
    let both = [
        mapping(0x4000_0000, 0x20_0000, 0x8020_0000, Kind::Memory),
        mapping(0x80_4000_0000, 0x4000_0000, 0xc000_0000, Kind::Memory),
    ];
    assert_eq!(case(&both).audit(), Ok(2));
}

#[test]
fn every_changed_bit_is_found() {
    for bit in 0..64 {
        for input in [0x0900_0000, 0x4000_0000, 0x8000_4000] {
            let mut case = case(&mappings());
            case.change(input, |word| word ^ 1 << bit);
            let fault = case.audit();
            assert!(fault.is_err(), "bit {bit} of what translates {input:#x}");
            assert!(!format!("{}", fault.expect_err("it is one")).is_empty());
        }
    }
}

/// The hint makes sixteen entries one: beyond the region's ends, or with another alignment, that is foreign memory.
#[test]
fn the_contiguous_hint_is_where_it_belongs() {
    const HINT: u64 = 1 << 52;
    let wanted = [
        // Pages: one before a group of sixteen, the group, and one behind.
        mapping(0x4000_f000, 0x12000, 0x8000_f000, Kind::Memory),
        // A group in the guest's addresses, but not in the others.
        mapping(0x5000_0000, 0x10000, 0x9000_1000, Kind::Memory),
        // Sixteen blocks.
        mapping(0x8000_0000, 0x200_0000, 0xa000_0000, Kind::Memory),
        // And pages, two groups of them.
        mapping(0x9000_0000, 0x20000, 0xb000_0000, Kind::Memory),
    ];
    assert_eq!(case(&wanted).audit(), Ok(18 + 16 + 16 + 32));
    for (input, hinted) in [
        (0x4000_f000, false),
        (0x4001_0000, true),
        (0x4001_f000, true),
        (0x4002_0000, false),
        (0x5000_0000, false),
        (0x8000_0000, true),
        (0x81e0_0000, true),
        (0x9001_0000, true),
    ] {
        let mut case = case(&wanted);
        case.change(input, |word| {
            assert_eq!(word & HINT != 0, hinted, "{input:#x}");
            word ^ HINT
        });
        assert!(matches!(case.audit(), Err(Fault::Other { leaf, .. }) if leaf.input == input));
    }
}

#[test]
fn more_and_less_is_named() {
    let mut more = case(&mappings());
    more.change(0x8000_5000, |_| 0x9000_6000 | Kind::Memory.attributes() | 3);
    let fault = more.audit().expect_err("one page more");
    assert_eq!(fault.to_string(), "mapped beyond the plan: 0x80005000-0x80005fff to 0x90006000 with 0x7fc");
    let mut before = case(&mappings());
    before.change(0x0, |_| 0x4000_0000 | Kind::Memory.attributes() | 1);
    assert!(matches!(before.audit(), Err(Fault::Extra(Leaf { input: 0, size: 0x20_0000, .. }))));

    let mut less = case(&mappings());
    less.change(0x4020_0000, |_| 0);
    let fault = less.audit().expect_err("a block less");
    assert_eq!(fault.to_string(), "not mapped: 0x40200000-0x405fffff to 0x80400000 with 0x7fc");
    let mut last = case(&mappings());
    last.change(0x8000_4000, |_| 0);
    assert!(matches!(last.audit(), Err(Fault::Missing(Region { input: 0x8000_4000, size: 0x1000, .. }))));

    let mut other = case(&mappings());
    other.change(0x0900_0000, |word| word ^ 1 << 53 ^ 1 << 54);
    let words = other.audit().expect_err("another right").to_string();
    assert!(words.ends_with("where the plan has 0x9000000 with 0x400000000004c4"), "{words}");
}

#[test]
fn tables_take_no_rights_and_make_no_loops() {
    let mut case = case(&mappings());
    case.memory.write(case.root, 1, case.memory.read(case.root, 1) | 1 << 59);
    assert!(matches!(case.audit(), Err(Fault::Table { input: 0x4000_0000, .. })));
    // A table that is its own next one, all the way down.
    let mut memory = Memory::default();
    let table = memory.alloc(1).expect("there is room");
    for index in 0..ENTRIES {
        memory.write(table, index, table.0 | 3);
    }
    let mut audit = Audit::new(Form::EL2, table, &[]);
    assert!(matches!(audit.run(|page, index| memory.read(page, index)), Err(Fault::Table { .. })));
    assert_eq!(audit.page(), None, "it is over");
}

#[test]
fn steps_are_bounded_and_come_to_the_same() {
    let case = case(&mappings());
    let mut audit = Audit::new(case.form, case.root, &case.wanted);
    let mut steps = 0;
    while let Some(page) = audit.page() {
        let reads = std::cell::Cell::new(0);
        audit
            .step(64, |index| {
                reads.set(reads.get() + 1);
                case.memory.read(page, index)
            })
            .expect("as planned");
        assert!(reads.get() <= 64);
        steps += 1;
    }
    assert_eq!(audit.leaves(), 9);
    // Root, four tables, in pieces of 64.
    assert!(steps < 60, "{steps} steps");
}

#[test]
fn el2s_own_rules() {
    let piece = |input, base, size, rights| Region::own(input, PaSpan { base: Pa(base), size }, rights);
    let text = piece(0x8000_0000_0000, 0x4000_0000, 0x2000, Rights::Text);
    let data = piece(0x8000_0000_2000, 0x4000_2000, 0x1000, Rights::Data);
    let closed = 0x8000_0000_3000..0x8000_0000_4000;
    let guards = std::slice::from_ref(&closed);
    let memory = [PaSpan { base: Pa(0x5000_0000), size: 0x10_0000 }];
    let checked = |more: Region| check(&join(vec![text, data, more]), &memory, guards);
    let other = |rights| piece(0x8000_1000_0000, 0x4100_0000, 0x1000, rights);
    assert_eq!(checked(other(Rights::Device)), Ok(()));
    let foreign = piece(0x8000_1000_0000, 0x500f_f000, 0x1000, Rights::Constant);
    assert_eq!(checked(foreign), Err(Rule::Foreign(foreign)));
    // Right behind the guard something may be, and right before it something is.
    assert_eq!(checked(piece(0x8000_0000_4000, 0x4300_0000, 0x1000, Rights::Data)), Ok(()));
    let guard = piece(0x8000_0000_3000, 0x4300_0000, 0x1000, Rights::Data);
    assert_eq!(checked(guard), Err(Rule::Guard(guard)));
    let overlap = piece(0x8000_0000_1000, 0x4300_0000, 0x1000, Rights::Data);
    assert_eq!(checked(overlap), Err(Rule::Overlap(overlap)));
    let mut writable = other(Rights::Text);
    writable.attributes &= !(1 << 7);
    assert_eq!(checked(writable), Err(Rule::Executable(writable)));
    let mut device = other(Rights::Device);
    device.attributes = device.attributes & !(1 << 54) | 1 << 7;
    assert_eq!(checked(device), Err(Rule::Executable(device)));
    // Joined where one continues the other with the same rights, and only there.
    assert_eq!(join(vec![data, text]).len(), 2);
    let more = piece(0x8000_0000_3000, 0x4000_3000, 0x1000, Rights::Data);
    assert_eq!(join(vec![more, data]), [Region { size: 0x2000, ..data }]);
}

/// Bit by bit (DDI 0487 D8.3.1.2): AttrIndx, AP, SH, AF and XN of a block or page at EL2.
#[test]
fn golden_rights() {
    let [normal, res1, read_only, inner, af, xn] = [1 << 2, 1 << 6, 1 << 7, 3 << 8, 1 << 10, 1 << 54];
    assert_eq!(Rights::Text.attributes(), normal + res1 + read_only + inner + af);
    assert_eq!(Rights::Constant.attributes(), normal + res1 + read_only + inner + af + xn);
    assert_eq!(Rights::Data.attributes(), normal + res1 + inner + af + xn);
    assert_eq!(Rights::Device.attributes(), res1 + af + xn);
}

#[test]
fn broken_rules_name_the_piece() {
    let region = Region::own(0x8000, PaSpan { base: Pa(0x4000_0000), size: 0x2000 }, Rights::Device);
    for (rule, words) in [
        (Rule::Executable(region), "can be executed, and is no read-only memory"),
        (Rule::Foreign(region), "reaches a partition's memory"),
        (Rule::Guard(region), "is where nothing may be"),
        (Rule::Overlap(region), "has an address in common with another piece"),
    ] {
        assert_eq!(rule.to_string(), format!("0x8000-0x9fff to 0x40000000 with 0x40000000000440 {words}"));
    }
}

#[test]
fn words_hold_what_they_are_given() {
    let mut words = Words::default();
    words.number(0).text(" ").number(1234567890).text(" ").hex(0).text(" ").hex(u64::MAX);
    assert_eq!(words.as_str(), "0 1234567890 0x0 0xffffffffffffffff");
    assert_eq!(Words::default().hex(0x1234_5678_9abc_def0).as_str(), "0x123456789abcdef0");
    assert_eq!(Words::default().number(u64::MAX).as_str(), "18446744073709551615");
    let register = Fault::Register { name: "VTTBR_EL2", wanted: 0x1000, found: 0 };
    assert_eq!(register.to_string(), "VTTBR_EL2 is 0x0, by the plan 0x1000");
}
