//! Interrupts side by side: INTIDs 16 and 32, which are the first of their kind, and several of each kind in one word.

use super::super::{Irq, REDIST_SIZE, Spi, Version, lr};
use super::fake::World;
use super::flight::valid;

const SGI_BASE: u64 = 0x1_0000;

const fn spi(intid: u32, edge: bool, emulated: bool) -> Spi {
    Spi { intid, edge, emulated }
}

const SPIS: [Spi; 8] = [
    spi(32, true, false),
    spi(33, false, true),
    spi(34, false, false),
    spi(35, true, false),
    spi(36, true, false),
    spi(37, false, true),
    spi(38, true, true),
    spi(63, true, false),
];
const PPIS: u32 = 1 << 16 | 1 << 27;

/// Every vCPU runs, everything is enabled, SPIs go to `target`; the priority of INTID n is 0x10 + 8 * (n % 16).
fn world(version: Version, vcpus: usize, lrs: usize, target: usize) -> World {
    let mut world = World::owning(version, vcpus, lrs, &SPIS, PPIS);
    (1..vcpus).for_each(|vcpu| world.online(vcpu));
    world.write(0, 3);
    for intid in 0..64 {
        let priority = Some(0x10 + 8 * (intid % 16));
        match version {
            Version::V3 if intid < 32 => {
                for vcpu in 0..vcpus as u64 {
                    world.redist(0, vcpu * REDIST_SIZE + SGI_BASE + 0x400 + intid, 1, priority);
                }
            }
            _ => (0..vcpus).for_each(|vcpu| _ = world.dist(vcpu, 0x400 + intid, 1, priority)),
        }
        match version {
            Version::V2 => world.dist(0, 0x800 + intid, 1, Some(1 << target)),
            Version::V3 => world.dist(0, 0x6000 + 8 * intid, 8, Some(target as u64)),
        };
    }
    for vcpu in 0..vcpus {
        match version {
            Version::V2 => world.dist(vcpu, 0x100, 4, Some(!0)),
            Version::V3 => world.redist(0, vcpu as u64 * REDIST_SIZE + SGI_BASE + 0x100, 4, Some(!0)),
        };
    }
    world.write(0x104, !0);
    world.quiesce();
    world
}

fn pulse(world: &mut World, core: usize, intid: u32) {
    world.input(core, intid, true);
    world.input(core, intid, intid < 32);
    world.quiesce();
}

fn end(world: &mut World, core: usize, intid: u32) {
    world.input(core, intid, false);
    assert_eq!(world.eoi(core), Some(intid));
    world.quiesce();
}

#[test]
fn the_first_of_each_kind_is_one_of_them() {
    for (version, intid) in [(Version::V2, 16), (Version::V2, 32), (Version::V3, 16), (Version::V3, 32)] {
        let mut world = world(version, 1, 1, 0);
        // The fast path has it.
        assert_ne!(world.machine.borrow().cores[0].ready[intid as usize], 0, "{version:?} {intid}");
        pulse(&mut world, 0, intid);
        assert_eq!(world.ack(0), Some(intid), "{version:?}");
        end(&mut world, 0, intid);
        // And the other one: the only list register is taken.
        pulse(&mut world, 0, 63);
        pulse(&mut world, 0, intid);
        for expected in [intid, 63] {
            assert_eq!(world.ack(0), Some(expected), "{version:?}");
            end(&mut world, 0, expected);
        }
        assert_eq!(world.ack(0), None);
    }
}

#[test]
fn the_first_is_ended_by_its_number() {
    let mut world = world(Version::V3, 2, 2, 0);
    world.machine.borrow_mut().cores[0].two_step = true;
    for intid in [32, 16] {
        pulse(&mut world, 0, intid);
        assert_eq!(world.ack(0), Some(intid));
        world.input(0, intid, false);
        world.eoi(0);
        assert!(world.machine.borrow_mut().line(0, intid).active);
        world.dir(0, 0);
        assert!(!world.machine.borrow_mut().line(0, intid).active, "{intid}");
    }
}

#[test]
fn the_first_stays_active_when_its_core_goes_off() {
    let mut world = world(Version::V3, 2, 2, 1);
    pulse(&mut world, 1, 32);
    assert_eq!(world.ack(1), Some(32));
    world.offline(1);
    assert_eq!(world.read(0x304), 1);
    assert_eq!(world.redist(0, REDIST_SIZE + SGI_BASE + 0x300, 4, None), 0);
}

/// An acknowledged interrupt that the partition does not own in this way is none of its business.
#[test]
fn what_is_not_a_physical_one_of_the_partitions() {
    let mut world = world(Version::V3, 1, 2, 0);
    let mut hw = super::fake::Physical(world.machine.clone(), 0);
    for intid in [0, 15, 17, 29, 33, 37, 39, 64, 1019, 1023] {
        let irq = world.vgic.slow_irq(0, intid, &mut hw, &mut world.lrs(0));
        assert_eq!(irq, Irq::NotOurs, "{intid}");
    }
    assert!(valid(&world, 0).is_empty());
}

/// ICPENDR of two, of which one is active already: that one stays so and comes again.
#[test]
fn clearing_pending_spares_the_active_neighbour() {
    for target in 0..2 {
        let mut world = world(Version::V3, 2, 4, target);
        pulse(&mut world, 0, 36);
        assert_eq!(world.ack(target), Some(36));
        pulse(&mut world, 0, 35);
        world.write(0x284, 1 << 3 | 1 << 4);
        {
            let machine = world.machine.borrow();
            assert_eq!((machine.spis[35].active, machine.spis[36].active), (false, true));
        }
        assert_eq!(world.read(0x304), 1 << 4);
        end(&mut world, target, 36);
        pulse(&mut world, 0, 36);
        assert_eq!(world.ack(target), Some(36), "vCPU {target}");
    }
}

/// Two emulated levels, of which the second loses its list register to something more urgent: what was written of the
/// first stays written, and what was not does not become so.
#[test]
fn a_neighbour_that_is_displaced() {
    for written in [true, false] {
        let mut world = world(Version::V3, 1, 2, 0);
        if written {
            world.write(0x204, 1 << 1);
        } else {
            world.input(0, 33, true);
        }
        world.input(0, 37, true);
        world.quiesce();
        assert_eq!(valid(&world, 0).len(), 2);
        pulse(&mut world, 0, 32);
        world.input(0, 33, false);
        // Once more the list registers are looked at.
        world.write(0x204, 1 << 6);
        let expected: &[u32] = if written { &[32, 33, 37, 38] } else { &[32, 37, 38] };
        for expected in expected {
            world.quiesce();
            assert_eq!(world.ack(0), Some(*expected), "written: {written}");
            end(&mut world, 0, *expected);
        }
        assert_eq!(world.ack(0), None);
    }
}

/// The end of one, by its number, is not the end of what was written of another, which is not active: not even when both
/// are named.
#[test]
fn a_neighbour_that_is_deactivated() {
    let mut world = world(Version::V3, 1, 4, 0);
    pulse(&mut world, 0, 35);
    assert_eq!(world.ack(0), Some(35));
    world.write(0x204, 1 << 1);
    world.quiesce();
    world.machine.borrow_mut().cores[0].running.clear();
    world.write(0x384, 1 << 3 | 1 << 1);
    // Something else for which the list registers are looked at.
    world.write(0x204, 1 << 5);
    world.quiesce();
    for expected in [33, 37] {
        assert_eq!(world.ack(0), Some(expected));
        end(&mut world, 0, expected);
    }
}

/// A neighbour's trigger changes: what is pending in a list register stays where it is.
#[test]
fn a_neighbour_of_another_trigger() {
    let mut world = world(Version::V3, 2, 4, 1);
    pulse(&mut world, 0, 35);
    let before = valid(&world, 1);
    let fields = |world: &mut World| world.read(0xc08);
    assert_eq!(fields(&mut world), 2 | 2 << 6 | 2 << 8 | 2 << 12);
    world.write(0xc08, 2 | 2 << 4 | 2 << 6 | 2 << 8 | 2 << 12);
    assert_eq!(valid(&world, 1), before);
    // Each field is its own interrupt's, and those of nobody stay zero.
    for value in [0, 0x0202, 0x0880, 0x2a0a, 0x2020, 0xffff_ffff] {
        world.write(0xc08, value);
        assert_eq!(world.read(0xc08), value & 0x2aaa, "{value:#x}");
    }
    world.write(0xc0c, 0);
    assert_eq!((world.read(0xc0c), world.read(0xc08)), (0, 0x2aaa));
}

/// A second edge of an emulated device waits while the first is in a list register: both have the new priority.
#[test]
fn a_second_edge_and_a_new_priority() {
    let mut world = world(Version::V3, 1, 4, 0);
    for _ in 0..2 {
        pulse(&mut world, 0, 38);
    }
    world.dist(0, 0x400 + 38, 1, Some(0x08));
    let images = valid(&world, 0);
    assert_eq!(images.iter().map(|image| lr::priority(*image)).collect::<Vec<_>>(), [0x08]);
}

/// A level that was written, became an edge and was delivered as one is still pending when it is taken back.
#[test]
fn what_was_written_of_a_level_that_became_an_edge() {
    let mut world = world(Version::V3, 1, 4, 0);
    world.input(0, 34, true);
    world.quiesce();
    world.write(0x204, 1 << 2);
    world.input(0, 34, false);
    world.write(0xc08, 2 << 4);
    world.quiesce();
    assert_eq!(valid(&world, 0).len(), 1);
    world.write(0x184, 1 << 2);
    assert_eq!((valid(&world, 0).len(), world.read(0x204)), (0, 1 << 2));
    world.write(0x104, 1 << 2);
    world.quiesce();
    assert_eq!(world.ack(0), Some(34));
}

/// Registers of the upper half of a word are mirrored at their own place.
#[test]
fn the_last_of_a_word_is_mirrored() {
    let mut world = world(Version::V3, 1, 4, 0);
    let mirror = |world: &World, offset| world.vgic.mirrors()[0].read(offset);
    assert_eq!((mirror(&world, 0xc0c), mirror(&world, 0xbfc)), (Some(2 << 30), None));
    assert_eq!((world.read(0xc0c), world.read(0xbfc)), (2 << 30, 0));
}
