//! GICv2's SGIs of one number from several sources: one is in a list register, others join it or wait behind it
//! (IHI 0048, 2.2.1 and 5.3.8).

use super::super::lr;
use super::gicv2::{send, take, world};

/// Sent twice by one source before it is taken: it is one interrupt.
#[test]
fn twice_from_one_source_is_once() {
    let mut world = world(2, 2);
    for _ in 0..3 {
        send(&mut world, 1, 1 << 16 | 9);
        world.quiesce();
        let image = world.machine.borrow().cores[0].lrs[0];
        assert_eq!(image & (lr::PENDING | lr::ACTIVE | lr::EOI), lr::PENDING);
    }
    assert_eq!(take(&mut world, 0), Some((9, 1)));
    world.eoi(0);
    assert_eq!(take(&mut world, 0), None);
}

/// Sent again by its own source while it is active: it is pending and active, and nothing waits behind it.
#[test]
fn again_from_the_active_ones_source() {
    let mut world = world(3, 2);
    send(&mut world, 2, 1 << 16 | 9);
    assert_eq!(take(&mut world, 0), Some((9, 2)));
    send(&mut world, 2, 1 << 16 | 9);
    world.quiesce();
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!(image & (lr::PENDING | lr::ACTIVE | lr::EOI), lr::PENDING | lr::ACTIVE);
    assert_eq!((world.eoi(0), world.ack(0)), (Some(9), Some(9)), "without maintenance");
}

/// Registers show a source that is in a list register and was sent again, before and after the two have met.
#[test]
fn a_source_that_is_in_two_places_is_pending() {
    let mut world = world(2, 2);
    send(&mut world, 1, 1 << 16 | 9);
    world.quiesce();
    world.shared.send_sgir(1, 1 << 16 | 9);
    for _ in 0..2 {
        assert_eq!(world.dist(0, 0xf29, 1, None), 1 << 1);
        world.machine.borrow_mut().cores[0].kicked = true;
        world.quiesce();
    }
}

/// One source is cleared: the one in the list register is another's, and stays.
#[test]
fn clearing_one_source_leaves_the_other() {
    let mut world = world(2, 2);
    for source in [1, 0] {
        send(&mut world, source, 1 << 16 | 4);
        world.quiesce();
    }
    world.dist(0, 0xf14, 1, Some(1));
    assert_eq!(world.dist(0, 0xf14, 1, None), 2);
    assert_eq!(take(&mut world, 0), Some((4, 1)));
    world.eoi(0);
    assert_eq!(take(&mut world, 0), None);
}

/// An access to the distributor may see the end of the first before maintenance does: the second takes its place then.
#[test]
fn the_next_source_comes_without_maintenance_too() {
    let mut world = world(2, 2);
    for source in 0..2 {
        send(&mut world, source, 1 << 16 | 9);
    }
    assert_eq!(take(&mut world, 0), Some((9, 0)));
    world.eoi(0);
    world.read(8);
    assert!(!world.maintained(0));
    assert_eq!(world.ack(0), Some(9));
    assert_eq!(world.machine.borrow().cores[0].source, 1);
}

/// More wait than there are list registers, and one of them is pending and active: its pending half waits, too, and its
/// end still asks for maintenance, as another source is behind it.
#[test]
fn a_crowd_behind_a_source_that_came_again() {
    let mut world = world(2, 2);
    send(&mut world, 1, 1 << 16 | 5);
    assert_eq!(take(&mut world, 0), Some((5, 1)));
    for (source, sgi) in [(1, 5), (0, 5), (0, 1), (0, 2)] {
        send(&mut world, source, 1 << 16 | sgi);
        world.quiesce();
    }
    let image = world.machine.borrow().cores[0].lrs[0];
    assert_eq!(image & (lr::PENDING | lr::ACTIVE | lr::EOI), lr::ACTIVE | lr::EOI);
    world.eoi(0);
    let mut taken = Vec::new();
    while let Some(next) = take(&mut world, 0) {
        taken.push(next);
        world.eoi(0);
    }
    taken.sort_unstable();
    assert_eq!(taken, [(1, 0), (2, 0), (5, 0), (5, 1)]);
}
