//! The edges of every range that the tree gives: one byte too far is too far.

use partita_guest::exception::catch;
use partita_guest::mmio::{read8, read16, read32, read64, write8, write64};
use partita_guest::rows::{Env, Outcome};
use partita_guest::start;

use crate::code::call;
use crate::owned::{DATA, FETCH, Owned, aborted};
use crate::table::Row;

/// The guard of most rows about memory.
pub const STAGE2: &str = "stage 2: a partition maps what the plan gives it and no page more";

pub const ROWS: &[Row] = &[
    Row::new("edge-read", "loads of every width just outside each range", "external abort", STAGE2, read),
    Row::new("edge-write", "stores just outside each range", "external abort", STAGE2, write),
    Row::new("edge-fetch", "jumps just outside RAM", "external abort", STAGE2, fetch),
    Row::new("edge-across", "accesses that begin inside and end outside", "external abort", STAGE2, across),
];

/// The addresses of one byte below and one above each range, where nothing else of ours begins.
fn outside(owned: &Owned) -> impl Iterator<Item = (u64, u64)> {
    let below = owned.ranges().iter().filter(|(base, _)| *base > 0).map(|(base, _)| (base - 8, base - 1));
    let above = owned.ranges().iter().map(|(_, end)| (*end, *end));
    below.chain(above).filter(|(word, _)| !owned.has(*word))
}

fn read(env: &Env) -> Outcome {
    let owned = Owned::new(env);
    for (word, byte) in outside(&owned) {
        aborted("byte read", byte, DATA, catch(|| read8(byte)).1)?;
        aborted("halfword read", word, DATA, catch(|| read16(word)).1)?;
        aborted("word read", word, DATA, catch(|| read32(word)).1)?;
        aborted("doubleword read", word, DATA, catch(|| read64(word)).1)?;
    }
    Ok(())
}

fn write(env: &Env) -> Outcome {
    let owned = Owned::new(env);
    for (word, byte) in outside(&owned) {
        aborted("byte write", byte, DATA, catch(|| write8(byte, 0x5a)).1)?;
        aborted("doubleword write", word, DATA, catch(|| write64(word, !0)).1)?;
    }
    Ok(())
}

fn fetch(env: &Env) -> Outcome {
    let owned = Owned::new(env);
    for &(base, size) in env.machine.memory.iter() {
        for at in [base.wrapping_sub(4), base + size] {
            // Stage 1 maps as executable only the gigabytes with RAM in them.
            if !owned.has(at) && at >> 30 == base >> 30 {
                aborted("fetch", at, FETCH, catch(|| call(at, 0)).1)?;
            }
        }
    }
    Ok(())
}

/// RAM only: at devices, stage 1 makes an unaligned access this core's own fault.
fn across(env: &Env) -> Outcome {
    start::map_memory(&env.machine.memory);
    let owned = Owned::new(env);
    for &(base, size) in env.machine.memory.iter() {
        let end = base + size;
        if owned.has(end) || end >> 30 != base >> 30 {
            continue;
        }
        for short in 1..8 {
            let (_, fault) = catch(|| read64(end - short));
            // FAR_EL1 may be any address of the access that is outside (DDI 0487, D24.2.42).
            let fault = fault.map(|fault| partita_guest::exception::Fault { far: end, ..fault });
            aborted("read across", end, DATA, fault)?;
            let (_, fault) = catch(|| write64(end - short, !0));
            let fault = fault.map(|fault| partita_guest::exception::Fault { far: end, ..fault });
            aborted("write across", end, DATA, fault)?;
        }
    }
    Ok(())
}
