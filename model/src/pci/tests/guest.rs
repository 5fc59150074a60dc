//! What a guest sees and can do.

use super::fake::{Bus, Space, WINDOW, WINDOW_64};
use crate::pci::{Address, Fault, Function, Host};

const CARD: Address = Address::of(0, 2, 0);
const OTHER: Address = Address::of(0, 3, 0);

/// A card with all that a card can have.
fn card() -> Space {
    Space::new(0x1234, 0x11e8)
        .memory(0, 0x10_0000, false)
        .io(1)
        .memory(2, 0x1000, true)
        .pin(1)
        .power()
        .msi()
        .express(true)
        .msi_x()
        .vendor(&[1, 2, 3, 4, 5, 6])
        .extended()
}

fn world() -> (Bus, Host) {
    let mut bus = Bus::default();
    bus.add(CARD, card());
    bus.add(OTHER, card());
    crate::pci::quiet(0, 0xff, &mut bus);
    let host = bus.host(&[CARD]);
    (bus, host)
}

fn at(register: u64) -> u64 {
    CARD.offset(0).unwrap() + register
}

#[test]
fn addresses_are_lspcis() {
    let address = Address::parse("00:02.0").unwrap();
    assert_eq!((address, address.requester(), address.to_string()), (CARD, 0x10, "00:02.0".into()));
    let last = Address::parse("ff:1f.7").unwrap();
    assert_eq!((last.bus(), last.device(), last.function()), (0xff, 0x1f, 7));
    assert_eq!(last.offset(0xfe), Some(0x1f_f000));
    assert_eq!(last.offset(0), Some(0xfff_f000));
    assert_eq!(CARD.offset(1), None);
    for wrong in [
        "0:02.0",
        "00:2.0",
        "00:20.0",
        "00:02.8",
        "00:02",
        "00:02.0.0",
        "0000:00:02.0",
        "+0:02.0",
        "00:02.00",
    ] {
        assert_eq!(Address::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn only_own_functions_are_there() {
    let (mut bus, mut host) = world();
    assert_eq!(host.access(at(0), 4, None, &mut bus), 0x11e8_1234);
    let foreign = OTHER.offset(0).unwrap();
    for register in (0..0x1000).step_by(4) {
        assert_eq!(host.access(foreign + register, 4, None, &mut bus), 0xffff_ffff);
        // The bus objects if it arrives.
        host.access(foreign + register, 4, Some(0), &mut bus);
    }
    for beyond in [0x10_0000, 0x10_0000 + at(0), u64::MAX - 1] {
        assert_eq!(host.access(beyond, 2, None, &mut bus), 0xffff);
        host.access(beyond, 2, Some(0), &mut bus);
    }
}

/// As Linux does it (drivers/pci/probe.c: `__pci_read_base`).
#[test]
fn sizes_can_be_found_out() {
    let (mut bus, mut host) = world();
    let mut size = |register| {
        let before = host.access(at(register), 4, None, &mut bus);
        host.access(at(register), 4, Some(0xffff_ffff), &mut bus);
        let found = host.access(at(register), 4, None, &mut bus);
        host.access(at(register), 4, Some(before), &mut bus);
        assert_eq!(host.access(at(register), 4, None, &mut bus), before);
        found
    };
    assert_eq!(size(0x10), 0xfff0_0000);
    assert_eq!(size(0x14), 0, "I/O space");
    assert_eq!((size(0x18), size(0x1c)), (0xffff_f00c, 0xffff_ffff));
    assert_eq!((size(0x20), size(0x24)), (0, 0));
    assert_eq!(size(0x30), 0, "ROM");
}

#[test]
fn it_decodes_only_within_the_window() {
    let (mut bus, mut host) = world();
    let inside = WINDOW.base.0 + 0x10_0000;
    let mut set = |first: u64, second: u64| {
        host.access(at(0x10), 4, Some(first), &mut bus);
        host.access(at(0x18), 8, Some(second), &mut bus);
        host.access(at(4), 2, Some(6), &mut bus);
        assert_eq!(host.access(at(4), 2, None, &mut bus), 6);
        bus.command(CARD)
    };
    // Bus mastering is the SMMU's matter.
    assert_eq!(set(inside, WINDOW.base.0), 6);
    assert_eq!(set(inside, WINDOW_64.base.0 + WINDOW_64.size - 0x1000), 6);
    assert_eq!(set(inside, WINDOW_64.base.0 + WINDOW_64.size), 4);
    assert_eq!(set(WINDOW.base.0 - 0x10_0000, WINDOW.base.0), 4);
    assert_eq!(set(inside + 0x10_0000, WINDOW.base.0), 4);
    assert_eq!(set(inside, 0), 4);
    assert_eq!(set(inside, WINDOW.base.0 | 0xffff_ffff << 32), 4);
    assert_eq!(set(inside, WINDOW.base.0), 6);
    // Taken away at once, not at the next write to the command register.
    host.access(at(0x10), 4, Some(0), &mut bus);
    assert_eq!(bus.command(CARD), 4);
    host.access(at(0x10), 4, Some(inside), &mut bus);
    assert_eq!(bus.command(CARD), 6);
    assert_eq!(bus.functions[&CARD].word(0x10), inside as u32);
}

/// While one core turns interrupts off, another may be using the function.
#[test]
fn it_goes_on_decoding_while_other_bits_change() {
    let (mut bus, mut host) = world();
    host.access(at(0x10), 4, Some(WINDOW.base.0), &mut bus);
    host.access(at(0x18), 8, Some(WINDOW_64.base.0), &mut bus);
    host.access(at(4), 2, Some(2), &mut bus);
    // Registers that keep what was written before are not written again: the fake objects to that while it decodes.
    host.access(at(4), 2, Some(0x402), &mut bus);
    assert_eq!(bus.command(CARD), 0x402);
    // A function that has reset itself gets its addresses anew.
    let space = bus.functions.get_mut(&CARD).unwrap();
    space.set(0x10, 0);
    space.bytes[4..6].fill(0);
    host.access(at(4), 2, Some(0x402), &mut bus);
    assert_eq!((bus.command(CARD), bus.functions[&CARD].word(0x10)), (0x402, WINDOW.base.0 as u32));
}

/// One that resets itself at the worst moment decodes nothing when the guest goes on.
#[test]
fn what_resets_itself_is_turned_off() {
    let mut bus = Bus::default();
    let mut space = Space::new(1, 2).memory(0, 0x1000, false).pin(1);
    space.treacherous = true;
    bus.add(CARD, space);
    let mut host = bus.host(&[CARD]);
    host.access(at(0x10), 4, Some(WINDOW.base.0), &mut bus);
    host.access(at(4), 2, Some(6), &mut bus);
    assert_eq!(bus.command(CARD), 4);
}

#[test]
fn the_command_register_has_three_bits() {
    let (mut bus, mut host) = world();
    host.access(at(4), 4, Some(0xffff), &mut bus);
    assert_eq!(host.access(at(4), 2, None, &mut bus), 0x406);
    assert_eq!(bus.command(CARD), 0x404);
    // Byte by byte, each leaves the other alone.
    host.access(at(5), 1, Some(0), &mut bus);
    assert_eq!(host.access(at(4), 2, None, &mut bus), 6);
}

#[test]
fn errors_are_cleared_one_by_one() {
    let (mut bus, mut host) = world();
    bus.functions.get_mut(&CARD).unwrap().bytes[7] = 0xa0;
    host.access(at(4), 2, Some(0), &mut bus);
    assert_eq!(host.access(at(6), 2, None, &mut bus), 0xa010);
    host.access(at(6), 2, Some(0x8000), &mut bus);
    assert_eq!(host.access(at(6), 2, None, &mut bus), 0x2010);
}

#[test]
fn capabilities_are_those_allowed() {
    let (mut bus, mut host) = world();
    let mut next = host.access(at(0x34), 1, None, &mut bus);
    let mut found = Vec::new();
    while next != 0 {
        found.push(host.access(at(next), 1, None, &mut bus));
        next = host.access(at(next + 1), 1, None, &mut bus);
    }
    assert_eq!(found, [0x10, 0x09]);
    let space = &bus.functions[&CARD];
    let express = (0x40..0x100).step_by(4).find(|at| space.bytes[*at] == 0x10).unwrap();
    let (express, vendor) = (express as u64, space.bytes.iter().rposition(|byte| *byte == 6).unwrap() as u64);
    // Everything of it but that the function can be reset.
    assert_eq!(host.access(at(express + 4), 4, None, &mut bus), 0x8000);
    // The vendor's own, to its last byte and not further.
    assert_eq!(host.access(at(vendor), 4, None, &mut bus), 6);
    assert_eq!(host.access(at(vendor - 5), 2, None, &mut bus), 0x0201);
    for (register, what) in
        [(0x40, "power"), (0x48, "MSI"), (0x94, "MSI-X"), (0x100, "SR-IOV"), (0x140, "ATS")]
    {
        assert_eq!(host.access(at(register), 4, None, &mut bus), 0, "{what}");
    }
}

/// A list that never ends has an end for the guest, and none of it lies beyond conventional space.
#[test]
fn lists_that_make_no_sense() {
    let mut space = Space::new(1, 2).vendor(&[1, 2, 3]).extended();
    space.bytes[0x41] = 0xf8;
    space.bytes[0xf8..0xfb].copy_from_slice(&[9, 0x40, 0x20]);
    let mut bus = Bus::default();
    bus.add(CARD, space);
    crate::pci::quiet(0, 0xff, &mut bus);
    let mut host = bus.host(&[CARD]);
    assert_eq!(host.access(at(0x34), 1, None, &mut bus), 0x40);
    assert_eq!(host.access(at(0x41), 1, None, &mut bus), 0xf8);
    assert_eq!(host.access(at(0xf9), 1, None, &mut bus), 0);
    assert_eq!(host.access(at(0x100), 4, None, &mut bus), 0);
}

#[test]
fn pins_other_than_a_lead_nowhere() {
    for (pin, seen, forced) in [(0, 0, 0x400), (1, 1, 0), (2, 0, 0x400)] {
        let mut bus = Bus::default();
        bus.add(CARD, Space::new(1, 2).pin(pin));
        let mut host = bus.host(&[CARD]);
        assert_eq!(host.access(at(0x3d), 1, None, &mut bus), seen);
        host.access(at(4), 2, Some(4), &mut bus);
        assert_eq!(bus.command(CARD), 4 | forced);
        host.access(at(0x3c), 2, Some(0xff2a), &mut bus);
        assert_eq!(host.access(at(0x3c), 2, None, &mut bus), seen << 8 | 0x2a);
    }
}

/// Whatever the width and the place, the bytes are the same.
#[test]
fn any_width_anywhere() {
    let (mut bus, mut host) = world();
    let mut bytes = Vec::new();
    for place in 0..0x200 {
        bytes.push(host.access(at(place), 1, None, &mut bus));
    }
    for width in [2_u8, 4, 8] {
        for place in 0..0x1f8 {
            let expected =
                (0..usize::from(width)).rev().fold(0, |word, lane| word << 8 | bytes[place + lane]);
            assert_eq!(
                host.access(at(place as u64), width, None, &mut bus),
                expected,
                "{width} at {place:#x}"
            );
        }
    }
    // Over the end of the function, where nobody is.
    assert_eq!(host.access(at(0xffe), 4, None, &mut bus), 0xffff_0000);
    host.access(at(0x11), 4, Some(0x1234_5678), &mut bus);
    assert_eq!(host.access(at(0x10), 4, None, &mut bus), 0x3450_0000);
}

#[test]
fn several_functions_of_one_device() {
    let second = Address::of(0, 2, 1);
    let build = |of: &[Address]| {
        let mut bus = Bus::default();
        for address in [CARD, second] {
            let mut space = card();
            space.bytes[0xe] = 0x80;
            bus.add(address, space);
        }
        let mut host = bus.host(of);
        host.access(at(0xe), 1, None, &mut bus)
    };
    assert_eq!(build(&[CARD, second]), 0x80);
    assert_eq!(build(&[CARD]), 0);
}

#[test]
fn what_no_guest_can_have() {
    let make = |space: Space| {
        let mut bus = Bus::default();
        bus.add(CARD, space);
        Function::new(CARD, false, true, &mut bus).map(|_| ())
    };
    assert_eq!(Function::new(CARD, false, true, &mut Bus::default()).map(|_| ()), Err(Fault::Absent));
    assert_eq!(make(card()), Ok(()));
    let mut bridge = card();
    bridge.bytes[0xe] = 1;
    assert_eq!(make(bridge), Err(Fault::Layout(1)));
    let mut odd = card();
    odd.writable[0x13] = 0x0f;
    odd.writable[0x12] = 0x70;
    assert_eq!(make(odd), Err(Fault::Bar(0)));
    let mut fixed = card();
    fixed.capability(0x14, 8);
    assert_eq!(make(fixed), Err(Fault::FixedAddresses));
}

#[test]
fn virtio_has_to_keep_to_the_smmu() {
    let make = |space: Space| {
        let mut bus = Bus::default();
        bus.add(CARD, space);
        Function::new(CARD, false, true, &mut bus).map(|_| ())
    };
    let virtio = |high| Space::new(0, 0).virtio(high);
    assert_eq!(make(virtio(3)), Ok(()));
    assert_eq!(make(virtio(1)), Err(Fault::Bypasses));
    assert_eq!(make(Space::new(0x1af4, 0x1000).pin(1)), Err(Fault::Bypasses), "a legacy one cannot be asked");
    assert_eq!(make(Space::new(0x1af4, 0x1110).pin(1)), Ok(()), "ivshmem does no DMA of its own");
}
