//! Storms of everything but interrupts: maintenance of TLBs and caches, barriers, aborts and exits, from one core and from all.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_guest::exception::catch;
use partita_guest::mmio::{read32, write32};
use partita_guest::rows::irq::{self, gicd};
use partita_guest::rows::{Env, Outcome, cores};
use partita_guest::{gic, start};

use super::forms::foreign;
use super::storms::{BOUND, WRONG, begin, blows};
use crate::table::Row;
use crate::{mrs, msr, same};

const LOCAL: &str = "nobody else notices";
const VMID: &str = "a VMID of its own for each partition, and HCR_EL2.FB clear";

pub const ROWS: &[Row] = &[
    Row::new("tlb-local", "every TLBI of EL1 for this core, 2,000 times", LOCAL, VMID, tlb_local),
    Row::new("tlb-broadcast", "every TLBI of EL1 for all cores, 2,000 times", LOCAL, VMID, tlb_broadcast),
    Row::new("tlb-everywhere", "the same from all cores", LOCAL, VMID, tlb_everywhere),
    Row::new("instruction-cache", "IC IALLU and IC IALLUIS, 20,000 times", LOCAL, BOUND, instruction_cache),
    Row::new("data-cache", "DC CIVAC and CVAC over all memory", LOCAL, BOUND, data_cache),
    Row::new(
        "set-way",
        "DC ISW, CSW and CISW with every kind of operand",
        "own memory as before",
        "HCR_EL2.TSW",
        set_way,
    ),
    Row::new(
        "set-way-everywhere",
        "the same from all cores",
        "own memory as before",
        "HCR_EL2.TSW",
        set_way_everywhere,
    ),
    Row::new("barriers", "DSB, DMB and ISB, 100,000 times", LOCAL, BOUND, barriers),
    Row::new(
        "aborts-everywhere",
        "aborts on all cores at once",
        "each core gets its own",
        BOUND,
        aborts_everywhere,
    ),
    Row::new("exits-everywhere", "all kinds of exits on all cores at once", LOCAL, BOUND, exits_everywhere),
];

macro_rules! repeat {
    ($times:expr, $($instruction:literal),+) => {
        for round in 0..$times {
            // SAFETY: maintenance and barriers change no memory's contents.
            unsafe { asm!($($instruction,)+ "dsb sy", "isb", a = in(reg) (round as u64) << 4, options(nostack)) };
        }
    };
}

fn tlb_local(_: &Env) -> Outcome {
    repeat!(
        2000,
        "tlbi vmalle1",
        "tlbi vae1, {a}",
        "tlbi aside1, {a}",
        "tlbi vaae1, {a}",
        "tlbi vale1, {a}",
        "tlbi vaale1, {a}"
    );
    Ok(())
}

fn broadcast() {
    repeat!(
        2000,
        "tlbi vmalle1is",
        "tlbi vae1is, {a}",
        "tlbi aside1is, {a}",
        "tlbi vaae1is, {a}",
        "tlbi vale1is, {a}",
        "tlbi vaale1is, {a}"
    );
}

fn tlb_broadcast(_: &Env) -> Outcome {
    broadcast();
    Ok(())
}

fn tlb_everywhere(env: &Env) -> Outcome {
    cores::start_others(env, broadcast)?;
    broadcast();
    cores::join(env)
}

fn instruction_cache(_: &Env) -> Outcome {
    repeat!(20_000, "ic iallu", "ic ialluis", "mov {a}, {a}");
    Ok(())
}

fn data_cache(env: &Env) -> Outcome {
    start::map_memory(&env.machine.memory);
    for &(base, size) in env.machine.memory.iter() {
        for at in (base..base + size).step_by(64) {
            // SAFETY: cleaning, and invalidating what was cleaned, changes no contents.
            unsafe { asm!("dc cvac, {at}", "dc civac, {at}", at = in(reg) at, options(nostack)) };
        }
    }
    Ok(())
}

/// Every level, and ways and sets far beyond what there is.
fn by_set_and_way() {
    for operand in (0..64).map(|bit| 1u64 << bit).chain([0, !0, 0xe, 0xffff_fff0]) {
        // SAFETY: invalidating by set and way is clean and invalidate here (HCR_EL2.SWIO, or by address).
        unsafe {
            asm!("dc isw, {o}", "dc csw, {o}", "dc cisw, {o}", "dsb sy", o = in(reg) operand, options(nostack))
        };
    }
}

fn set_way(_: &Env) -> Outcome {
    let mut memory = [0x5aa5_0ff0_1234_5678u64; 256];
    let at = memory.as_mut_ptr();
    by_set_and_way();
    for index in 0..memory.len() {
        // SAFETY: within the array.
        let seen = unsafe { at.add(index).read_volatile() };
        same!(seen, 0x5aa5_0ff0_1234_5678, "word {index}");
    }
    Ok(())
}

fn set_way_everywhere(env: &Env) -> Outcome {
    cores::start_others(env, by_set_and_way)?;
    let end = set_way(env);
    cores::join(env)?;
    end
}

fn barriers(_: &Env) -> Outcome {
    repeat!(100_000, "dmb sy", "dsb ish", "dsb osh", "mov {a}, {a}");
    Ok(())
}

static PAGE: AtomicU64 = AtomicU64::new(0);

fn abort_often() {
    let page = PAGE.load(Ordering::SeqCst);
    for _ in 0..2000 {
        let (_, fault) = catch(|| read32(page));
        if !fault.is_some_and(|fault| fault.is_external_abort() && fault.far == page) {
            WRONG.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn aborts_everywhere(env: &Env) -> Outcome {
    let Some(page) = foreign(env).next() else { crate::skip!("everything is its own") };
    PAGE.store(page, Ordering::SeqCst);
    begin(env);
    cores::start_others(env, abort_often)?;
    abort_often();
    cores::join(env)?;
    same!(WRONG.load(Ordering::SeqCst), 0, "aborts that are not as they should be");
    Ok(())
}

/// Every kind of exit in turn.
fn exit_often() {
    let page = PAGE.load(Ordering::SeqCst);
    while blows() {
        partita_guest::psci::call64(0x8600_1234, [!0; 3]);
        partita_guest::psci::cpu_on(!0, 0, 0);
        partita_guest::psci::affinity_info(0, 0);
        for word in 0..8 {
            write32(gicd() + irq::SET_ENABLE + word * 4, !0);
            write32(gicd() + irq::CLEAR_ENABLE + word * 4, !0);
        }
        catch(|| read32(page));
        gic::send_to_others(15);
        let _ = mrs!("actlr_el1");
        msr!("actlr_el1", 0);
    }
}

fn exits_everywhere(env: &Env) -> Outcome {
    let Some(page) = foreign(env).next() else { crate::skip!("everything is its own") };
    PAGE.store(page, Ordering::SeqCst);
    begin(env);
    cores::start_others(env, exit_often)?;
    exit_often();
    cores::join(env)
}
