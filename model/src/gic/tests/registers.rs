//! What each register reads as, and what it ignores.

use super::super::{Access, Config, ConfigError, REDIST_SIZE, Spi, Version, Vgic};
use super::fake::{GOOD, INTIDS, PPIS, SPIS, World};

const OWNED_WORD_1: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 31;
const SGI_BASE: u64 = 0x1_0000;

#[test]
fn distributor_identifies_itself() {
    let mut world = World::new(2, 4);
    assert_eq!(world.read(0), 0x50); // ARE, DS
    world.write(0, 0xffff_ffff);
    assert_eq!(world.read(0), 0x53);
    world.write(0, 2);
    assert_eq!(world.read(0), 0x52);
    assert_eq!(world.read(4), 1 << 25 | 9 << 19 | 2); // up to INTID 95: No1N, 10 bits
    assert_eq!(world.read(8), 0x5000_043b);
    assert_eq!(world.read(0xffe8), 0x3b); // GICv3
    assert_eq!([0xfff0, 0xfff4, 0xfff8, 0xfffc].map(|offset| world.read(offset)), [0x0d, 0xf0, 0x05, 0xb1]);
    world.write(4, 0);
    assert_eq!(world.read(4) & 31, 2);
}

#[test]
fn only_many_cores_need_a_range_selector() {
    // GICD_TYPER.RSS (IHI 0069, 12.9.38): SGI targets above 15.
    for (vcpus, rss) in [(1, 0), (16, 0), (17, 1), (64, 1)] {
        let mut vgic = Vgic::new(&Config { vcpus, ..GOOD }).unwrap();
        let world = World::new(1, 1);
        let mut hw = super::fake::Physical(world.machine.clone(), 0);
        let typer = vgic.dist_access(0, 4, Access { width: 4, write: None }, &mut hw, &mut world.lrs(0));
        assert_eq!(typer >> 26 & 1, rss, "{vcpus} cores");
    }
}

/// Accesses of other widths and places than the architecture has are ignored (IHI 0069, 12.1.3).
#[test]
fn odd_accesses_are_nobodys() {
    let mut world = World::new(1, 1);
    world.write(0x104, 0xffff_ffff);
    for (offset, width) in
        [(0x104, 2), (0x104, 8), (0x105, 1), (0x105, 4), (0x106, 4), (0x104, 3), (0x422, 4)]
    {
        world.dist(0, offset, width, Some(u64::MAX));
        assert_eq!(world.dist(0, offset, width, None), 0, "{width} bytes at {offset:#x}");
    }
    assert_eq!((world.read(0x104), world.read(0x420), world.read(0x424)), (OWNED_WORD_1, 0, 0));
}

/// A vCPU that the partition does not have reads and writes nothing.
#[test]
fn nobody_has_no_registers() {
    let mut world = World::new(2, 1);
    let mut hw = super::fake::Physical(world.machine.clone(), 2);
    for write in [Some(3), None] {
        let access = Access { width: 4, write };
        assert_eq!(world.vgic.dist_access(2, 0, access, &mut hw, &mut world.lrs(0)), 0);
        assert_eq!(world.vgic.redist_access(2, 4, access, &mut hw, &mut world.lrs(0)), 0);
    }
    assert_eq!(world.read(0), 0x50);
}

#[test]
fn a_store_answers_nothing() {
    let mut world = World::new(1, 1);
    for offset in (0..0x1_0000).step_by(4) {
        for width in [1, 4, 8] {
            assert_eq!(world.dist(0, offset, width, Some(0)), 0, "GICD {offset:#x}");
            assert_eq!(world.redist(0, offset, width, Some(0)), 0, "GICR {offset:#x}");
        }
    }
    assert_eq!(
        (world.read(8), world.redist(0, 4, 4, None)),
        (0x5000_043b, 0x5000_043b),
        "identity is read-only"
    );
}

#[test]
fn a_partition_without_spis_has_word_0_only() {
    let mut vgic = Vgic::new(&GOOD).unwrap();
    let world = World::new(1, 1);
    let mut hw = super::fake::Physical(world.machine.clone(), 0);
    for offset in (0..0x1_0000).step_by(4) {
        let read = Access { width: 4, write: None };
        let value = vgic.dist_access(0, offset, read, &mut hw, &mut world.lrs(0));
        assert!(value == 0 || matches!(offset, 0 | 4 | 8 | 0xffd0..), "{offset:#x} = {value:#x}");
        let write = Access { width: 4, write: Some(u64::MAX) };
        assert_eq!(vgic.dist_access(0, offset, write, &mut hw, &mut world.lrs(0)), 0);
    }
    assert_eq!(vgic.dist_access(0, 4, Access { width: 4, write: None }, &mut hw, &mut world.lrs(0)) & 31, 0);
}

#[test]
fn impossible_configurations_are_refused() {
    let good = GOOD;
    let spi = |intid| Spi { intid, edge: false, emulated: false };
    fn refused(config: Config) -> ConfigError {
        Vgic::new(&config).unwrap_err()
    }
    assert_eq!(refused(Config { vcpus: 0, ..good }), ConfigError::Vcpus);
    assert_eq!(refused(Config { vcpus: 65, ..good }), ConfigError::Vcpus);
    assert_eq!(refused(Config { version: Version::V2, vcpus: 9, ..good }), ConfigError::Vcpus);
    assert_eq!(refused(Config { ppis: 1 << 15, ..good }), ConfigError::Ppis);
    assert_eq!(refused(Config { priority_bits: 4, ..good }), ConfigError::PriorityBits);
    assert_eq!(refused(Config { spis: &[spi(31)], ..good }), ConfigError::Spi(31));
    assert_eq!(refused(Config { spis: &[spi(40), spi(1020)], ..good }), ConfigError::Spi(1020));
    assert_eq!(refused(Config { spis: &[spi(u32::MAX)], ..good }), ConfigError::Spi(u32::MAX));
    assert_eq!(refused(Config { spis: &[spi(32), spi(32)], ..good }), ConfigError::Spi(32));
    assert!(Vgic::new(&Config { vcpus: 64, spis: &[spi(1019)], priority_bits: 8, ..good }).is_ok());
}

#[test]
fn only_owned_bits_exist() {
    let mut world = World::new(1, 4);
    for (register, initial, writable) in [(0x80, OWNED_WORD_1, true), (0x100, 0, true), (0x200, 0, false)] {
        assert_eq!(world.read(register + 4), initial, "{register:#x}");
        world.write(register + 4, 0xffff_ffff);
        if writable {
            assert_eq!(world.read(register + 4), OWNED_WORD_1, "{register:#x}");
        }
        world.write(register, 0xffff_ffff);
        assert_eq!(world.read(register), 0, "word 0 is the redistributors'");
        world.write(register + 12, 0xffff_ffff);
        assert_eq!(world.read(register + 12), 0, "a word without owned interrupts");
    }
    assert_eq!(world.read(0x204), OWNED_WORD_1, "all were made pending");
    world.write(0x284, 1 << 2 | 1 << 1);
    assert_eq!(world.read(0x204), OWNED_WORD_1 & !(1 << 2 | 1 << 1));
    world.write(0x184, 1 << 3);
    assert_eq!(world.read(0x104), OWNED_WORD_1 & !(1 << 3));
    assert_eq!(world.read(0x184), OWNED_WORD_1 & !(1 << 3));
}

#[test]
fn priorities_by_byte_and_word_cut_to_five_bits() {
    let mut world = World::new(1, 4);
    world.write(0x420, 0xffff_ffff);
    assert_eq!(world.read(0x420), 0xf8f8_f800, "INTID 32 is not owned");
    world.dist(0, 0x422, 1, Some(0x47));
    assert_eq!(world.read(0x420), 0xf840_f800);
    assert_eq!(world.dist(0, 0x423, 1, None), 0xf8);
    assert_eq!(world.dist(0, 0x422, 2, None), 0, "no halfwords");
    world.redist(0, SGI_BASE + 0x41b, 1, Some(0xa7));
    assert_eq!(world.redist(0, SGI_BASE + 0x418, 4, None), 0xa000_0000);
    world.redist(0, SGI_BASE + 0x410, 4, Some(0xa0a0_a0a0));
    assert_eq!(world.redist(0, SGI_BASE + 0x410, 4, None), 0, "PPIs 16..19 are not owned");
}

#[test]
fn triggers() {
    let mut world = World::new(1, 4);
    assert_eq!(world.read(0xc08), 2 << 6 | 2 << 8); // 35 and 36 are edge-triggered
    world.write(0xc08, 2 << 4);
    assert_eq!(world.read(0xc08), 2 << 4);
    assert!(world.machine.borrow().spis[34].edge && !world.machine.borrow().spis[35].edge);
    // The upper sixteen of a word.
    world.write(0xc0c, 0xffff_ffff);
    assert_eq!((world.read(0xc0c), world.read(0xc08)), (2 << 30, 2 << 4));
    assert!(world.machine.borrow().spis[63].edge);
    world.write(0xc0c, 0);
    assert_eq!((world.read(0xc0c), world.machine.borrow().spis[63].edge), (0, false));
    assert_eq!(world.redist(0, SGI_BASE + 0xc00, 4, None), 0xaaaa_aaaa);
    world.redist(0, SGI_BASE + 0xc00, 4, Some(0));
    assert_eq!(world.redist(0, SGI_BASE + 0xc00, 4, None), 0xaaaa_aaaa);
    world.redist(0, SGI_BASE + 0xc04, 4, Some(0xffff_ffff));
    assert_eq!(world.redist(0, SGI_BASE + 0xc04, 4, None), 0, "the machine's PPIs stay as they are");
}

#[test]
fn routes_whole_and_in_halves() {
    let mut world = World::new(2, 4);
    let router = 0x6000 + 8 * 34;
    assert_eq!(world.dist(0, router, 8, None), 0);
    world.dist(0, router, 8, Some(u64::MAX));
    assert_eq!(world.dist(0, router, 8, None), 0xff_80ff_ffff);
    assert_eq!(world.dist(0, router, 4, None), 0x80ff_ffff);
    assert_eq!(world.dist(0, router + 4, 4, None), 0xff);
    world.dist(0, router + 4, 4, Some(0x5a));
    assert_eq!(world.dist(0, router, 8, None), 0x5a_80ff_ffff);
    world.dist(0, router + 4, 4, Some(0));
    world.dist(0, router, 4, Some(1));
    assert_eq!(world.dist(0, router, 8, None), 1);
    assert_eq!(world.machine.borrow().spis[34].route, 1);
    world.dist(0, 0x6000 + 8 * 37, 8, Some(1));
    assert_eq!(world.dist(0, 0x6000 + 8 * 37, 8, None), 0, "not owned");
    assert_eq!(world.dist(0, 0x6000, 8, Some(1)), 0);
    assert_eq!(world.dist(0, router, 1, None), 0);
}

#[test]
fn redistributors_identify_themselves() {
    let mut world = World::new(3, 4);
    for vcpu in 0..3 {
        let frame = vcpu * REDIST_SIZE;
        let last = u64::from(vcpu == 2) << 4;
        assert_eq!(world.redist(0, frame + 8, 8, None), vcpu << 32 | vcpu << 8 | last);
        assert_eq!(world.redist(0, frame + 8, 4, None), vcpu << 8 | last);
        assert_eq!(world.redist(0, frame + 12, 4, None), vcpu);
        assert_eq!(world.redist(0, frame, 4, None), 0);
        assert_eq!(world.redist(0, frame + 0xffe8, 4, None), 0x3b);
        assert_eq!(world.redist(0, frame + 0x14, 4, None), 6);
        world.redist(0, frame + 0x14, 4, Some(0));
        assert_eq!(world.redist(0, frame + 0x14, 4, None), 0);
        world.redist(0, frame + 0x14, 4, Some(2));
        assert_eq!(world.redist(0, frame + 0x14, 4, None), 6);
        world.redist(0, frame, 4, Some(1));
        assert_eq!(world.redist(0, frame, 4, None), 0, "EnableLPIs stays 0");
    }
    assert_eq!(world.redist(0, 3 * REDIST_SIZE + 8, 8, None), 0);
    assert_eq!(world.redist(0, u64::MAX - 7, 8, None), 0);
}

#[test]
fn private_words_per_vcpu() {
    let mut world = World::new(2, 4);
    let owned = u64::from(PPIS | 0xffff);
    let other = REDIST_SIZE + SGI_BASE;
    for register in [0x80, 0x100, 0x200, 0x300] {
        world.redist(0, other + register, 4, Some(0xffff_ffff));
        assert_eq!(world.redist(0, other + register, 4, None), owned, "{register:#x}");
    }
    assert_eq!(world.redist(0, SGI_BASE + 0x100, 4, None), 0, "vCPU 0's are its own");
    for register in [0x180, 0x280, 0x380] {
        world.redist(0, other + register, 4, Some(0xffff_ffff));
        assert_eq!(world.redist(0, other + register, 4, None), 0, "{register:#x}");
    }
    assert_eq!(world.redist(0, other + 0x80, 4, None), owned);
}

/// Every offset, width and value: no panic, and the fake sees no foreign interrupt.
#[test]
fn every_access_is_safe() {
    let mut world = World::new(2, 2);
    world.online(1);
    // Miri takes hours for all of them.
    let step = if cfg!(miri) { 0x1ff } else { 1 };
    for offset in
        (0..2 * REDIST_SIZE + 0x100).step_by(step).filter(|offset| offset % 0x1000 < 0xd10 || offset % 4 == 0)
    {
        for width in [0, 1, 2, 3, 4, 8, 16] {
            for write in [None, Some(u64::MAX), None, Some(0)] {
                if offset < 0x1_0000 {
                    world.dist(1, offset, width, write);
                }
                world.redist(1, offset, width, write);
            }
        }
    }
    for intid in 32..INTIDS {
        if !SPIS.iter().any(|spi| spi.intid == intid) {
            assert!(!world.machine.borrow().spis[intid as usize].enabled);
        }
    }
    let mut hw = super::fake::Physical(world.machine.clone(), 9);
    let lrs = &mut world.lrs(0);
    world.vgic.maintenance(9, &mut hw, lrs);
    world.vgic.deactivate(64, 40, &mut hw, lrs);
    world.vgic.online(99, &mut hw, lrs);
    world.vgic.offline(64, &mut hw, lrs);
    assert_eq!(world.vgic.set_line(u32::MAX, true), None);
    assert_eq!(world.vgic.set_line(34, true), None, "not an emulated one");
}
