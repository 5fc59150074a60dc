//! A partition whose interrupts do not pass EL2: what it writes reaches the physical controller, of its own interrupts only.

use super::super::{REDIST_SIZE, Version};
use super::fake::{Line, World};

const SGI_BASE: u64 = 0x1_0000;
const BOTH: [Version; 2] = [Version::V3, Version::V2];
/// A level-sensitive device, an edge-triggered one, and an emulated one.
const LEVEL: u32 = 34;
const EDGE: u32 = 35;
const CONSOLE: u32 = 33;

fn world(version: Version) -> World {
    let mut world = World::direct(version, 2);
    world.online(1);
    world.write(0, 3);
    world
}

/// A word register of a vCPU's private interrupts.
fn private(world: &mut World, vcpu: usize, register: u64, write: Option<u64>) -> u64 {
    if world.machine.borrow().banked {
        world.dist(vcpu, register, 4, write)
    } else {
        world.redist(vcpu, vcpu as u64 * REDIST_SIZE + SGI_BASE + register, 4, write)
    }
}

fn spi(world: &World, intid: u32) -> Line {
    world.machine.borrow().spis[intid as usize]
}

fn ppi(world: &World, vcpu: usize, intid: u32) -> Line {
    world.machine.borrow().cores[vcpu].ppis[intid as usize]
}

#[test]
fn priorities_and_groups_are_physical() {
    for version in BOTH {
        let mut world = world(version);
        world.write(0x420, 0x5040_3020);
        assert_eq!([LEVEL, EDGE].map(|intid| spi(&world, intid).priority), [0x40, 0x50]);
        // INTID 32 is nobody's.
        assert_eq!((spi(&world, 32).priority, world.read(0x420)), (0, 0x5040_3000));
        world.write(0x84, 1 << 3);
        assert_eq!([LEVEL, EDGE].map(|intid| spi(&world, intid).group1), [false, true]);
        private(&mut world, 1, 0x418, Some(0x9000_0000));
        private(&mut world, 1, 0x404, Some(0x60));
        assert_eq!([27, 4].map(|intid| ppi(&world, 1, intid).priority), [0x90, 0x60]);
        assert_eq!([27, 4].map(|intid| ppi(&world, 0, intid).priority), [0, 0]);
    }
}

#[test]
fn enabled_as_for_any_partition() {
    for version in BOTH {
        let mut world = world(version);
        world.write(0, 0);
        world.write(0x104, !0);
        private(&mut world, 0, 0x100, Some(1 << 27 | 1 << 5 | 1 << 20));
        assert!(!spi(&world, LEVEL).enabled && !ppi(&world, 0, 27).enabled, "no group is on");
        world.write(0, 3);
        assert!(spi(&world, LEVEL).enabled && ppi(&world, 0, 27).enabled && ppi(&world, 0, 5).enabled);
        world.offline(0);
        assert!(!spi(&world, LEVEL).enabled && !ppi(&world, 0, 27).enabled, "its target is off");
        assert_eq!(private(&mut world, 1, 0x100, None) as u32 & 1 << 20, 0, "PPI 20 is nobody's");
    }
}

/// EL2 has a core for itself while its vCPU is off.
#[test]
fn a_core_that_comes_back_has_its_ranks_again() {
    for version in BOTH {
        let mut world = world(version);
        private(&mut world, 1, 0x418, Some(0x9000_0000));
        private(&mut world, 1, 0x100, Some(1 << 27));
        world.offline(1);
        let own = Line { owned: true, priority: 0xa0, group1: true, ..Line::default() };
        world.machine.borrow_mut().cores[1].ppis[27] = own;
        world.online(1);
        let line = ppi(&world, 1, 27);
        assert_eq!((line.priority, line.enabled), (0x90, true));
    }
}

#[test]
fn pending_and_active_are_what_the_controller_has() {
    for version in BOTH {
        let mut world = world(version);
        world.write(0x204, !0);
        assert!(spi(&world, EDGE).latch && !spi(&world, 32).latch);
        assert_eq!(world.read(0x204) & (1 << 3 | 1), 1 << 3);
        world.write(0x284, !0);
        assert!(!spi(&world, EDGE).latch);
        world.machine.borrow_mut().spis[EDGE as usize].active = true;
        assert_eq!(world.read(0x304), 1 << 3);
        world.write(0x384, 1 << 3);
        assert!(!spi(&world, EDGE).active);
        world.write(0x304, 1 << 3 | 1);
        assert!(spi(&world, EDGE).active && !spi(&world, 32).active);
        assert_eq!(world.machine.borrow().kicks, 0, "no kick reaches a direct guest's core");
    }
}

/// The line of an emulated device is the pending bit of its SPI.
#[test]
fn an_emulated_device_has_a_physical_interrupt() {
    for version in BOTH {
        let mut world = world(version);
        world.write(0x104, !0);
        assert!(spi(&world, CONSOLE).enabled);
        world.drive(0, CONSOLE, true);
        assert!(spi(&world, CONSOLE).latch);
        // It is taken, and the line is still high at the next look.
        world.machine.borrow_mut().spis[CONSOLE as usize].latch = false;
        world.drive(1, CONSOLE, true);
        assert!(spi(&world, CONSOLE).latch);
        world.write(0x284, !0);
        assert!(spi(&world, CONSOLE).latch, "its line is high");
        world.drive(0, CONSOLE, false);
        assert!(!spi(&world, CONSOLE).latch);
        // Low it leaves a pending state alone that the guest wrote; and others have no line.
        world.write(0x204, !0);
        world.drive(0, CONSOLE, false);
        assert!(spi(&world, CONSOLE).latch);
        world.write(0x284, !0);
        world.drive(0, LEVEL, true);
        assert!(!spi(&world, LEVEL).latch);
    }
}

/// GICv2 keeps physical SGIs by the board's interfaces, which are nothing to a guest.
#[test]
fn sources_of_sgis_are_not_told() {
    let mut world = world(Version::V2);
    world.write(0xf20, !0);
    assert_eq!((world.read(0xf20), world.read(0xf10)), (0, 0));
}

/// What ICC_DIR_EL1 may name.
#[test]
fn its_own_interrupts() {
    let world = world(Version::V3);
    for intid in [0, 15, 27, 30, CONSOLE, LEVEL, EDGE] {
        assert!(world.vgic.owns(0, intid), "{intid}");
    }
    for intid in [16, 26, 32, 64, 1019, 1020, 1023, 8192, u32::MAX] {
        assert!(!world.vgic.owns(0, intid), "{intid}");
    }
    assert!(world.vgic.is_direct() && !world.vgic.owns(2, 27));
    assert!(!World::new(2, 4).vgic.is_direct());
}

/// A write-one register touches what its bits name, of the partition's own, and nothing that is beside them in the word.
#[test]
fn others_in_the_word_stay_as_they_are() {
    for version in BOTH {
        let mut world = world(version);
        let all = |world: &World, what: fn(&Line) -> bool| {
            [CONSOLE, LEVEL, EDGE, 32, 36].map(|intid| what(&spi(world, intid)))
        };
        world.write(0x204, 1 << 3);
        assert_eq!(all(&world, |line| line.latch), [false, false, true, false, false]);
        world.write(0x284, 1 << 1);
        assert_eq!(all(&world, |line| line.latch), [false, false, true, false, false]);
        world.write(0x304, 1 << 2);
        assert_eq!(all(&world, |line| line.active), [false, true, false, false, false]);
        world.write(0x384, 1 << 1);
        assert_eq!(all(&world, |line| line.active), [false, true, false, false, false]);
        world.write(0x384, 1 << 2);
        assert_eq!(all(&world, |line| line.active), [false; 5]);
        // An emulated device whose line is high stays pending; another's pending state goes.
        world.drive(0, CONSOLE, true);
        world.write(0x284, 1 << 3);
        assert_eq!(all(&world, |line| line.latch), [true, false, false, false, false]);
        world.write(0x204, 1 << 3);
        world.drive(0, CONSOLE, false);
        assert_eq!(all(&world, |line| line.latch), [false, false, true, false, false]);
    }
}
