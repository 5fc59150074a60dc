//! vCPUs that come and go, and launches: routes that may lead anywhere, and triggers that hardware fixes.

use super::super::{Config, REDIST_SIZE, Version, Vgic};
use super::fake::{GOOD, PPIS, SPIS, World};
use super::flight::{EDGE, raise, world};

const SGI_BASE: u64 = 0x1_0000;
const ANY: Option<u64> = Some(1 << 31);

fn router(intid: u32) -> u64 {
    0x6000 + 8 * u64::from(intid)
}

/// To the lowest vCPU that runs, not to the lowest.
#[test]
fn what_may_go_anywhere_goes_to_one_that_runs() {
    let mut world = World::new(3, 4);
    (1..3).for_each(|vcpu| world.online(vcpu));
    world.write(0, 3);
    world.write(0x104, !0);
    world.offline(0);
    world.dist(1, router(EDGE), 8, ANY);
    assert_eq!(world.machine.borrow().spis[EDGE as usize].route, 1);
    world.offline(1);
    assert_eq!(world.machine.borrow().spis[EDGE as usize].route, 2);
    raise(&mut world, EDGE);
    assert_eq!(world.ack(2), Some(EDGE));
}

/// Where nobody ran it stays with who had it, and is there when that one is back.
#[test]
fn what_may_go_anywhere_stays_with_one_that_comes_back() {
    let mut world = world(0);
    world.dist(1, router(EDGE), 8, ANY);
    world.offline(0);
    world.offline(1);
    world.online(0);
    world.online(1);
    assert_eq!(world.machine.borrow().spis[EDGE as usize].route, 1);
    raise(&mut world, EDGE);
    assert_eq!((world.ack(0), world.ack(1)), (None, Some(EDGE)));
}

/// The triggers of PPIs are the hardware's (IHI 0069, 12.11.7: it may be fixed): registers say what is, not what was
/// asked for, after a launch and after a write.
#[test]
fn triggers_that_hardware_fixes() {
    let config = Config { vcpus: 2, ppis: PPIS, edge_ppis: 1 << 30, spis: &SPIS, ..GOOD };
    let mut world = World::new(2, 4);
    world.offline(0);
    world.machine.borrow_mut().cores.iter_mut().for_each(|core| core.ppis[27].edge = true);
    world.vgic = Vgic::new(&config).unwrap();
    world.shared = world.vgic.shared();
    world.reset();
    (0..2).for_each(|vcpu| world.online(vcpu));
    let edge_27 = 2 << (2 * (27 - 16));
    for vcpu in 0..2 {
        let config = vcpu * REDIST_SIZE + SGI_BASE + 0xc04;
        assert_eq!(world.redist(0, config, 4, None), edge_27, "27 is an edge, 30 a level");
        for write in [0, 2 << (2 * (30 - 16)), 0xffff_ffff] {
            world.redist(0, config, 4, Some(write));
            assert_eq!(world.redist(0, config, 4, None), edge_27, "{write:#x}");
        }
    }
}

/// With one vCPU GICv2's targets are no registers, in every life.
#[test]
fn one_vcpu_of_a_gicv2_is_every_target_again() {
    let mut world = World::with(Version::V2, 1, 4);
    for _ in 0..2 {
        world.write(0, 1);
        world.write(0x820, 0);
        world.write(0x104, 1 << 3);
        raise(&mut world, EDGE);
        assert_eq!((world.read(0x820), world.ack(0)), (0, Some(EDGE)));
        world.offline(0);
        world.reset();
        world.online(0);
    }
}
