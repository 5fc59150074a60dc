//! Random guests, devices and interleavings: whatever happens, nothing is lost, doubled or out of order.

use proptest::prelude::*;

use super::super::Version;
use super::super::testing::{Run, Step};
use super::fake::World;

fn step() -> impl Strategy<Value = Step> {
    (0..Step::KINDS, 0..4_usize, 0..1000_usize, any::<u32>()).prop_map(|(kind, core, pick, value)| Step {
        kind,
        core,
        pick,
        value,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_lost_nothing_doubled(
        vcpus in 1..5_usize,
        lrs in 1..5_usize,
        two_step in 0..16_u8,
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut run = Run::new(Version::V3, vcpus, lrs, two_step);
        run.check();
        for step in &steps {
            run.step(step);
            run.check();
        }
        run.drain();
    }

    #[test]
    fn nothing_lost_nothing_doubled_on_gicv2(
        vcpus in 1..5_usize,
        lrs in 1..5_usize,
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut run = Run::new(Version::V2, vcpus, lrs, 0);
        run.check();
        for step in &steps {
            run.step(step);
            run.check();
        }
        run.drain();
    }

    /// Any access by any vCPU, anywhere, never panics and never reaches what is not owned (the fake checks).
    #[test]
    fn accesses_never_escape(
        v2 in any::<bool>(),
        accesses in prop::collection::vec((0..5_usize, 0..0x9_0000_u64, 0..9_u8, any::<Option<u64>>()), 0..200),
    ) {
        let mut world = World::with(if v2 { Version::V2 } else { Version::V3 }, 2, 1);
        world.online(1);
        for (vcpu, offset, width, write) in accesses {
            let vcpu = vcpu % 2;
            if offset < 0x1_0000 || offset % 2 == 0 {
                world.dist(vcpu, offset & if v2 { 0xffc } else { 0xfffc }, width, write);
            }
            world.redist(vcpu, offset & !3, width, write);
            world.interrupt(vcpu);
            world.finish(vcpu);
            world.ack(vcpu);
        }
        world.quiesce();
    }
}
