//! Loads, stores, atomics and maintenance at emulated devices, around everything that the partition has, and anywhere
//! else.

use core::arch::{asm, global_asm};

use partita_guest::{console, gic};

use crate::world::{FIXED, World, emulated};

global_asm!(include_str!("forms.S"));

unsafe extern "C" {
    static fuzzer_forms: [u32; 2];
    static fuzzer_forms_end: [u32; 2];
}

/// The forms that are loads or stores of one register, whose syndrome is whole: the first ones of forms.S.
const PLAIN: u64 = 14;
/// The last forms, which are maintenance and translation: no exit, or a set of them, but nothing to be emulated.
const MAINTENANCE: u64 = 9;

/// Registers of a distributor (and of a redistributor's second frame) that do something (IHI 0069, 12.8).
const REGISTERS: [u64; 16] =
    [0, 4, 8, 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x800, 0xc00, 0xd00, 0xf00, 0x6000];

/// One access.
pub fn one(world: &mut World) {
    let devices = emulated(world.machine);
    let (at, device) = address(world, &devices);
    // Accesses across the end of what is the partition's own may hit memory that the fuzzer needs.
    let at = if world.is_memory(at) { world.scratch() } else { at };
    let all = (&raw const fuzzer_forms_end as u64 - &raw const fuzzer_forms as u64) / 8;
    let form = if world.random.once_in(3) { world.random.below(all) } else { world.random.below(PLAIN) };
    let writes_text = device && (console::base()..console::base() + 4).contains(&at);
    if writes_text && !world.random.once_in(16) {
        return;
    }
    let value = world.random.value();
    let emulated = device && form < all - MAINTENANCE;
    world.attempt(emulated, || call(&raw const fuzzer_forms as u64 + 8 * form, at, value));
    if world.random.once_in(64) {
        execute(world);
    }
}

/// An address, and whether EL2 emulates what is there.
fn address(world: &mut World, devices: &[(u64, u64); 3]) -> (u64, bool) {
    let random = &mut world.random;
    match random.below(16) {
        0..=9 => {
            let (base, size) = random.pick(devices);
            if size == 0 {
                return (gic::gicd(), true);
            }
            let offset = if random.once_in(3) {
                random.below(size)
            } else {
                let frame = random.below(size.div_ceil(0x1_0000)) * 0x1_0000;
                frame + random.pick(&REGISTERS) + 4 * random.below(32)
            };
            // Mostly aligned, as devices are.
            let lanes = if random.once_in(8) { 0 } else { 7 };
            let offset = (offset % size) & !lanes;
            (base + offset, true)
        }
        10..=12 => {
            let ranges = world.ranges().len() as u64;
            let which = world.random.below(ranges) as usize;
            let (base, size) = world.ranges()[which];
            let edge = if world.random.once_in(2) { base } else { base.saturating_add(size) };
            (edge.wrapping_add(world.random.below(64)).wrapping_sub(32), false)
        }
        // Anywhere below what other acts map otherwise, densely where devices are and sparsely above.
        13 | 14 => (random.any() >> random.pick(&[26, 28, 30, 32]) & ((FIXED << 30) - 1) & !7, false),
        _ => (world.scratch(), false),
    }
}

/// Fetches an instruction from where there is nothing: above the partition's memory, in the gigabyte that is executable.
fn execute(world: &mut World) {
    let (image, _) = partita_guest::start::image();
    let gigabyte = image >> 30 << 30;
    let at = gigabyte + (world.random.below(1 << 30) & !3);
    let ranges = world.ranges().iter();
    let mut mapped = ranges.map(|&(base, size)| base.saturating_sub(0x1_0000)..base.saturating_add(size));
    if !mapped.any(|range| range.contains(&at)) {
        world.attempt(false, || call(at, 0, 0));
    }
}

/// Calls code at `code` with these in x0 and x1.
pub fn call(code: u64, x0: u64, x1: u64) {
    // SAFETY: the code is one instruction and a return (or nothing at all, which is an exception that returns here); what it
    // changes is what a C function may, and memory that no Rust object lies in.
    unsafe {
        asm!("blr {code}", code = in(reg) code, inlateout("x0") x0 => _, inlateout("x1") x1 => _, clobber_abi("C"));
    }
}
