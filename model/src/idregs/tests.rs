use super::controls::{Controls, Recorders};
use super::*;
use proptest::prelude::*;

/// Cortex-A72 on QEMU 10.0 virt with GICv3 and EL2, read from EL2.
fn a72() -> Host {
    Host::read(|crm, op2| match (crm, op2) {
        (4, 0) => 0x0100_0222,
        (5, 0) => 0x1030_5106,
        (6, 0) => 0x0001_1120,
        (7, 0) => 0x0000_1124,
        _ => 0,
    })
}

/// Neoverse V1, likewise.
fn v1() -> Host {
    Host::read(|crm, op2| match (crm, op2) {
        (4, 0) => 0x1101_0001_2111_0112,
        (4, 1) => 0x20,
        (4, 4) => 0x0000_1000_0010_0000,
        (5, 0) => 0x0000_00f0_1030_5509,
        (6, 0) => 0x1011_1111_1021_2120,
        (6, 1) => 0x0011_1000_1021_1302,
        (7, 0) => 0x0000_0000_1010_1125,
        (7, 1) => 0x0000_0000_1021_2122,
        (7, 2) => 0x0220_0111_0210_1011,
        _ => 0,
    })
}

/// `-cpu max`, likewise.
fn max() -> Host {
    Host::read(|crm, op2| match (crm, op2) {
        (4, 0) => 0x1301_0011_2111_0222,
        (4, 1) => 0x0000_0010_0100_0121,
        (4, 4) => 0x0110_1101_0021_0021,
        (4, 5) => 0x80f1_00fd_0000_0000,
        (5, 0) => 0x1000_0000_1030_560a,
        (6, 0) => 0x1221_1111_1021_2120,
        (6, 1) => 0x0111_2111_1021_1502,
        (6, 2) => 0x0011_0012,
        (7, 0) => 0x2100_0323_1020_1126,
        (7, 1) => 0x0110_1120_1031_2122,
        (7, 2) => 0x1221_0111_1201_1011,
        (7, 3) => 0x1000_0000_0000_0000,
        _ => 0,
    })
}

const fn id(crm: u8, op2: u8) -> Encoding {
    Encoding::new(3, 0, 0, crm, op2)
}

#[test]
fn a_performance_monitor_is_arms_or_none() {
    // ID_AA64DFR0_EL1.PMUVer: 0 none, 0xf a maker's own; all else is Arm's, whatever the fields beside it say.
    let pmu = |version: u64| {
        Host::read(|crm, op2| if (crm, op2) == (5, 0) { !0xf00 | version << 8 } else { 0 }).has_pmu()
    };
    for version in 0..=0xf {
        assert_eq!(pmu(version), !matches!(version, 0 | 0xf), "{version}");
    }
    assert!(a72().has_pmu() && v1().has_pmu());
}

#[test]
fn cortex_a72() {
    let guest = Guest::new(&a72(), true);
    // AArch64 only at EL0 and EL1, no EL2, no EL3; FP, AdvSIMD, GIC registers.
    assert_eq!(guest.get(id(4, 0)), Some(0x0100_0011));
    // PMU hidden; debug, six breakpoints, four watchpoints.
    assert_eq!(guest.get(id(5, 0)), Some(0x1030_5006));
    assert_eq!(guest.get(id(6, 0)), Some(0x0001_1120));
    // 44 bits; 4 KiB and 64 KiB granules; SNSMem hidden.
    assert_eq!(guest.get(id(7, 0)), Some(0x0000_0124));
    assert_eq!(guest.get(id(7, 1)), Some(0));
    // On a GICv2 board.
    assert_eq!(Guest::new(&a72(), false).get(id(4, 0)), Some(0x11));
}

#[test]
fn neoverse_v1() {
    let guest = Guest::new(&v1(), true);
    assert_eq!(guest.get(id(4, 0)), Some(0x1101_0001_0111_0011));
    assert_eq!(guest.get(id(4, 1)), Some(0x20));
    assert_eq!(guest.get(id(4, 4)), Some(0x0000_1000_0010_0000));
    // No double lock (signed), debug architecture of Armv8.2, no PMU.
    assert_eq!(guest.get(id(5, 0)), Some(0x0000_00f0_1030_5008));
    assert_eq!(guest.get(id(6, 0)), Some(0x1011_1111_1021_2120));
    assert_eq!(guest.get(id(6, 1)), Some(0x0011_1000_1021_1302));
    assert_eq!(guest.get(id(7, 0)), Some(0x0010_0125));
    assert_eq!(guest.get(id(7, 1)), Some(0x0020_2002));
    // CCIDX stays, since CCSIDR_EL1 has that form; NV, FWB, EVT and IESB go.
    assert_eq!(guest.get(id(7, 2)), Some(0x0020_0011_0010_0011));
}

#[test]
fn qemu_max() {
    let guest = Guest::new(&max(), true);
    // CSV3, CSV2_3, DIT, SVE, GIC, AdvSIMD and FP with half precision; RAS, SEL2, EL2 and AArch32 gone.
    assert_eq!(guest.get(id(4, 0)), Some(0x1301_0001_0111_0011));
    // BTI and SSBS; MTE, SME, NMI gone.
    assert_eq!(guest.get(id(4, 1)), Some(0x21));
    assert_eq!(guest.get(id(4, 4)), Some(0x0110_1101_0021_0021));
    assert_eq!(guest.get(id(4, 5)), Some(0));
    // Debug architecture of Armv8.2, no PMU.
    assert_eq!(guest.get(id(5, 0)), Some(0x1030_5008));
    assert_eq!(guest.get(id(6, 0)), Some(0x1221_1111_1021_2120));
    assert_eq!(guest.get(id(6, 1)), Some(0x0111_2111_1021_1502));
    // WFxT, RPRES and BC; MOPS gone.
    assert_eq!(guest.get(id(6, 2)), Some(0x0010_0012));
    // 48 bits, no LPA2 in either granule, no FGT, no ECV, no stage 2 granules.
    assert_eq!(guest.get(id(7, 0)), Some(0x0010_0125));
    assert_eq!(guest.get(id(7, 1)), Some(0x0110_1020_0030_2002));
    assert_eq!(guest.get(id(7, 2)), Some(0x1021_0011_1001_0011));
    assert_eq!(guest.get(id(7, 3)), Some(0x1000_0000_0000_0000));
}

#[test]
fn aarch32_and_foreign_registers() {
    let guest = Guest::new(&Host::read(|_, _| u64::MAX), true);
    for crm in 1..=3 {
        for op2 in 0..=7 {
            assert_eq!(guest.get(id(crm, op2)), Some(0));
        }
    }
    for other in
        [id(0, 0), id(0, 5), id(8, 0), id(4, 8), Encoding::new(3, 1, 0, 4, 0), Encoding::new(2, 0, 0, 4, 0)]
    {
        assert_eq!(guest.get(other), None, "{other:?}");
    }
}

#[test]
fn absent_floating_point_and_granules_stay_absent() {
    let host = Host::read(|crm, op2| match (crm, op2) {
        (4, 0) => 0x00ff_0011,
        (7, 0) => 0xff00_0000,
        _ => 0,
    });
    let guest = Guest::new(&host, true);
    assert_eq!(guest.get(id(4, 0)), Some(0x00ff_0011));
    assert_eq!(guest.get(id(7, 0)), Some(0xff00_0000));
}

#[test]
fn without_sve_its_features_go_too() {
    let host = Host::read(|crm, op2| if (crm, op2) == (4, 4) { u64::MAX } else { 0 });
    assert_eq!(Guest::new(&host, true).get(id(4, 4)), Some(0));
}

#[test]
fn controls_of_an_a72() {
    let controls = Controls::new(&a72(), 6);
    // VM SWIO PTW FMO IMO AMO TID3 TSC TIDCP TACR TSW RW.
    assert_eq!(controls.hcr, 0x807c_003f);
    assert_eq!(controls.cptr, 0x0010_33ff);
    // TDRA TDOSA TPM TPMCR, six counters.
    assert_eq!(controls.mdcr, 0xc66);
    assert_eq!(
        (controls.hcrx, controls.zcr, controls.mpam2, controls.fine_grained),
        (None, None, None, false)
    );
}

#[test]
fn controls_trap_what_is_hidden_and_give_what_is_shown() {
    // With what QEMU leaves out by default: MTE3 and activity monitors.
    let host = Host::read(|crm, op2| match (crm, op2) {
        (4, 0) => max().get(4, 0) | 1 << 44,
        (4, 1) => max().get(4, 1) | 3 << 8,
        _ => max().get(crm, op2),
    });
    let controls = Controls::new(&host, 6);
    for (name, bit) in [("TLOR", 35), ("TERR", 36), ("APK", 40), ("API", 41), ("EnSCXT", 53), ("TID5", 58)] {
        assert_ne!(controls.hcr & 1 << bit, 0, "{name}");
    }
    // Neither E2H, TGE, NV, ATA nor FIEN.
    assert_eq!(controls.hcr & (1 << 34 | 1 << 27 | 7 << 42 | 1 << 45 | 1 << 47 | 1 << 56), 0);
    assert_eq!(controls.hcrx, Some(1 << 6));
    // TAM and TTA and TSM set, TZ and TFP clear.
    assert_eq!(controls.cptr, 0x4010_32ff);
    assert_eq!(controls.zcr, Some(0xf));
    assert!(controls.fine_grained);
}

#[test]
fn what_a_guest_leaves_behind() {
    let none = Kept {
        pointer_keys: false,
        software_context: false,
        deferred_errors: false,
        scalable_vectors: false,
    };
    assert_eq!((Kept::of(&a72()), a72().breakpoints(), a72().watchpoints()), (none, 6, 4));
    let v1 = Kept { pointer_keys: true, deferred_errors: true, scalable_vectors: true, ..none };
    // CSV2 is 1, and CSV2_frac 0.
    assert_eq!(Kept::of(&self::v1()), v1);
    assert_eq!(Kept::of(&max()), Kept { software_context: true, ..v1 });
}

#[test]
fn a_partition_of_one_core_keeps_its_maintenance() {
    let with = |evt: u64| Host::read(|crm, op2| if (crm, op2) == (7, 2) { evt << 56 } else { 0 });
    let all = [max(), a72(), with(0), with(1), with(2), with(3)];
    // TICAB (50), TTLBIS and TTLBOS (54, 55).
    let bits = all.each_ref().map(|host| {
        let several = Controls::new(host, 6).hcr;
        assert_eq!(several & 0x31 << 50, 0);
        Controls::new(host, 6).alone(host).hcr ^ several
    });
    assert_eq!(bits.map(|bits| bits >> 50), [0x31, 0, 0, 1, 0x31, 0x31]);
}

#[test]
fn nothing_records_and_nothing_counts() {
    let with = |dfr0: u64| {
        let host = Host::read(|crm, op2| if (crm, op2) == (5, 0) { dfr0 } else { 0 });
        Controls::new(&host, 6)
    };
    // HPMD with PMUv3 of Armv8.1, HCCD of Armv8.5; a PMU of somebody else's has neither.
    let quiet = |version: u64| with(version << 8).mdcr & (1 << 17 | 1 << 23);
    assert_eq!((quiet(1), quiet(4), quiet(6), quiet(0xf)), (0, 1 << 17, 1 << 17 | 1 << 23, 0));
    // TPM and TPMCR always, the enable bits never: E2PB, TDE, TDA, HPME, E2TB, MTPME, EnSPM, EBWE.
    for dfr0 in [0, u64::MAX, 0x1111_1111_1111_1111, max().get(5, 0)] {
        let mdcr = with(dfr0).mdcr;
        assert_eq!(mdcr & 3 << 5, 3 << 5);
        assert_eq!(mdcr & (3 << 12 | 1 << 8 | 1 << 9 | 1 << 7 | 3 << 24 | 1 << 28 | 1 << 15 | 1 << 43), 0);
    }
    assert_eq!(Controls::new(&a72(), 6).recorders, Recorders { counters: true, ..Recorders::default() });
    assert_eq!(with(0xf00).recorders, Recorders::default());
    let all = Recorders {
        counters: false,
        profiling: true,
        trace_buffer: true,
        trace_filter: true,
        branches: true,
        matrices: false,
    };
    assert_eq!(with(0x0010_1101_0000_0000).recorders, all);
    assert!(Controls::new(&max(), 6).recorders.matrices);
    assert!(!Controls::new(&max(), 6).fine_grained_2);
    let fgt2 = Host::read(|crm, op2| if (crm, op2) == (7, 0) { 2 << 56 } else { 0 });
    assert!(Controls::new(&fgt2, 6).fine_grained_2);
}

proptest! {
    /// No field of the guest's is more than the core's (as signed or unsigned numbers), and hidden ones are zero.
    #[test]
    fn never_more_than_the_core_has(values in proptest::array::uniform32(any::<u64>()), gic: bool) {
        let host = Host::read(|crm, op2| values[usize::from(crm - 4) * 8 + usize::from(op2)]);
        let guest = Guest::new(&host, gic);
        for crm in 4..=7u8 {
            for op2 in 0..=7u8 {
                let shown = guest.get(id(crm, op2)).unwrap();
                for shift in (0..64).step_by(4) {
                    let (own, shown) = (host.field(crm, op2, shift), shown >> shift & 0xf);
                    // EL0 and EL1 are AArch64, whatever the core says.
                    if (crm, op2) != (4, 0) || shift > 4 {
                        prop_assert!(shown <= own, "C{crm}_{op2} bit {shift}: {shown} of {own}");
                    }
                }
            }
        }
        let pfr0 = guest.get(id(4, 0)).unwrap();
        prop_assert_eq!(pfr0 & 0x0000_fff0_f000_ff00, 0);
        prop_assert!(guest.get(id(7, 0)).unwrap() & 0xf <= 5);
        let _ = Controls::new(&host, 31);
    }
}
