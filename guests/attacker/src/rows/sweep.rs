//! A sweep of the guest-physical address space: whatever the tree does not name is not there.

use partita_guest::exception::catch;
use partita_guest::mmio::{read32, write64};
use partita_guest::rows::{Env, Outcome};

use super::edges::STAGE2;
use crate::code::call;
use crate::owned::{DATA, FETCH, Owned, aborted};
use crate::space::{DEVICE, NORMAL, Space, physical_bits};
use crate::table::Row;

const MUST: &str = "external abort, unless the tree names the address";

pub const ROWS: &[Row] = &[
    Row::new("sweep-read", "reads every 2 MiB to 1 TiB", MUST, STAGE2, read),
    Row::new(
        "sweep-read-beyond",
        "reads every 1 GiB from 1 TiB to the last one that the core can name",
        MUST,
        STAGE2,
        beyond,
    ),
    Row::new("sweep-low-pages", "reads every page of the first 256 MiB", MUST, STAGE2, low_pages),
    Row::new("sweep-high-pages", "reads every page of the last 64 MiB below 4 GiB", MUST, STAGE2, high_pages),
    Row::new("sweep-ram", "reads every 32 KiB of 1 GiB to 2 GiB", MUST, STAGE2, ram),
    Row::new("sweep-write", "writes every 2 MiB to 64 GiB, and every 1 GiB to 1 TiB", MUST, STAGE2, write),
    Row::new("sweep-write-low", "writes every page of the first 256 MiB", MUST, STAGE2, write_low),
    Row::new("sweep-fetch", "jumps every 2 MiB to 8 GiB, and every 1 GiB to 1 TiB", MUST, STAGE2, fetch),
    Row::new("sweep-powers", "reads, writes and jumps around each power of two", MUST, STAGE2, powers),
];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What the window shows at a time.
const WINDOW: u64 = 512 * GIB;

/// How a row touches an address that it sees at another.
type Touch = fn(u64, u64) -> Outcome;

fn reading(seen_at: u64, _: u64) -> Outcome {
    aborted("read", seen_at, DATA, catch(|| read32(seen_at)).1)
}

fn writing(seen_at: u64, at: u64) -> Outcome {
    aborted("write", seen_at, DATA, catch(|| write64(seen_at, !at)).1)
}

fn fetching(seen_at: u64, _: u64) -> Outcome {
    aborted("fetch", seen_at, FETCH, catch(|| call(seen_at, 0)).1)
}

/// Touches every `step` bytes from `from` to `to` what the tree does not name.
fn sweep(env: &Env, touch: Touch, attributes: u64, from: u64, to: u64, step: u64) -> Outcome {
    let owned = Owned::new(env);
    let space = Space::new();
    let mut base = from / WINDOW * WINDOW;
    while base < to {
        space.show(base, attributes);
        for at in (base.max(from)..(base + WINDOW).min(to)).step_by(step as usize) {
            if !owned.has(at) {
                touch(space.at(at - base), at)?;
            }
        }
        base += WINDOW;
    }
    Ok(())
}

fn read(env: &Env) -> Outcome {
    sweep(env, reading, DEVICE, 0, 1024 * GIB, 2 * MIB)
}

fn beyond(env: &Env) -> Outcome {
    sweep(env, reading, DEVICE, 1024 * GIB, 1 << physical_bits(), GIB)
}

fn low_pages(env: &Env) -> Outcome {
    sweep(env, reading, DEVICE, 0, 256 * MIB, 4 * KIB)
}

fn high_pages(env: &Env) -> Outcome {
    sweep(env, reading, DEVICE, 4 * GIB - 64 * MIB, 4 * GIB, 4 * KIB)
}

fn ram(env: &Env) -> Outcome {
    sweep(env, reading, NORMAL, GIB, 2 * GIB, 32 * KIB)
}

fn write(env: &Env) -> Outcome {
    sweep(env, writing, NORMAL, 0, 64 * GIB, 2 * MIB)?;
    sweep(env, writing, DEVICE, 64 * GIB, 1024 * GIB, GIB)
}

fn write_low(env: &Env) -> Outcome {
    sweep(env, writing, DEVICE, 0, 256 * MIB, 4 * KIB)
}

fn fetch(env: &Env) -> Outcome {
    sweep(env, fetching, NORMAL, 0, 8 * GIB, 2 * MIB)?;
    sweep(env, fetching, NORMAL, 8 * GIB, 1024 * GIB, GIB)
}

/// Where widths of addresses change: what is cut off somewhere comes out as an address that is ours.
fn powers(env: &Env) -> Outcome {
    for touch in [reading as Touch, writing, fetching] {
        for bit in 12..physical_bits() {
            let power = 1 << bit;
            let last = power - 8;
            for at in [power, last] {
                sweep(env, touch, NORMAL, at, at + 4, 4)?;
            }
            // Own memory with one bit more.
            for &(base, size) in env.machine.memory.iter().filter(|(base, _)| base & power == 0) {
                sweep(env, touch, NORMAL, base | power, (base | power) + size, size.next_power_of_two() / 2)?;
            }
        }
    }
    Ok(())
}
