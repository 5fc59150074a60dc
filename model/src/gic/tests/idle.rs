//! What costs nothing: a core is not disturbed for what does not concern it, and no table says that the fast path may
//! take what it may not.

use super::super::SgiRegister;
use super::fake::World;
use super::flight::{EDGE, LEVEL, raise, valid, world};

/// Kicks so far, and how often another core was asked for its list registers.
fn disturbed(world: &World) -> (u32, u32) {
    let machine = world.machine.borrow();
    (machine.kicks, machine.cores.iter().map(|core| core.remotes).sum())
}

/// How much more of both `act` makes.
fn costs(world: &mut World, act: impl FnOnce(&mut World)) -> (u32, u32) {
    let before = disturbed(world);
    act(world);
    let after = disturbed(world);
    (after.0 - before.0, after.1 - before.1)
}

/// Physical interrupts find their core by themselves: no write of another core kicks it for them.
#[test]
fn no_kick_for_a_physical_interrupt() {
    let mut world = world(1);
    for register in [0x184, 0x104] {
        assert_eq!(costs(&mut world, |world| world.write(register, 1 << 3)), (0, 0), "{register:#x}");
    }
    raise(&mut world, EDGE);
    assert_eq!(costs(&mut world, |world| world.write(0x284, 1 << 3)).0, 0, "no longer pending");
    raise(&mut world, EDGE);
    assert_eq!(world.ack(1), Some(EDGE));
    world.machine.borrow_mut().cores[1].running.clear();
    assert_eq!(costs(&mut world, |world| world.write(0x384, 1 << 3)).0, 0, "no longer active");
    assert!(valid(&world, 1).is_empty());
}

/// One question for each interrupt that is there and changes.
#[test]
fn only_what_changes_and_is_there_is_asked_for() {
    let mut world = world(1);
    let priority = |intid: u32, value| {
        move |world: &mut World| _ = world.dist(0, 0x400 + u64::from(intid), 1, Some(value))
    };
    assert_eq!(costs(&mut world, priority(EDGE, 0x40)), (0, 0), "not there");
    raise(&mut world, EDGE);
    raise(&mut world, LEVEL);
    assert_eq!(costs(&mut world, priority(EDGE, 0x48)), (0, 1));
    assert_eq!(costs(&mut world, priority(36, 0x48)), (0, 0));
    assert_eq!(costs(&mut world, |world| world.write(0x84, !(1 << 3))), (0, 1));
    // An emulated one that no line asks for, and one that is somewhere.
    assert_eq!(costs(&mut world, priority(33, 0x48)), (0, 0));
    world.input(0, 33, true);
    world.quiesce();
    assert_eq!(costs(&mut world, priority(33, 0x50)), (0, 1));
}

/// One that went through the lock and has ended is nowhere: nobody is asked.
#[test]
fn what_has_ended_is_not_looked_for() {
    let mut world = world(1);
    world.machine.borrow_mut().cores[1].ready[EDGE as usize] = 0;
    raise(&mut world, EDGE);
    assert_eq!(world.ack(1), Some(EDGE));
    world.eoi(1);
    world.quiesce();
    assert_eq!(costs(&mut world, |world| assert_eq!(world.read(0x204), 0)), (0, 0));
    assert_eq!(costs(&mut world, |world| assert_eq!(world.read(0x304), 0)), (0, 0));
}

/// A line that fell before its interrupt ended asks for nobody, wherever it would go next.
#[test]
fn an_end_without_a_successor_kicks_nobody() {
    for high in [false, true] {
        let mut world = world(0);
        world.input(0, 33, true);
        world.quiesce();
        assert_eq!(world.ack(0), Some(33));
        world.dist(0, 0x6000 + 8 * 33, 8, Some(1));
        world.quiesce();
        world.input(0, 33, high);
        world.eoi(0);
        let (kicks, _) = costs(&mut world, |world| _ = world.maintenance(0));
        assert_eq!(kicks, u32::from(high));
    }
}

#[test]
fn a_core_that_goes_off_with_nothing_kicks_nobody() {
    let mut world = world(0);
    assert_eq!(costs(&mut world, |world| world.offline(1)), (0, 0));
}

/// Nor is a core kicked that does not run: what comes for it waits until it does.
#[test]
fn a_line_of_a_core_that_is_off_waits() {
    let mut world = world(1);
    world.offline(1);
    assert_eq!(world.vgic.set_line(33, true), None);
    world.online(1);
    world.quiesce();
    assert_eq!(world.ack(1), Some(33));
    for intid in [5, 27, EDGE, 40, 2000] {
        assert_eq!(
            world.vgic.set_line(intid, true),
            None,
            "{intid} has no line of a device that is emulated"
        );
    }
}

fn ready(world: &World, vcpu: usize, intid: u32) -> u64 {
    world.machine.borrow().cores[vcpu].ready[intid as usize]
}

/// Whatever else holds of it, too: what was written of an interrupt keeps it from the fast path.
#[test]
fn two_reasons_for_the_slow_path_are_one() {
    // Set active while it was on its way.
    let mut held = world(1);
    held.machine.borrow_mut().cores[1].ready[EDGE as usize] = 0;
    held.input(0, EDGE, true);
    assert!(held.interrupt(1));
    held.write(0x304, 1 << 3);
    assert_eq!(ready(&held, 1, EDGE), 0);
    // Cleared while it was on its way, and set again.
    let mut cleared = world(1);
    cleared.machine.borrow_mut().cores[1].ready[LEVEL as usize] = 0;
    cleared.input(0, LEVEL, true);
    assert!(cleared.interrupt(1));
    cleared.input(0, LEVEL, false);
    cleared.write(0x284, 1 << 2);
    cleared.write(0x204, 1 << 2);
    assert_eq!(ready(&cleared, 1, LEVEL), 0);
    cleared.finish(1);
    cleared.quiesce();
    assert_eq!(cleared.ack(1), Some(LEVEL));
    // Set while it was pending in a list register, and again while it was active.
    let mut again = world(1);
    raise(&mut again, LEVEL);
    again.write(0x204, 1 << 2);
    again.input(0, LEVEL, false);
    assert_eq!(again.ack(1), Some(LEVEL));
    again.write(0x204, 1 << 2);
    assert_eq!(ready(&again, 1, LEVEL), 0);
    again.eoi(1);
    again.quiesce();
    assert_eq!(again.ack(1), Some(LEVEL));
    again.eoi(1);
    again.quiesce();
    assert_eq!(again.ack(1), None);
}

/// The same for SGIs, whose table is in what cores share.
#[test]
fn an_sgi_that_is_held_is_not_delivered() {
    let mut world = world(0);
    world.redist(0, 0x1_0300, 4, Some(1 << 3));
    world.shared.send(0, 1 | 3 << 24, SgiRegister::Sgi1r);
    world.machine.borrow_mut().cores[0].kicked = true;
    world.quiesce();
    assert_eq!(world.ack(0), None);
    world.redist(0, 0x1_0380, 4, Some(1 << 3));
    world.quiesce();
    assert_eq!(world.ack(0), Some(3));
}
