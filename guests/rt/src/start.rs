//! Entry, first page table and stacks. The assembly does what cannot be done in Rust yet (no stack, no relocations, no
//! caches) and then calls `guest_primary` or `guest_secondary` here.

use core::arch::global_asm;
use core::cell::UnsafeCell;

use crate::cpu::MAX_CORES;
use crate::{Machine, cpu, machine, psci};

const STACK_SIZE: usize = 0x4000;

#[repr(C, align(4096))]
struct Stacks(UnsafeCell<[[u8; STACK_SIZE]; MAX_CORES]>);
// SAFETY: each core uses only its own stack, through SP.
unsafe impl Sync for Stacks {}
static STACKS: Stacks = Stacks(UnsafeCell::new([[0; STACK_SIZE]; MAX_CORES]));

/// Level 1 block, Normal write-back: valid, AF, inner shareable, MAIR index 1 (DDI 0487, D8.3).
const NORMAL: u64 = 0x705;
/// Level 1 block, Device-nGnRnE, never executable.
const DEVICE: u64 = 0x401 | 0x0060 << 48;
const UXN: u64 = 1 << 54;
const BLOCKS: usize = 512;

#[repr(C, align(4096))]
struct Table(UnsafeCell<[u64; BLOCKS]>);
// SAFETY: written by the boot core only, before the others are started.
unsafe impl Sync for Table {}

const fn all_device() -> [u64; BLOCKS] {
    let mut blocks = [0; BLOCKS];
    let mut block = 0;
    while block < BLOCKS {
        blocks[block] = (block as u64) << 30 | DEVICE;
        block += 1;
    }
    blocks
}

// Initialised, not zero, so that it is in the image: it is in use before bss is cleared.
#[unsafe(link_section = ".data.tables")]
static TABLE: Table = Table(UnsafeCell::new(all_device()));

global_asm!(
    include_str!("start.S"),
    max_cores = const MAX_CORES,
    stack_size = const STACK_SIZE,
    stacks = sym STACKS,
    table = sym TABLE,
    normal = const NORMAL,
);

unsafe extern "C" {
    fn guest_secondary_start();
    static _start: u8;
    static _end: u8;
    static _data_start: u8;
}

unsafe extern "Rust" {
    fn guest_main(machine: &'static Machine);
}

/// Where a secondary core (or a core that was suspended) has to be started; its argument is its number.
pub fn secondary_entry() -> u64 {
    guest_secondary_start as *const () as u64
}

/// First address and first address after this image with its bss and stacks.
pub fn image() -> (u64, u64) {
    (&raw const _start as u64, &raw const _end as u64)
}

/// The part of the image that nothing writes to once `main` runs: code and constants.
pub fn constant() -> (u64, u64) {
    (&raw const _start as u64, &raw const _data_start as u64)
}

/// Maps as Normal memory every gigabyte that has a part of `memory` (base, size), for tests that look at all of it.
pub fn map_memory(memory: &[(u64, u64)]) {
    for &(base, size) in memory {
        if size == 0 {
            continue;
        }
        let last = ((base + (size - 1)) >> 30) as usize;
        for block in (base >> 30) as usize..=last.min(BLOCKS - 1) {
            // SAFETY: only the boot core runs, and no reference into the table exists.
            let entry = unsafe { &mut (*TABLE.0.get())[block] };
            let normal = (block as u64) << 30 | NORMAL | UXN;
            if *entry != normal {
                // Break before make (DDI 0487, D8.17): the memory type changes.
                write(entry, 0);
                write(entry, normal);
            }
        }
    }
}

fn write(entry: &mut u64, value: u64) {
    // SAFETY: a plain store to the table; the barriers and the TLB invalidation do not touch memory.
    unsafe {
        core::ptr::write_volatile(entry, value);
        core::arch::asm!("dsb sy", "tlbi vmalle1is", "dsb sy", "isb", options(nostack));
    }
}

#[unsafe(no_mangle)]
extern "C" fn guest_primary(tree: usize) -> ! {
    let machine = machine::discover(tree);
    // SAFETY: the guest defines it by the `guest!` macro, with this signature.
    unsafe { guest_main(machine) };
    psci::system_off()
}

#[unsafe(no_mangle)]
extern "C" fn guest_secondary(core: usize) -> ! {
    cpu::run_secondary(core)
}
