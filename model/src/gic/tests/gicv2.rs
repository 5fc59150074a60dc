//! GICv2: its register map, SGIs by source, targets, and what banked registers demand (IHI 0048).

use super::super::{Drained, Version, from_gicv2, image, lr, to_gicv2};
use super::fake::{PPIS, World};

pub(super) fn world(vcpus: usize, lrs: usize) -> World {
    let mut world = World::with(Version::V2, vcpus, lrs);
    (1..vcpus).for_each(|vcpu| world.online(vcpu));
    world.write(0, 1);
    world.quiesce();
    world
}

pub(super) fn send(world: &mut World, source: usize, value: u64) {
    let hit = world.shared.send_sgir(source, value);
    for (vcpu, core) in world.machine.borrow_mut().cores.iter_mut().enumerate() {
        core.kicked |= hit & 1 << vcpu != 0;
    }
}

/// The next SGI and its source.
pub(super) fn take(world: &mut World, vcpu: usize) -> Option<(u32, u32)> {
    world.quiesce();
    let intid = world.ack(vcpu)?;
    Some((intid, world.machine.borrow().cores[vcpu].source))
}

#[test]
fn images_are_converted() {
    let physical = image(0x123, 0xa8, false, lr::Kind::Physical);
    // HW, pending, priority 21, physical and virtual number (IHI 0048, 5.3.8).
    assert_eq!(to_gicv2(physical), 1 << 31 | 1 << 28 | 21 << 23 | 0x123 << 10 | 0x123);
    let sgi = lr::with_source(image(5, 0x10, true, lr::Kind::Plain) | lr::EOI | lr::ACTIVE, 6);
    assert_eq!(to_gicv2(sgi), 1 << 30 | 3 << 28 | 2 << 23 | 1 << 19 | 6 << 10 | 5);
    for image in [physical, sgi, 0, lr::EOI] {
        assert_eq!(from_gicv2(to_gicv2(image)), image);
    }
    // Bits 22..20 are reserved.
    for register in [0, !0, 0x1234_5678, 0xdead_beef].map(|register| register & !(7 << 20)) {
        assert_eq!(to_gicv2(from_gicv2(register)), register);
    }
}

#[test]
fn the_distributor_identifies_itself() {
    let mut world = World::with(Version::V2, 3, 4);
    assert_eq!(world.read(0), 0);
    world.write(0, !0);
    assert_eq!(world.read(0), 3, "both groups' enables and nothing else");
    assert_eq!(world.read(4), 2 << 5 | 2, "CPUNumber, ITLinesNumber, no Security Extensions");
    assert_eq!(world.read(8), 0x5000_043b);
    assert_eq!(world.read(0xfe8), 0x2b, "ICPIDR2.ArchRev");
    assert_eq!([0xff0, 0xff4, 0xff8, 0xffc].map(|offset| world.read(offset)), [0x0d, 0xf0, 0x05, 0xb1]);
    for offset in [0x6000 + 8 * 34, 0xffe8, 0xe00] {
        world.write(offset, !0);
        assert_eq!(world.read(offset), 0, "{offset:#x}");
    }
    assert_eq!(world.redist(0, 8, 8, None), 0, "no redistributors");
}

#[test]
fn word_0_is_the_accessing_vcpus() {
    let mut world = world(2, 4);
    for (register, initial) in [(0x80, 0), (0x100, 0xffff), (0x200, 0), (0x300, 0)] {
        assert_eq!(world.dist(1, register, 4, None), initial, "{register:#x}");
        world.dist(1, register, 4, Some(u64::from(PPIS)));
        let own = world.dist(1, register, 4, None);
        assert_eq!(own, initial | u64::from(PPIS), "{register:#x}");
        assert_eq!(world.dist(0, register, 4, None), initial, "vCPU 0's {register:#x}");
    }
    world.dist(1, 0x180, 4, Some(0xffff_ffff));
    assert_eq!(world.dist(1, 0x100, 4, None), 0xffff, "SGIs stay enabled");
    world.dist(1, 0x200, 4, Some(0xffff));
    assert_eq!(world.dist(1, 0x200, 4, None) & 0xffff, 0, "SGIs are not set pending here");
    world.dist(1, 0x41b, 1, Some(0x48));
    assert_eq!([world.dist(1, 0x418, 4, None), world.dist(0, 0x418, 4, None)], [0x4800_0000, 0]);
    assert_eq!(world.read(0xc00), 0xaaaa_aaaa);
}

/// The machine would let a guest change them, and with them other cores'.
#[test]
fn triggers_of_ppis_stay() {
    let mut world = world(2, 4);
    for vcpu in 0..2 {
        for value in [!0, 0] {
            world.dist(vcpu, 0xc04, 4, Some(value));
            assert_eq!(world.dist(vcpu, 0xc04, 4, None), 0);
            assert!(world.machine.borrow().cores.iter().all(|core| core.ppis.iter().all(|line| !line.edge)));
        }
    }
}

#[test]
fn targets() {
    let mut world = world(3, 4);
    for vcpu in 0..3 {
        assert_eq!(world.dist(vcpu, 0x800, 4, None), 0x0101_0101 << vcpu);
        assert_eq!(world.dist(vcpu, 0x81b, 1, None), 1 << vcpu);
    }
    world.write(0x800, 0);
    assert_eq!(world.read(0x800), 0x0101_0101);
    assert_eq!(world.read(0x820), 0x0101_0100, "owned SPIs go to vCPU 0, 32 is not owned");
    world.dist(0, 0x822, 1, Some(0xfe));
    assert_eq!(world.read(0x820), 0x0106_0100, "only vCPUs that there are");
    assert_eq!(world.machine.borrow().spis[34].route, 1);
    world.dist(0, 0x822, 1, Some(4));
    assert_eq!(world.machine.borrow().spis[34].route, 2);
    world.dist(0, 0x822, 1, Some(5));
    assert_eq!(world.machine.borrow().spis[34].route, 2, "it stays where it is if it may");
    world.offline(2);
    assert_eq!(world.machine.borrow().spis[34].route, 0, "to another of its targets that runs");
    world.dist(0, 0x822, 1, Some(4));
    world.dist(0, 0x104, 4, Some(4));
    assert!(!world.machine.borrow().spis[34].enabled, "its only target is off");
    world.online(2);
    assert!(world.machine.borrow().spis[34].enabled);
    world.dist(0, 0x820, 4, Some(0x0401_0203));
    assert_eq!(world.read(0x820), 0x0401_0200, "each byte is one's own");
    world.dist(0, 0x822, 1, Some(0));
    assert!(!world.machine.borrow().spis[34].enabled, "no target");
    assert_eq!(world.dist(0, 0x822, 2, None), 0, "no halfwords");
}

#[test]
fn one_vcpu_is_every_target() {
    let mut world = world(1, 4);
    assert_eq!(world.read(0x800), 0);
    world.write(0x820, 0);
    world.dist(0, 0x104, 4, Some(4));
    world.input(0, 34, true);
    world.quiesce();
    assert_eq!(world.ack(0), Some(34));
}

#[test]
fn sgis_by_list_to_others_and_to_oneself() {
    let mut world = world(3, 2);
    send(&mut world, 1, 0b1111_1101 << 16 | 7);
    assert_eq!(take(&mut world, 0), Some((7, 1)));
    assert_eq!(take(&mut world, 1), None);
    assert_eq!(take(&mut world, 2), Some((7, 1)));
    send(&mut world, 2, 1 << 24 | 3);
    assert_eq!([0, 1, 2].map(|vcpu| world.shared.pending(vcpu)), [8, 8, 0]);
    send(&mut world, 2, 2 << 24 | 4);
    send(&mut world, 2, 3 << 24 | 7 << 16 | 5);
    world.eoi(2);
    assert_eq!(take(&mut world, 2), Some((4, 2)));
    assert_eq!(world.shared.send_sgir(900, 1 << 24), 7, "no panic");
    assert_eq!(world.shared.pending(0) & 1, 0, "and nothing from nobody");
}

#[test]
fn sgis_of_one_number_come_once_from_each_source() {
    let mut world = world(3, 2);
    for source in [0, 1, 2, 1] {
        send(&mut world, source, 1 << 16 | 9);
        world.quiesce();
    }
    assert_eq!(world.dist(0, 0xf19, 1, None), 7, "pending from all, one of them in a list register");
    for source in 0..3 {
        assert_eq!(take(&mut world, 0), Some((9, source)));
        // Again from the same one while it is active: pending and active.
        send(&mut world, source as usize, 1 << 16 | 9);
        world.quiesce();
        assert_eq!(world.ack(0), None);
        world.eoi(0);
        assert_eq!(take(&mut world, 0), Some((9, source)));
        world.eoi(0);
    }
    assert_eq!(take(&mut world, 0), None);
    assert!(!world.maintained(0));
}

#[test]
fn the_common_case_takes_no_lock() {
    let mut world = world(2, 2);
    assert_eq!(world.shared.send_sgir(0, 2 << 16 | 1), 2);
    assert_eq!(world.shared.send_sgir(1, 2 << 16 | 1), 2);
    assert_eq!(world.shared.drain(1, &mut world.lrs(1)), Drained::Done);
    assert_eq!(world.ack(1), Some(1));
    world.eoi(1);
    assert!(world.maintained(1), "the second source waits behind the first");
    assert_eq!(take(&mut world, 1), Some((1, 1)));
}

#[test]
fn sgis_made_pending_and_cleared_by_source() {
    let mut world = world(2, 2);
    world.dist(1, 0xf24, 4, Some(0x0000_ff02));
    assert_eq!(world.dist(1, 0xf24, 4, None), 0x0000_0302, "only sources that there are");
    assert_eq!(world.dist(1, 0xf14, 4, None), 0x0000_0302);
    assert_eq!(world.dist(1, 0x200, 4, None), 0x30);
    assert_eq!(world.dist(0, 0x200, 4, None), 0, "vCPU 1's own");
    world.dist(1, 0xf15, 1, Some(1));
    assert_eq!(world.dist(1, 0xf14, 4, None), 0x0000_0202, "also from a list register");
    assert_eq!(take(&mut world, 1), Some((4, 1)));
    assert_eq!(world.dist(1, 0xf14, 1, None), 0, "acknowledged");
    world.eoi(1);
    assert_eq!(take(&mut world, 1), Some((5, 1)));
    world.eoi(1);
    assert_eq!(take(&mut world, 1), None);
    assert_eq!(world.dist(1, 0x200, 4, None), 0);
}

#[test]
fn groups_turned_off_keep_sources() {
    let mut world = world(2, 1);
    send(&mut world, 1, 1 << 16 | 2);
    send(&mut world, 0, 1 << 16 | 2);
    world.quiesce();
    world.dist(1, 0, 4, Some(0));
    world.quiesce();
    assert_eq!(world.ack(0), None, "vCPU 0 took its SGIs back itself");
    assert_eq!(world.dist(0, 0xf10, 4, None), 3 << 16);
    world.dist(1, 0, 4, Some(1));
    assert_eq!(take(&mut world, 0), Some((2, 0)));
    world.eoi(0);
    assert_eq!(take(&mut world, 0), Some((2, 1)));
}

#[test]
fn groups_turned_off_hold_back_what_is_sent_again_while_active() {
    let mut world = world(2, 1);
    send(&mut world, 1, 1 << 16 | 2);
    assert_eq!(take(&mut world, 0), Some((2, 1)));
    world.dist(1, 0, 4, Some(0));
    send(&mut world, 1, 1 << 16 | 2);
    world.quiesce();
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!(image & (lr::ACTIVE | lr::PENDING), lr::ACTIVE);
    world.eoi(0);
    assert_eq!(take(&mut world, 0), None);
    world.dist(1, 0, 4, Some(1));
    assert_eq!(take(&mut world, 0), Some((2, 1)));
}

#[test]
fn sgis_that_had_to_leave_keep_their_source() {
    let mut world = world(3, 1);
    for (sgi, priority) in [(1, 0xa0), (2, 0x60), (3, 0x20)] {
        world.dist(0, 0x400 + sgi, 1, Some(priority));
    }
    for (sgi, source) in [(1, 2), (2, 1), (3, 2)] {
        send(&mut world, source, 1 << 16 | sgi);
        assert_eq!(take(&mut world, 0), Some((sgi as u32, source as u32)));
    }
    send(&mut world, 1, 1 << 16 | 1);
    world.quiesce();
    for sgi in [3, 2] {
        assert_eq!(world.eoi(0), Some(sgi));
        world.quiesce();
        assert_eq!(world.ack(0), None);
    }
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!((lr::intid(image), lr::source(image)), (1, 2), "back in a list register, as acknowledged");
    assert_eq!(world.eoi(0), Some(1));
    assert_eq!(take(&mut world, 0), Some((1, 1)));
}

#[test]
fn sources_behind_one_that_had_to_make_room_are_not_lost() {
    let mut world = world(2, 1);
    world.dist(0, 0x400 + 12, 1, Some(8));
    for source in 0..2 {
        send(&mut world, source, 1 << 16 | 12);
    }
    world.quiesce();
    send(&mut world, 0, 1 << 16 | 1);
    assert_eq!(take(&mut world, 0), Some((1, 0)), "the more urgent one has the only list register");
    world.eoi(0);
    for source in 0..2 {
        assert_eq!(take(&mut world, 0), Some((12, source)));
        world.eoi(0);
    }
}

#[test]
fn private_interrupts_are_set_up_by_their_own_core() {
    let mut world = world(2, 2);
    world.dist(1, 0x100, 4, Some(u64::from(PPIS)));
    world.input(1, 27, true);
    world.quiesce();
    assert_eq!(world.ack(1), Some(27));
    world.offline(1);
    world.offline(0);
    world.reset();
    assert!(world.machine.borrow().cores[1].ppis[27].active, "nobody else can reach it");
    world.online(0);
    world.online(1);
    assert!(!world.machine.borrow().cores[1].ppis[27].active);
    assert_eq!(world.dist(1, 0x100, 4, None), 0xffff);
}
