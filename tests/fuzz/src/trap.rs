//! One trap: its syndrome, the register that it names, the features that the guest sees, and the exception that it
//! gets. All of it is a function of numbers, which come from the guest or from the core.

use partita_model::idregs::controls::Controls;
use partita_model::idregs::{Guest, Host};
use partita_model::syndrome::inject::{self, Context, Exception, Features, enter};
use partita_model::syndrome::{Abort, Access, Encoding, Mmio, SysAccess, Trap, class, fault_ipa, skip};
use partita_model::sysreg::{Action, action};

use crate::input::Input;

/// Reads the numbers in the order in which they are used.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let esr = input.u64();
    match Trap::decode(esr) {
        Trap::Wfx { .. } => assert_eq!(class(esr), 0x01),
        Trap::Hvc(immediate) | Trap::Smc(immediate) => assert_eq!(u64::from(immediate), esr & 0xffff),
        Trap::SysReg(access) => {
            assert_eq!(encode(&access), esr & 0x3f_ffff);
            register(&access, &mut input);
        }
        Trap::DataAbort(abort) => {
            data_abort(abort, &mut input);
            exception(Exception::DataAbort { cause: abort, far: input.u64() }, &mut input);
        }
        Trap::InstructionAbort(abort) => {
            exception(Exception::InstructionAbort { cause: abort, far: input.u64() }, &mut input);
        }
        Trap::SError(iss) => assert_eq!(u64::from(iss), esr & 0x1ff_ffff),
        Trap::Hidden(ec) | Trap::Other(ec) => {
            assert_eq!(ec, class(esr));
            exception(Exception::Undefined, &mut input);
        }
    }
}

/// The ISS of EC 0x18 (DDI 0487, ESR_EL2), the other way round.
fn encode(access: &SysAccess) -> u64 {
    let Encoding { op0, op1, crn, crm, op2 } = access.register;
    let fields = [(op0, 20), (op2, 17), (op1, 14), (crn, 10), (access.rt, 5), (crm, 1)];
    fields.iter().fold(u64::from(access.read), |iss, &(field, shift)| iss | u64::from(field) << shift)
}

fn data_abort(abort: Abort, input: &mut Input<'_>) {
    let (register, hpfar, far) = (input.u64(), input.u64(), input.u64());
    let big_endian = input.flag();
    // 52 bits of output address are the most that there can be; the offset is the access's own.
    let ipa = fault_ipa(hpfar, far).0;
    assert!(ipa < 1 << 52 && ipa & 0xfff == far & 0xfff);
    let Access::Mmio(mmio) = abort.access() else { return };
    // ISV (24) set, a translation fault, no cache maintenance (8), no stage 1 walk (7): DDI 0487, ISS of a data abort.
    assert!(abort.0 & (1 << 24 | 1 << 8 | 1 << 7) == 1 << 24);
    assert!(matches!(abort.0 & 0x3f, 4..=7 | 0x2b), "status {:#x}", abort.0 & 0x3f);
    let Mmio { width, .. } = mmio;
    assert!([1, 2, 4, 8].contains(&width) && mmio.register < 32);
    if width == 8 && (mmio.sign_extend || !mmio.sixty_four) {
        // No instruction does that: eight bytes fill an X register.
        return;
    }
    let bits = 8 * u32::from(width);
    let fits = |value: u64| bits == 64 || value >> bits == 0;
    let stored = mmio.stored(register, big_endian);
    assert!(fits(stored), "{stored:#x} in {width} bytes");
    // What was stored and is loaded again is the register's low part, extended as asked.
    let loaded = mmio.loaded(stored, big_endian);
    let low = register << (64 - bits) >> (64 - bits);
    assert_eq!(loaded << (64 - bits) >> (64 - bits), low);
    let negative = mmio.sign_extend && low >> (bits - 1) & 1 != 0;
    let above = if bits == 64 { 0 } else { loaded >> bits };
    let extension = match (negative, mmio.sixty_four) {
        (false, _) => 0,
        (true, true) => u64::MAX.checked_shr(bits).unwrap_or(0),
        (true, false) => 0xffff_ffff_u64.checked_shr(bits).unwrap_or(0),
    };
    assert_eq!(above, extension, "{mmio:?} {loaded:#x}");
}

/// An access to a system register on some core.
fn register(access: &SysAccess, input: &mut Input<'_>) {
    // Four numbers make all 32 ID registers: each field takes many values, and a mutation changes some of them.
    let seeds = [(); 4].map(|()| input.u64());
    let host = Host::read(|crm, op2| {
        let (crm, op2) = (u32::from(crm), u32::from(op2));
        seeds[(crm & 3) as usize].rotate_left(8 * op2) ^ seeds[(op2 & 3) as usize].rotate_right(crm)
    });
    let gic = input.flag();
    let guest = Guest::new(&host, gic);
    features(&host, &guest, gic, input.u8() & 0x1f);
    let Encoding { op0, op1, crn, crm, op2 } = access.register;
    let is_id = (op0, op1, crn) == (3, 0, 0) && (1..=7).contains(&crm);
    match action(access, &guest) {
        Action::Value(value) => {
            assert!(access.read);
            match guest.get(access.register) {
                Some(shown) => assert_eq!(value, shown),
                // OSLSR_EL1.OSLM[1]; everything else that is not an ID register says nothing.
                None => assert!(value == 0 || value == 8 && access.register == Encoding::new(2, 0, 1, 1, 4)),
            }
        }
        Action::Ignore => assert!(!access.read && !is_id),
        Action::Undefined => assert!(!(is_id && access.read)),
        Action::Sgi(_) => {
            assert!(gic_shown(&guest) && !access.read);
            assert!((op0, op1, crn, crm) == (3, 0, 12, 11) && (5..=7).contains(&op2));
        }
        Action::Local(instruction) => {
            // The same of EL1's maintenance, of the core's own.
            assert!((op0, op1) == (1, 0) && matches!(crn, 7..=9) && !access.read);
            assert_eq!(
                (instruction.op0, instruction.op1, instruction.crn, instruction.op2),
                (1, 0, crn, op2)
            );
            assert!(matches!((instruction.crn, instruction.crm), (7, 5) | (8 | 9, 6 | 7)), "{instruction:?}");
        }
        Action::SetWay(_) => {
            assert!((op0, op1, crn, op2) == (1, 0, 7, 2) && [6, 10, 14].contains(&crm) && !access.read);
        }
    }
}

fn gic_shown(guest: &Guest) -> bool {
    guest.get(Encoding::new(3, 0, 0, 4, 0)).is_some_and(|value| value >> 24 & 0xf != 0)
}

/// Registers and fields that no guest may see whatever the core has: (CRm, op2, lowest bit). EL2, EL3, RAS, SEL2, MPAM,
/// AMU, RME; MTE, SME, RNDR_trap, NMI; trace, PMU, SPE, TRF, TRBE; VMIDs, VHE, LORegions, HCX; NV, EVT.
const HIDDEN: [(u8, u8, u32); 27] = [
    (4, 0, 8),
    (4, 0, 12),
    (4, 0, 28),
    (4, 0, 36),
    (4, 0, 40),
    (4, 0, 44),
    (4, 0, 52),
    (4, 1, 8),
    (4, 1, 16),
    (4, 1, 24),
    (4, 1, 28),
    (4, 1, 36),
    (5, 0, 4),
    (5, 0, 8),
    (5, 0, 32),
    (5, 0, 40),
    (5, 0, 44),
    (5, 0, 48),
    (5, 0, 52),
    (7, 1, 4),
    (7, 1, 8),
    (7, 1, 16),
    (7, 1, 40),
    (7, 2, 24),
    (7, 2, 40),
    (7, 2, 56),
    (7, 0, 56),
];

/// What is shown is no more than there is, and what is hidden is trapped.
fn features(host: &Host, guest: &Guest, gic: bool, counters: u8) {
    let shown = |crm, op2| guest.get(Encoding::new(3, 0, 0, crm, op2)).expect("an ID register");
    for (crm, op2, shift) in HIDDEN {
        assert_eq!(shown(crm, op2) >> shift & 0xf, 0, "S3_0_C0_C{crm}_{op2}[{shift}]");
    }
    assert!(gic || !gic_shown(guest));
    // What was filtered once is not changed by being filtered again: no rule shows more than it was given.
    let again = Host::read(shown);
    assert_eq!(Guest::new(&again, gic_shown(guest)), *guest);
    let counters = if host.has_pmu() { counters } else { 0 };
    let controls = Controls::new(host, counters);
    // HCR_EL2: VM, SWIO, FMO, IMO, AMO, TID3, TSC, TIDCP, TACR, TSW, RW set; TGE, E2H, HCD, DC, VF/VI/VSE clear.
    let set = 1 | 1 << 1 | 7 << 3 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 31;
    let clear = 7 << 6 | 1 << 12 | 1 << 27 | 1 << 29 | 1 << 34;
    assert_eq!(controls.hcr & (set | clear), set, "HCR_EL2 {:#x}", controls.hcr);
    let has = |crm, op2, shift| host.field(crm, op2, shift) != 0;
    let implied = |feature: bool, register: u64, bit: u32| !feature || register >> bit & 1 != 0;
    assert!(implied(has(7, 1, 16), controls.hcr, 35), "LORegions");
    assert!(implied(has(4, 0, 28), controls.hcr, 36), "RAS");
    assert!(implied(host.field(4, 1, 8) >= 2, controls.hcr, 58), "MTE");
    assert!(implied(has(4, 0, 44), controls.cptr, 30), "activity monitors");
    assert!(implied(true, controls.cptr, 20), "trace");
    assert!(implied(!host.has_sve(), controls.cptr, 8), "SVE");
    assert!(implied(true, controls.cptr, 12), "SME");
    // MDCR_EL2: TPM, TPMCR; TPMS with E2PB = 00; TTRF with E2TB = 00; HPMN.
    assert!(implied(true, controls.mdcr, 6) && implied(true, controls.mdcr, 5), "PMU");
    assert!(implied(has(5, 0, 32), controls.mdcr, 14) && controls.mdcr >> 12 & 3 == 0, "SPE");
    assert!(
        implied(has(5, 0, 40), controls.mdcr, 19) && controls.mdcr >> 24 & 3 == 0,
        "trace filter and buffer"
    );
    assert_eq!(controls.mdcr & 0x1f, u64::from(counters));
    assert!(!has(4, 0, 40) || controls.mpam2.is_some_and(|mpam| mpam >> 48 & 3 == 3), "MPAM");
}

/// A guest's exception goes to its own EL1, with interrupts masked, and tells it nothing that it did not do.
fn exception(exception: Exception, input: &mut Input<'_>) {
    let context = Context { pc: input.u64(), pstate: input.u64(), vbar: input.u64(), sctlr: input.u64() };
    let features = Features::new(input.u64(), input.u64(), input.u64());
    let entry = enter(&context, features, exception);
    // M[4:0] = EL1h in AArch64 state; D, A, I, F set; IL (20), SS (21), UAO (23), BTYPE and all that is RES0 clear.
    assert_eq!(entry.pstate & (inject::MODE | inject::DAIF), inject::EL1H | inject::DAIF);
    let may = inject::MODE | inject::DAIF | inject::NZCV | inject::PAN | inject::DIT;
    let may = may | inject::SSBS | inject::TCO | inject::ALLINT;
    assert_eq!(entry.pstate & !may, 0, "{:#x}", entry.pstate);
    assert!(features.pan || entry.pstate & inject::PAN == 0);
    assert!(features.nmi || entry.pstate & inject::ALLINT == 0);
    assert_eq!(entry.pstate & inject::NZCV, context.pstate & inject::NZCV);
    let vector = entry.pc.wrapping_sub(context.vbar & !0x7ff);
    assert!([0, 0x200, 0x400, 0x600].contains(&vector), "{vector:#x}");
    assert_eq!((entry.elr_el1, entry.spsr_el1), (context.pc, context.pstate));
    // EC: unknown, or an abort from a lower level or the same; IL set; an external abort, not one of a table walk.
    let (classes, status): (&[u8], u64) = match exception {
        Exception::Undefined => (&[0], 0),
        Exception::DataAbort { .. } => (&[0x24, 0x25], 0x10),
        Exception::InstructionAbort { .. } => (&[0x20, 0x21], 0x10),
    };
    assert!(classes.contains(&class(entry.esr_el1)) && entry.esr_el1 & 1 << 25 != 0);
    // Of the rest of the ISS no more than FnV (10), CM (8) and WnR (6).
    assert_eq!(entry.esr_el1 & 0x1ff_ffff & !(1 << 10 | 1 << 8 | 1 << 6), status);
    let (pc, pstate) = skip(context.pc, context.pstate);
    assert_eq!(pc, context.pc.wrapping_add(4));
    assert_eq!(pstate & (inject::SS | inject::BTYPE), 0);
    assert_eq!((pstate ^ context.pstate) & !(inject::SS | inject::BTYPE), 0);
}
