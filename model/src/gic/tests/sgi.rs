//! SGIs: who is meant, and the way into list registers.

use super::super::{MAX_VCPUS, REDIST_SIZE, SgiRegister, lr, targets};
use super::fake::World;

const SGI_BASE: u64 = 0x1_0000;
const IRM: u64 = 1 << 40;

#[test]
fn targets_of_a_value() {
    assert_eq!(targets(0b101, 0, 4), 0b101);
    assert_eq!(targets(0xffff, 0, 4), 0b1111, "only those that exist");
    assert_eq!(targets(IRM | 0xffff, 2, 4), 0b1011, "all but the sender");
    assert_eq!(targets(IRM | 1 << 16, 0, 1), 0);
    for affinity in [1 << 16, 1 << 23, 1 << 32, 1 << 39, 1 << 48, 1 << 55] {
        assert_eq!(targets(affinity | 1, 0, 4), 0, "{affinity:#x}");
    }
    assert_eq!(targets(1 << 44 | 0b10, 0, 20), 1 << 17);
    assert_eq!(targets(1 << 44 | 0b10, 0, 17), 0);
    assert_eq!(targets(3 << 44 | 0x8000, 0, MAX_VCPUS), 1 << 63);
    assert_eq!(targets(4 << 44 | 0xffff, 0, MAX_VCPUS), 0);
    assert_eq!(targets(15 << 44 | 0xffff, 0, MAX_VCPUS), 0);
    assert_eq!(targets(IRM, 63, MAX_VCPUS), u64::MAX >> 1);
    assert_eq!(targets(IRM, 64, 2), 0b11, "nobody's own is left out");
    assert_eq!(targets(IRM, 1 << 40, 2), 0b11, "no panic");
}

fn world(vcpus: usize) -> World {
    let mut world = World::new(vcpus, 2);
    (1..vcpus).for_each(|vcpu| world.online(vcpu));
    world.write(0, 3);
    for vcpu in 0..vcpus as u64 {
        world.redist(0, vcpu * REDIST_SIZE + SGI_BASE + 0x100, 4, Some(0xffff));
    }
    world.quiesce();
    world
}

fn send(world: &mut World, source: usize, value: u64, register: SgiRegister) {
    let hit = world.shared.send(source, value, register);
    for (vcpu, core) in world.machine.borrow_mut().cores.iter_mut().enumerate() {
        core.kicked |= hit & 1 << vcpu != 0;
    }
}

#[test]
fn to_oneself_and_to_others() {
    let mut world = world(3);
    send(&mut world, 1, 0b111 | 7 << 24, SgiRegister::Sgi1r);
    world.quiesce();
    for vcpu in 0..3 {
        assert_eq!(world.ack(vcpu), Some(7));
        world.eoi(vcpu);
        assert_eq!(world.ack(vcpu), None);
    }
}

#[test]
fn again_while_pending_and_while_active() {
    let mut world = world(1);
    for _ in 0..2 {
        send(&mut world, 0, 1 | 3 << 24, SgiRegister::Sgi1r);
        world.quiesce();
    }
    assert_eq!(world.ack(0), Some(3));
    send(&mut world, 0, 1 | 3 << 24, SgiRegister::Sgi1r);
    world.quiesce();
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!(image & (lr::PENDING | lr::ACTIVE | lr::HW), lr::PENDING | lr::ACTIVE);
    assert_eq!(world.ack(0), None);
    world.eoi(0);
    assert_eq!(world.ack(0), Some(3));
    world.eoi(0);
    assert_eq!(world.ack(0), None);
}

#[test]
fn disabled_ones_wait() {
    let mut world = world(2);
    let frame = REDIST_SIZE + SGI_BASE;
    world.redist(0, frame + 0x180, 4, Some(1 << 3));
    send(&mut world, 0, 2 | 3 << 24, SgiRegister::Sgi1r);
    world.quiesce();
    assert_eq!(world.ack(1), None);
    assert_eq!(world.redist(1, frame + 0x200, 4, None), 1 << 3);
    world.redist(0, frame + 0x100, 4, Some(1 << 3));
    world.quiesce();
    assert_eq!(world.redist(1, frame + 0x200, 4, None), 1 << 3);
    world.redist(0, frame + 0x180, 4, Some(1 << 3));
    assert_eq!(world.ack(1), None, "withdrawn");
    world.redist(0, frame + 0x100, 4, Some(1 << 3));
    world.quiesce();
    assert_eq!(world.ack(1), Some(3));
    assert_eq!(world.redist(0, frame + 0x300, 4, None), 1 << 3);
    world.eoi(1);
    send(&mut world, 0, 2 | 3 << 24, SgiRegister::Sgi1r);
    world.quiesce();
    world.redist(0, frame + 0x280, 4, Some(1 << 3));
    assert_eq!(world.ack(1), None, "cleared");
    world.redist(0, frame + 0x200, 4, Some(1 << 4));
    world.quiesce();
    assert_eq!(world.ack(1), Some(4), "made pending by its register");
}

#[test]
fn groups() {
    let mut world = world(1);
    send(&mut world, 0, 1 | 3 << 24, SgiRegister::Sgi0r);
    send(&mut world, 0, 1 | 3 << 24, SgiRegister::Asgi1r);
    world.quiesce();
    assert_eq!(world.ack(0), None, "a Group 1 interrupt is not sent by the Group 0 registers");
    world.redist(0, SGI_BASE + 0x80, 4, Some(0));
    for register in [SgiRegister::Sgi0r, SgiRegister::Asgi1r, SgiRegister::Sgi1r] {
        send(&mut world, 0, 1 | 3 << 24, register);
        world.quiesce();
        assert_eq!(world.ack(0), Some(3), "{register:?}");
        world.eoi(0);
    }
    world.write(0, 2);
    send(&mut world, 0, 1 | 3 << 24, SgiRegister::Sgi0r);
    world.quiesce();
    assert_eq!(world.ack(0), None);
    assert!(!world.vgic.pending_anywhere(0, &world.lrs(0)));
    world.write(0, 3);
    assert!(world.vgic.pending_anywhere(0, &world.lrs(0)));
}

#[test]
fn the_common_case_takes_no_lock() {
    let mut world = world(2);
    let shared = world.vgic.shared();
    assert_eq!(shared.send(0, 2 | 1 << 24, SgiRegister::Sgi1r), 2);
    let mut lrs = world.lrs(1);
    assert_eq!(shared.drain(1, &mut lrs), super::super::Drained::Done);
    assert_eq!(world.ack(1), Some(1));
    assert_eq!(shared.drain(77, &mut lrs), super::super::Drained::Done);
    assert_eq!(shared.send(900, 1 << 40, SgiRegister::Sgi1r), 3);
}

/// EL2's assembly relies on a mark being 1 however the SGI became pending, and finds the image of a GICv2's as its list
/// registers take it.
#[test]
fn what_the_assembly_finds() {
    let mut world = world(2);
    let doorbell = |world: &mut World| world.shared.clone().fast_doorbell(1, &mut world.lrs(1));
    send(&mut world, 0, 2 | 7 << 24, SgiRegister::Sgi1r);
    assert!(doorbell(&mut world));
    assert_eq!((world.ack(1), world.ack(1)), (Some(7), None));
    send(&mut world, 0, 2 | 7 << 24, SgiRegister::Sgi1r);
    assert!(!doorbell(&mut world), "a list register is in use");
    world.quiesce();
    let image = world.machine.borrow().cores[1].lrs[0];
    assert_eq!(image & (lr::PENDING | lr::ACTIVE), lr::PENDING | lr::ACTIVE);
    for _ in 0..2 {
        world.eoi(1);
        world.ack(1);
    }
    // Withdrawn by being disabled, it is marked again; two are not one.
    send(&mut world, 0, 2 | 4 << 24, SgiRegister::Sgi1r);
    world.quiesce();
    let frame = REDIST_SIZE + SGI_BASE;
    world.redist(0, frame + 0x180, 4, Some(1 << 4));
    assert!(!doorbell(&mut world), "it may not be delivered");
    send(&mut world, 0, 2 | 5 << 24, SgiRegister::Sgi1r);
    assert!(!doorbell(&mut world), "two");
    assert_eq!(world.redist(1, frame + 0x200, 4, None), 1 << 4 | 1 << 5);
    send(&mut world, 0, 2 | 12 << 24, SgiRegister::Sgi1r);
    assert_eq!(world.redist(1, frame + 0x200, 4, None), 1 << 4 | 1 << 5 | 1 << 12);
}
