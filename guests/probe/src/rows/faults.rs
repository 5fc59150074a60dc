//! What is not the partition's: touching it is an external abort that the guest gets and survives.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_guest::exception::{Fault, catch};
use partita_guest::{args, console, machine, mmio, timer};

use crate::check::{Env, Outcome, Row};
use crate::code::{call, run};
use crate::irq::{gicd, redistributor};
use crate::{ensure, fail, irq, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("abort-above-memory", above_memory),
    Row::here("abort-reads", reads),
    Row::here("abort-writes", writes),
    Row::here("abort-fetches", fetches),
    Row::here("abort-foreign-redistributor", foreign_redistributor).v3(),
    Row::here("abort-undecodable", undecodable),
    Row::new("abort-misaligned", misaligned),
    Row::here("abort-on-every-core", on_every_core),
    Row::new("undefined", undefined),
    Row::new("no-serror", no_serror),
];

/// Addresses on QEMU virt that a partition is not given unless its tree says so: flash, ITS, fw_cfg, GPIO, virtio slots,
/// PCIe windows, other RAM, and beyond all of it. `foreign=A,B` adds more.
const FOREIGN: [u64; 14] = [
    0x0,
    0x0400_0000,
    0x0808_0000,
    0x0902_0000,
    0x0903_0000,
    0x0a00_0000,
    0x0a00_3e00,
    0x0c00_0000,
    0x1000_0000,
    0x3eff_0000,
    0x3fff_fff8,
    0x7fff_f000,
    0x40_1000_0000,
    0x7f_ffff_fff8,
];

fn foreign(env: &Env) -> impl Iterator<Item = u64> {
    let more = args::get(env.machine.bootargs, "foreign").unwrap_or("").split(',').filter_map(args::number);
    let ends = env.machine.memory.iter().map(|(base, size)| base + size);
    let before = env.machine.memory.iter().map(|(base, _)| base - 8);
    FOREIGN.into_iter().chain(more).chain(ends).chain(before).filter(|at| !owned(env, *at))
}

/// Whether the tree names this address.
fn owned(env: &Env, at: u64) -> bool {
    let within = |base: u64, size: u64| at & !0xfff >= base & !0xfff && at < base + size.max(1);
    env.machine.memory.iter().any(|&(base, size)| within(base, size))
        || env.machine.tree.all_nodes().any(|node| {
            let reg =
                node.property("reg").is_some() && !machine::is(&node, "arm,armv8") && node.name.contains('@');
            reg && !node.name.starts_with("cpu")
                && node
                    .reg()
                    .into_iter()
                    .flatten()
                    .any(|one| within(one.starting_address as u64, one.size.unwrap_or(0) as u64))
        })
}

fn check(what: &str, at: u64, class: u64, fault: Option<Fault>) -> Outcome {
    let Some(fault) = fault else { fail!("{what} {at:#x}: no abort") };
    ensure!(
        fault.is_external_abort() && fault.class() == class,
        "{what} {at:#x}: ESR {:#x} is no external abort",
        fault.esr
    );
    same!(fault.far, at, "FAR_EL1 of {what} {at:#x}");
    Ok(())
}

const DATA: u64 = 0x25;
const FETCH: u64 = 0x21;

/// The word above the last RAM: natively, too, nothing answers there.
fn above_memory(env: &Env) -> Outcome {
    let Some(end) = env.machine.memory.iter().map(|(base, size)| base + size).max() else {
        skip!("no memory")
    };
    check("read", end, DATA, catch(|| mmio::read32(end)).1)
}

fn reads(env: &Env) -> Outcome {
    for at in foreign(env) {
        check("read", at, DATA, catch(|| mmio::read32(at)).1)?;
        check("byte read", at, DATA, catch(|| mmio::read8(at)).1)?;
    }
    Ok(())
}

fn writes(env: &Env) -> Outcome {
    for at in foreign(env) {
        check(
            "write",
            at,
            DATA,
            catch(|| mmio::write64(at & !7, 0x5a5a)).1.map(|fault| Fault { far: at, ..fault }),
        )?;
    }
    Ok(())
}

/// Jumps out of RAM. Stage 1 maps as executable only the gigabytes with RAM in them.
fn fetches(env: &Env) -> Outcome {
    for &(base, size) in env.machine.memory.iter() {
        for at in [base + size, base + size + 0x10_0000] {
            if !owned(env, at) && at >> 30 == base >> 30 {
                check("fetch", at, FETCH, catch(|| call(at, 0)).1)?;
            }
        }
    }
    Ok(())
}

/// Redistributors end with the partition's own cores.
fn foreign_redistributor(env: &Env) -> Outcome {
    let after = redistributor(env.machine.cores.len());
    for at in [after, after + 0x8, after + 0x1_0080] {
        check("read", at, DATA, catch(|| mmio::read32(at)).1)?;
    }
    Ok(())
}

/// Accesses to an emulated register that come without a syndrome (ISV = 0): pairs, write-back, exclusives, SIMD. They cannot be
/// emulated and must be refused, not guessed and not waited for.
fn undecodable(env: &Env) -> Outcome {
    let ctlr = gicd();
    let before = mmio::read32(ctlr);
    let forms: [(&str, u32); 6] = [
        ("ldp x0, x1, [x0]", 0xa940_0400),
        ("stp x0, x1, [x0]", 0xa900_0400),
        ("ldr w1, [x0], #4", 0xb840_4401),
        ("ldxr w0, [x0]", 0x885f_7c00),
        ("ldr q0, [x0]", 0x3dc0_0000),
        ("ldp w0, w1, [x0]", 0x2940_0400),
    ];
    for (name, instruction) in forms {
        let (_, fault) = run(instruction, ctlr);
        let Some(fault) = fault else { fail!("{name} on the distributor: no abort") };
        ensure!(fault.class() == DATA, "{name}: ESR {:#x}", fault.esr);
    }
    same!(mmio::read32(ctlr), before, "GICD_CTLR afterwards");
    same!(env.machine.gicd, ctlr, "distributor");
    Ok(())
}

/// Misaligned accesses to a device are this core's own alignment fault (QEMU lets some cores do them).
fn misaligned(_: &Env) -> Outcome {
    let (at, before) = (gicd() + 0x401, mmio::read32(gicd()));
    let (_, fault) = catch(|| mmio::read32(at));
    ensure!(fault.is_none_or(|fault| fault.class() == DATA), "fault {fault:x?}");
    same!(mmio::read32(gicd()), before, "GICD_CTLR afterwards");
    Ok(())
}

static SEEN: [AtomicU64; partita_guest::cpu::MAX_CORES] =
    [const { AtomicU64::new(0) }; partita_guest::cpu::MAX_CORES];

fn touch_nothing() {
    for _ in 0..100 {
        let (_, fault) = catch(|| mmio::read32(0));
        if fault.is_some_and(|fault| fault.is_external_abort() && fault.far == 0) {
            SEEN[partita_guest::cpu::index()].fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// All cores fault at the same time, each gets its own.
fn on_every_core(env: &Env) -> Outcome {
    SEEN.iter().for_each(|seen| seen.store(0, Ordering::SeqCst));
    crate::cores::start_others(env, touch_nothing)?;
    touch_nothing();
    crate::cores::join(env)?;
    for (core, seen) in SEEN.iter().enumerate().take(env.machine.cores.len()) {
        same!(seen.load(Ordering::SeqCst), 100, "aborts on core {core}");
    }
    Ok(())
}

/// UDF is the guest's own exception.
fn undefined(_: &Env) -> Outcome {
    let (_, fault) = run(0, 0);
    ensure!(fault.is_some_and(|fault| fault.is_undefined()), "UDF: {fault:x?}");
    Ok(())
}

/// After all of that no SError is left behind.
fn no_serror(_: &Env) -> Outcome {
    let (_, fault) = catch(|| {
        // SAFETY: only PSTATE changes; `catch` takes what may come.
        unsafe { asm!("dsb sy", "msr daifclr, #4", "isb", options(nostack)) };
        timer::spin(timer::frequency() / 1000);
        irq::settle(2);
        // SAFETY: as above.
        unsafe { asm!("msr daifset, #4", options(nostack)) };
    });
    ensure!(fault.is_none(), "{fault:x?}");
    ensure!(console::base() != 0, "the tree names no console");
    Ok(())
}
