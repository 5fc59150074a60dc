//! What is outside the list registers: that it is found, on its own core only, and that it comes back.

use super::super::{Control, REDIST_SIZE, SgiRegister, lr};
use super::fake::World;
use super::overflow::{narrow, nested, sgis, world};

const SGI_BASE: u64 = 0x1_0000;

fn private(world: &mut World, vcpu: usize, register: u64, write: Option<u64>) -> u32 {
    world.redist(0, vcpu as u64 * REDIST_SIZE + SGI_BASE + register, 4, write) as u32
}

/// A pending one that waits on another core is pending there.
#[test]
fn what_waits_is_pending_on_its_own_core() {
    let mut world = narrow();
    for intid in [35, 34] {
        world.input(0, intid, true);
        world.quiesce();
    }
    world.input(0, 35, false);
    assert_eq!(world.read(0x204), 1 << 2 | 1 << 3, "34 has the list register, 35 waits");
    // PPI 27 is active on vCPU 0 and waits on vCPU 1.
    let mut world = narrow();
    world.input(0, 27, true);
    world.quiesce();
    assert_eq!(world.ack(0), Some(27));
    world.input(0, 27, false);
    world.input(1, 27, true);
    world.quiesce();
    world.input(0, 36, true);
    world.quiesce();
    assert_eq!([0, 1].map(|vcpu| private(&mut world, vcpu, 0x200, None)), [0, 1 << 27]);
    assert_eq!([0, 1].map(|vcpu| private(&mut world, vcpu, 0x300, None)), [1 << 27, 0]);
}

/// Two cores have the same private interrupt active and outside: each ends its own.
#[test]
fn one_cores_end_is_not_anothers() {
    for vcpu in 0..2 {
        let mut world = narrow();
        (0..2).for_each(|vcpu| nested(&mut world, vcpu, 30, 27));
        private(&mut world, vcpu, 0x380, Some(1 << 30));
        let active = [0, 1].map(|vcpu| private(&mut world, vcpu, 0x300, None));
        assert_eq!((active[vcpu], active[1 - vcpu]), (1 << 27, 1 << 27 | 1 << 30));
    }
}

/// A core goes off: what waited is pending, what was active is active, and neither is both.
#[test]
fn what_a_core_leaves_is_what_it_was() {
    let mut world = narrow();
    nested(&mut world, 1, 63, 36);
    for intid in [71, 34] {
        world.input(0, intid, true);
        world.quiesce();
    }
    world.input(0, 71, false);
    world.offline(1);
    assert_eq!((world.read(0x304), world.read(0x308)), (1 << 31 | 1 << 4, 0));
    assert_eq!((world.read(0x204), world.read(0x208)), (1 << 2, 1 << 7));
}

/// An SGI that is active and outside comes back when there is room. If it was sent again by then it is pending, too: no
/// maintenance tells of its end.
#[test]
fn an_sgi_comes_back_with_what_was_sent_meanwhile() {
    let mut world = world(1, 1);
    for sgi in [8, 0] {
        sgis(&mut world, 1 << sgi);
        assert_eq!(world.ack(0), Some(sgi));
    }
    assert_eq!(world.eoi(0), Some(0));
    sgis(&mut world, 1 << 8);
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!((lr::intid(image), image & (lr::PENDING | lr::ACTIVE)), (8, lr::PENDING | lr::ACTIVE));
    assert_eq!(world.ack(0), None);
    assert_eq!((world.eoi(0), world.ack(0), world.eoi(0)), (Some(8), Some(8), Some(8)));
    world.quiesce();
    assert_eq!(world.ack(0), None, "once more, not twice");
    assert_eq!(private(&mut world, 0, 0x200, None), 0);
    // One that was not sent again comes back alone, whatever else is pending.
    let mut world = world_with_held();
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!((lr::intid(image), image & (lr::PENDING | lr::ACTIVE)), (8, lr::ACTIVE));
    assert_eq!(private(&mut world, 0, 0x200, None), 1 << 3);
}

/// SGI 8 is back in the list register; SGI 3 is pending and disabled.
fn world_with_held() -> World {
    let mut world = world(1, 1);
    private(&mut world, 0, 0x180, Some(1 << 3));
    for sgi in [8, 0] {
        sgis(&mut world, 1 << sgi);
        assert_eq!(world.ack(0), Some(sgi));
    }
    assert_eq!(world.eoi(0), Some(0));
    sgis(&mut world, 1 << 3);
    world
}

/// ICC_DIR traps while anything is active in no list register: a private interrupt or a shared one.
#[test]
fn deactivation_traps_for_what_is_held() {
    let mut world = world(1, 2);
    let traps = |world: &World| world.machine.borrow().cores[0].control.contains(Control::TDIR);
    assert!(!traps(&world));
    for held_is_private in [false, true] {
        let write = |world: &mut World, register: u64| match held_is_private {
            false => world.write(register + 4, 1 << 3),
            true => _ = private(world, 0, register, Some(1 << 27)),
        };
        write(&mut world, 0x300);
        assert!(traps(&world), "private: {held_is_private}");
        write(&mut world, 0x380);
        // The next look at the list registers ends it.
        private(&mut world, 0, 0x300, Some(1 << 5));
        private(&mut world, 0, 0x380, Some(1 << 5));
        sgis(&mut world, 1 << 5);
        assert_eq!((world.ack(0), world.eoi(0)), (Some(5), Some(5)));
        assert!(!traps(&world), "private: {held_is_private}");
    }
}

/// A core goes off between the end of an SGI for which it would have got maintenance, and that.
#[test]
fn a_core_goes_off_before_maintenance() {
    let mut world = World::new(2, 2);
    world.online(1);
    world.write(0, 3);
    private(&mut world, 1, 0x100, Some(0xffff));
    let send = |world: &mut World, sgi: u64| {
        world.shared.send(0, 1 << 1 | sgi << 24, SgiRegister::Sgi1r);
        world.machine.borrow_mut().cores[1].kicked = true;
        world.quiesce();
    };
    send(&mut world, 7);
    assert_eq!(world.ack(1), Some(7));
    [7, 1, 3].into_iter().for_each(|sgi| send(&mut world, sgi));
    assert_eq!(world.eoi(1), Some(7));
    assert!(world.maintained(1));
    // The fake checks that the core has no list register and no control bit left.
    world.offline(1);
    assert_eq!(private(&mut world, 1, 0x200, None), 1 << 1 | 1 << 3 | 1 << 7);
    world.online(1);
    world.quiesce();
    for expected in [1, 3, 7] {
        assert_eq!(world.ack(1), Some(expected));
        world.eoi(1);
        world.quiesce();
    }
}
