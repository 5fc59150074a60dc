use super::*;
use proptest::prelude::*;

const ON64: u64 = (id::CPU_ON | id::SMC64) as u64;
const RAM: u64 = 0x4000_0000;

fn ram(ipa: Ipa) -> bool {
    (RAM..RAM + 0x1000_0000).contains(&ipa.0)
}

fn code(code: i32) -> Outcome {
    Outcome::Return(i64::from(code) as u64)
}

/// A partition whose virtual CPU 0 runs.
fn running(vcpus: usize) -> Psci {
    let mut psci = Psci::new(vcpus);
    psci.launch(Start { entry: Ipa(RAM), context: 7 });
    assert_eq!(psci.arrived(0), Some(Start { entry: Ipa(RAM), context: 7 }));
    psci
}

#[test]
fn constants() {
    let mut psci = running(1);
    let mut call = |function: u32, x1: u64| psci.call(0, [u64::from(function), x1, 0, 0], ram);
    assert_eq!(call(id::VERSION, 0), Outcome::Return(0x1_0001));
    assert_eq!(call(id::MIGRATE_INFO_TYPE, 0), Outcome::Return(2));
    assert_eq!(call(id::SYSTEM_OFF, 0), Outcome::SystemOff);
    assert_eq!(call(id::SYSTEM_RESET, 0), Outcome::SystemReset);
    for unknown in [id::MIGRATE, 0x8400_0007, 0x8400_0012, 0x8400_001f, id::SYSTEM_OFF | id::SMC64] {
        assert_eq!(call(unknown, 0), code(id::NOT_SUPPORTED), "{unknown:#x}");
    }
    // The identifier is w0; what the upper half holds does not count.
    assert_eq!(psci.call(0, [0xffff_ffff_8400_0000, 0, 0, 0], ram), Outcome::Return(0x1_0001));
}

#[test]
fn features_name_what_there_is() {
    let mut psci = running(1);
    let mut features = |x1: u32| psci.call(0, [u64::from(id::FEATURES), u64::from(x1), 0, 0], ram);
    for there in [
        0x8400_0000,
        0x8400_0001,
        0xc400_0001,
        0x8400_0002,
        0x8400_0003,
        0xc400_0003,
        0x8400_0004,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
        0x8000_0000,
    ] {
        assert_eq!(features(there), code(id::SUCCESS), "{there:#x}");
    }
    for absent in [0x8400_0005, 0x8400_0007, 0x8400_000e, 0xc400_0002, 0xc400_0008, 0x8400_0050, 0, u32::MAX]
    {
        assert_eq!(features(absent), code(id::NOT_SUPPORTED), "{absent:#x}");
    }
}

#[test]
fn a_core_goes_on_and_off_and_on() {
    let mut psci = running(2);
    let info = |psci: &mut Psci| psci.call(0, [u64::from(id::AFFINITY_INFO), 1, 0, 0], ram);
    assert_eq!(info(&mut psci), Outcome::Return(1));
    assert_eq!(psci.arrived(1), None);
    for context in [1, u64::MAX] {
        assert_eq!(psci.call(0, [ON64, 1, RAM + 4, context], ram), Outcome::CpuOn(1));
        assert_eq!(info(&mut psci), Outcome::Return(2));
        assert_eq!(psci.call(0, [ON64, 1, RAM, 0], ram), code(id::ON_PENDING));
        assert_eq!(psci.arrived(1), Some(Start { entry: Ipa(RAM + 4), context }));
        assert_eq!(psci.arrived(1), None);
        assert_eq!(info(&mut psci), Outcome::Return(0));
        assert_eq!(psci.call(0, [ON64, 1, RAM, 0], ram), code(id::ALREADY_ON));
        assert_eq!(psci.call(1, [u64::from(id::CPU_OFF), 0, 0, 0], ram), Outcome::CpuOff { last: false });
    }
    assert_eq!(psci.call(0, [u64::from(id::CPU_OFF), 0, 0, 0], ram), Outcome::CpuOff { last: true });
    assert!(psci.all_off());
}

#[test]
fn a_pending_start_keeps_the_partition_alive() {
    let mut psci = running(2);
    assert_eq!(psci.call(0, [ON64, 1, RAM, 0], ram), Outcome::CpuOn(1));
    assert_eq!(psci.call(0, [u64::from(id::CPU_OFF), 0, 0, 0], ram), Outcome::CpuOff { last: false });
}

#[test]
fn targets_outside_the_partition_are_nobody() {
    let mut psci = running(2);
    for target in [2, 3, 0x100, 0x1_0000, 1 << 24, 1 << 30, 1 << 32, 1 << 63, u64::MAX, 0x8000_0002] {
        assert_eq!(psci.call(0, [ON64, target, RAM, 0], ram), code(id::INVALID_PARAMETERS), "{target:#x}");
        let info = [u64::from(id::AFFINITY_INFO | id::SMC64), target, 0, 0];
        assert_eq!(psci.call(0, info, ram), code(id::INVALID_PARAMETERS), "{target:#x}");
    }
    for level in [1, 2, 3, 4, u64::MAX] {
        let info = [u64::from(id::AFFINITY_INFO), 0, level, 0];
        assert_eq!(psci.call(0, info, ram), code(id::INVALID_PARAMETERS));
    }
    // A guest that passes MPIDR_EL1 as it read it.
    assert_eq!(psci.call(0, [ON64, 0x8000_0001, RAM, 0], ram), Outcome::CpuOn(1));
}

#[test]
fn entries_outside_ram_are_refused() {
    let mut psci = running(2);
    for entry in [0, RAM - 4, RAM + 0x1000_0000, RAM + 2, u64::MAX, 0x0900_0000] {
        assert_eq!(psci.call(0, [ON64, 1, entry, 0], ram), code(id::INVALID_ADDRESS), "{entry:#x}");
        let down = [u64::from(id::CPU_SUSPEND | id::SMC64), 1 << 16, entry, 0];
        assert_eq!(psci.call(0, down, ram), code(id::INVALID_ADDRESS), "{entry:#x}");
    }
    assert_eq!(psci.power(1), Some(Power::Off));
}

#[test]
fn narrow_calls_have_narrow_arguments() {
    let mut psci = running(2);
    let high = 0xdead_beef_0000_0000;
    let call = [u64::from(id::CPU_ON) | high, high | 1, high | RAM, high | 5];
    assert_eq!(psci.call(0, call, ram), Outcome::CpuOn(1));
    assert_eq!(psci.arrived(1), Some(Start { entry: Ipa(RAM), context: 5 }));
    assert_eq!(psci.call(0, [ON64, high | 1, RAM, 0], ram), code(id::INVALID_PARAMETERS));
}

#[test]
fn suspend() {
    let mut psci = running(2);
    let call = |psci: &mut Psci, state: u64| {
        psci.call(0, [u64::from(id::CPU_SUSPEND | id::SMC64), state, RAM + 8, 9], ram)
    };
    assert_eq!(call(&mut psci, 0), Outcome::Standby);
    assert_eq!(call(&mut psci, 0xffff), Outcome::Standby);
    for bad in [1 << 17, 1 << 24, 2 << 24, 1 << 26, 1 << 31, 1 << 32, u64::MAX] {
        assert_eq!(call(&mut psci, bad), code(id::INVALID_PARAMETERS), "{bad:#x}");
    }
    assert_eq!(psci.resumed(0), None);
    assert_eq!(call(&mut psci, 1 << 16), Outcome::Suspend);
    // A suspended core is on for the others, and keeps the partition from being off.
    assert_eq!(psci.call(0, [u64::from(id::AFFINITY_INFO), 0, 0, 0], ram), Outcome::Return(0));
    assert_eq!(psci.call(0, [ON64, 0, RAM, 0], ram), code(id::ALREADY_ON));
    assert!(!psci.all_off());
    assert_eq!(psci.arrived(0), None);
    assert_eq!(psci.resumed(0), Some(Start { entry: Ipa(RAM + 8), context: 9 }));
    assert_eq!(psci.power(0), Some(Power::On));
}

#[test]
fn reset_forgets() {
    let mut psci = running(3);
    let _ = psci.call(0, [ON64, 2, RAM, 0], ram);
    psci.reset();
    assert!(psci.all_off());
    assert_eq!((psci.arrived(0), psci.arrived(2)), (None, None));
    psci.launch(Start { entry: Ipa(RAM), context: 1 });
    assert_eq!(psci.arrived(0), Some(Start { entry: Ipa(RAM), context: 1 }));
}

#[test]
fn range() {
    assert!(Psci::owns(0x8400_0000) && Psci::owns(0xc400_001f));
    assert!(!Psci::owns(0x8400_0020) && !Psci::owns(0x8400_0050) && !Psci::owns(0x0400_0000));
    assert!(!Psci::owns(0x8600_0000) && !Psci::owns(0x8000_0000));
}

proptest! {
    /// Whatever is called in whatever order: only own virtual CPUs are started, only at RAM, only when off, and
    /// "last" is said exactly when none is left.
    #[test]
    fn stays_inside(
        vcpus in 0usize..5,
        calls in proptest::collection::vec((0usize..6, 0u32..0x20, any::<bool>(), prop_oneof![0u64..8, any::<u64>()],
            prop_oneof![Just(RAM), 0u64..4, any::<u64>()], any::<bool>()), 0..60)
    ) {
        let mut psci = Psci::new(vcpus);
        psci.launch(Start { entry: Ipa(RAM), context: 0 });
        for (vcpu, function, wide, x1, x2, arrive) in calls {
            let function = u64::from(id::VERSION | function | if wide { id::SMC64 } else { 0 });
            let before = psci.clone();
            match psci.call(vcpu, [function, x1, x2, 0], ram) {
                Outcome::CpuOn(target) => {
                    prop_assert!(target < vcpus);
                    prop_assert_eq!(before.power(target), Some(Power::Off));
                    let Some(Power::OnPending(start)) = psci.power(target) else { panic!("not pending") };
                    prop_assert!(ram(start.entry));
                }
                Outcome::CpuOff { last } => {
                    prop_assert_eq!(psci.power(vcpu), Some(Power::Off));
                    prop_assert_eq!(last, psci.all_off());
                }
                Outcome::Suspend => prop_assert!(matches!(psci.power(vcpu), Some(Power::Suspended(_)))),
                _ => prop_assert_eq!(&before, &psci),
            }
            for other in (0..vcpus).filter(|_| arrive) {
                let _ = (psci.arrived(other), psci.resumed(other));
            }
        }
    }
}
