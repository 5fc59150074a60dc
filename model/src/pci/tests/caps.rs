//! Lists of capabilities, as they are and as they should not be, and what of each capability a guest sees.

use super::fake::{Bus, Space};
use crate::pci::{Address, silence};

const CARD: Address = Address::of(0, 2, 0);

/// The byte, half or word at `register` as a guest of this function alone sees it.
fn seen(space: Space, register: u64, width: u8) -> u64 {
    let mut bus = Bus::default();
    bus.add(CARD, space);
    let mut host = bus.host(&[CARD]);
    host.access(CARD.offset(0).unwrap() + register, width, None, &mut bus)
}

/// Where the guest finds the first capability; 0 where there is none.
fn first(space: Space) -> u64 {
    seen(space, 0x34, 1)
}

/// The bit in the status register says whether there is a list at all (PCI 6.2.3).
#[test]
fn no_list_without_its_bit() {
    let space = Space::new(1, 2).vendor(&[1, 2, 3]);
    assert_eq!((first(space.clone()), seen(space.clone(), 6, 1)), (0x40, 0x10));
    let mut without = space;
    without.bytes[6] = 0;
    assert_eq!((first(without.clone()), seen(without, 6, 1)), (0, 0));
}

/// Capabilities lie behind the header (PCI 6.7). A list that leads into it, at once or later, ends there.
#[test]
fn no_list_leads_into_the_header() {
    // The subsystem's ID could be read as a capability of the vendor's.
    let subsystem = |space: &mut Space| space.set(0x2c, 0x0008_0009);
    let mut at_once = Space::new(1, 2).vendor(&[1, 2, 3]);
    subsystem(&mut at_once);
    at_once.bytes[0x34] = 0x2c;
    assert_eq!(first(at_once), 0);
    let mut later = Space::new(1, 2).vendor(&[1, 2, 3]);
    subsystem(&mut later);
    later.bytes[0x41] = 0x2c;
    assert_eq!(seen(later, 0x41, 1), 0);
}

/// A capability of any length is seen to its last byte, and what is behind it is not.
#[test]
fn a_capability_ends_where_it_says() {
    for length in 4..=12 {
        let mut space = Space::new(1, 2).vendor(&vec![0xff; length - 3]);
        space.bytes[0x40 + length..0x60].fill(0xee);
        for place in 0x43..0x60 {
            let expected = if place < 0x40 + length as u64 { 0xff } else { 0 };
            assert_eq!(seen(space.clone(), place, 1), expected, "{place:#x} of {length} bytes");
        }
    }
}

/// The bit that says that PCI Express can reset the function means something else to the vendor.
#[test]
fn only_pci_express_loses_a_bit() {
    assert_eq!(seen(Space::new(1, 2).vendor(&[1, 0, 0, 0, 0x30]), 0x44, 4), 0x3000_0000);
    assert_eq!(seen(Space::new(1, 2).express(true), 0x44, 4), 0x8000);
}

/// How many doublewords silencing reads of a function with these extended capabilities, and the function afterwards.
fn silenced(extended: &[(usize, u32)]) -> (u64, Space) {
    let mut space = Space::new(1, 2);
    for (at, word) in extended {
        space.set(*at, *word);
    }
    space.writable[0x100..].fill(0xff);
    let mut bus = Bus::default();
    bus.add(CARD, space);
    silence(CARD, &mut bus);
    (bus.reads, bus.functions.remove(&CARD).unwrap())
}

/// Extended capabilities end at the first that is not there (PCIe 7.6.3), whichever way it is not.
#[test]
fn extended_capabilities_end() {
    let (none, _) = silenced(&[]);
    // A function on a conventional bus, of whose upper part nothing but ones is read.
    assert_eq!(silenced(&[(0x100, u32::MAX), (0xffc, u32::MAX)]).0, none);
    // What leads below their part leads nowhere: 0x1b in the header would be read as PASID.
    let mut space = Space::new(0x1b, 2);
    space.set(0x100, 0x7 | 1 << 16);
    space.set(0x40, 0x001b);
    space.writable[0x40..0x50].fill(0xff);
    space.bytes[0x40..0x50].fill(0xff);
    for next in [0, 0x40, 0xfc] {
        let mut space = space.clone();
        space.set(0x100, next << 20 | 1 << 16 | 7);
        let before = space.bytes[6..].to_vec();
        let mut bus = Bus::default();
        bus.add(CARD, space);
        silence(CARD, &mut bus);
        assert_eq!(bus.reads, none, "next is {next:#x}");
        assert!(bus.functions[&CARD].bytes[6..] == before, "next is {next:#x}");
    }
}

/// What is turned off is the enables. Firmware's other settings stay: a guest's driver may rely on them.
#[test]
fn silence_leaves_the_other_bits() {
    // (capability's word, where its control is, what firmware left there, what remains)
    for (head, control, before, after) in [
        (0x1_0010, 8, 0x001f, 0x0016), // SR-IOV: VF Enable and memory space
        (0x1_000f, 6, 0x801f, 0x001f), // ATS: E; STU stays
        (0x1_0013, 4, 0x0003, 0x0002), // page requests: enable; reset stays
        (0x1_001b, 6, 0x0007, 0x0006), // PASID: enable; execute and privileged stay
    ] {
        for at in [0x100, 0xe00] {
            let shift = 8 * (control & 2) as u32;
            let word = (at + control) & !3;
            let neighbour = 0x5aa5 << (16 - shift);
            let first = if at == 0x100 { head } else { (at as u32) << 20 | 0x1_0007 };
            let (_, space) = silenced(&[(0x100, first), (at, head), (word, before << shift | neighbour)]);
            assert_eq!(space.word(word), after << shift | neighbour, "{head:#x} at {at:#x}");
        }
    }
    // MSI: how many messages; MSI-X: the mask of all.
    let mut space = Space::new(1, 2).msi().msi_x();
    space.bytes[0x42] = 0x71;
    space.bytes[0x53] = 0xc0;
    let mut bus = Bus::default();
    bus.add(CARD, space);
    silence(CARD, &mut bus);
    assert_eq!((bus.functions[&CARD].bytes[0x42], bus.functions[&CARD].bytes[0x53]), (0x70, 0x40));
}

/// A capability of eight bytes may be the last of them all, and what does not fit is not one.
#[test]
fn the_end_of_configuration_space() {
    let (_, space) = silenced(&[(0x100, 0xff8 << 20 | 0x1_0007), (0xff8, 0x1_000f), (0xffc, 0x801f_0000)]);
    assert_eq!(space.word(0xffc), 0x001f_0000);
    // SR-IOV's control register would be behind the end: the fake has nothing there.
    silenced(&[(0x100, 0xff8 << 20 | 0x1_0007), (0xff8, 0x1_0010)]);
    silenced(&[(0x100, 0xffc << 20 | 0x1_0007), (0xffc, 0x1_000f)]);
}
