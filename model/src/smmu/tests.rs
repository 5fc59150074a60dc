//! Golden bits, and what must hold for every stream table.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::addr::{Ipa, Pa};
use crate::plan::Streams;
use crate::stage2::{Shape, Tables};

const BASE: u64 = 0x4_8000_0000;

/// Tables in a vector, as if at [`BASE`].
#[derive(Default)]
struct Memory(Vec<u64>);

impl Tables for Memory {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        let first = (self.0.len() / 512).next_multiple_of(pages.next_power_of_two());
        self.0.resize((first + pages) * 512, 0);
        Some(Pa(BASE + first as u64 * 4096))
    }
    fn read(&self, table: Pa, index: usize) -> u64 {
        self.0[(table.0 - BASE) as usize / 8 + index]
    }
    fn write(&mut self, table: Pa, index: usize, value: u64) {
        self.0[(table.0 - BASE) as usize / 8 + index] = value;
    }
}

fn features() -> Features {
    // As QEMU's: S1P, S2P, TTF = AArch64, COHACC, ASID16, VMID16, little-endian, no stalls, two levels.
    Features::read(0x0d44_101b, 19 << 21 | 19 << 16 | 16, 0x54).unwrap()
}

fn guard(vmid: u16) -> Guard {
    let shape = Shape::for_top(Ipa(0x8000_0000), 44).unwrap();
    Guard { root: Pa(0x4123_4000 + u64::from(vmid) * 0x1000), shape, output_bits: 44, vmid }
}

fn owner(vmid: u16, runs: &[(u32, u32)]) -> Owner {
    let streams = runs.iter().map(|&(first, count)| Streams { smmu: 0, first, count }).collect();
    Owner { streams, guard: guard(vmid) }
}

/// An SMMU's way to a stream's entry (IHI 0070, 3.3.1); none where it has no such stream.
fn look_up(memory: &Memory, table: &StreamTable, id: u32) -> Option<[u64; 8]> {
    let (log2, split, two_level) = (table.config & 0x3f, table.config >> 6 & 0x1f, table.config >> 16 == 1);
    if u64::from(id) >> log2 != 0 {
        return None;
    }
    let (lower, index) = if two_level {
        let descriptor = memory.read(table.base, (id >> split) as usize);
        let (span, index) = (descriptor & 0x1f, id & ((1 << split) - 1));
        if span == 0 || index >> (span - 1) != 0 {
            return None;
        }
        (Pa(descriptor & 0x000f_ffff_ffff_ffc0), index)
    } else {
        (table.base, id)
    };
    Some(core::array::from_fn(|word| memory.read(lower, index as usize * 8 + word)))
}

fn told(event: &Event) -> String {
    String::from_utf8(event.tell(Words::default()).bytes().to_vec()).unwrap()
}

#[test]
fn lines_are_cut_where_they_are_full() {
    let words = (0..100).fold(Words::default(), |words, number| words.text("number ").hex(number));
    let all: String = (0..100).map(|number| format!("number {number:#x}")).collect();
    assert_eq!(words.bytes(), &all.as_bytes()[..160]);
    let hex = |number| String::from_utf8(Words::default().hex(number).bytes().to_vec()).unwrap();
    for number in [0, 7, 64, 100, 4_000_000_000, u32::MAX] {
        let words = Words::default().number(number);
        assert_eq!(String::from_utf8(words.bytes().to_vec()).unwrap(), number.to_string());
    }
    for number in [0, 9, 10, 0xabc, 1 << 60, u64::MAX] {
        assert_eq!(hex(number), format!("{number:#x}"));
    }
}

#[test]
fn id_registers() {
    let found = features();
    assert_eq!((found.stream_bits, found.two_level, found.output_bits), (16, true, 44));
    assert_eq!((found.coherent, found.ats, found.broadcast), (true, false, false));
    assert_eq!((found.commands, found.events), (19, 19));
    let (idr0, idr1, idr5) = (0x0d44_101b, 16, 0x54);
    let cases = [
        (idr0 & !1, idr1, idr5, Unfit::NoStage2),
        (idr0 & !8, idr1, idr5, Unfit::NoAarch64),
        (idr0 | 3 << 21, idr1, idr5, Unfit::NoLittleEndian),
        (idr0 & !(3 << 24) | 2 << 24, idr1, idr5, Unfit::Stalls),
        (idr0, idr1 | 1 << 29, idr5, Unfit::Preset),
        (idr0, idr1 | 1 << 30, idr5, Unfit::Preset),
        (idr0, idr1, idr5 & !0x10, Unfit::No4K),
    ];
    for (idr0, idr1, idr5, unfit) in cases {
        assert_eq!(Features::read(idr0, idr1, idr5), Err(unfit));
        assert!(unfit.to_string().starts_with("it "), "{unfit}");
    }
    for (oas, bits) in [32, 36, 40, 42, 44, 48, 48, 48].into_iter().enumerate() {
        assert_eq!(Features::read(idr0, idr1, 0x10 | oas as u32).unwrap().output_bits, bits);
    }
    assert!(Features::read(idr0 | 1 << 10, idr1, idr5).unwrap().ats);
    assert!(Features::read(idr0 | 1 << 5, idr1, idr5).unwrap().broadcast);
    assert!(!Features::read(idr0 & !(1 << 4), idr1, idr5).unwrap().coherent);
}

#[test]
fn golden_entries() {
    let entry = |mode| guard(1).entry(mode);
    // VMID 1; T0SZ 32, SL0 1, IR0 and OR0 1, SH0 3, TG 0, PS 4; S2AA64, S2AFFD, S2R.
    let third = 1 | (0x20 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 4 << 16) << 32 | 0x28 << 48;
    assert_eq!(entry(Mode::Translate), [0xd, 1 << 44, third | 1 << 58, 0x4123_5000, 0, 0, 0, 0]);
    assert_eq!(entry(Mode::Silent), [0xd, 1 << 44, third, 0x4123_5000, 0, 0, 0, 0]);
    assert_eq!(entry(Mode::Abort), [0x1, 1 << 44, third, 0x4123_5000, 0, 0, 0, 0]);
}

#[test]
fn golden_commands() {
    assert_eq!(Command::ForgetStream(0x10).encode(), [0x10_0000_0003, 0]);
    assert_eq!(Command::ForgetStreams.encode(), [0x04, 0x1f]);
    assert_eq!(Command::ForgetVmid(0x203).encode(), [0x0203_0000_0028, 0]);
    assert_eq!(Command::ForgetTranslations.encode(), [0x30, 0]);
    assert_eq!(Command::Sync.encode(), [0x46, 0]);
}

#[test]
fn golden_events() {
    let event = Event::decode([0x10_0000_0010, 0x80_0000_0000, 0x7fff_f000, 0]);
    let read = Event { stream: 0x10, kind: Kind::Translation, address: Some(0x7fff_f000), read: Some(false) };
    assert_eq!(event, read);
    assert_eq!(told(&event), "write at 0x7ffff000 by stream 0x10 (F_TRANSLATION)");
    let event = Event::decode([0x8_0000_0013, 1 << 35, 0x1000, 0]);
    assert_eq!(told(&event), "read at 0x1000 by stream 0x8 (F_PERMISSION)");
    let event = Event::decode([0x8_0000_0004, 1 << 35, 0x1000, 0]);
    assert_eq!(told(&event), "access by stream 0x8 (C_BAD_STE)");
    assert_eq!(told(&Event::decode([0xfe, 0, 0, 0])), "access by stream 0x0 (event 0xfe)");
}

#[test]
fn a_whole_bridge_takes_four_pages() {
    let mut memory = Memory::default();
    let bridge = [owner(1, &[(0, 0x1_0000)])];
    let table = build(&mut memory, &features(), &bridge).unwrap();
    assert!(memory.0.len() / 512 <= pages_needed(bridge.iter()));
    assert_eq!(table.config, 1 << 16 | 6 << 6 | 16);
    assert_eq!(table.base.0 % 0x2000, 0, "aligned to its size");
    // Nobody's, the upper level aligned behind it, the owner's.
    assert_eq!(memory.0.len() / 512, 5);
    table.owned[0].set(&mut memory, &guard(1), Mode::Translate);
    for id in [0, 63, 64, 0xffff] {
        assert_eq!(look_up(&memory, &table, id), Some(guard(1).entry(Mode::Translate)));
    }
    assert_eq!(look_up(&memory, &table, 0x1_0000), None);
}

#[test]
fn few_streams_take_one_level() {
    let mut small = features();
    (small.stream_bits, small.two_level) = (5, false);
    let mut memory = Memory::default();
    let table = build(&mut memory, &small, &[owner(1, &[(31, 1)])]).unwrap();
    assert_eq!((table.config, memory.0.len()), (5, 512));
    assert_eq!(look_up(&memory, &table, 31), Some(guard(1).entry(Mode::Abort)));
    assert_eq!(build(&mut memory, &small, &[owner(1, &[(32, 1)])]), Err(Unfit::NoStream(32)));
    small.stream_bits = 16;
    assert_eq!(build(&mut memory, &small, &[owner(1, &[(64, 1)])]), Err(Unfit::TooManyStreams(64)));
    small.two_level = true;
    small.stream_bits = 32;
    assert_eq!(build(&mut memory, &small, &[owner(1, &[(1 << 20, 1)])]), Err(Unfit::TooManyStreams(1 << 20)));
    // The most that each kind takes.
    assert_eq!(build(&mut memory, &small, &[owner(1, &[((1 << 20) - 1, 1)])]).unwrap().config & 0x3f, 20);
    small.two_level = false;
    assert_eq!(build(&mut memory, &small, &[owner(1, &[(63, 1)])]).unwrap().config, 6);
}

/// What is set aside for a table before it is made: nobody's page, room to align the upper level, a page for each owner
/// that has whole groups of 64, and two for each run.
#[test]
fn pages_that_are_set_aside() {
    let needed = |owners: &[&[(u32, u32)]]| {
        let owners: Vec<Owner> = owners.iter().map(|runs| owner(1, runs)).collect();
        pages_needed(owners.iter())
    };
    for (owners, pages) in [
        (&[][..], 1 + 2),
        (&[&[(0, 64)][..]], 1 + 2 + 1 + 2),
        (&[&[(0, 0x1000)], &[(0x1000, 1), (0x2000, 1)]], 1 + 2 + 2 + 6),
        // Upper levels of one page, of two, and of the 32 that a table has at most.
        (&[&[(0x7fff, 1)]], 1 + 2 + 1 + 2),
        (&[&[(0x8000, 1)]], 1 + 4 + 1 + 2),
        (&[&[(0, 0x1_0000)]], 1 + 4 + 1 + 2),
        (&[&[(0xf_ffff, 1)]], 1 + 64 + 1 + 2),
        (&[&[(0xffff_ffff, 1)]], 1 + 64 + 1 + 2),
    ] {
        assert_eq!(needed(owners), pages, "{owners:x?}");
    }
}

/// A queue has a power of two of entries, of which SMMU_IDR1 says at most 2^19.
#[test]
fn queues_have_their_size() {
    for (asked, log2, entries) in
        [(0, 0, 1), (1, 1, 2), (8, 8, 0x100), (19, 19, 0x8_0000), (40, 19, 0x8_0000)]
    {
        assert_eq!((Queue::new(asked).log2(), Queue::new(asked).entries()), (log2, entries));
    }
}

#[test]
fn a_partition_is_silent_after_so_many_faults() {
    let mut faults = Faults::default();
    assert!(!faults.silent());
    let mut notes: Vec<Note> = (1..RECORDED).map(|_| faults.note()).collect();
    assert!(!faults.silent(), "one is left");
    notes.extend((0..6).map(|_| faults.note()));
    let count = |wanted| notes.iter().filter(|note| **note == wanted).count() as u32;
    assert_eq!((count(Note::Say), count(Note::Silence), count(Note::Late)), (SAID, 1, 5));
    assert_eq!(count(Note::Count), RECORDED - SAID - 1);
    assert_eq!(notes[RECORDED as usize - 1], Note::Silence);
    assert!(faults.silent());
}

proptest! {
    /// Each stream has the entry of who has it, whatever mode that one's are in, and nobody's abort.
    #[test]
    fn every_stream_has_its_entry(
        cuts in prop::collection::btree_set(0_u32..3000, 2..24),
        owners in prop::collection::vec(0_u16..5, 24),
        modes in prop::array::uniform5(0_u8..3),
        wide in any::<bool>(),
    ) {
        // Runs between cuts go to owner 0..=3, or to nobody (4).
        let cuts: Vec<u32> = cuts.into_iter().collect();
        let mut runs: BTreeMap<u16, Vec<(u32, u32)>> = BTreeMap::new();
        for (pair, who) in cuts.windows(2).zip(&owners) {
            runs.entry(*who).or_default().push((pair[0], pair[1] - pair[0]));
        }
        let all: Vec<Owner> =
            (0..4).map(|who| owner(who + 1, runs.get(&who).map_or(&[][..], |runs| runs))).collect();
        let mut features = features();
        features.stream_bits = if wide { 32 } else { 12 };
        let mut memory = Memory::default();
        let table = build(&mut memory, &features, &all).unwrap();
        prop_assert!(memory.0.len() / 512 <= pages_needed(all.iter()));
        let mode = |who: usize| [Mode::Abort, Mode::Translate, Mode::Silent][usize::from(modes[who])];
        for (who, owned) in table.owned.iter().enumerate() {
            owned.set(&mut memory, &all[who].guard, Mode::Translate);
            owned.set(&mut memory, &all[who].guard, mode(who));
        }
        for id in 0..4096_u32 {
            let has = all.iter().position(|owner| owner.streams.iter().any(|run| run.contains(0, id)));
            let found = look_up(&memory, &table, id);
            match (has, found) {
                (Some(who), Some(found)) => prop_assert_eq!(found, all[who].guard.entry(mode(who))),
                (None, Some(found)) => prop_assert_eq!(found, [1, 0, 0, 0, 0, 0, 0, 0]),
                // Beyond the table there is nobody's only.
                (has, None) => prop_assert_eq!(has, None),
            }
        }
    }

    /// A queue of any size keeps what is put in, in order, and never more than it has room for.
    #[test]
    fn queues_are_rings(log2 in 0_u8..5, steps in prop::collection::vec(any::<bool>(), 0..200), junk in any::<u32>()) {
        let queue = Queue::new(log2);
        let (mut producer, mut consumer, mut inside) = (0, 0, std::collections::VecDeque::new());
        let mut ring = vec![0_usize; queue.entries() as usize];
        let other = junk & !(2 * queue.entries() - 1);
        for (number, put) in steps.into_iter().enumerate() {
            prop_assert_eq!(queue.is_empty(producer | other, consumer), inside.is_empty());
            prop_assert_eq!(queue.is_full(producer, consumer | other), inside.len() == ring.len());
            if put && !queue.is_full(producer, consumer) {
                ring[queue.index(producer)] = number;
                inside.push_back(number);
                producer = queue.next(producer);
            } else if !put && !queue.is_empty(producer, consumer) {
                prop_assert_eq!(Some(ring[queue.index(consumer | other)]), inside.pop_front());
                consumer = queue.next(consumer);
            }
        }
    }

    /// Whatever a queue's memory holds is an event, and it can be said.
    #[test]
    fn any_words_are_an_event(words in any::<[u64; 4]>()) {
        let event = Event::decode(words);
        prop_assert_eq!(u64::from(event.stream), words[0] >> 32);
        prop_assert!(told(&event).contains("by stream"));
    }

    /// Nothing of one guard shows in another's entry, and no bit outside its field is set.
    #[test]
    fn fields_stay_in_place(root in 0_u64..1 << 36, vmid in any::<u16>(), top in 1_u64..1 << 44) {
        let shape = Shape::for_top(Ipa(top), 44).unwrap();
        let guard = Guard { root: Pa(root << 12), shape, output_bits: 44, vmid };
        let [first, second, third, fourth, rest @ ..] = guard.entry(Mode::Translate);
        prop_assert_eq!((first, second, rest), (0xd, 1 << 44, [0; 4]));
        prop_assert_eq!((third as u16, fourth), (vmid, root << 12));
        prop_assert_eq!(third & 0x0000_0000_ffff_0000, 0);
        prop_assert_eq!(third >> 32 & 0x3f, u64::from(shape.t0sz));
        prop_assert_eq!(third >> 38 & 3, u64::from(shape.sl0));
        // PS: 44 bits. TG: 4 KiB.
        prop_assert_eq!((third >> 48 & 7, third >> 46 & 3), (4, 0));
    }
}
