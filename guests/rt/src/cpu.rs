//! The cores of the guest: which one this is, masking, waiting, and starting the others.

use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};

use aarch64_cpu::registers::{DAIF, MPIDR_EL1, Readable, TPIDR_EL1};

use crate::{psci, start};

/// Most cores that a guest can use.
pub const MAX_CORES: usize = 8;
/// Affinity fields of MPIDR_EL1 (DDI 0487, D24.2.115); bit 31 is RES1 and bits 30 and 24 are not an address.
pub const AFFINITY: u64 = 0xff_00ff_ffff;

/// Function that each secondary core runs, as a number; 0 means power off.
static WORK: [AtomicUsize; MAX_CORES] = [const { AtomicUsize::new(0) }; MAX_CORES];

/// How often each core came through the secondary entry.
static STARTS: [AtomicUsize; MAX_CORES] = [const { AtomicUsize::new(0) }; MAX_CORES];

/// Number of this core: 0 is the one that booted, the others as they were started.
pub fn index() -> usize {
    TPIDR_EL1.get() as usize
}

/// Affinity of this core, as PSCI and the GIC name it.
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & AFFINITY
}

/// Masks IRQ and FIQ.
pub fn mask_interrupts() {
    // SAFETY: only changes PSTATE.
    unsafe { asm!("msr daifset, #3", options(nostack)) }
}

/// Unmasks IRQ.
pub fn unmask_interrupts() {
    // SAFETY: only changes PSTATE; the vectors are in place since the entry.
    unsafe { asm!("msr daifclr, #2", options(nostack)) }
}

/// Runs `work` with interrupts masked and restores the mask.
pub fn with_interrupts_masked<T>(work: impl FnOnce() -> T) -> T {
    let masked = DAIF.is_set(DAIF::I);
    mask_interrupts();
    let value = work();
    if !masked {
        unmask_interrupts();
    }
    value
}

/// Waits for an interrupt, masked or not.
pub fn wait() {
    // SAFETY: suspends this core until an interrupt is pending; DSB first so that stores before it are seen.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) }
}

/// Gives way to another thread of the core, and where a machine's cores take turns (QEMU with one thread) to them.
pub fn give_way() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// A hint that means nothing to the core (HINT #127, DDI 0487, C6.2): a plugin that watches from outside notes all cores'
/// instruction counts at it.
#[inline(always)]
pub fn mark() {
    // SAFETY: does nothing.
    unsafe { asm!("hint #0x7f", options(nomem, nostack, preserves_flags)) }
}

/// Starts the core with `affinity` as number `core` and lets it run `work`; it powers itself off when `work` returns.
pub fn start(core: usize, affinity: u64, work: fn()) -> i64 {
    WORK[core].store(work as usize, Ordering::Release);
    psci::cpu_on(affinity, start::secondary_entry(), core as u64)
}

/// How often core `core` has come through the secondary entry.
pub fn starts(core: usize) -> usize {
    STARTS[core].load(Ordering::Acquire)
}

/// What core `core` will do when it comes (back) through the secondary entry.
pub fn set_work(core: usize, work: fn()) {
    WORK[core].store(work as usize, Ordering::Release);
}

pub(crate) fn run_secondary(core: usize) -> ! {
    let work = WORK[core].load(Ordering::Acquire);
    STARTS[core].fetch_add(1, Ordering::AcqRel);
    if work != 0 {
        // SAFETY: only `start` and `set_work` store here, and they store a `fn()`.
        let work: fn() = unsafe { core::mem::transmute(work) };
        work();
    }
    mask_interrupts();
    psci::cpu_off();
    loop {
        wait();
    }
}
