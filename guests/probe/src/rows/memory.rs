//! The partition's memory: all there, empty at start, and coherent with every cache operation a guest may use.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_guest::mmio::{read64, write64};
use partita_guest::{args, cpu, start};

use crate::check::{Env, Outcome, Row};
use crate::{cores, ensure, mrs, msr, same, skip};

pub const ROWS: &[Row] = &[
    Row::here("memory-zero", zero),
    Row::new("memory-size", size),
    Row::new("memory-hold", hold),
    Row::new("memory-atomics", atomics),
    Row::new("cache-by-address", by_address),
    Row::new("cache-by-set-way", by_set_way),
    Row::new("translation-query", translation),
];

/// Whether any address of the 8 bytes at `at` belongs to the image or the tree.
fn in_use(env: &Env, at: u64) -> bool {
    let (first, end) = start::image();
    let (tree, size) = env.machine.tree_at;
    (at + 8 > first && at < end) || (at + 8 > tree && at < tree + size)
}

/// The first word outside image and tree that is not zero.
pub fn first_stain(env: &Env) -> Option<(u64, u64)> {
    start::map_memory(&env.machine.memory);
    for &(base, size) in env.machine.memory.iter() {
        for at in (base..base + size).step_by(8) {
            let value = read64(at);
            if value != 0 && !in_use(env, at) {
                return Some((at, value));
            }
        }
    }
    None
}

/// RAM is empty but for image and tree: nothing of an earlier owner is left.
fn zero(env: &Env) -> Outcome {
    if let Some((at, value)) = first_stain(env) {
        crate::fail!("{at:#x} holds {value:#x}");
    }
    Ok(())
}

/// RAM is as large as the plan says (`mem=KIB`).
fn size(env: &Env) -> Outcome {
    let Some(kib) = args::get(env.machine.bootargs, "mem").and_then(args::number) else { skip!("no mem=") };
    let total: u64 = env.machine.memory.iter().map(|(_, size)| size >> 10).sum();
    same!(total, kib, "KiB in the tree's memory nodes");
    Ok(())
}

/// Every 64 KiB of RAM keeps a word of its own, so no part of it is another part or is missing.
fn hold(env: &Env) -> Outcome {
    start::map_memory(&env.machine.memory);
    let cells = || {
        let ranges = env.machine.memory.iter();
        ranges
            .flat_map(|&(base, size)| (base + 0xfff8..base + size).step_by(0x1_0000))
            .filter(|at| !in_use(env, *at))
    };
    cells().for_each(|at| write64(at, !at));
    for at in cells() {
        same!(read64(at), !at, "memory at {at:#x}");
    }
    cells().for_each(|at| write64(at, 0));
    Ok(())
}

static SUM: AtomicU64 = AtomicU64::new(0);
const ADDITIONS: u64 = 20_000;

fn add() {
    for _ in 0..ADDITIONS {
        SUM.fetch_add(1, Ordering::Relaxed);
    }
}

/// Exclusive accesses of all cores to one word lose nothing.
fn atomics(env: &Env) -> Outcome {
    SUM.store(0, Ordering::SeqCst);
    cores::start_others(env, add)?;
    add();
    cores::join(env)?;
    same!(SUM.load(Ordering::SeqCst), ADDITIONS * env.machine.cores.len() as u64, "sum");
    Ok(())
}

/// Operations by address do not disturb contents, and code that was cleaned and invalidated is fetched.
fn by_address(_: &Env) -> Outcome {
    let mut buffer = [0x5aa5_0ff0_1234_5678u64; 64];
    let at = buffer.as_mut_ptr() as u64;
    for offset in (0..512).step_by(16) {
        // SAFETY: cleaning and invalidating after cleaning keep the contents.
        unsafe {
            asm!("dc cvac, {a}", "dc civac, {a}", "dc cvau, {a}", "dsb sy", "ic ivau, {a}", "dsb sy", "isb",
                a = in(reg) at + offset, options(nostack))
        };
    }
    for offset in (0..512).step_by(8) {
        same!(read64(at + offset), 0x5aa5_0ff0_1234_5678, "buffer + {offset:#x}");
    }
    for answer in [42u32, 43] {
        let movz_x0 = 0xd280_0000 | answer << 5;
        let (value, fault) = crate::code::run(movz_x0, 0);
        same!(fault, None, "fault");
        same!(value, u64::from(answer), "what fresh code answered");
    }
    Ok(())
}

/// Walks all data caches by set and way as boot loaders do; contents stay and it ends.
fn by_set_way(_: &Env) -> Outcome {
    let mut buffer = [0u64; 512];
    for (index, word) in buffer.iter_mut().enumerate() {
        *word = 0xfeed_0000 + index as u64;
    }
    // One loop for each operation, as boot loaders have it.
    walk_caches(|operand| {
        // SAFETY: cleaning, and invalidating what is clean, keep the contents.
        unsafe { asm!("dc cisw, {}", in(reg) operand, options(nostack)) }
    });
    walk_caches(|operand| {
        // SAFETY: as above.
        unsafe { asm!("dc csw, {}", in(reg) operand, options(nostack)) }
    });
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", "isb", options(nostack)) };
    for (index, word) in buffer.iter().enumerate() {
        same!(read64(&raw const *word as u64), 0xfeed_0000 + index as u64, "buffer[{index}]");
    }
    Ok(())
}

/// Calls `operation` with each level, set and way that the core says it has.
#[inline(always)]
fn walk_caches(operation: impl Fn(u64)) {
    let levels = mrs!("clidr_el1");
    for level in 0..7 {
        if levels >> (3 * level) & 7 < 2 {
            continue; // no data or unified cache here
        }
        msr!("csselr_el1", level << 1);
        let geometry = mrs!("ccsidr_el1");
        let line = (geometry & 7) + 4;
        let (ways, sets) = ((geometry >> 3 & 0x3ff) + 1, (geometry >> 13 & 0x7fff) + 1);
        let way_shift = (ways as u32 - 1).leading_zeros().min(31);
        for way in 0..ways {
            for set in 0..sets {
                operation(way << way_shift | set << line | level << 1);
            }
        }
    }
}

/// AT S1E1R answers for own memory.
fn translation(_: &Env) -> Outcome {
    let (image, _) = start::image();
    // SAFETY: only PAR_EL1 changes.
    unsafe { asm!("at s1e1r, {a}", "isb", a = in(reg) image, options(nostack)) };
    let par = mrs!("par_el1");
    ensure!(par & 1 == 0, "PAR_EL1 says fault: {par:#x}");
    same!(par & 0xf_ffff_f000, image, "PAR_EL1's address");
    same!(cpu::index(), 0, "core");
    Ok(())
}
