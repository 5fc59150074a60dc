//! More interrupts than list registers.

use super::super::{Control, REDIST_SIZE, SgiRegister, lr};
use super::fake::{SPIS, World};

const SGI_BASE: u64 = 0x1_0000;

/// One vCPU, everything enabled; the priority of INTID n is 0x10 + 8 * (n % 16).
pub(super) fn world(vcpus: usize, lrs: usize) -> World {
    let mut world = World::new(vcpus, lrs);
    world.write(0, 3);
    for intid in (0..32).chain(SPIS.iter().map(|spi| u64::from(spi.intid))) {
        let value = Some(0x10 + 8 * (intid % 16));
        if intid < 32 {
            world.redist(0, SGI_BASE + 0x400 + intid, 1, value);
        } else {
            world.dist(0, 0x400 + intid, 1, value);
        }
    }
    world.redist(0, SGI_BASE + 0x100, 4, Some(0xffff_ffff));
    world.write(0x104, 0xffff_ffff);
    world.write(0x108, 0xffff_ffff);
    world.quiesce();
    world
}

pub(super) fn sgis(world: &mut World, mask: u32) {
    for sgi in (0..16).filter(|sgi| mask & 1 << sgi != 0) {
        world.shared.send(0, 1 | sgi << 24, SgiRegister::Sgi1r);
    }
    world.machine.borrow_mut().cores[0].kicked = true;
    world.quiesce();
}

#[test]
fn waiting_ones_come_in_order_of_priority() {
    for lrs in 1..5 {
        let mut world = world(1, lrs);
        for intid in [36, 35, 34, 63, 71, 33, 70] {
            world.input(0, intid, true);
            world.quiesce();
        }
        sgis(&mut world, 0x8001);
        world.input(0, 27, true);
        world.quiesce();
        if lrs < 4 {
            assert!(!world.shared.fast_path_allowed(0));
        }
        for expected in [0, 33, 34, 35, 36, 70, 71, 27, 15, 63] {
            assert!(world.vgic.pending_anywhere(0, &world.lrs(0)));
            assert_eq!(world.ack(0), Some(expected), "{lrs} list registers");
            world.input(0, expected, false);
            world.quiesce();
            assert_eq!(world.eoi(0), Some(expected));
            world.quiesce();
        }
        assert_eq!(world.ack(0), None);
        assert!(world.shared.fast_path_allowed(0) && !world.vgic.pending_anywhere(0, &world.lrs(0)));
        assert_eq!(world.machine.borrow().cores[0].control, Control::empty());
    }
}

#[test]
fn active_ones_leave_and_return() {
    for lrs in 1..4 {
        let mut world = world(1, lrs);
        let nested = [63, 27, 71, 70, 36, 35, 34, 33, 0];
        for intid in nested {
            if intid == 0 {
                sgis(&mut world, 1)
            } else {
                world.input(0, intid, true)
            }
            world.quiesce();
            assert_eq!(world.ack(0), Some(intid), "{lrs} list registers");
            world.input(0, intid, false);
            world.quiesce();
        }
        sgis(&mut world, 1);
        assert_eq!(world.ack(0), None, "active: not again before its end");
        assert!(world.machine.borrow().cores[0].control.contains(Control::TDIR | Control::LRENPIE));
        assert_eq!(
            world.read(0x304),
            1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 31,
            "all are active to the guest"
        );
        world.eoi(0);
        world.quiesce();
        assert_eq!(world.ack(0), Some(0));
        for intid in nested.iter().rev() {
            assert_eq!(world.eoi(0), Some(*intid));
            world.quiesce();
        }
        assert!(world.machine.borrow().spis.iter().all(|line| !line.owned || !line.active));
        assert_eq!((world.read(0x304), world.read(0x308)), (0, 0));
        assert_eq!(world.machine.borrow().cores[0].control, Control::empty());
        assert!(world.shared.fast_path_allowed(0));
    }
}

/// An SGI that was sent again while active is no further ahead for that than others that wait.
#[test]
fn sent_again_while_active_waits_with_the_others() {
    let mut world = world(1, 2);
    sgis(&mut world, 1 << 7);
    assert_eq!(world.ack(0), Some(7));
    for sgi in [7, 1, 3] {
        sgis(&mut world, 1 << sgi);
    }
    assert_eq!(world.redist(0, SGI_BASE + 0x200, 4, None), 1 << 7 | 1 << 1 | 1 << 3, "all are pending");
    assert_eq!(world.redist(0, SGI_BASE + 0x300, 4, None), 1 << 7);
    assert_eq!(world.eoi(0), Some(7));
    for expected in [1, 3, 7] {
        world.quiesce();
        assert_eq!(world.ack(0), Some(expected));
        assert_eq!(world.eoi(0), Some(expected));
    }
    world.quiesce();
    assert_eq!(world.ack(0), None);
    assert!(world.shared.fast_path_allowed(0));
    assert_eq!(world.machine.borrow().cores[0].control, Control::empty());
}

#[test]
fn deactivation_by_number_out_of_order() {
    let mut world = world(1, 2);
    world.machine.borrow_mut().cores[0].two_step = true;
    for intid in [36, 35, 63, 34, 27] {
        world.input(0, intid, true);
        world.quiesce();
        assert_eq!(world.ack(0), Some(intid));
        world.input(0, intid, false);
        world.eoi(0);
        world.quiesce();
    }
    for which in [0, 2, 1, 0, 0] {
        world.dir(0, which);
        world.quiesce();
    }
    assert!(world.machine.borrow().spis.iter().all(|line| !line.owned || !line.active));
    assert_eq!((world.read(0x304), world.redist(0, SGI_BASE + 0x300, 4, None)), (0, 0));
}

#[test]
fn deactivation_on_another_core() {
    let mut world = world(2, 2);
    world.online(1);
    world.machine.borrow_mut().cores.iter_mut().for_each(|core| core.two_step = true);
    world.input(0, 35, true);
    world.quiesce();
    assert_eq!(world.ack(0), Some(35));
    world.eoi(0);
    world.machine.borrow_mut().cores[0].dropped.clear();
    world.machine.borrow_mut().cores[1].dropped.push(35);
    world.dir(1, 0);
    assert!(!world.machine.borrow().spis[35].active);
    assert_eq!(world.read(0x304), 0);
}

#[test]
fn one_that_is_sent_again_while_it_is_outside_comes_twice() {
    let mut world = world(1, 1);
    for sgi in [8, 0] {
        sgis(&mut world, 1 << sgi);
        assert_eq!(world.ack(0), Some(sgi));
    }
    sgis(&mut world, 1 << 8);
    assert_eq!(world.redist(0, SGI_BASE + 0x200, 4, None), 1 << 8);
    for (ended, next) in [(0, None), (8, Some(8)), (8, None)] {
        assert_eq!(world.eoi(0), Some(ended));
        world.quiesce();
        assert_eq!(world.ack(0), next, "after {ended}");
    }
    assert_eq!(world.redist(0, SGI_BASE + 0x200, 4, None), 0);
}

/// Two vCPUs with one list register each; SPIs go to vCPU 1.
pub(super) fn narrow() -> World {
    let mut world = world(2, 1);
    world.online(1);
    for intid in (0..32).chain(SPIS.iter().map(|spi| u64::from(spi.intid))) {
        let value = Some(0x10 + 8 * (intid % 16));
        if intid < 32 {
            world.redist(0, REDIST_SIZE + SGI_BASE + 0x400 + intid, 1, value);
        } else {
            world.dist(0, 0x6000 + 8 * intid, 8, Some(1));
        }
    }
    world.redist(0, REDIST_SIZE + SGI_BASE + 0x100, 4, Some(0xffff_ffff));
    world.quiesce();
    world
}

/// An active interrupt and one that preempted it, with one list register between them: the first is outside.
pub(super) fn nested(world: &mut World, vcpu: usize, outer: u32, inner: u32) {
    for intid in [outer, inner] {
        world.input(vcpu, intid, true);
        world.quiesce();
        assert_eq!(world.ack(vcpu), Some(intid));
        world.input(vcpu, intid, false);
        world.quiesce();
    }
}

#[test]
fn a_core_that_goes_off_leaves_what_was_outside() {
    let mut world = narrow();
    nested(&mut world, 1, 63, 36);
    world.input(0, 35, true);
    world.input(0, 35, false);
    world.quiesce();
    world.offline(1);
    world.quiesce();
    assert_eq!(
        (world.read(0x304), world.read(0x204)),
        (1 << 31 | 1 << 4, 1 << 3),
        "active stays so, pending too"
    );
    world.dist(0, 0x6000 + 8 * 35, 8, Some(0));
    world.quiesce();
    assert_eq!(world.ack(0), Some(35));
}

#[test]
fn what_is_outside_of_one_core_is_not_anothers() {
    for (vcpu, other) in [(0, 1), (1, 0)] {
        let mut world = narrow();
        nested(&mut world, vcpu, 30, 27);
        let active = |world: &mut World, vcpu: usize| {
            world.redist(0, vcpu as u64 * REDIST_SIZE + SGI_BASE + 0x300, 4, None) as u32
        };
        assert_eq!((active(&mut world, vcpu), active(&mut world, other)), (1 << 27 | 1 << 30, 0));
        world.redist(0, other as u64 * REDIST_SIZE + SGI_BASE + 0x380, 4, Some(1 << 30));
        assert_eq!(active(&mut world, vcpu), 1 << 27 | 1 << 30, "another core's own");
        world.redist(0, vcpu as u64 * REDIST_SIZE + SGI_BASE + 0x380, 4, Some(1 << 30));
        assert_eq!(active(&mut world, vcpu), 1 << 27);
        // Nothing is outside any more, and that core knows.
        world.quiesce();
        assert!(world.shared.fast_path_allowed(vcpu));
        assert!(!world.machine.borrow().cores[vcpu].control.contains(Control::LRENPIE));
    }
}

#[test]
fn a_core_from_which_the_last_waiting_one_is_taken_is_fast_again() {
    let mut world = narrow();
    for intid in [35, 36] {
        world.input(0, intid, true);
        world.quiesce();
    }
    assert!(!world.shared.fast_path_allowed(1));
    world.write(0x184, 1 << 4);
    world.quiesce();
    assert!(world.shared.fast_path_allowed(1));
    assert_eq!(world.machine.borrow().cores[1].control & Control::NPIE, Control::empty());
}

/// An emulated device's interrupt that has to leave its list register waits as what it was: a line or an edge.
#[test]
fn a_displaced_one_is_what_it_was() {
    let mut world = world(1, 1);
    world.input(0, 33, true);
    world.quiesce();
    sgis(&mut world, 1);
    world.input(0, 33, false);
    assert_eq!(world.ack(0), Some(0), "0x10 before 0x18");
    world.eoi(0);
    world.quiesce();
    assert_eq!(world.ack(0), None, "its line fell while it waited");
    for _ in 0..2 {
        world.input(0, 70, true);
        world.input(0, 70, false);
        world.quiesce();
        world.input(0, 36, true);
        world.input(0, 36, false);
        world.quiesce();
        for expected in [Some(36), Some(70), None] {
            assert_eq!(world.ack(0), expected);
            world.eoi(0);
            world.quiesce();
        }
    }
}

#[test]
fn writes_reach_what_waits_outside() {
    let mut world = world(1, 1);
    for intid in [34, 35, 36] {
        world.input(0, intid, true);
        world.quiesce();
    }
    assert_eq!(world.read(0x204), 0b11100);
    world.write(0x184, 1 << 4);
    assert!(!world.machine.borrow().spis[36].active && world.read(0x204) == 0b11100);
    world.dist(0, 0x400 + 35, 1, Some(0));
    assert_eq!(world.ack(0), Some(35), "it overtook");
    world.write(0x284, 1 << 2);
    world.input(0, 34, false);
    world.eoi(0);
    world.quiesce();
    assert_eq!(world.ack(0), None);
    world.write(0x104, 1 << 4);
    world.quiesce();
    assert_eq!(world.ack(0), Some(36));
}

#[test]
fn a_group_that_the_guest_disabled_gives_way() {
    let mut world = world(1, 1);
    world.write(0x84, !(1 << 4));
    world.machine.borrow_mut().cores[0].groups = 1;
    world.input(0, 34, true);
    world.quiesce();
    world.input(0, 36, true);
    world.quiesce();
    assert_eq!(world.ack(0), Some(36), "the enabled group, although its priority is lower");
    world.eoi(0);
    world.quiesce();
    world.machine.borrow_mut().cores[0].groups = 3;
    world.quiesce();
    assert_eq!(world.ack(0), Some(34));
}

/// EL2 hears of it each time, with the one list register taken by a group that no longer comes through.
#[test]
fn groups_change_while_others_wait() {
    for (group0, others) in [(34, 2), (36, 1)] {
        for between in [None, Some(0)] {
            let mut world = world(1, 1);
            world.write(0x84, !(1 << (group0 - 32)));
            for intid in [34, 36] {
                world.input(0, intid, true);
                world.quiesce();
            }
            for groups in between.into_iter().chain([others]) {
                assert_eq!(
                    lr::intid(world.machine.borrow().cores[0].lrs[0]),
                    34,
                    "of the same priority, the first"
                );
                world.machine.borrow_mut().cores[0].groups = groups;
                world.quiesce();
            }
            assert_eq!(world.ack(0), Some(36), "group 0 has {group0}, now {others} by way of {between:?}");
        }
    }
}

#[test]
fn emulated_lines() {
    let mut world = world(1, 4);
    world.input(0, 33, true);
    world.quiesce();
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!(image & (lr::HW | lr::EOI), lr::EOI);
    world.input(0, 33, false);
    world.quiesce();
    assert_eq!(world.ack(0), None, "it went low in time");
    world.input(0, 33, true);
    world.quiesce();
    assert_eq!(world.ack(0), Some(33));
    world.eoi(0);
    world.quiesce();
    assert_eq!(world.ack(0), Some(33), "still high: again");
    world.input(0, 33, false);
    world.eoi(0);
    world.quiesce();
    assert_eq!(world.ack(0), None);
    // Edges: two before the acknowledgement are one, one after it is another.
    for _ in 0..2 {
        world.input(0, 70, true);
        world.quiesce();
        world.input(0, 70, false);
    }
    assert_eq!(world.ack(0), Some(70));
    world.input(0, 70, true);
    world.quiesce();
    world.eoi(0);
    world.quiesce();
    assert_eq!(world.ack(0), Some(70));
    world.eoi(0);
    world.quiesce();
    assert_eq!(world.ack(0), None);
}
