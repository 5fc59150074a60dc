//! Loops that a core never leaves by itself, each in a boot of its own. The second core says what became of the machine, and
//! powers the partition off: EL2 has to get the first core out of its loop for that.

use core::arch::asm;

use partita_guest::mmio::write32;
use partita_guest::rows::{Env, Outcome, cores};
use partita_guest::{console, psci, timer};

use super::forms::foreign;
use crate::table::Row;
use crate::{counting, fail, mrs, msr, skip};

const KICK: &str = "a physical interrupt that EL2 takes (HCR_EL2.IMO, FMO) leaves no loop of a guest's alone";
const STOPPED: &str = "the partition can be powered off, and nobody else notices";
const AARCH32: &str = "HSTR_EL2, and AArch32 exceptions to EL2 stop the partition";

pub const ROWS: &[Row] = &[
    Row::new(
        "vector-unmappable",
        "exceptions to a VBAR_EL1 that no table can map",
        STOPPED,
        KICK,
        unmappable,
    )
    .alone(),
    Row::new("vector-undefined", "vectors that are undefined instructions", STOPPED, KICK, undefined).alone(),
    Row::new("vector-foreign", "vectors in foreign memory", STOPPED, KICK, vector_foreign).alone(),
    Row::new("vector-registers", "vectors in the distributor's registers", STOPPED, KICK, vector_registers)
        .alone(),
    Row::new(
        "no-walks",
        "EPD0 and EPD1 set: every fetch faults, and so do the vectors",
        STOPPED,
        KICK,
        no_walks,
    )
    .alone(),
    Row::new("tables-foreign", "TTBR0_EL1 in foreign memory", STOPPED, KICK, tables_foreign).alone(),
    Row::new(
        "map-off",
        "stage 1 off, and a jump to foreign memory with the vectors there",
        STOPPED,
        KICK,
        map_off,
    )
    .alone(),
    Row::new("spin", "a branch to itself with everything masked", STOPPED, KICK, spin).alone(),
    Row::new(
        "masked-sleep",
        "WFI with everything masked and no interrupt enabled",
        STOPPED,
        KICK,
        masked_sleep,
    )
    .alone(),
    Row::new("calls", "HVC for ever", STOPPED, KICK, calls).alone(),
    Row::new("aborts", "aborts for ever", STOPPED, KICK, aborts).alone(),
    Row::new("maintenance", "broadcast TLB and cache maintenance for ever", STOPPED, KICK, maintenance)
        .alone(),
    Row::new("console-flood", "console output for ever", STOPPED, KICK, console_flood).alone(),
    Row::new("steps", "software steps for ever", STOPPED, KICK, steps).alone(),
    Row::new("big-endian", "SCTLR_EL1.EE and E0E set, and exceptions for ever", STOPPED, KICK, big_endian)
        .alone(),
    Row::new(
        "aarch32",
        "AArch32 at EL0: a system register that EL2 traps",
        "the partition is stopped, or there is no AArch32",
        AARCH32,
        aarch32,
    )
    .alone(),
];

/// Seconds that a loop lasts.
const LASTS: u64 = 5;

/// What the second core does.
fn keeper() {
    timer::spin(LASTS * timer::frequency());
    if psci::call32(crate::id::VERSION, [0; 3])[0] == crate::id::VERSION_1_1 {
        crate::endured();
    }
    psci::system_off();
}

/// Starts the keeper: nothing comes after this.
fn endless(env: &Env) -> Outcome {
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    cores::start_others(env, keeper)
}

/// An undefined instruction with these vectors.
fn fall(vectors: u64) -> ! {
    // SAFETY: does not come back.
    unsafe { asm!("msr vbar_el1, {}", "isb", "udf #0", "b .", in(reg) vectors, options(noreturn)) }
}

fn unmappable(env: &Env) -> Outcome {
    endless(env)?;
    fall(0x0008_0000_0000_0000)
}

fn undefined(env: &Env) -> Outcome {
    endless(env)?;
    fall(counting::undefined())
}

fn vector_foreign(env: &Env) -> Outcome {
    let Some((base, size)) = env.machine.memory.iter().copied().next() else { skip!("no memory") };
    endless(env)?;
    fall(base + size)
}

fn vector_registers(env: &Env) -> Outcome {
    endless(env)?;
    fall(env.machine.gicd)
}

/// TCR_EL1.EPD0 and EPD1 (7 and 23), and nothing left in the TLB.
fn no_walks(env: &Env) -> Outcome {
    endless(env)?;
    let tcr = mrs!("tcr_el1") | 1 << 7 | 1 << 23;
    // SAFETY: does not come back.
    unsafe {
        asm!("msr tcr_el1, {}", "isb", "tlbi vmalle1", "dsb sy", "isb", "udf #0", "b .", in(reg) tcr, options(noreturn))
    }
}

fn tables_foreign(env: &Env) -> Outcome {
    let Some(page) = foreign(env).next() else { skip!("everything is its own") };
    endless(env)?;
    // SAFETY: does not come back.
    unsafe {
        asm!("msr ttbr0_el1, {}", "isb", "tlbi vmalle1", "dsb sy", "isb", "udf #0", "b .", in(reg) page, options(noreturn))
    }
}

fn map_off(env: &Env) -> Outcome {
    let Some(page) = foreign(env).next() else { skip!("everything is its own") };
    endless(env)?;
    let sctlr = mrs!("sctlr_el1") & !(1 | 1 << 2 | 1 << 12);
    // SAFETY: does not come back.
    unsafe {
        asm!("msr vbar_el1, {page}", "msr sctlr_el1, {sctlr}", "isb", "br {page}", page = in(reg) page, sctlr = in(reg) sctlr, options(noreturn))
    }
}

fn spin(env: &Env) -> Outcome {
    endless(env)?;
    // SAFETY: does not come back.
    unsafe { asm!("msr daifset, #0xf", "b .", options(noreturn)) }
}

fn masked_sleep(env: &Env) -> Outcome {
    endless(env)?;
    partita_guest::gic::set_mask(0);
    partita_guest::gic::set_signalling(false);
    // SAFETY: does not come back.
    unsafe { asm!("msr daifset, #0xf", "2:", "wfi", "b 2b", options(noreturn)) }
}

fn calls(env: &Env) -> Outcome {
    endless(env)?;
    loop {
        psci::call64(0x8600_1234, [!0; 3]);
    }
}

fn aborts(env: &Env) -> Outcome {
    let Some(page) = foreign(env).next() else { skip!("everything is its own") };
    endless(env)?;
    msr!("vbar_el1", counting::vectors());
    // SAFETY: does not come back: the vectors return to the load.
    unsafe { asm!("mov x28, xzr", "mov x26, #-1", "ldr x1, [{}]", "b .", in(reg) page, options(noreturn)) }
}

fn maintenance(env: &Env) -> Outcome {
    endless(env)?;
    // SAFETY: does not come back.
    unsafe {
        asm!("2:", "tlbi vmalle1is", "ic ialluis", "dc civac, {}", "dsb sy", "isb", "b 2b", in(reg) counting::vectors(), options(noreturn))
    }
}

fn console_flood(env: &Env) -> Outcome {
    endless(env)?;
    loop {
        // Without a look at the FIFO's flags.
        (0..200).for_each(|_| write32(console::base(), u32::from(b'#')));
        write32(console::base(), u32::from(b'\n'));
    }
}

fn steps(env: &Env) -> Outcome {
    endless(env)?;
    msr!("oslar_el1", 0);
    msr!("vbar_el1", counting::vectors());
    // SAFETY: does not come back: the vectors return to what is stepped. MDSCR_EL1: SS, KDE.
    unsafe {
        asm!("mov x28, xzr", "mov x26, #-1", "msr mdscr_el1, {}", "isb", "msr daifclr, #8", "b .", in(reg) 1u64 << 13 | 1, options(noreturn))
    }
}

fn big_endian(env: &Env) -> Outcome {
    endless(env)?;
    let sctlr = mrs!("sctlr_el1") | 1 << 24 | 1 << 25;
    // SAFETY: does not come back: tables are walked in the other order, too.
    unsafe {
        asm!("msr vbar_el1, {vectors}", "msr sctlr_el1, {sctlr}", "isb", "udf #0", "b .", vectors = in(reg) counting::undefined(), sctlr = in(reg) sctlr, options(noreturn))
    }
}

/// SPSR_EL1 for EL0 in AArch32: M = 0x10. `MRC p15, 0, r0, c13, c0, 3` reads TPIDRURO, which EL0 may, and HSTR_EL2.T13 traps.
fn aarch32(_: &Env) -> Outcome {
    let el0 = super::el0::El0::new();
    let syndrome = el0.run(0x10 | 0x1c0, &[0xee1d_0f70, 0xef00_0000]);
    if syndrome >> 26 == 0x0e {
        return Ok(()); // an illegal return: this core has no AArch32
    }
    fail!("AArch32 came back with ESR_EL1 {syndrome:#x}")
}
