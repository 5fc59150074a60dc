//! Debug: what EL1 may set up for itself must not stop EL2, nor another core, nor reach what is outside.

use partita_guest::psci;
use partita_guest::rows::{Env, Outcome};

use crate::code::{self, Register};
use crate::table::Row;
use crate::{ensure, mrs, msr, provoke, same};

const EL2_DEAF: &str = "debug exceptions are EL1's (MDCR_EL2.TDE clear), and EL2 takes none";
const TRAPS: &str = "MDCR_EL2";

pub const ROWS: &[Row] = &[
    Row::new(
        "os-lock",
        "the OS lock and the double lock, closed and opened",
        "an answer from EL2 in between",
        TRAPS,
        os_lock,
    ),
    Row::new(
        "breakpoints-at-el2",
        "breakpoints on EL2's addresses, with HMC and every SSC and PMC",
        "EL2 runs past them",
        EL2_DEAF,
        breakpoints,
    ),
    Row::new(
        "watchpoints-at-el2",
        "watchpoints on everything, with HMC and every PAC",
        "EL2 runs past them",
        EL2_DEAF,
        watchpoints,
    ),
    Row::new(
        "context-points",
        "breakpoints on context and VMID, linked",
        "EL2 runs past them",
        EL2_DEAF,
        context,
    ),
    Row::new(
        "step-over-call",
        "a software step over HVC",
        "one step behind the call, at EL1",
        "SPSR_EL2.SS is the guest's",
        step_over_call,
    ),
    Row::new(
        "step-over-trap",
        "a software step over a load that is emulated",
        "one step behind the load, at EL1",
        "an emulated instruction ends a step",
        step_over_trap,
    ),
    Row::new(
        "power",
        "DBGPRCR_EL1, OSECCR_EL1 and claim tags with every bit",
        "nothing that lasts",
        TRAPS,
        power,
    ),
    Row::new(
        "channel",
        "the debug communication channel and its interrupts",
        "this core's own",
        TRAPS,
        channel,
    ),
    Row::new("control-bits", "MDSCR_EL1 with every bit", "an answer from EL2 each time", TRAPS, control_bits),
];

const MDSCR: Register = (2, 0, 0, 2, 2);
/// MDE (15) and KDE (13).
const POINTS: u64 = 1 << 15 | 1 << 13;

/// EL2 answers, by a call, a trap and an abort.
fn answers(env: &Env, what: &str) -> Outcome {
    same!(psci::call32(crate::id::VERSION, [0; 3])[0], crate::id::VERSION_1_1, "PSCI_VERSION with {what}");
    let (_, fault) = code::read((3, 0, 1, 0, 1));
    same!(fault, None, "ACTLR_EL1 with {what}");
    let typer = partita_guest::mmio::read32(env.machine.gicd + 4);
    ensure!(typer != 0, "GICD_TYPER with {what} reads zero");
    Ok(())
}

fn os_lock(env: &Env) -> Outcome {
    for value in [1, !0, 0, 1, 0] {
        for register in [(2, 0, 1, 0, 4), (2, 0, 1, 3, 4)] {
            code::write(register, value);
            answers(env, "a lock closed")?;
        }
    }
    code::write((2, 0, 1, 3, 4), 0);
    code::write((2, 0, 1, 0, 4), 0);
    Ok(())
}

/// Where EL2 may be: the first addresses of its half, and of its image.
const EL2: [u64; 5] = [0x8000_0000_0000, 0x8000_0000_0800, 0x8000_0000_0a00, 0x8040_0000_0000, 0x0];

/// Points are set and enabled with debug exceptions masked for EL1 (PSTATE.D), which EL2 does not care about.
fn with_points(env: &Env, control: impl Fn(u64) -> u64, value: u32, controls: u32) -> Outcome {
    msr!("oslar_el1", 0);
    let mut end = Ok(());
    for kind in 0..64 {
        for (number, at) in EL2.into_iter().enumerate() {
            let number = number as u32;
            code::write((2, 0, 0, number, value), at);
            code::write((2, 0, 0, number, controls), control(kind));
        }
        msr!("mdscr_el1", POINTS);
        end = end.and_then(|()| answers(env, "points on EL2"));
        msr!("mdscr_el1", 0);
    }
    for number in 0..16 {
        code::write((2, 0, 0, number, controls), 0);
    }
    end
}

/// DBGBCR: E (0), PMC (2..1), BAS (8..5), HMC (13), SSC (15..14), BT (23..20) = 0, an address.
fn breakpoints(env: &Env) -> Outcome {
    with_points(
        env,
        |kind| 1 | (kind & 3) << 1 | 0xf << 5 | (kind >> 2 & 1) << 13 | (kind >> 3 & 3) << 14,
        4,
        5,
    )
}

/// DBGWCR: E (0), PAC (2..1), LSC (4..3), BAS (12..5), HMC (13), SSC (15..14), MASK (28..24) = 2 GiB.
fn watchpoints(env: &Env) -> Outcome {
    with_points(
        env,
        |kind| {
            1 | (kind & 3) << 1
                | 3 << 3
                | 0xff << 5
                | (kind >> 2 & 1) << 13
                | (kind >> 3 & 3) << 14
                | 31 << 24
        },
        6,
        7,
    )
}

/// BT (23..20): context, VMID, both, linked or not.
fn context(env: &Env) -> Outcome {
    msr!("oslar_el1", 0);
    for kind in 0..16 {
        for number in 0..6 {
            code::write((2, 0, 0, number, 4), 0);
            code::write((2, 0, 0, number, 5), 1 | 3 << 1 | 0xf << 5 | 1 << 13 | kind << 20);
        }
        msr!("mdscr_el1", POINTS);
        let end = answers(env, "points on contexts");
        msr!("mdscr_el1", 0);
        for number in 0..16 {
            code::write((2, 0, 0, number, 5), 0);
        }
        end?;
    }
    Ok(())
}

/// MDSCR_EL1: SS (0), KDE (13). SPSR_EL1: SS (21), so that one instruction is stepped.
const STEPS: u64 = 1 << 13 | 1;
const STEPPED: u64 = 0x1c5 | 1 << 21;

/// ELR_EL1 and the class of the exception that ends one step from `3:` on.
macro_rules! stepped {
    ($x0:expr, $instruction:literal) => {{
        msr!("oslar_el1", 0);
        let (count, syndrome) = provoke!(
            1u64,
            $x0,
            STEPS,
            "msr mdscr_el1, x1",
            "isb",
            "movz x3, #0x20, lsl #16",
            "movk x3, #0x1c5",
            "msr spsr_el1, x3",
            "adr x3, 3f",
            "msr elr_el1, x3",
            "eret",
            "3:",
            $instruction,
            "udf #0",
            "udf #0"
        );
        msr!("mdscr_el1", 0);
        (count, syndrome >> 26)
    }};
}

/// The step is taken before the undefined instruction behind it.
fn step_over_call(_: &Env) -> Outcome {
    same!(STEPPED & 0xffff, 0x1c5, "the state stepped in");
    same!(stepped!(0x8400_0000u64, "nop"), (1, 0x33), "exceptions and class of a step over NOP");
    same!(stepped!(0x8400_0000u64, "hvc #0"), (1, 0x33), "exceptions and class of a step over HVC");
    same!(mrs!("currentel"), 4, "CurrentEL");
    Ok(())
}

fn step_over_trap(env: &Env) -> Outcome {
    same!(
        stepped!(env.machine.gicd, "ldr w1, [x0]"),
        (1, 0x33),
        "exceptions and class of a step over a load"
    );
    same!(
        stepped!(0u64, "mrs x0, actlr_el1"),
        (1, 0x33),
        "exceptions and class of a step over a trapped register"
    );
    Ok(())
}

fn power(env: &Env) -> Outcome {
    for register in [(2, 0, 1, 4, 4), (2, 0, 0, 6, 2), (2, 0, 7, 8, 6)] {
        for value in (0..64).map(|bit| 1 << bit).chain([!0, 0]) {
            code::write(register, value);
        }
        answers(env, "debug power control")?;
    }
    // DBGCLAIMCLR_EL1.
    code::write((2, 0, 7, 9, 6), !0);
    Ok(())
}

/// MDCCINT_EL1, DBGDTRTX_EL0, DBGDTR_EL0, OSDTRRX_EL1, OSDTRTX_EL1, MDCCSR_EL0.
fn channel(env: &Env) -> Outcome {
    for register in [(2, 0, 0, 2, 0), (2, 3, 0, 5, 0), (2, 3, 0, 4, 0), (2, 0, 0, 0, 2), (2, 0, 0, 3, 2)] {
        for value in [!0, 1 << 30, 1 << 29, 0] {
            code::write(register, value);
            code::read(register);
        }
    }
    code::read((2, 3, 0, 1, 0));
    ensure!(partita_guest::gic::highest_pending() >= 1020, "an interrupt came of it");
    answers(env, "the channel in use")
}

fn control_bits(env: &Env) -> Outcome {
    let before = mrs!("mdscr_el1");
    for bit in 0..64 {
        code::write(MDSCR, 1 << bit);
        let end = answers(env, "one bit of MDSCR_EL1");
        code::write(MDSCR, before);
        end?;
    }
    Ok(())
}
