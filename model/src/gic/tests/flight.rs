//! Register writes that meet interrupts in flight, on the writing core and on others.

use super::super::{REDIST_SIZE, lr};
use super::fake::{SPIS, World};

const SGI_BASE: u64 = 0x1_0000;
pub(super) const LEVEL: u32 = 34;
pub(super) const EDGE: u32 = 35;

/// Two vCPUs, everything enabled, priorities 0x80, SPIs routed to `target`.
pub(super) fn world(target: u64) -> World {
    let mut world = World::new(2, 4);
    world.online(1);
    world.write(0, 3);
    for intid in SPIS.iter().map(|spi| u64::from(spi.intid)) {
        world.dist(0, 0x400 + intid, 1, Some(0x80));
        world.dist(0, 0x6000 + 8 * intid, 8, Some(target));
    }
    for vcpu in 0..2 {
        world.redist(0, vcpu * REDIST_SIZE + SGI_BASE + 0x100, 4, Some(0xffff_ffff));
    }
    world.write(0x104, 0xffff_ffff);
    world.write(0x108, 0xffff_ffff);
    world.quiesce();
    world
}

pub(super) fn valid(world: &World, vcpu: usize) -> Vec<u64> {
    world.machine.borrow().cores[vcpu].lrs.iter().copied().filter(|image| lr::is_valid(*image)).collect()
}

pub(super) fn raise(world: &mut World, intid: u32) {
    world.input(0, intid, true);
    if intid == EDGE {
        world.input(0, intid, false);
    }
    world.quiesce();
}

#[test]
fn delivery_and_end_need_no_model() {
    for target in 0..2 {
        let mut world = world(target as u64);
        raise(&mut world, EDGE);
        assert_eq!(valid(&world, target), [0x7080_0023_0000_0023]);
        assert!(valid(&world, 1 - target).is_empty());
        assert_eq!(world.ack(target), Some(EDGE));
        assert_eq!(world.read(0x304), 1 << 3, "active for the guest");
        assert_eq!(world.read(0x204), 0);
        world.eoi(target);
        assert_eq!(world.read(0x304), 0);
        assert!(!world.machine.borrow().spis[EDGE as usize].active);
    }
}

#[test]
fn disabling_withdraws_and_enabling_brings_back() {
    for (target, intid) in [(0, EDGE), (1, EDGE), (0, LEVEL), (1, LEVEL)] {
        let mut world = world(target as u64);
        raise(&mut world, intid);
        world.write(0x184, 1 << (intid % 32));
        assert!(valid(&world, target).is_empty());
        assert_eq!(world.read(0x204), 1 << (intid % 32), "still pending");
        assert_eq!(world.ack(target), None);
        world.quiesce();
        world.write(0x104, 1 << (intid % 32));
        world.quiesce();
        assert_eq!(world.ack(target), Some(intid));
    }
}

#[test]
fn disabling_leaves_the_active_one() {
    let mut world = world(1);
    raise(&mut world, EDGE);
    assert_eq!(world.ack(1), Some(EDGE));
    world.write(0x184, 1 << 3);
    assert_eq!(world.read(0x304), 1 << 3);
    world.eoi(1);
    assert_eq!(world.read(0x304), 0);
    raise(&mut world, EDGE);
    assert_eq!(world.ack(1), None);
    world.write(0x104, 1 << 3);
    world.quiesce();
    assert_eq!(world.ack(1), Some(EDGE));
}

#[test]
fn groups_gate_delivery() {
    let mut world = world(0);
    raise(&mut world, EDGE);
    world.write(0, 1);
    assert!(valid(&world, 0).is_empty() && world.read(0x204) == 1 << 3);
    assert!(!world.machine.borrow().spis[EDGE as usize].enabled);
    assert_eq!(world.read(0x104) >> 3 & 1, 1, "the guest's enable bit stays");
    world.write(0x84, !(1 << 3)); // to Group 0, which is enabled
    world.quiesce();
    assert_eq!(valid(&world, 0), [0x6080_0023_0000_0023]);
    world.write(0, 3);
    world.write(0x84, 0xffff_ffff);
    assert_eq!(valid(&world, 0), [0x7080_0023_0000_0023], "a pending one follows its group");
    world.write(0x84, !(1 << 3));
    assert_eq!(valid(&world, 0), [0x6080_0023_0000_0023], "to either");
}

#[test]
fn clearing_pending_drops() {
    for target in 0..2 {
        let mut world = world(target as u64);
        raise(&mut world, EDGE);
        world.write(0x284, 1 << 3);
        world.quiesce();
        assert!(valid(&world, target).is_empty() && world.read(0x204) == 0);
        assert!(!world.machine.borrow().spis[EDGE as usize].active);
        raise(&mut world, EDGE);
        assert_eq!(world.ack(target), Some(EDGE), "the next one comes");
        world.eoi(target);
        raise(&mut world, LEVEL);
        world.write(0x284, 1 << 2);
        world.quiesce();
        assert_eq!(world.read(0x204), 1 << 2, "its line is still high");
    }
}

#[test]
fn clearing_pending_reaches_one_on_its_way() {
    let mut world = world(1);
    world.machine.borrow_mut().cores[1].ready[EDGE as usize] = 0; // as if the overflow table were in use
    world.input(0, EDGE, true);
    assert!(world.interrupt(1));
    assert_eq!(world.machine.borrow().cores[1].in_hand, Some(EDGE));
    world.write(0x284, 1 << 3);
    world.finish(1);
    assert!(valid(&world, 1).is_empty() && !world.machine.borrow().spis[EDGE as usize].active);
    world.input(0, EDGE, false);
    raise(&mut world, EDGE);
    assert_eq!(world.ack(1), Some(EDGE));
}

#[test]
fn one_on_its_way_is_checked_again() {
    for (write, back) in [(0x184, true), (0x304, true), (0x284, false)] {
        let mut world = world(1);
        world.machine.borrow_mut().cores[1].ready[EDGE as usize] = 0;
        raise_only(&mut world);
        world.write(write, 1 << 3);
        world.finish(1);
        assert!(valid(&world, 1).is_empty(), "{write:#x}");
        assert_eq!(world.read(0x204) >> 3 & 1 != 0, back, "{write:#x}");
        assert_eq!(world.read(0x304) >> 3 & 1 != 0, write == 0x304);
        world.write(0x384, 1 << 3);
        world.write(0x104, 1 << 3);
        world.quiesce();
        assert_eq!(world.ack(1), back.then_some(EDGE), "{write:#x}");
    }
    fn raise_only(world: &mut World) {
        world.input(0, EDGE, true);
        assert!(world.interrupt(1));
    }
}

#[test]
fn held_and_released_while_on_its_way() {
    let mut world = world(1);
    world.machine.borrow_mut().cores[1].ready[EDGE as usize] = 0;
    world.input(0, EDGE, true);
    assert!(world.interrupt(1));
    world.write(0x304, 1 << 3);
    world.write(0x384, 1 << 3);
    world.dist(0, 0x6000 + 8 * u64::from(EDGE), 8, Some(0));
    assert!(!world.interrupt(0), "not before vCPU 1 let go of it");
    world.finish(1);
    world.quiesce();
    assert_eq!((world.ack(0), world.ack(1)), (Some(EDGE), None));
}

#[test]
fn setting_pending() {
    let mut world = world(1);
    world.write(0x204, 1 << 3);
    world.quiesce();
    world.write(0x204, 1 << 3);
    world.quiesce();
    assert_eq!(world.ack(1), Some(EDGE));
    world.eoi(1);
    world.quiesce();
    assert_eq!(world.ack(1), None, "pending twice is pending");
    // A level-sensitive one that was written stays pending without its line, also through a withdrawal.
    world.write(0x204, 1 << 2);
    world.quiesce();
    assert_eq!(valid(&world, 1).len(), 1);
    world.write(0x184, 1 << 2);
    assert_eq!(world.read(0x204), 1 << 2);
    world.write(0x104, 1 << 2);
    world.quiesce();
    assert_eq!(world.ack(1), Some(LEVEL));
    world.eoi(1);
    world.quiesce();
    assert_eq!(world.ack(1), None);
    // The fast path is back after the next one.
    for _ in 0..2 {
        world.input(0, LEVEL, true);
        world.quiesce();
        assert_eq!(world.ack(1), Some(LEVEL));
        world.input(0, LEVEL, false);
        world.eoi(1);
    }
    assert_ne!(world.machine.borrow().cores[1].ready[LEVEL as usize], 0);
}

#[test]
fn setting_active_holds_back() {
    for target in 0..2 {
        let mut world = world(target as u64);
        raise(&mut world, EDGE);
        world.write(0x304, 1 << 3);
        assert_eq!((world.read(0x304), world.read(0x204)), (1 << 3, 1 << 3));
        world.quiesce();
        assert_eq!(world.ack(target), None);
        world.write(0x384, 1 << 3);
        world.quiesce();
        assert_eq!(world.ack(target), Some(EDGE));
        world.write(0x304, 1 << 3);
        world.eoi(target);
        assert_eq!(world.read(0x304), 0, "an active one that is set active ends normally");
        // SGIs and emulated devices' too.
        world.input(0, 33, true);
        world.write(0x304, 1 << 1);
        world.quiesce();
        assert_eq!(world.ack(target), None);
        world.write(0x384, 1 << 1);
        world.quiesce();
        assert_eq!(world.ack(target), Some(33));
    }
}

#[test]
fn clearing_active_ends() {
    for target in 0..2 {
        let mut world = world(target as u64);
        raise(&mut world, LEVEL);
        assert_eq!(world.ack(target), Some(LEVEL));
        world.machine.borrow_mut().cores[target].running.clear();
        world.write(0x384, 1 << 2);
        assert!(valid(&world, target).is_empty());
        world.quiesce();
        assert_eq!(world.ack(target), Some(LEVEL), "its line is high: again");
        world.write(0x384, 1 << 4);
        assert_eq!(world.read(0x304), 1 << 2);
        raise(&mut world, EDGE);
        world.write(0x384, 1 << 3);
        assert_eq!(world.read(0x204) >> 3 & 1, 1, "pending, not active: stays");
    }
}

#[test]
fn priority_follows_into_list_registers_and_tables() {
    for target in 0..2 {
        let mut world = world(target as u64);
        raise(&mut world, EDGE);
        world.dist(0, 0x400 + u64::from(EDGE), 1, Some(0x27));
        assert_eq!(valid(&world, target), [0x7020_0023_0000_0023]);
        assert_eq!(world.machine.borrow().cores[target].ready[EDGE as usize], 0x7020_0023_0000_0023);
        assert_eq!(world.ack(target), Some(EDGE));
        world.dist(0, 0x400 + u64::from(EDGE), 1, Some(0xff));
        assert_eq!(valid(&world, target), [0xb020_0023_0000_0023], "an active one keeps its priority");
    }
}

#[test]
fn rerouting_moves_what_is_pending() {
    for (from, intid) in [(0, EDGE), (1, EDGE), (0, LEVEL), (1, LEVEL), (0, 33), (1, 33)] {
        let mut world = world(from);
        let (from, to) = (from as usize, 1 - from as usize);
        raise(&mut world, intid);
        let router = 0x6000 + 8 * u64::from(intid);
        world.dist(0, router, 8, Some(to as u64));
        assert!(valid(&world, from).is_empty());
        world.quiesce();
        assert_eq!((world.ack(from), world.ack(to)), (None, Some(intid)));
        world.dist(0, router, 8, Some(from as u64));
        world.input(0, intid, false);
        world.eoi(to);
        world.quiesce();
        raise(&mut world, intid);
        assert_eq!((world.ack(to), world.ack(from)), (None, Some(intid)));
        world.input(0, intid, false);
        world.eoi(from);
        // Nowhere (the first number that no vCPU has): it stays pending, and comes when there is a place.
        world.dist(0, router, 8, Some(2));
        raise(&mut world, intid);
        assert_eq!((world.ack(to), world.ack(from)), (None, None));
        assert_eq!(world.read(0x204), 1 << (intid % 32));
        world.dist(1, router, 8, Some(1 << 31));
        world.quiesce();
        assert_eq!(world.ack(1), Some(intid), "any: the writing core");
    }
}

#[test]
fn private_interrupts_from_another_core() {
    let mut world = world(0);
    let frame = REDIST_SIZE + SGI_BASE;
    world.input(1, 27, true);
    world.quiesce();
    assert_eq!(valid(&world, 1), [0x7000_001b_0000_001b]);
    world.redist(0, frame + 0x180, 4, Some(1 << 27));
    assert!(valid(&world, 1).is_empty());
    assert_eq!(world.redist(0, frame + 0x200, 4, None), 1 << 27);
    assert_eq!(world.redist(0, SGI_BASE + 0x200, 4, None), 0);
    world.redist(0, frame + 0x100, 4, Some(1 << 27));
    world.quiesce();
    assert_eq!(world.ack(1), Some(27));
    assert_eq!(world.redist(0, frame + 0x300, 4, None), 1 << 27);
}

#[test]
fn cpu_off_gives_everything_back() {
    let mut world = world(1);
    for intid in [LEVEL, EDGE, 33] {
        raise(&mut world, intid);
    }
    world.input(1, 27, true);
    world.shared.send(0, 1 << 40 | 5 << 24, super::super::SgiRegister::Sgi1r);
    world.machine.borrow_mut().cores[1].kicked = true;
    world.quiesce();
    assert_eq!(world.ack(1), Some(5), "lowest number of the highest priority");
    world.offline(1);
    world.quiesce();
    assert_eq!(world.read(0x204), 0b1110);
    assert_eq!(world.redist(0, REDIST_SIZE + SGI_BASE + 0x200, 4, None), 1 << 27);
    assert_eq!(world.redist(0, REDIST_SIZE + SGI_BASE + 0x300, 4, None), 1 << 5);
    assert!(!world.machine.borrow().spis[EDGE as usize].enabled, "nothing comes to a core that is off");
    assert_eq!(world.ack(0), None);
    world.dist(0, 0x6000 + 8 * u64::from(EDGE), 8, Some(0));
    world.quiesce();
    assert_eq!(world.ack(0), Some(EDGE));
    world.online(1);
    world.quiesce();
    for expected in [27, 33, LEVEL] {
        assert_eq!(world.ack(1), Some(expected));
        world.input(1, expected, false);
        world.eoi(1);
        world.quiesce();
    }
    assert_eq!(world.ack(1), None);
}

#[test]
fn cpu_off_rehomes_what_may_go_anywhere() {
    for intid in [EDGE, 33] {
        let mut world = world(0);
        world.dist(1, 0x6000 + 8 * u64::from(intid), 8, Some(1 << 31));
        raise(&mut world, intid);
        assert_eq!(valid(&world, 1).len(), 1);
        world.offline(1);
        world.quiesce();
        assert_eq!(world.ack(0), Some(intid));
    }
}

/// What was sent and waited for in one life is not there in the next.
#[test]
fn reset_forgets_sgis() {
    let mut world = world(0);
    world.redist(0, REDIST_SIZE + SGI_BASE + 0x180, 4, Some(1 << 5));
    world.shared.send(0, 1 << 1 | 5 << 24, super::super::SgiRegister::Sgi1r);
    world.quiesce();
    assert_eq!(world.redist(0, REDIST_SIZE + SGI_BASE + 0x200, 4, None), 1 << 5, "pending while disabled");
    world.offline(1);
    world.offline(0);
    world.reset();
    world.online(0);
    world.online(1);
    assert_eq!(world.redist(0, REDIST_SIZE + SGI_BASE + 0x200, 4, None), 0);
    world.write(0, 3);
    for vcpu in 0..2 {
        world.redist(0, vcpu * REDIST_SIZE + SGI_BASE + 0x100, 4, Some(0xffff_ffff));
    }
    world.quiesce();
    assert_eq!((world.ack(0), world.ack(1)), (None, None));
}

#[test]
fn reset_is_the_launch_state() {
    let mut world = world(1);
    for intid in [LEVEL, EDGE, 33] {
        raise(&mut world, intid);
    }
    world.write(0xc08, 2 << 4);
    world.offline(1);
    world.offline(0);
    world.reset();
    {
        let machine = world.machine.borrow();
        for intid in [34, 35, 36, 63, 71] {
            let line = machine.spis[intid];
            assert!(!line.enabled && !line.latch && !line.active && line.route == 0, "{intid}");
            assert_eq!(line.edge, matches!(intid, 35 | 36 | 71));
        }
        assert!(machine.cores.iter().all(|core| core.ready.iter().all(|image| *image == 0)));
    }
    world.online(0);
    assert_eq!((world.read(0), world.read(0x104), world.read(0x84)), (0x50, 0, 0x8000_001e));
    assert_eq!((world.read(0x420), world.dist(0, 0x6000 + 8 * 35, 8, None)), (0, 0));
    assert_eq!(world.read(0x204), 1 << 2, "only the line that is high; the emulated device starts anew");
}
