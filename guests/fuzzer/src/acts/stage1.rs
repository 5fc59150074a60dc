//! Stage 1 at random: a gigabyte that nobody else uses is mapped somehow, looked at, and unmapped.

use core::arch::asm;

use aarch64_cpu::registers::{Readable, TTBR0_EL1};
use partita_guest::{cpu, mmio};

use crate::world::{FIXED, World};

/// Descriptor bits that say valid, and table (at level 1) rather than block (DDI 0487, D8.3).
const VALID: u64 = 1;
const TABLE: u64 = 3;
/// Never executed, at EL1 nor EL0.
const NEVER: u64 = 3 << 53;

/// Maps, looks and unmaps.
pub fn one(world: &mut World) {
    let index = FIXED + 16 * cpu::index() as u64 + world.random.below(16);
    let entry = (TTBR0_EL1.get() & 0xffff_ffff_f000) + 8 * index;
    let output = match world.random.below(3) {
        0 => world.scratch() & !0xfff,
        1 => world.machine.memory.first().map_or(0, |(base, _)| *base),
        _ => world.random.any() & 0xffff_ffff_f000,
    };
    let descriptor = match world.random.below(4) {
        // A table: the scratch page full of random descriptors, or what is no memory at all.
        0 | 1 => output | TABLE,
        2 => output & !0x3fff_ffff | world.random.any() & 0xffc | NEVER | VALID,
        _ => world.random.any() | NEVER,
    };
    let page = world.scratch() & !0xfff;
    for word in 0..8 {
        let random = world.random.any();
        let inner = if random & 7 == 0 { random } else { random & 0xffff_ffff_f7fc | NEVER | TABLE };
        mmio::write64(page + 8 * (world.random.below(512) & !7) + 8 * word, inner);
    }
    put(entry, descriptor);
    for _ in 0..4 {
        let at = index << 30 | world.random.any() & 0x3fff_fff8;
        // SAFETY: a load or a translation, whose result nobody uses. A load of a register may change a device of the
        // partition's own, which is the fuzzer's business.
        world.attempt(false, || unsafe {
            asm!("at s1e1r, {at}", "isb", "ldr {value}, [{at}]", at = in(reg) at, value = out(reg) _, options(nostack))
        });
    }
    put(entry, 0);
}

fn put(entry: u64, descriptor: u64) {
    mmio::write64(entry, descriptor);
    // SAFETY: makes the change to a gigabyte in which nothing of Rust's lies visible to both cores.
    unsafe { asm!("dsb ish", "tlbi vmalle1is", "dsb ish", "isb", options(nostack)) };
}
