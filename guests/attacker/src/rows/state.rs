//! The state of the core itself: modes that EL1 must not reach, controls that EL2 must not depend on, and registers that an
//! exit must neither change nor show.

use partita_guest::rows::{Env, Outcome};

use crate::counting::EL1H_MASKED;
use crate::table::Row;
use crate::{code, ensure, mrs, msr, provoke, same, skip};

const ILLEGAL: &str = "an exception return goes no higher than where it is (DDI 0487, D1.3.4)";
const APART: &str = "EL2 has its own stack, vectors, tables and endianness, whatever EL1's are";
const KEPT: &str = "an exit keeps what is the guest's";

pub const ROWS: &[Row] = &[
    Row::new(
        "return-upper",
        "exception returns to EL2 and EL3",
        "an illegal execution state at EL1",
        ILLEGAL,
        return_upper,
    ),
    Row::new(
        "return-every-mode",
        "exception returns to all 32 modes",
        "EL1 or EL0, or an illegal execution state",
        ILLEGAL,
        return_every_mode,
    ),
    Row::new(
        "return-flags",
        "exception returns with every bit of SPSR_EL1",
        "this core's own exceptions",
        ILLEGAL,
        return_flags,
    ),
    Row::new("controls", "HVC with each bit of SCTLR_EL1 changed", "an answer", APART, controls),
    Row::new("wild-stack", "HVC with wild stack pointers", "an answer", APART, wild_stack),
    Row::new("wild-vectors", "HVC with wild VBAR_EL1", "an answer", APART, wild_vectors),
    Row::new(
        "wild-tables",
        "HVC with wild TTBR1_EL1, MAIR_EL1, AMAIR_EL1, CONTEXTIDR_EL1",
        "an answer",
        APART,
        wild_tables,
    ),
    Row::new(
        "floating-point-off",
        "exits with CPACR_EL1 clear",
        "an answer, and vectors as before",
        KEPT,
        floating_point_off,
    ),
    Row::new(
        "registers-kept",
        "EL1's registers over calls, aborts and traps",
        "as before",
        KEPT,
        registers_kept,
    ),
    Row::new("flags-kept", "PSTATE over a call and a trap", "as before", KEPT, flags_kept),
    Row::new(
        "keys",
        "keys of pointer authentication over exits",
        "own keys, as before",
        "HCR_EL2.APK, API: keys are the core's, and a core is never shared",
        keys,
    ),
    Row::new("sve", "vector length and ZCR_EL1", "as before", KEPT, sve),
    Row::new("sme", "SMSTART, RDSVL and ZA's instructions", "undefined", "CPTR_EL2.TSM", sme),
];

/// SPSR_EL1.M: EL2t, EL2h, EL3t, EL3h.
fn return_upper(_: &Env) -> Outcome {
    for mode in [0x8u64, 0x9, 0xc, 0xd] {
        let (count, syndrome) = provoke!(
            1u64,
            mode | 0x3c0,
            0u64,
            "msr spsr_el1, x0",
            "adr x1, 3f",
            "msr elr_el1, x1",
            "eret",
            "3:",
            "mrs x1, sctlr_el2",
            "udf #0"
        );
        same!(count, 1, "exceptions after a return to mode {mode:#x}");
        same!(syndrome >> 26, 0x0e, "class after a return to mode {mode:#x}: illegal execution state");
        same!(mrs!("currentel"), 4, "CurrentEL after a return to mode {mode:#x}");
    }
    Ok(())
}

/// EL0 cannot execute here, so a return to it is an abort from there.
fn return_every_mode(_: &Env) -> Outcome {
    for mode in 0..32u64 {
        let (count, syndrome) = provoke!(
            1u64,
            mode | 0x3c0,
            0u64,
            "msr spsr_el1, x0",
            "adr x1, 3f",
            "msr elr_el1, x1",
            "eret",
            "3:",
            "mrs x1, currentel",
            "nop"
        );
        same!(mrs!("currentel"), 4, "CurrentEL after a return to mode {mode:#x}");
        let fine = match (mode, count) {
            (4 | 5, 0) => true,                                               // EL1t, EL1h
            (0, 1) => syndrome >> 26 == 0x20, // EL0t: a fetch abort from a lower level
            (0x10..=0x1f, 1) => matches!(syndrome >> 26, 0x0e | 0x20 | 0x22), // AArch32, if there is any
            (_, 1) => syndrome >> 26 == 0x0e,
            _ => false,
        };
        ensure!(fine, "a return to mode {mode:#x}: {count} exceptions, ESR_EL1 {syndrome:#x}");
    }
    Ok(())
}

fn return_flags(_: &Env) -> Outcome {
    for bit in 6..64u64 {
        // What is unmasked here is masked again where the counting vectors end.
        let (count, syndrome) = provoke!(
            1u64,
            EL1H_MASKED ^ 1 << bit,
            0u64,
            "msr spsr_el1, x0",
            "adr x1, 3f",
            "msr elr_el1, x1",
            "eret",
            "3:",
            "nop",
            "nop",
            "msr daifset, #0xf"
        );
        same!(mrs!("currentel"), 4, "CurrentEL with bit {bit}");
        // Illegal state, branch target, step: this core's own.
        ensure!(
            count == 0 || matches!(syndrome >> 26, 0x0d | 0x0e | 0x33),
            "bit {bit}: ESR_EL1 {syndrome:#x}"
        );
    }
    // PAN and UAO as they were.
    code::run(0xd500_409f, 0);
    code::run(0xd500_407f, 0);
    Ok(())
}

/// The register is changed and put back without a memory access between; what faults meanwhile ends up behind it.
macro_rules! call_with {
    ($register:literal, $value:expr) => {{
        let before = mrs!($register);
        let answer: u64;
        // SAFETY: the register is put back before memory is used; a call answers in x0 to x3.
        unsafe {
            core::arch::asm!(
                concat!("msr ", $register, ", {value}"), "isb", "hvc #0", concat!("msr ", $register, ", {before}"), "isb",
                value = in(reg) $value, before = in(reg) before, inout("x0") 0x8400_0000u64 => answer,
                out("x1") _, out("x2") _, out("x3") _, options(nostack)
            )
        };
        same!(answer, 0x1_0001, "PSCI_VERSION with {} {:#x}", $register, $value);
    }};
}

fn controls(_: &Env) -> Outcome {
    let sctlr = mrs!("sctlr_el1");
    // M (0), EE (25) and what makes the image unfit to execute, WXN (19), end the attacker: see surface endless.
    for bit in (1..64u64).filter(|bit| !matches!(bit, 19 | 25)) {
        call_with!("sctlr_el1", sctlr ^ 1 << bit);
    }
    Ok(())
}

fn wild_stack(_: &Env) -> Outcome {
    for stack in [0u64, 1, 8, !0, 0x8000_0000_0000, 0x8000_0000_0008, 1 << 63] {
        let (count, _) = provoke!(
            1u64,
            0x8400_0000u64,
            stack,
            "mov sp, x1",
            "hvc #0",
            "movz x3, #1, lsl #16",
            "movk x3, #1",
            "cmp x0, x3",
            "b.eq 77f",
            "udf #1"
        );
        same!(count, 0, "exceptions of HVC with SP {stack:#x}");
        let (count, _) = provoke!(
            1u64,
            0x8400_0000u64,
            stack,
            "msr spsel, #0",
            "mov sp, x1",
            "hvc #0",
            "movz x3, #1, lsl #16",
            "movk x3, #1",
            "cmp x0, x3",
            "b.eq 77f",
            "udf #1"
        );
        same!(count, 0, "exceptions of HVC with SP_EL0 {stack:#x}");
    }
    Ok(())
}

fn wild_vectors(_: &Env) -> Outcome {
    for vectors in [0u64, !0, 1 << 63, 0x8000_0000_0000, 0x0008_0000_0000_0000] {
        call_with!("vbar_el1", vectors);
    }
    Ok(())
}

fn wild_tables(_: &Env) -> Outcome {
    for value in [0u64, !0, 0x5555_5555_5555_5555] {
        call_with!("ttbr1_el1", value);
        call_with!("amair_el1", value);
        call_with!("contextidr_el1", value);
        call_with!("tpidr_el0", value);
        call_with!("tpidrro_el0", value);
        call_with!("afsr0_el1", value);
        call_with!("par_el1", value);
    }
    Ok(())
}

fn floating_point_off(env: &Env) -> Outcome {
    let wrong: u64;
    // SAFETY: this build uses no vector registers; access to them is given back.
    unsafe {
        core::arch::asm!(
            ".arch_extension simd",
            "movi v5.16b, #0x5a",
            "mrs x4, cpacr_el1", "msr cpacr_el1, xzr", "isb",
            "mov x0, #0x84000000", "hvc #0", "ldr w0, [{gicd}]",
            "msr cpacr_el1, x4", "isb",
            "fmov x0, d5", "mov x1, #0x5a5a", "movk x1, #0x5a5a, lsl #16", "movk x1, #0x5a5a, lsl #32",
            "movk x1, #0x5a5a, lsl #48", "eor {wrong}, x0, x1",
            gicd = in(reg) env.machine.gicd, wrong = out(reg) wrong, out("x0") _, out("x1") _, out("x2") _, out("x3") _,
            out("x4") _, out("v5") _, options(nostack)
        )
    };
    same!(wrong, 0, "bits of v5 that changed");
    Ok(())
}

/// Registers that EL2 writes only when it injects an exception, or never.
macro_rules! snapshot {
    () => {
        [
            mrs!("sctlr_el1"),
            mrs!("cpacr_el1"),
            mrs!("ttbr0_el1"),
            mrs!("ttbr1_el1"),
            mrs!("tcr_el1"),
            mrs!("mair_el1"),
            mrs!("amair_el1"),
            mrs!("vbar_el1"),
            mrs!("contextidr_el1"),
            mrs!("tpidr_el0"),
            mrs!("tpidrro_el0"),
            mrs!("tpidr_el1"),
            mrs!("cntkctl_el1"),
            mrs!("sp_el0"),
            mrs!("csselr_el1"),
            mrs!("S3_3_C4_C4_0"),
            mrs!("mdscr_el1"),
        ]
    };
}

fn registers_kept(env: &Env) -> Outcome {
    msr!("tpidr_el0", 0x1234_5678_9abc_def0);
    msr!("tpidrro_el0", 0x0fed_cba9_8765_4321);
    msr!("sp_el0", 0x55aa_55aa_55aa_55a0);
    msr!("elr_el1", 0x1111_2222_3333_4444);
    msr!("far_el1", 0x5555_6666_7777_8888);
    let before = snapshot!();
    for _ in 0..3 {
        code::run(0xd400_0002, 0x8400_0000);
        code::run(0xd400_0003, 0x8600_0000);
    }
    same!(mrs!("elr_el1"), 0x1111_2222_3333_4444, "ELR_EL1 over calls");
    same!(mrs!("far_el1"), 0x5555_6666_7777_8888, "FAR_EL1 over calls");
    partita_guest::mmio::read32(env.machine.gicd);
    code::read((3, 0, 1, 0, 1));
    same!(mrs!("elr_el1"), 0x1111_2222_3333_4444, "ELR_EL1 over traps");
    let _ = partita_guest::exception::catch(|| partita_guest::mmio::read32(0));
    same!(snapshot!(), before, "EL1's registers");
    Ok(())
}

fn flags_kept(env: &Env) -> Outcome {
    for flags in (0..16u64).map(|flags| flags << 28) {
        let (called, loaded): (u64, u64);
        // SAFETY: a call that answers in x0 to x3, and a load from the distributor.
        unsafe {
            core::arch::asm!(
                "msr nzcv, {flags}", "mov x0, #0x84000000", "hvc #0", "mrs {called}, nzcv",
                "msr nzcv, {flags}", "ldr w0, [{gicd}]", "mrs {loaded}, nzcv",
                flags = in(reg) flags, gicd = in(reg) env.machine.gicd, called = out(reg) called, loaded = out(reg) loaded,
                out("x0") _, out("x1") _, out("x2") _, out("x3") _, options(nostack)
            )
        };
        same!(called, flags, "NZCV over HVC");
        same!(loaded, flags, "NZCV over a load from the distributor");
    }
    Ok(())
}

/// APIAKeyLo_EL1 to APGAKeyHi_EL1: (3, 0, 2, 1..3, 0..3).
fn keys(_: &Env) -> Outcome {
    let keys = || [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0), (3, 1)];
    if code::read((3, 0, 2, 1, 0)).1.is_some() {
        skip!("this core has none of these");
    }
    for (index, (crm, op2)) in keys().into_iter().enumerate() {
        let key = 0x0123_4567_89ab_cdef ^ (index as u64) << 60;
        same!(code::write((3, 0, 2, crm, op2), key), None, "writing key {crm}, {op2}");
    }
    for function in [0x8400_0000, 0x8600_0000, 0x8000_8000] {
        code::run(0xd400_0002, function);
    }
    for (index, (crm, op2)) in keys().into_iter().enumerate() {
        let key = 0x0123_4567_89ab_cdef ^ (index as u64) << 60;
        same!(code::read((3, 0, 2, crm, op2)).0, key, "key {crm}, {op2}");
        code::write((3, 0, 2, crm, op2), 0);
    }
    Ok(())
}

/// RDVL x0, #1.
const RDVL: u32 = 0x04bf_5020;

fn sve(_: &Env) -> Outcome {
    if mrs!("id_aa64pfr0_el1") >> 32 & 0xf == 0 {
        skip!("this core has none of these");
    }
    let cpacr = mrs!("cpacr_el1");
    msr!("cpacr_el1", cpacr | 3 << 16);
    let mut end = Ok(());
    for length in [0, 1, 3, 15, !0] {
        let fault = code::write((3, 0, 1, 2, 0), length);
        let before = code::run(RDVL, 0);
        code::run(0xd400_0002, 0x8600_0000);
        let after = code::run(RDVL, 0);
        end = end.and_then(|()| {
            ensure!(
                fault.is_none() && before.1.is_none(),
                "ZCR_EL1 {length:#x}: {fault:x?}, {:x?}",
                before.1
            );
            same!(after.0, before.0, "vector length with ZCR_EL1 {length:#x}");
            ensure!((16..=256).contains(&before.0), "{} bytes of vector length", before.0);
            Ok(())
        });
    }
    msr!("cpacr_el1", cpacr);
    end
}

fn sme(_: &Env) -> Outcome {
    let cpacr = mrs!("cpacr_el1");
    // SMEN (25..24), too.
    msr!("cpacr_el1", cpacr | 3 << 24 | 3 << 16);
    let forms = [
        ("SMSTART", 0xd503_477f),
        ("SMSTART ZA", 0xd503_457f),
        ("SMSTOP", 0xd503_467f),
        ("RDSVL x0, #1", 0x04bf_5820),
        ("ZERO {ZA}", 0xc008_00ff),
        ("MRS x0, SVCR", 0xd53b_4240),
    ];
    let faults = forms.map(|(_, form)| code::run(form, 0).1);
    msr!("cpacr_el1", cpacr);
    for ((name, _), fault) in forms.iter().zip(faults) {
        ensure!(fault.is_some_and(|fault| fault.is_undefined()), "{name}: {fault:x?}");
    }
    Ok(())
}
