use super::inject::{self, Context, Entry, Exception, Features};
use super::*;
use proptest::prelude::*;

const DABT: u64 = 0x24 << 26 | 1 << 25;

fn mmio(esr: u64) -> Mmio {
    match Abort(esr).access() {
        Access::Mmio(mmio) => mmio,
        Access::NotDecodable => panic!("{esr:#x} should decode"),
    }
}

#[test]
fn word_store_as_linux_makes_it() {
    // str w5, [x0] at a level 2 fault: ISV, SAS = 2, SRT = 5, WnR.
    let esr = 0x9385_0046;
    assert_eq!(Trap::decode(esr), Trap::DataAbort(Abort(esr)));
    let store = Mmio { write: true, width: 4, register: 5, sign_extend: false, sixty_four: false };
    assert_eq!(mmio(esr), store);
    assert_eq!(store.stored(0xffff_ffff_1234_5678, false), 0x1234_5678);
    assert_eq!(store.stored(0xffff_ffff_1234_5678, true), 0x7856_3412);
}

#[test]
fn loads_extend_as_the_instruction_says() {
    let base = Mmio { write: false, width: 1, register: 0, sign_extend: true, sixty_four: true };
    assert_eq!(base.loaded(0x1_80, false), 0xffff_ffff_ffff_ff80);
    assert_eq!(Mmio { sixty_four: false, ..base }.loaded(0x80, false), 0xffff_ff80);
    assert_eq!(Mmio { sign_extend: false, ..base }.loaded(0xfff, false), 0xff);
    assert_eq!(Mmio { width: 2, ..base }.loaded(0x00ff, true), 0xffff_ffff_ffff_ff00);
    assert_eq!(Mmio { width: 8, ..base }.loaded(u64::MAX - 1, false), u64::MAX - 1);
}

#[test]
fn what_cannot_be_known_is_not_decoded() {
    let isv = 1 << 24;
    for esr in [
        DABT | 0x06,                // pair or write-back: ISV = 0
        DABT | isv | 0x0e,          // permission fault: no HPFAR
        DABT | isv | 0x0a,          // access flag
        DABT | isv | 0x10,          // external abort
        DABT | isv | 1 << 7 | 0x06, // stage 1 walk
        DABT | isv | 1 << 8 | 0x06, // cache maintenance
        DABT | isv | 0x21,          // alignment
    ] {
        assert_eq!(Abort(esr).access(), Access::NotDecodable, "{esr:#x}");
    }
    for status in [4, 5, 6, 7, 0x2b] {
        assert!(matches!(Abort(DABT | isv | status).access(), Access::Mmio(_)));
    }
}

#[test]
fn each_flag_of_an_abort_is_one_bit() {
    // DDI 0487, ISS encoding for an exception from a data abort: WnR, S1PTW, CM.
    for bit in 0..64 {
        let abort = Abort(1 << bit);
        let flags = (abort.write(), abort.stage1_walk(), abort.maintenance());
        assert_eq!(flags, (bit == 6, bit == 7, bit == 8), "bit {bit}");
    }
    let load = DABT | 1 << 24 | 2 << 22 | 30 << 16 | 0x07;
    let plain = Mmio { write: false, width: 4, register: 30, sign_extend: false, sixty_four: false };
    assert_eq!(mmio(load), plain);
    assert_eq!(mmio(load | 1 << 21), Mmio { sign_extend: true, ..plain });
    assert_eq!(mmio(load | 1 << 15), Mmio { sixty_four: true, ..plain });
}

#[test]
fn the_fault_address_is_unknown_only_where_fnv_is_defined() {
    // DDI 0487, ISS encoding for an exception from a data abort, FnV: status 0x10 (synchronous external abort) only.
    for status in 0..0x40 {
        assert!(!Abort(DABT | status).far_unknown());
        assert_eq!(Abort(DABT | 1 << 10 | status).far_unknown(), status == 0x10, "{status:#x}");
    }
}

#[test]
fn fault_address_is_page_and_offset() {
    assert_eq!(fault_ipa(0x9000 << 4 >> 4, 0xffff_8000_1234_5678), Ipa(0x90_0678));
    assert_eq!(fault_ipa(u64::MAX, u64::MAX), Ipa(0x000f_ffff_ffff_ffff));
    // HPFAR as QEMU gives it for the PL011 at 0x0900_0000.
    assert_eq!(fault_ipa(0x9_0000, 0x18), Ipa(0x0900_0018));
}

#[test]
fn classes() {
    assert_eq!(Trap::decode(0x5a00_0000), Trap::Hvc(0));
    assert_eq!(Trap::decode(0x5e00_1234), Trap::Smc(0x1234));
    assert_eq!(Trap::decode(0x0600_0001), Trap::Wfx { event: true, timed: false });
    assert_eq!(Trap::decode(0x0600_0002), Trap::Wfx { event: false, timed: true });
    assert_eq!(Trap::decode(0xbe00_0011), Trap::SError(0x11));
    assert_eq!(Trap::decode(0x8200_0006), Trap::InstructionAbort(Abort(0x8200_0006)));
    for hidden in [0x03, 0x05, 0x07, 0x08, 0x09, 0x0a, 0x13, 0x14, 0x19, 0x1a, 0x1d] {
        assert_eq!(Trap::decode(hidden << 26), Trap::Hidden(hidden as u8));
    }
    assert_eq!(Trap::decode(0), Trap::Other(0));
}

#[test]
fn system_register_access() {
    // mrs x3, ID_AA64PFR0_EL1 (S3_0_C0_C4_0).
    let esr = 0x18 << 26 | 1 << 25 | 3 << 20 | 3 << 5 | 4 << 1 | 1;
    let read = SysAccess { register: Encoding::new(3, 0, 0, 4, 0), rt: 3, read: true };
    assert_eq!(Trap::decode(esr), Trap::SysReg(read));
    // msr ICC_SGI1R_EL1, x7 (S3_0_C12_C11_5).
    let esr = 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 7 << 5 | 11 << 1;
    let write = SysAccess { register: Encoding::new(3, 0, 12, 11, 5), rt: 7, read: false };
    assert_eq!(Trap::decode(esr), Trap::SysReg(write));
    assert_eq!(format!("{:?}", write.register), "S3_0_C12_C11_5");
    // mrs x30, CNTVCT_EL0 (S3_3_C14_C0_2): op1 is not 0 everywhere.
    let esr = 0x18 << 26 | 1 << 25 | 3 << 20 | 2 << 17 | 3 << 14 | 14 << 10 | 30 << 5 | 1;
    let read = SysAccess { register: Encoding::new(3, 3, 14, 0, 2), rt: 30, read: true };
    assert_eq!(Trap::decode(esr), Trap::SysReg(read));
}

#[test]
fn undefined_instruction_from_user_space() {
    let context = Context { pc: 0x1000, pstate: 0x6000_0000, vbar: 0xffff_0000_0000_0fff, sctlr: 1 << 23 };
    let entry = inject::enter(&context, Features::default(), Exception::Undefined);
    let want = Entry {
        pc: 0xffff_0000_0000_0c00,
        pstate: 0x6000_03c5,
        elr_el1: 0x1000,
        spsr_el1: 0x6000_0000,
        esr_el1: 0x0200_0000,
        far_el1: None,
    };
    assert_eq!(entry, want);
}

#[test]
fn stray_access_is_an_external_abort() {
    let cause = Abort(0x9385_0046);
    let context = Context { pc: 0x1000, pstate: 0x3c5, vbar: 0x8000, sctlr: 1 << 23 };
    let entry = inject::enter(&context, Features::default(), Exception::DataAbort { cause, far: 0x42 });
    assert_eq!((entry.pc, entry.esr_el1, entry.far_el1), (0x8200, 0x9600_0050, Some(0x42)));
    let user = Context { pstate: 0, ..context };
    let entry = inject::enter(&user, Features::default(), Exception::DataAbort { cause, far: 0x42 });
    assert_eq!((entry.pc, entry.esr_el1), (0x8400, 0x9200_0050));
    let fetch = Exception::InstructionAbort { cause: Abort(0x8200_0006), far: 0x44 };
    let entry = inject::enter(&context, Features::default(), fetch);
    assert_eq!((entry.pc, entry.esr_el1, entry.far_el1), (0x8200, 0x8600_0010, Some(0x44)));
    let sp_el0 = Context { pstate: 0x3c4, ..context };
    let entry = inject::enter(&sp_el0, Features::default(), fetch);
    assert_eq!((entry.pc, entry.esr_el1), (0x8000, 0x8600_0010));
    let aarch32 = Context { pstate: 0x10, ..context };
    let entry = inject::enter(&aarch32, Features::default(), fetch);
    assert_eq!((entry.pc, entry.esr_el1), (0x8600, 0x8200_0010));
}

#[test]
fn what_the_cause_says_of_the_access_is_passed_on() {
    let context = Context { pc: 0x1000, pstate: 0x3c5, vbar: 0x8000, sctlr: 1 << 23 };
    let esr = |exception| inject::enter(&context, Features::default(), exception).esr_el1;
    let data = |cause| esr(Exception::DataAbort { cause: Abort(DABT | cause), far: 0 });
    let fetch = |cause| esr(Exception::InstructionAbort { cause: Abort(cause), far: 0 });
    let (write, maintenance, fnv) = (1 << 6, 1 << 8, 1 << 10);
    for kept in [0, write, maintenance, write | maintenance] {
        assert_eq!(data(kept | 0x07), 0x9600_0010 | kept);
    }
    // FAR_EL1 is as unknown to the guest as FAR_EL2 was to us.
    assert_eq!((data(fnv | 0x10), fetch(fnv | 0x10)), (0x9600_0010 | fnv, 0x8600_0010 | fnv));
    // Not the status, the stage, or what only EL2 needs to know: S1PTW, ISV and the access' form.
    for ours in [0x0f, fnv | 0x07, 1 << 7 | 0x07, 1 << 24 | 3 << 22 | 1 << 15 | 0x07] {
        assert_eq!(data(ours), 0x9600_0010, "{ours:#x}");
    }
}

#[test]
fn handler_state_follows_the_features() {
    let all = Features { pan: true, ssbs: true, mte: true, nmi: true, dit: true };
    // Everything set at the trap that is to be cleared: BTYPE, SS, IL, UAO.
    let dirty = 0b11 << 10 | 1 << 20 | 1 << 21 | 1 << 23 | inject::DIT;
    let context = Context { pstate: dirty | 0b0101, ..Context::default() };
    let pstate = |context: &Context, features| inject::enter(context, features, Exception::Undefined).pstate;
    let base = inject::EL1H | inject::DAIF;
    assert_eq!(pstate(&context, Features::default()), base);
    // SPAN = 0 sets PAN, DSSBS = 0 clears SSBS, SPINTMASK = 0 sets ALLINT.
    assert_eq!(pstate(&context, all), base | inject::PAN | inject::DIT | inject::TCO | inject::ALLINT);
    let quiet = Context { sctlr: 1 << 23 | 1 << 44 | 1 << 62, ..context };
    assert_eq!(pstate(&quiet, all), base | inject::SSBS | inject::DIT | inject::TCO);
    let keeps = Context { pstate: context.pstate | inject::PAN, ..quiet };
    assert_eq!(pstate(&keeps, all) & inject::PAN, inject::PAN);
}

#[test]
fn features_of_real_cores() {
    // Cortex-A72, and a core with PAN3, SSBS2, MTE3 and DIT.
    assert_eq!(Features::new(0x1100_2222, 0, 0), Features::default());
    let new = Features::new(0x1101_0000_1111_1111, 0x321, 0x1030_0000);
    assert_eq!(new, Features { pan: true, ssbs: true, mte: true, nmi: false, dit: true });
}

#[test]
fn skipping_completes_the_instruction() {
    assert_eq!(skip(u64::MAX - 3, 0xc00 | 1 << 21 | 0x3c5), (0, 0x3c5));
}

proptest! {
    #[test]
    fn nothing_panics(esr: u64, value: u64, big: bool, pc: u64, pstate: u64, vbar: u64, sctlr: u64, far: u64) {
        let _ = Trap::decode(esr);
        if let Access::Mmio(mmio) = Abort(esr).access() {
            let stored = mmio.stored(value, big);
            prop_assert!(mmio.width == 8 || stored >> (8 * mmio.width) == 0);
            prop_assert!(matches!(mmio.width, 1 | 2 | 4 | 8) && mmio.register < 32);
            let _ = mmio.loaded(value, big);
        }
        let context = Context { pc, pstate, vbar, sctlr };
        let features = Features::new(far, value, esr);
        for exception in [
            Exception::Undefined,
            Exception::DataAbort { cause: Abort(esr), far },
            Exception::InstructionAbort { cause: Abort(esr), far },
        ] {
            let entry = inject::enter(&context, features, exception);
            // Never anything but EL1h with everything masked, at one of the guest's own vectors.
            prop_assert_eq!(entry.pstate & (inject::MODE | inject::DAIF), inject::EL1H | inject::DAIF);
            prop_assert_eq!(entry.pc & !0x7ff, vbar & !0x7ff);
            prop_assert_eq!(entry.pc & 0x1ff, 0);
            prop_assert_eq!((entry.elr_el1, entry.spsr_el1), (pc, pstate));
        }
    }
}
