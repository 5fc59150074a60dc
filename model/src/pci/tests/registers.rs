//! Registers of a function's header as its guest sees them: address registers of each shape, the interrupt's, and those
//! that are nobody's.

use super::fake::{Bus, Space, WINDOW};
use crate::pci::{Address, Fault, Host};

const CARD: Address = Address::of(0, 2, 0);

fn world(space: Space) -> (Bus, Host) {
    let mut bus = Bus::default();
    bus.add(CARD, space);
    let host = bus.host(&[CARD]);
    (bus, host)
}

fn at(register: u64) -> u64 {
    CARD.offset(0).unwrap() + register
}

/// All six address registers, after ones were written to them.
fn sizes(space: Space) -> [u64; 6] {
    let (mut bus, mut host) = world(space);
    [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map(|register| {
        host.access(at(register), 4, Some(0xffff_ffff), &mut bus);
        host.access(at(register), 4, None, &mut bus)
    })
}

/// One that has a type and no size is not there (PCI 6.2.5.1), and neither is its upper half.
#[test]
fn a_type_alone_is_no_address_register() {
    for flags in [0, 0x4, 0x8, 0xc] {
        for index in 0..6 {
            let mut space = Space::new(1, 2);
            space.bytes[0x10 + 4 * index] = flags;
            assert_eq!(sizes(space), [0; 6], "{flags:#x} in register {index}");
        }
    }
}

#[test]
fn sizes_from_the_smallest_to_the_greatest() {
    assert_eq!(sizes(Space::new(1, 2).memory(0, 0x10, false))[0], 0xffff_fff0);
    assert_eq!(sizes(Space::new(1, 2).memory(5, 0x8000_0000, false))[5], 0x8000_0000);
    let wide = |size| sizes(Space::new(1, 2).memory(2, size, true));
    assert_eq!(wide(0x10), [0, 0, 0xffff_fffc, 0xffff_ffff, 0, 0]);
    assert_eq!(wide(0x8000_0000), [0, 0, 0x8000_000c, 0xffff_ffff, 0, 0]);
    assert_eq!(wide(1 << 32), [0, 0, 0xc, 0xffff_ffff, 0, 0]);
    assert_eq!(wide(1 << 63), [0, 0, 0xc, 0x8000_0000, 0, 0]);
}

/// A 64-bit register in the last place has no upper half: it is one of 32 bits, and what follows is none of it. The
/// fake objects to what is written there.
#[test]
fn the_last_register_has_no_upper_half() {
    let mut space = Space::new(1, 2).memory(5, 0x1000, false).pin(1);
    space.bytes[0x24] = 0xc;
    let (mut bus, mut host) = world(space);
    host.access(at(0x24), 4, Some(WINDOW.base.0), &mut bus);
    host.access(at(4), 2, Some(2), &mut bus);
    assert_eq!(bus.command(CARD), 2);
    assert_eq!(host.access(at(0x24), 4, None, &mut bus), WINDOW.base.0 | 0xc);
}

/// CardBus pointer, ROM and what is reserved: zeros, and no place to leave anything.
#[test]
fn the_rest_of_the_header_is_nobodys() {
    let mut space = Space::new(1, 2).memory(0, 0x1000, false);
    space.set(0x28, 0x1234_5678);
    space.set(0x38, 0x1234_5678);
    let (mut bus, mut host) = world(space);
    for register in [0x28, 0x30, 0x38] {
        host.access(at(register), 4, Some(0xffff_ffff), &mut bus);
        assert_eq!(host.access(at(register), 4, None, &mut bus), 0, "{register:#x}");
    }
}

/// The interrupt line is a byte for the guest's notes (PCI 6.2.4); its neighbours take none.
#[test]
fn the_interrupt_line_is_a_byte() {
    let (mut bus, mut host) = world(Space::new(1, 2).pin(1));
    host.access(at(0x3c), 1, Some(0x2a), &mut bus);
    assert_eq!(host.access(at(0x3c), 4, None, &mut bus), 0x12a);
    for neighbour in [0x3d, 0x3e, 0x3f] {
        host.access(at(neighbour), 1, Some(0x55), &mut bus);
        assert_eq!(host.access(at(0x3c), 4, None, &mut bus), 0x12a, "{neighbour:#x}");
    }
}

/// A pin that leads nowhere stays disabled, whatever its guest says about it.
#[test]
fn a_pin_that_leads_nowhere_stays_disabled() {
    let (mut bus, mut host) = world(Space::new(1, 2).pin(2));
    for command in [0x400, 0, 0x404, 4] {
        host.access(at(4), 2, Some(command), &mut bus);
        assert_eq!(bus.command(CARD), command as u16 | 0x400);
        assert_eq!(host.access(at(4), 2, None, &mut bus), command);
    }
}

/// A bridge whose root bus is not bus 0, of which the guest sees less than a bus: its functions are at their places, up
/// to the end and not at it.
#[test]
fn another_root_bus_and_its_end() {
    let [inside, beyond] = [Address::of(4, 0, 7), Address::of(4, 1, 0)];
    let mut bus = Bus::default();
    bus.add(inside, Space::new(0x11, 0x22));
    bus.add(beyond, Space::new(0x33, 0x44));
    let functions = bus.host(&[inside, beyond]).functions().to_vec();
    let mut host = Host::new(3, 0x8000, 4, vec![WINDOW], functions);
    assert_eq!((host.bridge(), host.bus()), (3, 4));
    assert_eq!(host.access(inside.offset(4).unwrap(), 4, None, &mut bus), 0x0022_0011);
    assert_eq!(host.access(beyond.offset(4).unwrap(), 4, None, &mut bus), 0xffff_ffff);
    assert_eq!(host.access(0, 4, None, &mut bus), 0xffff_ffff);
}

/// Each reason why nobody gets a function reads as what it is.
#[test]
fn reasons_are_told() {
    for (fault, word) in [
        (Fault::Absent, "no function answers"),
        (Fault::Layout(1), "header type 1"),
        (Fault::Bar(3), "address register 3"),
        (Fault::FixedAddresses, "Enhanced Allocation"),
        (Fault::Bypasses, "VIRTIO_F_ACCESS_PLATFORM"),
    ] {
        assert!(fault.to_string().contains(word), "{fault}");
    }
}
