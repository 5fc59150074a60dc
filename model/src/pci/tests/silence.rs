//! Bringing functions to rest, at boot and when a partition ends.

use super::fake::{Bus, Space, WINDOW};
use crate::pci::{Address, Function, quiet};

/// As busy as firmware can leave it.
fn busy() -> Space {
    let mut space = Space::new(0x1234, 1).memory(0, 0x1000, false).pin(1).msi().msi_x().extended();
    space.bytes[4..6].copy_from_slice(&0x147_u16.to_le_bytes());
    let msi = 0x40;
    space.bytes[msi + 2] = 1;
    space.bytes[msi + 0x13] = 0x80;
    space
}

/// All that is on in a function and should not be.
fn noise(bus: &Bus, address: Address) -> Vec<&'static str> {
    let space = &bus.functions[&address];
    let checks = [
        (4, 0xff, "command"),
        (0x42, 1, "MSI"),
        (0x53, 0x80, "MSI-X"),
        (0x108, 9, "SR-IOV"),
        (0x147, 0x80, "ATS"),
        (0x154, 1, "page requests"),
        (0x166, 1, "PASID"),
    ];
    let mut found: Vec<_> =
        checks.iter().filter(|(at, bits, _)| space.bytes[*at] & bits != 0).map(|c| c.2).collect();
    if space.bytes[5] != 4 {
        found.push("interrupt");
    }
    found
}

#[test]
fn everything_is_silenced_behind_bridges_too() {
    let mut bus = Bus::default();
    let (near, hidden) = (Address::of(0, 1, 0), Address::of(0, 0x1f, 7));
    let (far, farther) = (Address::of(3, 0, 0), Address::of(7, 0, 0));
    for address in [near, hidden, far, farther] {
        bus.add(address, busy());
        assert_eq!(noise(&bus, address).len(), 8);
    }
    bus.add_bridge(Address::of(0, 2, 0), 3, 7);
    bus.add_bridge(Address::of(3, 1, 0), 7, 7);
    assert_eq!(quiet(0, 0xff, &mut bus), 6);
    for address in [near, hidden, far, farther] {
        assert_eq!(noise(&bus, address), [""; 0], "{address}");
    }
}

/// Bridges that lead to themselves, upwards, or out of the range.
#[test]
fn the_walk_ends() {
    let mut bus = Bus::default();
    bus.add_bridge(Address::of(4, 0, 0), 4, 4);
    bus.add_bridge(Address::of(4, 1, 0), 5, 5);
    bus.add_bridge(Address::of(4, 2, 0), 0, 0xff);
    bus.add_bridge(Address::of(4, 3, 0), 9, 9);
    bus.add_bridge(Address::of(5, 0, 0), 5, 5);
    bus.add_bridge(Address::of(5, 1, 0), 4, 4);
    bus.add(Address::of(9, 0, 0), busy());
    bus.add(Address::of(0, 0, 0), busy());
    assert_eq!(quiet(4, 8, &mut bus), 6);
    assert!(bus.reads < 2000, "{} reads", bus.reads);
    assert!(!noise(&bus, Address::of(9, 0, 0)).is_empty(), "beyond the bridge's buses");
    assert!(!noise(&bus, Address::of(0, 0, 0)).is_empty(), "before them");
    // A list of capabilities that bites its tail, and extended ones that do.
    let mut loops = busy();
    loops.bytes[0x51] = 0x40;
    loops.set(0x160, 0x100 << 20 | 0x1_001b);
    let address = Address::of(4, 5, 0);
    bus.add(address, loops);
    quiet(4, 8, &mut bus);
    assert_eq!(noise(&bus, address), [""; 0]);
}

#[test]
fn a_partitions_end_resets_what_can_be_reset() {
    let [plain, able] = [Address::of(0, 1, 0), Address::of(0, 2, 0)];
    let mut bus = Bus::default();
    bus.add(plain, Space::new(1, 2).memory(0, 0x1000, false).pin(1));
    bus.add(able, Space::new(1, 2).memory(0, 0x1000, false).pin(1).power().express(true));
    bus.functions.get_mut(&able).unwrap().bytes[0x44] = 3;
    let mut host = bus.host(&[plain, able]);
    assert_eq!(bus.functions[&able].resets, 1);
    assert_eq!(bus.functions[&able].bytes[0x44] & 3, 0, "it is awake");
    let base = |address: Address| address.offset(0).unwrap();
    for address in [plain, able] {
        host.access(base(address) + 0x10, 4, Some(WINDOW.base.0), &mut bus);
        host.access(base(address) + 4, 2, Some(6), &mut bus);
        assert_eq!(bus.command(address), 6);
    }
    let before = bus.waited;
    host.reset(&mut bus);
    assert_eq!((bus.command(plain), bus.command(able)), (0x400, 0x400));
    assert_eq!((bus.functions[&plain].resets, bus.functions[&able].resets), (0, 2));
    assert!((100..1000).contains(&(bus.waited - before)), "waited {} ms", bus.waited - before);
    for address in [plain, able] {
        assert_eq!(host.access(base(address) + 4, 2, None, &mut bus), 0);
        assert_eq!(host.access(base(address) + 0x10, 4, None, &mut bus), 0);
    }
}

/// A function that is stuck costs a bounded time.
#[test]
fn waiting_ends() {
    let address = Address::of(0, 1, 0);
    let mut stuck = Space::new(1, 2).express(true);
    stuck.bytes[0x4a] = 0x20;
    let mut bus = Bus::default();
    bus.add(address, stuck);
    bus.host(&[address]);
    assert_eq!((bus.waited, bus.functions[&address].resets), (200, 1));
}

/// A function that is awake and cannot be reset is neither waited for nor reset.
#[test]
fn no_reset_where_none_can_be() {
    let address = Address::of(0, 1, 0);
    let mut bus = Bus::default();
    bus.add(address, Space::new(1, 2).power().express(false));
    bus.host(&[address]);
    assert_eq!((bus.waited, bus.functions[&address].resets), (0, 0));
}

/// 100 ms are what a reset takes (PCIe 6.6.2), and settings of the link's partner stay: payload and request sizes.
#[test]
fn a_reset_takes_its_time_and_keeps_device_control() {
    let address = Address::of(0, 1, 0);
    let mut space = Space::new(1, 2).express(true);
    space.bytes[0x48..0x4a].copy_from_slice(&0x2850_u16.to_le_bytes());
    space.bytes[0x4a] = 0xf;
    space.writable[0x4a] = 0xff;
    let mut bus = Bus::default();
    bus.add(address, space);
    bus.host(&[address]);
    assert_eq!((bus.waited, bus.functions[&address].resets), (100, 1));
    assert_eq!(bus.functions[&address].word(0x48), 0xf_2850);
}

/// One that takes longer to come back is waited for, a second at most.
#[test]
fn coming_back_is_waited_for() {
    let address = Address::of(0, 1, 0);
    for (asleep, waited) in [(100, 100), (101, 101), (700, 700), (5000, 1100)] {
        let mut space = Space::new(1, 2).pin(1).msi().express(true);
        space.asleep = asleep;
        space.bytes[0x42] = 1;
        let mut bus = Bus::default();
        bus.add(address, space);
        let made = Function::new(address, false, true, &mut bus);
        assert_eq!(bus.waited, waited, "{asleep} ms");
        assert!(asleep > 1000 || made.is_ok_and(|_| bus.functions[&address].bytes[5] == 4), "{asleep} ms");
    }
}
