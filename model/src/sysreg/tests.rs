use super::*;
use crate::idregs::Host;
use proptest::prelude::*;

fn ids() -> Guest {
    // Every field of every register at its greatest positive value.
    Guest::new(&Host::read(|_, _| 0x7777_7777_7777_7777), true)
}

fn access(register: Encoding, read: bool) -> Action {
    action(&SysAccess { register, rt: 0, read }, &ids())
}

#[test]
fn id_registers_read_as_filtered() {
    for crm in 1..=7 {
        for op2 in 0..=7 {
            let register = Encoding::new(3, 0, 0, crm, op2);
            assert_eq!(access(register, true), Action::Value(ids().get(register).unwrap()));
            assert_eq!(access(register, false), Action::Undefined);
        }
    }
}

#[test]
fn what_every_core_has() {
    let sgi1r = Encoding::new(3, 0, 12, 11, 5);
    assert_eq!(access(sgi1r, false), Action::Sgi(SgiRegister::Sgi1));
    assert_eq!(access(sgi1r, true), Action::Undefined);
    assert_eq!(access(Encoding::new(3, 0, 12, 11, 7), false), Action::Sgi(SgiRegister::Sgi0));
    assert_eq!(access(Encoding::new(3, 0, 12, 11, 6), false), Action::Sgi(SgiRegister::Asgi1));
    assert_eq!(access(Encoding::new(1, 0, 7, 14, 2), false), Action::SetWay(SetWay::CleanInvalidate));
    assert_eq!(access(Encoding::new(1, 0, 7, 6, 2), false), Action::SetWay(SetWay::Invalidate));
    assert_eq!(access(Encoding::new(1, 0, 7, 10, 2), false), Action::SetWay(SetWay::Clean));
    let actlr = Encoding::new(3, 0, 1, 0, 1);
    assert_eq!((access(actlr, true), access(actlr, false)), (Action::Value(0), Action::Ignore));
    assert_eq!(access(Encoding::new(2, 0, 1, 1, 4), true), Action::Value(8));
    assert_eq!(access(Encoding::new(2, 0, 1, 0, 4), false), Action::Ignore);
    let dtr = Encoding::new(2, 3, 0, 5, 0);
    assert_eq!((access(dtr, true), access(dtr, false)), (Action::Value(0), Action::Ignore));
    assert_eq!(access(Encoding::new(3, 1, 11, 0, 2), true), Action::Value(0));
}

#[test]
fn sgi_registers_come_with_the_system_registers_of_gicv3() {
    // On GICv2 (ID_AA64PFR0_EL1.GIC = 0, all its neighbours set) there is no ICC_SGI1R_EL1.
    let without = Guest::new(&Host::read(|_, _| 0x7777_7777_7777_7777), false);
    for op2 in 5..=7 {
        let write = SysAccess { register: Encoding::new(3, 0, 12, 11, op2), rt: 0, read: false };
        assert_eq!(action(&write, &without), Action::Undefined);
        assert_ne!(action(&write, &ids()), Action::Undefined);
    }
}

/// IHI 0069, 12.2: RPR is only read, DIR only written.
#[test]
fn registers_of_a_direct_cores_interface() {
    let of = |register, read| Interface::of(&SysAccess { register, rt: 0, read });
    let both = |register| [of(register, true), of(register, false)];
    assert_eq!(both(Encoding::new(3, 0, 4, 6, 0)), [Some(Interface::Priority); 2]);
    assert_eq!(both(Encoding::new(3, 0, 12, 12, 4)), [Some(Interface::Control); 2]);
    assert_eq!(both(Encoding::new(3, 0, 12, 11, 3)), [Some(Interface::Running), None]);
    assert_eq!(both(Encoding::new(3, 0, 12, 11, 1)), [None, Some(Interface::Deactivate)]);
    // ICC_IAR1_EL1, ICC_SGI1R_EL1, ICC_SRE_EL1.
    for other in
        [Encoding::new(3, 0, 12, 12, 0), Encoding::new(3, 0, 12, 11, 5), Encoding::new(3, 0, 12, 12, 5)]
    {
        assert_eq!(both(other), [None; 2]);
    }
}

#[test]
fn maintenance_stays_on_the_core() {
    let ic = |crm, op2| access(Encoding::new(1, 0, 7, crm, op2), false);
    let tlbi = |crn, crm, op2| access(Encoding::new(1, 0, crn, crm, op2), false);
    let local = |crn, crm, op2| Action::Local(Encoding::new(1, 0, crn, crm, op2));
    // VMALLE1IS, VAE1IS, ASIDE1OS, VAALE1IS with nXS; RVAE1IS, RVAALE1OS.
    assert_eq!(tlbi(8, 3, 0), local(8, 7, 0));
    assert_eq!(tlbi(8, 3, 1), local(8, 7, 1));
    assert_eq!(tlbi(8, 1, 2), local(8, 7, 2));
    assert_eq!(tlbi(9, 3, 7), local(9, 7, 7));
    assert_eq!(tlbi(8, 2, 1), local(8, 6, 1));
    assert_eq!(tlbi(9, 5, 7), local(9, 6, 7));
    // IC IALLUIS; not IC IALLU, which does not trap, nor what CRn 7 has beside them.
    assert_eq!(ic(1, 0), local(7, 5, 0));
    for (crm, op2) in [(5, 0), (1, 1), (3, 0)] {
        assert_eq!(ic(crm, op2), Action::Undefined, "{crm} {op2}");
    }
    // Those of stage 2, of EL2, and holes.
    for (op1, crm, op2) in
        [(4, 3, 0), (4, 3, 6), (4, 0, 1), (0, 3, 4), (0, 3, 6), (0, 2, 0), (0, 5, 2), (0, 4, 1)]
    {
        let other = access(Encoding::new(1, op1, 8, crm, op2), false);
        assert_eq!(other, Action::Undefined, "{op1} {crm} {op2}");
    }
    assert_eq!(access(Encoding::new(1, 0, 8, 3, 0), true), Action::Undefined);
}

#[test]
fn hidden_features_are_undefined() {
    for (name, register) in [
        ("PMCR_EL0", Encoding::new(3, 3, 9, 12, 0)),
        ("PMCCNTR_EL0", Encoding::new(3, 3, 9, 13, 0)),
        ("PMEVTYPER0_EL0", Encoding::new(3, 3, 14, 12, 0)),
        ("PMSCR_EL1", Encoding::new(3, 0, 9, 9, 0)),
        ("TRFCR_EL1", Encoding::new(3, 0, 1, 2, 1)),
        ("TRBLIMITR_EL1", Encoding::new(3, 0, 9, 11, 0)),
        ("TRCOSLAR", Encoding::new(2, 1, 1, 0, 4)),
        ("BRBCR_EL1", Encoding::new(2, 1, 9, 0, 0)),
        ("AMCR_EL0", Encoding::new(3, 3, 13, 2, 0)),
        ("MPAM1_EL1", Encoding::new(3, 0, 10, 5, 0)),
        ("ERRIDR_EL1", Encoding::new(3, 0, 5, 3, 0)),
        ("ERXSTATUS_EL1", Encoding::new(3, 0, 5, 4, 2)),
        ("LORC_EL1", Encoding::new(3, 0, 10, 4, 3)),
        ("ZCR_EL2", Encoding::new(3, 4, 1, 2, 0)),
        ("SMCR_EL1", Encoding::new(3, 0, 1, 2, 6)),
        ("SVCR", Encoding::new(3, 3, 4, 2, 2)),
        ("SMIDR_EL1", Encoding::new(3, 1, 0, 0, 6)),
        ("TPIDR2_EL0", Encoding::new(3, 3, 13, 0, 5)),
        ("GMID_EL1", Encoding::new(3, 1, 0, 0, 4)),
        ("RGSR_EL1", Encoding::new(3, 0, 1, 0, 5)),
        ("DC IGSW", Encoding::new(1, 0, 7, 6, 4)),
        ("DC CIGDSW", Encoding::new(1, 0, 7, 14, 6)),
        ("TCR2_EL1", Encoding::new(3, 0, 2, 0, 3)),
        ("ALLINT", Encoding::new(3, 0, 4, 3, 0)),
        ("S3_0_C15_C1_0", Encoding::new(3, 0, 15, 1, 0)),
        ("S1_0_C15_C0_0", Encoding::new(1, 0, 15, 0, 0)),
        ("HCR_EL2", Encoding::new(3, 4, 1, 1, 0)),
    ] {
        assert_eq!(access(register, true), Action::Undefined, "{name}");
        assert_eq!(access(register, false), Action::Undefined, "{name}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8, rt: u8, read: bool, fill: u64) {
        let ids = Guest::new(&Host::read(|_, _| fill), read);
        let access = SysAccess { register: Encoding::new(op0, op1, crn, crm, op2), rt, read };
        let decided = action(&access, &ids);
        prop_assert!(read || !matches!(decided, Action::Value(_)));
        prop_assert!(!read || matches!(decided, Action::Value(_) | Action::Undefined));
    }
}
