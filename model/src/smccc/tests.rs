use super::*;
use crate::idregs::Host;
use crate::midr::Midr;
use crate::speculation::Firmware;
use proptest::prelude::*;

const A53: u64 = 0x410f_d034;
const A72: u64 = 0x410f_d083;
const FIRMWARE: Firmware = Firmware { workaround_1: 0, workaround_2: 0, workaround_3: 0 };

/// By MIDR_EL1, ID_AA64PFR0_EL1, ID_AA64PFR1_EL1 and what firmware says.
fn told(midr: u64, pfr0: u64, pfr1: u64, firmware: Firmware) -> Mitigations {
    let host = Host::read(|crm, op2| match (crm, op2) {
        (4, 0) => pfr0,
        (4, 1) => pfr1,
        _ => 0,
    });
    Mitigations::new(&Speculation::of(Midr(midr), &host, firmware))
}

fn x0(route: Route) -> i64 {
    match route {
        Route::Answer([x0, ..]) => x0 as i64,
        other => panic!("{other:?}"),
    }
}

fn features(mitigations: &Mitigations, function: u32) -> i64 {
    x0(route(0, u64::from(id::ARCH_FEATURES), u64::from(function), mitigations))
}

#[test]
fn identity() {
    let none = Mitigations::default();
    assert_eq!(x0(route(0, 0x8000_0000, 0, &none)), 0x1_0002);
    assert_eq!(route(0, 0x8600_ff01, 0, &none), Route::Answer(id::UID.map(u64::from)));
    assert_eq!(route(0, 0x8600_ff03, 0, &none), Route::Answer([0, 2, 0, 0]));
    assert_eq!(x0(route(0, 0x8600_ff00, 0, &none)), 7);
    assert_eq!(route(0, 0xffff_ffff_c600_0000, 0, &none), Route::Supervision);
    assert_eq!(route(0, 0xc600_0006, 0, &none), Route::Supervision);
    assert_eq!(x0(route(0, 0xc600_0007, 0, &none)), -1);
    assert_eq!(x0(route(1, 0xc600_0000, 0, &none)), -1);
    assert_eq!(features(&none, id::VERSION), 0);
    assert_eq!(features(&none, id::ARCH_FEATURES), 0);
    assert_eq!(features(&none, id::ARCH_SOC_ID), -1);
}

#[test]
fn psci_is_handed_on() {
    let none = Mitigations::default();
    assert_eq!(route(0, 0x8400_0000, 0, &none), Route::Psci);
    assert_eq!(route(0, 0xffff_ffff_c400_0003, 0, &none), Route::Psci);
    assert_eq!(x0(route(1, 0x8400_0000, 0, &none)), -1);
    assert_eq!(x0(route(0xffff, 0x8400_0000, 0, &none)), -1);
}

#[test]
fn the_rest_is_refused() {
    let none = Mitigations::default();
    // TRNG, SOC_ID, KVM's own, PV time, SDEI, SiP, OEM, trusted OS, yielding calls, the SVE hint of SMCCC 1.3.
    for function in [
        0x8400_0050,
        0xc400_0053,
        0x8000_0002,
        0x8600_0000,
        0xc500_0020,
        0xc400_0020,
        0x8200_0001,
        0x8300_0000,
        0xb200_0000,
        0x0000_0000,
        0x7fff_ffff,
        0x8401_0000,
        0xc600_ff01,
        0xffff_ffff,
    ] {
        assert_eq!(x0(route(0, function, 0, &none)), -1, "{function:#x}");
    }
}

#[test]
fn workarounds_on_cores_as_they_are() {
    // Cortex-A72 r0p3 under firmware that has the calls: needed, and made.
    let a72 = told(A72, 0, 0, FIRMWARE);
    for function in [id::ARCH_WORKAROUND_1, id::ARCH_WORKAROUND_2, id::ARCH_WORKAROUND_3] {
        assert_eq!(features(&a72, function), 0);
    }
    // EL2 has made the first one's call, and overwritten the history, before it looked what is wanted.
    assert_eq!(route(0, u64::from(id::ARCH_WORKAROUND_1), 0x1234, &a72), answer(0));
    assert_eq!(route(0, u64::from(id::ARCH_WORKAROUND_3), 0x1234, &a72), answer(0));
    let call = route(0, u64::from(id::ARCH_WORKAROUND_2), 0xff, &a72);
    assert_eq!(call, Route::Firmware { function: id::ARCH_WORKAROUND_2, argument: 1 });

    // The same core without firmware: vulnerable, and said so. EL2 does overwrite the history, but WORKAROUND_3 would
    // promise the rest too.
    let bare = told(A72, 0, 0, Firmware::NONE);
    for function in [id::ARCH_WORKAROUND_1, id::ARCH_WORKAROUND_2, id::ARCH_WORKAROUND_3] {
        assert_eq!(features(&bare, function), -1);
        assert_eq!(x0(route(0, u64::from(function), 0, &bare)), -1);
    }

    // In-order: none needed, the calls are safe.
    let a53 = told(A53, 0, 0, Firmware::NONE);
    assert_eq!(features(&a53, id::ARCH_WORKAROUND_1), 1);
    assert_eq!(features(&a53, id::ARCH_WORKAROUND_2), -2);
    assert_eq!(features(&a53, id::ARCH_WORKAROUND_3), 1);
    assert_eq!(x0(route(0, u64::from(id::ARCH_WORKAROUND_1), 0, &a53)), 0);

    // CSV2 = 1 settles variant 2 only, CSV2 = 3 also BHB; SSBS takes the place of WORKAROUND_2.
    let csv2 = told(A72, 1 << 56, 0x20, FIRMWARE);
    assert_eq!(features(&csv2, id::ARCH_WORKAROUND_1), 1);
    assert_eq!(features(&csv2, id::ARCH_WORKAROUND_2), -1);
    assert_eq!(features(&csv2, id::ARCH_WORKAROUND_3), 0);
    let csv2_3 = told(A72, 3 << 56, 0, Firmware::NONE);
    assert_eq!(features(&csv2_3, id::ARCH_WORKAROUND_3), 1);
    // A later A72 on a board without firmware to ask: the loop does all that there is to do.
    let later = told(A72, 1 << 56, 0, Firmware::NONE);
    assert_eq!(features(&later, id::ARCH_WORKAROUND_1), 1);
    assert_eq!(features(&later, id::ARCH_WORKAROUND_3), 0);

    // Firmware that knows better.
    let knows = told(A72, 0, 0, Firmware { workaround_1: 1, workaround_2: -2, workaround_3: 1 });
    assert_eq!((features(&knows, id::ARCH_WORKAROUND_1), features(&knows, id::ARCH_WORKAROUND_2)), (1, -2));
}

proptest! {
    /// Firmware is called with nothing but a switch, and only where it has one.
    #[test]
    fn firmware_sees_only_fixed_calls(immediate: u16, x0: u64, x1: u64, midr: u64, pfr0: u64, pfr1: u64) {
        let mitigations = told(midr, pfr0, pfr1, FIRMWARE);
        if let Route::Firmware { function, argument } = route(immediate, x0, x1, &mitigations) {
            prop_assert!(mitigations.of(function) == Some(Workaround::Firmware));
            prop_assert!(argument <= 1 && function == id::ARCH_WORKAROUND_2);
        }
        for function in [id::ARCH_WORKAROUND_1, id::ARCH_WORKAROUND_2, id::ARCH_WORKAROUND_3] {
            let none = told(midr, pfr0, pfr1, Firmware::NONE);
            let call = route(0, u64::from(function), x1, &none);
            prop_assert!(!matches!(call, Route::Firmware { .. }), "{:?}", call);
        }
    }
}
