//! Pending and active states that a guest wrote: they outlive the line, only they do, and neighbours do not notice.

use super::super::{REDIST_SIZE, lr};
use super::fake::World;
use super::flight::{EDGE, LEVEL, raise, valid, world};

const SGI_BASE: u64 = 0x1_0000;

fn ready(world: &World, vcpu: usize, intid: u32) -> u64 {
    world.machine.borrow().cores[vcpu].ready[intid as usize]
}

/// A level-sensitive one that is written while in a list register: its line may fall then.
#[test]
fn written_in_flight_outlives_the_line() {
    for target in 0..2 {
        let mut world = world(target as u64);
        for written in [true, false] {
            raise(&mut world, LEVEL);
            if written {
                world.write(0x204, 1 << 2);
                assert_eq!(ready(&world, target, LEVEL), 0, "the fast path knows nothing of it");
            }
            world.input(0, LEVEL, false);
            world.write(0x184, 1 << 2);
            assert_eq!(world.read(0x204), if written { 1 << 2 } else { 0 });
            world.write(0x104, 1 << 2);
            world.quiesce();
            assert_eq!(world.ack(target), written.then_some(LEVEL));
            world.eoi(target);
            world.quiesce();
            assert_eq!((world.ack(target), world.read(0x204)), (None, 0));
        }
    }
}

#[test]
fn a_private_one_too() {
    let mut world = world(0);
    for (vcpu, written) in [(0, true), (1, true), (1, false)] {
        let frame = vcpu as u64 * REDIST_SIZE + SGI_BASE;
        let register = |world: &mut World, offset, write| world.redist(vcpu, frame + offset, 4, write);
        world.input(vcpu, 27, true);
        world.quiesce();
        if written {
            register(&mut world, 0x200, Some(1 << 27));
        }
        world.input(vcpu, 27, false);
        register(&mut world, 0x180, Some(1 << 27));
        assert_eq!(register(&mut world, 0x200, None), if written { 1 << 27 } else { 0 });
        register(&mut world, 0x100, Some(1 << 27));
        world.quiesce();
        assert_eq!(world.ack(vcpu), written.then_some(27));
        world.eoi(vcpu);
        world.quiesce();
        assert_eq!(register(&mut world, 0x200, None), 0);
    }
}

/// ICPENDR takes back what ISPENDR did, wherever it is by then: the next one is the line's alone.
#[test]
fn clearing_forgets_what_was_written() {
    for in_flight in [false, true] {
        let mut world = world(0);
        if !in_flight {
            world.write(0x184, 1 << 2);
        }
        world.write(0x204, 1 << 2);
        world.quiesce();
        assert_eq!(valid(&world, 0).len(), usize::from(in_flight));
        world.write(0x284, 1 << 2);
        assert_eq!((world.read(0x204), valid(&world, 0).len()), (0, 0));
        world.write(0x104, 1 << 2);
        assert_ne!(ready(&world, 0, LEVEL), 0, "the fast path is back");
        raise(&mut world, LEVEL);
        assert_eq!(valid(&world, 0).len(), 1);
        world.input(0, LEVEL, false);
        world.write(0x184, 1 << 2);
        assert_eq!(world.read(0x204), 0);
    }
}

/// What is written of one interrupt changes nothing for the others of its word.
#[test]
fn neighbours_do_not_notice() {
    let writes: [&[u64]; 6] =
        [&[0x204], &[0x284], &[0x304, 0x384], &[0x184, 0x104], &[0x204, 0x184, 0x104], &[0x204, 0x284]];
    for registers in writes {
        for high in [false, true] {
            let mut world = world(0);
            world.input(0, LEVEL, high);
            world.quiesce();
            for register in registers {
                world.write(*register, 1 << 2);
                world.quiesce();
            }
            // Its table entry is made anew, and it is delivered once.
            world.dist(0, 0x400 + u64::from(EDGE), 1, Some(0x40));
            assert_eq!(ready(&world, 0, EDGE), 0x7040_0023_0000_0023, "{registers:x?}");
            raise(&mut world, EDGE);
            assert_eq!(world.ack(0), Some(EDGE));
            world.eoi(0);
            // An emulated line too: as long as it is high, and no longer.
            world.dist(0, 0x400 + 33, 1, Some(0x38));
            world.input(0, 33, true);
            world.quiesce();
            assert_eq!(world.ack(0), Some(33), "{registers:x?}");
            world.input(0, 33, false);
            world.eoi(0);
            world.quiesce();
            world.input(0, 33, true);
            world.quiesce();
            world.input(0, 33, false);
            world.quiesce();
            assert_ne!(world.ack(0), Some(33), "{registers:x?}");
            assert_eq!(world.read(0x304) & (1 << 1 | 1 << 3), 0);
        }
    }
}

/// A written pending state of an emulated level ends with its interrupt: after that the line counts again.
#[test]
fn an_emulated_line_that_was_written() {
    let mut world = world(0);
    world.write(0x204, 1 << 1);
    world.quiesce();
    assert_eq!(world.ack(0), Some(33));
    world.eoi(0);
    world.quiesce();
    world.input(0, 33, true);
    world.quiesce();
    assert_eq!(valid(&world, 0).len(), 1);
    world.input(0, 33, false);
    world.quiesce();
    assert!(valid(&world, 0).is_empty(), "it fell in time");
    // Active ones that are cleared by number are over as well.
    for ended_by_number in [true, false] {
        world.write(0x204, 1 << 1);
        world.quiesce();
        assert_eq!(world.ack(0), Some(33));
        if ended_by_number {
            world.machine.borrow_mut().cores[0].running.clear();
            world.write(0x384, 1 << 1);
        } else {
            world.eoi(0);
        }
        world.quiesce();
        assert_eq!((world.read(0x204), world.read(0x304)), (0, 0));
        world.input(0, 33, true);
        world.quiesce();
        world.input(0, 33, false);
        world.quiesce();
        assert_eq!(world.ack(0), None);
    }
}

/// It is active on one core and routed to another by then: that one hears of it when it ends.
#[test]
fn a_line_that_is_still_high_comes_up_where_it_is_routed() {
    let mut world = world(0);
    world.input(0, 33, true);
    world.quiesce();
    assert_eq!(world.ack(0), Some(33));
    world.dist(0, 0x6000 + 8 * 33, 8, Some(1));
    world.quiesce();
    assert_eq!(world.ack(1), None, "active elsewhere");
    world.eoi(0);
    world.quiesce();
    assert_eq!((world.ack(0), world.ack(1)), (None, Some(33)));
}

#[test]
fn set_active_is_physical() {
    for (target, forwarded) in [(0, true), (1, true), (0, false)] {
        let mut world = world(target);
        if !forwarded {
            world.write(0x184, 1 << 3);
        }
        world.write(0x304, 1 << 3);
        let line = world.machine.borrow().spis[EDGE as usize];
        assert_eq!((line.active, line.enabled), (true, forwarded));
        world.write(0x384, 1 << 3);
        let line = world.machine.borrow().spis[EDGE as usize];
        assert_eq!((line.active, line.enabled), (false, forwarded));
        // Clearing what is pending does not enable what was not.
        world.write(0x204, 1 << 3);
        world.write(0x284, 1 << 3);
        assert_eq!(world.machine.borrow().spis[EDGE as usize].enabled, forwarded);
    }
}

/// While another core's list registers are searched, the interrupt cannot come up anew.
#[test]
fn it_is_frozen_while_it_is_looked_for() {
    for register in [0x284, 0x304] {
        let mut world = world(1);
        raise(&mut world, EDGE);
        world.machine.borrow_mut().watch = Some(EDGE);
        world.write(register, 1 << 3);
        let machine = world.machine.borrow();
        assert!(
            !machine.watched.is_empty() && machine.watched.iter().any(|enabled| !enabled),
            "{register:#x}"
        );
        assert!(machine.spis[EDGE as usize].enabled, "{register:#x}: and then as before");
    }
}

#[test]
fn an_sgi_needs_no_maintenance() {
    let mut world = world(0);
    world.shared.send(0, 1 << 0 | 3 << 24, super::super::SgiRegister::Sgi1r);
    world.machine.borrow_mut().cores[0].kicked = true;
    world.quiesce();
    let [image] = valid(&world, 0)[..] else { panic!("one") };
    assert_eq!((lr::intid(image), image & (lr::EOI | lr::HW)), (3, 0));
}
