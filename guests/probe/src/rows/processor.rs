//! The core itself: sleeping and waking, floating point, pointer authentication, atomics, and registers across exits.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_guest::{cpu, timer};

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, count};
use crate::{cores, ensure, mrs, msr, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("wfi-wakes", wfi),
    Row::new("wfi-masked", wfi_masked),
    Row::new("wfe-event", wfe),
    Row::new("floating-point", floating_point),
    Row::new("floating-point-kept", kept),
    Row::new("pointer-authentication", pointer_authentication),
    Row::new("atomics-lse", lse),
    Row::new("registers-kept", registers),
    Row::new("counters-agree", counters),
];

/// Sleeps until the timer's handler has run.
fn wfi(env: &Env) -> Outcome {
    let intid = env.machine.virtual_timer;
    irq::enable(intid);
    for round in 1..=10 {
        let due = timer::now() + timer::frequency() / 200;
        cpu::mask_interrupts();
        timer::set_virtual(due);
        while count(0, intid) < round {
            cpu::wait();
            cpu::unmask_interrupts();
            cpu::mask_interrupts();
            ensure!(
                timer::now() < due + timer::frequency() * 2,
                "round {round}: no interrupt after two seconds"
            );
        }
        ensure!(timer::now() >= due, "round {round}: it came before its time");
    }
    Ok(())
}

/// A masked interrupt ends WFI too.
fn wfi_masked(env: &Env) -> Outcome {
    irq::enable(env.machine.virtual_timer);
    let due = timer::now() + timer::frequency() / 100;
    timer::set_virtual(due);
    while timer::now() < due {
        cpu::wait(); // may end early
    }
    same!(irq::total(0), 0, "interrupts while masked");
    same!(irq::take(), Some(env.machine.virtual_timer), "interrupt");
    timer::stop_virtual();
    partita_guest::gic::end(env.machine.virtual_timer);
    Ok(())
}

fn wfe(_: &Env) -> Outcome {
    // SAFETY: SEVL makes the WFE after it fall through.
    unsafe { asm!("sevl", "wfe", options(nostack)) };
    Ok(())
}

/// Scalar and vector arithmetic.
fn floating_point(_: &Env) -> Outcome {
    let (scalar, vector): (u64, u64);
    // SAFETY: floating point is switched on by the entry code, and this build uses none of these registers.
    unsafe {
        asm!(
            ".arch_extension fp", ".arch_extension simd",
            "fmov d0, #1.5", "fmov d1, #2.5", "fmul d0, d0, d1", "fmov {scalar}, d0",
            "movi v2.4s, #3", "movi v3.4s, #4", "mul v2.4s, v2.4s, v3.4s", "addv s2, v2.4s", "fmov {vector:w}, s2",
            scalar = out(reg) scalar, vector = out(reg) vector, options(nostack)
        )
    };
    same!(scalar, 3.75f64.to_bits(), "1.5 x 2.5");
    same!(vector & 0xffff_ffff, 48, "sum of four times 3 x 4");
    Ok(())
}

/// Puts a pattern in v0 to v31 and counts the halves of them that differ after `work`.
fn vectors_across(seed: u64, work: impl Fn()) -> u64 {
    let mut wrong = 0u64;
    // SAFETY: this build uses no vector registers, so they keep their contents between the two blocks.
    unsafe {
        asm!(
            ".arch_extension simd",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "add {t}, {s}, #\\n",
            "dup v\\n\\().2d, {t}",
            ".endr",
            s = in(reg) seed, t = out(reg) _, options(nostack)
        )
    };
    work();
    // SAFETY: as above.
    unsafe {
        asm!(
            ".arch_extension simd",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "add {t}, {s}, #\\n",
            "mov {a}, v\\n\\().d[0]",
            "cmp {a}, {t}",
            "cinc {wrong}, {wrong}, ne",
            "mov {a}, v\\n\\().d[1]",
            "cmp {a}, {t}",
            "cinc {wrong}, {wrong}, ne",
            ".endr",
            s = in(reg) seed, t = out(reg) _, a = out(reg) _, wrong = inout(reg) wrong, options(nostack)
        )
    };
    wrong
}

static WRONG: AtomicU64 = AtomicU64::new(0);
static VIRTUAL: AtomicU64 = AtomicU64::new(0);

fn keep_vectors() {
    let seed = 0x1234_5678_0000_0000 + ((cpu::index() as u64) << 16);
    let intid = VIRTUAL.load(Ordering::SeqCst) as u32;
    irq::enable(intid);
    cpu::unmask_interrupts();
    for round in 1..=50 {
        let wrong = vectors_across(seed + (u64::from(round) << 8), || {
            timer::set_virtual(timer::now() + timer::frequency() / 10_000);
            irq::within(10_000, || count(cpu::index(), intid) >= round);
        });
        WRONG.fetch_add(wrong, Ordering::SeqCst);
    }
    cpu::mask_interrupts();
}

fn keep_vectors_secondary() {
    irq::quiet_secondary();
    keep_vectors();
}

/// Vector registers survive interrupts and exits, on all cores at once.
fn kept(env: &Env) -> Outcome {
    WRONG.store(0, Ordering::SeqCst);
    VIRTUAL.store(u64::from(env.machine.virtual_timer), Ordering::SeqCst);
    cores::start_others(env, keep_vectors_secondary)?;
    keep_vectors();
    cores::join(env)?;
    same!(WRONG.load(Ordering::SeqCst), 0, "vector registers that changed");
    Ok(())
}

/// Signing with one key and authenticating: the same key restores the pointer, another does not.
fn pointer_authentication(_: &Env) -> Outcome {
    let shown =
        mrs!("id_aa64isar1_el1") & 0xff0 != 0 || crate::code::read((3, 0, 0, 6, 2)).0 >> 12 & 0xf != 0;
    if !shown {
        skip!("not shown");
    }
    let (sctlr, pointer) = (mrs!("sctlr_el1"), 0x4012_3450u64);
    msr!("S3_0_C2_C1_0", 0x0123_4567_89ab_cdef); // APIAKeyLo_EL1
    msr!("S3_0_C2_C1_1", 0x1122_3344_5566_7788); // APIAKeyHi_EL1
    msr!("sctlr_el1", sctlr | 1 << 31); // EnIA
    let signed = crate::code::run(0xdac1_23e0, pointer); // PACIZA x0
    let (plain, fault) = crate::code::run(0xdac1_33e0, signed.0); // AUTIZA x0
    msr!("S3_0_C2_C1_0", 0xfedc_ba98_7654_3210);
    let (forged, forged_fault) = crate::code::run(0xdac1_33e0, signed.0);
    msr!("sctlr_el1", sctlr);
    same!(signed.1, None, "fault of PACIZA");
    ensure!(signed.0 != pointer, "PACIZA left the pointer as it was");
    same!(fault, None, "fault of AUTIZA");
    same!(plain, pointer, "authenticated pointer");
    ensure!(forged_fault.is_some() || forged != pointer, "another key authenticates it, too");
    Ok(())
}

/// LDADD on memory, where the core has it.
fn lse(_: &Env) -> Outcome {
    if mrs!("id_aa64isar0_el1") >> 20 & 0xf < 2 {
        skip!("not shown");
    }
    let word = AtomicU64::new(40);
    let old: u64;
    // SAFETY: an atomic addition to an atomic word.
    unsafe {
        asm!(".arch_extension lse", "ldadd {two}, {old}, [{at}]", two = in(reg) 2u64, old = out(reg) old,
            at = in(reg) &word, options(nostack))
    };
    same!(old, 40, "value before");
    same!(word.load(Ordering::SeqCst), 42, "value after");
    Ok(())
}

/// General registers, flags and EL0 thread registers survive an emulated access.
fn registers(_: &Env) -> Outcome {
    let (wrong, flags): (u64, u64);
    msr!("tpidr_el0", 0x1357);
    msr!("tpidrro_el0", 0x2468);
    // SAFETY: a load from the distributor with all other registers filled; the block names what it changes.
    unsafe {
        asm!(
            "mov x0, #100", "mov x2, #102", "mov x3, #103", "mov x4, #104", "mov x5, #105", "mov x6, #106", "mov x7, #107",
            "mov x8, #108", "mov x9, #109", "mov x10, #110", "mov x11, #111", "mov x12, #112", "mov x13, #113",
            "mov x14, #114", "mov x15, #115", "mov x16, #116", "mov x17, #117", "mov x20, #120", "mov x30, #130",
            "cmp x0, x0",
            "ldr w2, [x1]",
            "mrs x21, nzcv",
            "sub x0, x0, #100", "sub x3, x3, #103", "sub x4, x4, #104", "sub x5, x5, #105", "sub x6, x6, #106",
            "sub x7, x7, #107", "sub x8, x8, #108", "sub x9, x9, #109", "sub x10, x10, #110", "sub x11, x11, #111",
            "sub x12, x12, #112", "sub x13, x13, #113", "sub x14, x14, #114", "sub x15, x15, #115",
            "sub x16, x16, #116", "sub x17, x17, #117", "sub x20, x20, #120", "sub x30, x30, #130",
            "orr x0, x0, x3", "orr x0, x0, x4", "orr x0, x0, x5", "orr x0, x0, x6", "orr x0, x0, x7", "orr x0, x0, x8",
            "orr x0, x0, x9", "orr x0, x0, x10", "orr x0, x0, x11", "orr x0, x0, x12", "orr x0, x0, x13",
            "orr x0, x0, x14", "orr x0, x0, x15", "orr x0, x0, x16", "orr x0, x0, x17", "orr x0, x0, x20",
            "orr x0, x0, x30",
            out("x0") wrong, in("x1") irq::gicd(), out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _,
            out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
            out("x14") _, out("x15") _, out("x16") _, out("x17") _, out("x20") _, out("x21") flags, out("x30") _,
            options(nostack)
        );
    }
    same!(wrong, 0, "bits that changed");
    same!(flags >> 28, 0b0110, "flags");
    same!(mrs!("tpidr_el0"), 0x1357, "TPIDR_EL0");
    same!(mrs!("tpidrro_el0"), 0x2468, "TPIDRRO_EL0");
    Ok(())
}

/// The virtual count is the physical one (no offset), or at least runs with it.
fn counters(_: &Env) -> Outcome {
    let (p0, v0) = (timer::physical_now(), timer::now());
    timer::spin(timer::frequency() / 100);
    let (v1, p1) = (timer::now(), timer::physical_now());
    ensure!(v1 - v0 >= timer::frequency() / 100, "the virtual count ran {} ticks in 10 ms", v1 - v0);
    ensure!(p1 - p0 >= v1 - v0, "the virtual count ran {} ticks, the physical one {}", v1 - v0, p1 - p0);
    Ok(())
}
