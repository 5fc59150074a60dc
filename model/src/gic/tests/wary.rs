//! Somebody else ends what is active here, as a direct partition's guest can: the interrupt comes once more, not twice at a time,
//! and not as often as somebody likes.

use proptest::prelude::*;

use super::super::{Version, lr};
use super::fake::{Line, SPIS, World};
use super::flight::{EDGE, LEVEL, valid};

const BOTH: [Version; 2] = [Version::V3, Version::V2];
/// A level-sensitive one in another word.
const OTHER: u32 = 63;

/// Everything enabled, SPIs of priority 0x80 and routed to vCPU 0.
fn world(version: Version, vcpus: usize, lrs: usize) -> World {
    let mut world = World::wary(version, vcpus, lrs);
    (1..vcpus).for_each(|vcpu| world.online(vcpu));
    world.write(0, 3);
    for intid in SPIS.iter().map(|spi| u64::from(spi.intid)) {
        world.dist(0, 0x400 + intid, 1, Some(0x80));
        route(&mut world, intid as u32, 0);
    }
    world.write(0x104, !0);
    world.write(0x108, !0);
    world.quiesce();
    world
}

fn route(world: &mut World, intid: u32, vcpu: u64) {
    if world.machine.borrow().banked {
        world.dist(0, 0x800 + u64::from(intid), 1, Some(1 << vcpu));
    } else {
        world.dist(0, 0x6000 + 8 * u64::from(intid), 8, Some(vcpu));
    }
}

fn line(world: &World, intid: u32) -> Line {
    world.machine.borrow().spis[intid as usize]
}

/// Ends it from outside as often as it can be ended; how often EL2 took it again.
fn ended_and_ended(world: &mut World, intid: u32) -> usize {
    let mut taken = 0;
    for _ in 0..100 {
        world.foreign_end(intid);
        while world.interrupt(0) {
            taken += 1;
            world.finish(0);
        }
        world.quiesce();
    }
    taken
}

/// The device is served and the guest ends its interrupt; whether another instance is there then.
fn serve(world: &mut World, intid: u32) -> bool {
    world.input(0, intid, false);
    assert_eq!(world.eoi(0), Some(intid));
    world.quiesce();
    world.ack(0) == Some(intid)
}

/// It comes as ever.
fn comes(world: &mut World, intid: u32) {
    assert!(line(world, intid).enabled && !line(world, intid).active, "{intid}");
    world.input(0, intid, true);
    world.quiesce();
    assert_eq!(world.ack(0), Some(intid));
    assert!(!serve(world, intid));
}

#[test]
fn taken_once_more_and_no_more() {
    for version in BOTH {
        for acknowledged in [false, true] {
            let mut world = world(version, 1, 4);
            world.input(0, LEVEL, true);
            world.quiesce();
            if acknowledged {
                assert_eq!(world.ack(0), Some(LEVEL));
            }
            assert_eq!(ended_and_ended(&mut world, LEVEL), 1, "{version:?}");
            assert_eq!(valid(&world, 0).len(), 1, "once at a time");
            if !acknowledged {
                assert_eq!(world.ack(0), Some(LEVEL));
            }
            assert!(!serve(&mut world, LEVEL));
            comes(&mut world, LEVEL);
        }
    }
}

/// What waits for a list register, and what had to leave one.
#[test]
fn the_same_outside_the_list_registers() {
    for version in BOTH {
        let mut world = world(version, 1, 1);
        world.dist(0, 0x400 + u64::from(OTHER), 1, Some(0x40));
        world.input(0, OTHER, true);
        world.input(0, LEVEL, true);
        world.quiesce();
        assert_eq!(ended_and_ended(&mut world, LEVEL), 1, "{version:?}: it waits");
        assert_eq!(world.ack(0), Some(OTHER));
        // The next that is acknowledged is LEVEL.
        assert!(!serve(&mut world, OTHER));
        // A more urgent one takes its place.
        world.input(0, OTHER, true);
        world.quiesce();
        assert_eq!(world.ack(0), Some(OTHER));
        assert_eq!(ended_and_ended(&mut world, LEVEL), 0, "muted still");
        assert!(!serve(&mut world, OTHER));
        assert!(!serve(&mut world, LEVEL));
        comes(&mut world, LEVEL);
    }
}

#[test]
fn an_edge_meanwhile_is_not_lost() {
    for version in BOTH {
        let mut world = world(version, 1, 4);
        world.input(0, EDGE, true);
        world.quiesce();
        assert_eq!(world.ack(0), Some(EDGE));
        world.input(0, EDGE, false);
        world.input(0, EDGE, true);
        assert_eq!(ended_and_ended(&mut world, EDGE), 1, "{version:?}");
        assert!(serve(&mut world, EDGE), "the second edge");
        assert!(!serve(&mut world, EDGE));
        comes(&mut world, EDGE);
    }
}

/// The guest's own writes meet one that is muted.
#[test]
fn what_is_written_meanwhile() {
    let bit = 1 << (LEVEL % 32);
    for version in BOTH {
        let muted = |acknowledged| {
            let mut world = world(version, 2, 4);
            world.input(0, LEVEL, true);
            world.quiesce();
            if acknowledged {
                assert_eq!(world.ack(0), Some(LEVEL));
            }
            assert_eq!(ended_and_ended(&mut world, LEVEL), 1);
            world
        };
        // Disabled and enabled: it comes again, as its line is up.
        let mut world = muted(false);
        world.write(0x184, bit);
        assert!(valid(&world, 0).is_empty() && !line(&world, LEVEL).enabled, "{version:?}");
        world.write(0x104, bit);
        world.quiesce();
        assert_eq!(world.ack(0), Some(LEVEL));
        assert!(!serve(&mut world, LEVEL));
        comes(&mut world, LEVEL);
        // Its pending state taken back, with its line down.
        let mut world = muted(false);
        world.input(0, LEVEL, false);
        world.write(0x284, bit);
        assert_eq!(world.ack(0), None);
        comes(&mut world, LEVEL);
        // Deactivated by number: its line is up, so it is there again.
        let mut world = muted(true);
        world.write(0x384, bit);
        world.quiesce();
        world.machine.borrow_mut().cores[0].running.clear();
        assert_eq!(world.ack(0), Some(LEVEL));
        assert!(!serve(&mut world, LEVEL));
        comes(&mut world, LEVEL);
        // Routed away while it is active, and back.
        let mut world = muted(true);
        route(&mut world, LEVEL, 1);
        route(&mut world, LEVEL, 0);
        assert!(!serve(&mut world, LEVEL));
        comes(&mut world, LEVEL);
        // Its vCPU goes, and comes back, after a reset.
        let mut world = muted(true);
        (0..2).for_each(|vcpu| world.offline(vcpu));
        world.reset();
        assert!(!line(&world, LEVEL).enabled && !line(&world, LEVEL).active);
    }
}

/// It is active on one core and was routed to another: there it is not, so nothing is muted, and nothing is twice.
#[test]
fn on_another_core() {
    for version in BOTH {
        let mut world = world(version, 2, 4);
        world.input(0, LEVEL, true);
        world.quiesce();
        assert_eq!(world.ack(0), Some(LEVEL));
        route(&mut world, LEVEL, 1);
        world.foreign_end(LEVEL);
        world.quiesce();
        assert!(valid(&world, 1).is_empty(), "{version:?}: it is in the other core's");
        world.input(0, LEVEL, false);
        assert_eq!(world.eoi(0), Some(LEVEL));
        world.quiesce();
        world.foreign_end(LEVEL);
        world.input(0, LEVEL, true);
        world.quiesce();
        assert_eq!(world.ack(1), Some(LEVEL));
    }
}

proptest! {
    /// Whatever comes between: no number is in two list registers, and in the end each comes as ever.
    #[test]
    fn never_twice_and_never_gone(
        v2 in any::<bool>(),
        lrs in 1..4_usize,
        steps in prop::collection::vec((0..11_u8, 0..3_usize), 0..200),
    ) {
        let mut world = world(if v2 { Version::V2 } else { Version::V3 }, 1, lrs);
        for (step, pick) in steps {
            let intid = [LEVEL, EDGE, OTHER][pick];
            let (register, bit) = (4 * u64::from(intid / 32), 1 << (intid % 32));
            match step {
                0 => world.input(0, intid, true),
                1 => world.input(0, intid, false),
                2 => _ = world.ack(0),
                3 => _ = world.eoi(0),
                4 | 5 => world.foreign_end(intid),
                6 => _ = world.interrupt(0),
                7 => _ = world.finish(0),
                8 => _ = world.maintenance(0),
                9 => world.write(0x180 + register, bit),
                _ => world.write(0x100 + register, bit),
            }
            if world.machine.borrow().cores[0].in_hand.is_some() && step == 6 {
                // EL2 takes nothing else before it has seen to this one.
                world.finish(0);
            }
            let mut there: Vec<_> = valid(&world, 0).iter().map(|image| lr::intid(*image)).collect();
            let count = there.len();
            there.sort_unstable();
            there.dedup();
            prop_assert_eq!(there.len(), count, "twice at a time");
        }
        let all = [LEVEL, EDGE, OTHER];
        all.iter().for_each(|intid| world.input(0, *intid, false));
        world.write(0x104, !0);
        for _ in 0..100 {
            world.quiesce();
            if world.ack(0).is_none() && world.eoi(0).is_none() {
                break;
            }
        }
        world.quiesce();
        all.iter().for_each(|intid| comes(&mut world, *intid));
    }
}
