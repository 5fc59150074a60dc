//! The mirrors say what the registers say, whatever was written.

use proptest::prelude::*;

use super::super::{REDIST_SIZE, Version};
use super::fake::World;

const SGI_FRAME: u64 = 0x1_0000;

/// Compares every mirrored word with the register; how many there are on each page.
fn compare(world: &mut World, version: Version, vcpus: usize) -> Vec<usize> {
    let pages = world.vgic.mirrors().len();
    assert_eq!(pages, if version == Version::V3 { vcpus + 1 } else { vcpus });
    let mut known = Vec::new();
    for page in 0..pages {
        let offsets = (0..0x1100).step_by(4).filter(|at| world.vgic.mirrors()[page].read(*at).is_some());
        let offsets: Vec<u64> = offsets.collect();
        for offset in &offsets {
            // `World` compares, of GICv2's pages the one of who reads.
            for vcpu in 0..vcpus {
                match page {
                    _ if version == Version::V2 => world.dist(vcpu, *offset, 4, None),
                    0 => world.dist(vcpu, *offset, 4, None),
                    _ => world.redist(vcpu, (page as u64 - 1) * REDIST_SIZE + SGI_FRAME + offset, 4, None),
                };
            }
            assert!(!(0x200..0x400).contains(offset), "pending and active states are not only here");
        }
        known.push(offsets.len());
    }
    known
}

#[test]
fn what_is_mirrored() {
    // Two words of SPIs (33 to 71), each with 1 + 2 + 8 + 2 registers; GICD_CTLR and TYPER.
    assert_eq!(compare(&mut World::new(2, 4), Version::V3, 2), [2 + 2 * 13, 13, 13]);
    assert_eq!(compare(&mut World::with(Version::V2, 2, 4), Version::V2, 2), [2 + 3 * 13; 2]);
    let world = World::new(1, 4);
    let mirror = &world.vgic.mirrors()[0];
    assert_eq!(mirror.read(4).map(|value| value & 31), Some(2), "GICD_TYPER.ITLinesNumber");
    assert_eq!((mirror.read(2), mirror.read(0x1000), mirror.read(u64::MAX - 3)), (None, None, None));
}

proptest! {
    #[test]
    fn what_is_written_is_mirrored(
        v2: bool,
        writes in prop::collection::vec((0..2_usize, 0..3_usize, 0..0x400_u64, any::<u32>(), any::<bool>(), 0..40_u8), 1..60),
    ) {
        let version = if v2 { Version::V2 } else { Version::V3 };
        let mut world = World::with(version, 2, 4);
        world.online(1);
        for (vcpu, page, index, value, byte, special) in writes {
            let (offset, width) = if byte { (4 * index + u64::from(value & 3), 1) } else { (4 * index, 4) };
            match special {
                0 => {
                    world.offline(1);
                    world.online(1);
                }
                1 => {
                    world.offline(0);
                    world.offline(1);
                    world.reset();
                    world.online(0);
                    world.online(1);
                }
                // Groups on, so that enables reach hardware.
                2 => world.write(0, 3),
                _ if page == 0 || v2 => {
                    world.dist(vcpu, offset, width, Some(value.into()));
                }
                _ => {
                    world.redist(vcpu, (page as u64 - 1) * REDIST_SIZE + SGI_FRAME + offset, width, Some(value.into()));
                }
            }
        }
        compare(&mut world, version, 2);
    }
}
