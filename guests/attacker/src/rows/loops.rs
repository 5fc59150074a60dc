//! Loops of everything that a core does again and again: each ends by its count. That the victim's interrupts come
//! meanwhile, it counts itself.

use core::arch::asm;

use partita_guest::rows::{Env, Outcome, irq};
use partita_guest::timer;

use super::forms::foreign;
use crate::table::Row;
use crate::{ensure, mrs, msr, provoke, same, skip};

const OWN: &str = "the loop ends by its count, and nobody else notices";
const BOUND: &str = "no exit waits for anybody or takes longer than its bound";
const EL1: &str = "exceptions of EL1's own do not concern EL2";

pub const ROWS: &[Row] = &[
    Row::new("undefined", "100,000 undefined instructions", OWN, EL1, undefined),
    Row::new("svc", "100,000 SVC from EL1", OWN, EL1, svc),
    Row::new("brk", "100,000 BRK", OWN, "MDCR_EL2.TDE clear: debug exceptions are EL1's", brk),
    Row::new("hvc", "50,000 HVC", OWN, BOUND, hvc),
    Row::new("smc", "50,000 SMC", OWN, "HCR_EL2.TSC", smc),
    Row::new("aborts", "20,000 reads of a foreign page", OWN, BOUND, aborts),
    Row::new("fetch-aborts", "20,000 fetches from a foreign page", OWN, BOUND, fetch_aborts),
    Row::new("trapped-registers", "20,000 reads of a register that traps", OWN, BOUND, trapped),
    Row::new("stack-misaligned", "20,000 loads by a misaligned stack pointer", OWN, EL1, stack),
    Row::new("pc-misaligned", "100,000 jumps to a misaligned address", OWN, EL1, pc),
    Row::new("illegal-state", "100,000 instructions in an illegal state", OWN, EL1, illegal),
    Row::new("step", "100,000 software steps", OWN, "MDCR_EL2.TDE clear: debug exceptions are EL1's", step),
    Row::new(
        "breakpoint",
        "100,000 hits of a breakpoint",
        OWN,
        "MDCR_EL2.TDE clear: debug exceptions are EL1's",
        breakpoint,
    ),
    Row::new(
        "watchpoint",
        "100,000 hits of a watchpoint",
        OWN,
        "MDCR_EL2.TDE clear: debug exceptions are EL1's",
        watchpoint,
    ),
    Row::new("eret", "100,000 exception returns", OWN, EL1, eret),
    Row::new("wfi", "50,000 WFI with an interrupt pending", OWN, BOUND, wfi),
    Row::new("wfi-asleep", "WFI until the timer is due, 50 times", OWN, BOUND, asleep),
    Row::new("wfe", "100,000 SEV and WFE", OWN, BOUND, wfe),
];

const MANY: u64 = 100_000;
const FEWER: u64 = 20_000;

/// All of them came, and the last one was of this class.
fn came((count, syndrome): (u64, u64), wanted: u64, class: u64) -> Outcome {
    same!(count, wanted, "exceptions");
    same!(syndrome >> 26, class, "class of the last exception");
    Ok(())
}

fn undefined(_: &Env) -> Outcome {
    came(provoke!(MANY, 0u64, 0u64, "udf #0"), MANY, 0x00)
}

/// SVC's preferred return is behind it.
fn svc(_: &Env) -> Outcome {
    came(provoke!(MANY, 0u64, 0u64, "2:", "svc #0", "b 2b"), MANY, 0x15)
}

fn brk(_: &Env) -> Outcome {
    came(provoke!(MANY, 0u64, 0u64, "brk #0"), MANY, 0x3c)
}

/// Calls that are answered in assembly and calls that are not.
fn hvc(_: &Env) -> Outcome {
    for function in [0x8400_0000u64, 0x8600_1234] {
        let (count, _) = provoke!(
            1u64,
            function,
            25_000u64,
            "mov x6, x0",
            "mov x7, x1",
            "3:",
            "mov x0, x6",
            "hvc #0",
            "subs x7, x7, #1",
            "b.ne 3b"
        );
        same!(count, 0, "exceptions of HVC");
    }
    Ok(())
}

fn smc(_: &Env) -> Outcome {
    let (count, _) = provoke!(
        1u64,
        0x8400_0000u64,
        50_000u64,
        "mov x6, x0",
        "mov x7, x1",
        "3:",
        "mov x0, x6",
        "smc #0",
        "subs x7, x7, #1",
        "b.ne 3b"
    );
    same!(count, 0, "exceptions of SMC");
    Ok(())
}

fn aborts(env: &Env) -> Outcome {
    let Some(page) = foreign(env).next() else { skip!("everything is its own") };
    came(provoke!(FEWER, page, 0u64, "ldr x1, [x0]"), FEWER, 0x25)
}

fn fetch_aborts(env: &Env) -> Outcome {
    // Stage 1 maps as executable only the gigabyte with the image in it.
    let Some((base, size)) = env.machine.memory.iter().copied().next() else { skip!("no memory") };
    came(provoke!(FEWER, base + size, 0u64, "br x0"), FEWER, 0x21)
}

/// ACTLR_EL1 is read, and an L2 register that is not there is undefined.
fn trapped(_: &Env) -> Outcome {
    let (count, _) = provoke!(1u64, 0u64, FEWER, "3:", "mrs x0, S3_0_C1_C0_1", "subs x1, x1, #1", "b.ne 3b");
    same!(count, 0, "exceptions of reading ACTLR_EL1");
    came(provoke!(FEWER, 0u64, 0u64, "mrs x0, S3_1_C15_C7_7"), FEWER, 0x00)
}

/// SCTLR_EL1.SA (bit 3) checks the stack pointer. QEMU does not, and gives the load's own abort.
fn stack(env: &Env) -> Outcome {
    let Some(page) = foreign(env).next() else { skip!("everything is its own") };
    let sctlr = mrs!("sctlr_el1");
    msr!("sctlr_el1", sctlr | 1 << 3);
    let (count, syndrome) = provoke!(MANY / 5, page + 1, 0u64, "mov sp, x0", "ldr x1, [sp]");
    msr!("sctlr_el1", sctlr);
    let class = if syndrome >> 26 == 0x25 { 0x25 } else { 0x26 };
    came((count, syndrome), MANY / 5, class)
}

fn pc(_: &Env) -> Outcome {
    came(provoke!(MANY, crate::counting::vectors() + 2, 0u64, "br x0"), MANY, 0x22)
}

/// SPSR_EL1.IL (bit 20): what follows the return is an illegal execution state exception.
fn illegal(_: &Env) -> Outcome {
    let state = crate::counting::EL1H_MASKED | 1 << 20;
    came(
        provoke!(MANY, state, 0u64, "msr spsr_el1, x0", "adr x1, 3f", "msr elr_el1, x1", "eret", "3:", "nop"),
        MANY,
        0x0e,
    )
}

/// MDSCR_EL1: SS (0), KDE (13), MDE (15).
const STEPS: u64 = 1 << 13 | 1;
const POINTS: u64 = 1 << 15 | 1 << 13;

/// With D clear and PSTATE.SS clear the next instruction is pending a step, each time (DDI 0487, D2.12).
fn step(_: &Env) -> Outcome {
    msr!("oslar_el1", 0);
    let end = provoke!(MANY, STEPS, 0u64, "msr mdscr_el1, x0", "isb", "msr daifclr, #8", "nop", "nop");
    msr!("mdscr_el1", 0);
    came(end, MANY, 0x33)
}

/// DBGBCR0_EL1: E (0), PMC = EL1 (2..1 = 0b01), BAS (8..5).
fn breakpoint(_: &Env) -> Outcome {
    msr!("oslar_el1", 0);
    let end = provoke!(
        MANY,
        POINTS,
        0x1e3u64,
        "adr x3, 3f",
        "msr dbgbvr0_el1, x3",
        "msr dbgbcr0_el1, x1",
        "msr mdscr_el1, x0",
        "isb",
        "msr daifclr, #8",
        "3:",
        "nop"
    );
    msr!("mdscr_el1", 0);
    msr!("dbgbcr0_el1", 0);
    came(end, MANY, 0x31)
}

/// DBGWCR0_EL1: E (0), PAC = EL1 (2..1 = 0b01), LSC = both (4..3), BAS (12..5).
fn watchpoint(_: &Env) -> Outcome {
    msr!("oslar_el1", 0);
    let end = provoke!(
        MANY,
        POINTS,
        0x1ffbu64,
        "sub x3, x24, #64",
        "and x3, x3, #~7",
        "msr dbgwvr0_el1, x3",
        "msr dbgwcr0_el1, x1",
        "msr mdscr_el1, x0",
        "isb",
        "msr daifclr, #8",
        "ldr x4, [x3]"
    );
    msr!("mdscr_el1", 0);
    msr!("dbgwcr0_el1", 0);
    came(end, MANY, 0x35)
}

fn eret(_: &Env) -> Outcome {
    let (count, _) = provoke!(
        1u64,
        crate::counting::EL1H_MASKED,
        MANY,
        "adr x3, 3f",
        "3:",
        "msr elr_el1, x3",
        "msr spsr_el1, x0",
        "subs x1, x1, #1",
        "b.eq 4f",
        "eret",
        "4:",
        "nop"
    );
    same!(count, 0, "exceptions");
    Ok(())
}

/// The interrupt is masked and stays pending.
fn wfi(env: &Env) -> Outcome {
    irq::enable(env.machine.virtual_timer);
    timer::set_virtual(0);
    for _ in 0..50_000 {
        partita_guest::cpu::wait();
    }
    same!(irq::take(), Some(env.machine.virtual_timer), "the interrupt");
    timer::stop_virtual();
    partita_guest::gic::end(env.machine.virtual_timer);
    Ok(())
}

fn asleep(env: &Env) -> Outcome {
    irq::enable(env.machine.virtual_timer);
    for _ in 0..50 {
        let due = timer::now() + timer::frequency() / 500;
        timer::set_virtual(due);
        while timer::now() < due {
            partita_guest::cpu::wait();
        }
        ensure!(irq::take() == Some(env.machine.virtual_timer), "another interrupt");
        timer::stop_virtual();
        partita_guest::gic::end(env.machine.virtual_timer);
    }
    Ok(())
}

fn wfe(_: &Env) -> Outcome {
    for _ in 0..MANY {
        // SAFETY: the event is there before it is waited for.
        unsafe { asm!("sev", "wfe", options(nostack)) };
    }
    Ok(())
}
