//! Cache maintenance by address, for memory that is read with caches off: by a core that starts, or by a guest whose
//! MMU is still off (DDI 0487 D7.5).

use core::arch::asm;

use crate::sysreg::mrs;

/// Bytes of the smallest data cache line (CTR_EL0.DminLine).
fn line() -> usize {
    4 << ((mrs!("ctr_el0") >> 16) & 0xf)
}

/// Does something to each step from `at` on, while it begins before `end`: four at a time, as the loop itself would be most of it.
#[inline(always)]
fn each(mut at: usize, end: usize, step: usize, work: impl Fn(usize)) {
    while at + 3 * step < end {
        work(at);
        work(at + step);
        work(at + 2 * step);
        work(at + 3 * step);
        at += 4 * step;
    }
    while at < end {
        work(at);
        at += step;
    }
}

/// Does something to each line of a range, and waits until it is done.
#[inline(always)]
fn each_line(start: usize, size: usize, maintain: impl Fn(usize)) {
    let line = line();
    each(start & !(line - 1), start + size, line, maintain);
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Cleans and invalidates a range to the point of coherency.
pub fn flush(start: usize, size: usize) {
    // SAFETY: cleaning a mapped line writes back what is there already; the caller's range is mapped.
    each_line(start, size, |at| unsafe {
        asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags))
    });
}

/// Cleans a range to the point of coherency, and leaves it in the caches.
pub fn clean(start: usize, size: usize) {
    // SAFETY: as above; the line stays where it is.
    each_line(start, size, |at| unsafe {
        asm!("dc cvac, {}", in(reg) at, options(nostack, preserves_flags))
    });
}

/// Makes new instructions visible to every core (IC IALLUIS).
pub fn invalidate_instructions() {
    // SAFETY: instruction caches only lose what they can fetch again.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Fills a range with zeroes and flushes it.
pub fn clear(start: usize, size: usize) {
    zero(start, size);
    flush(start, size);
}

/// Fills a range with zeroes, by DC ZVA where it is permitted.
pub fn zero(start: usize, size: usize) {
    let dczid = mrs!("dczid_el0");
    let block = 4usize << (dczid & 0xf);
    if dczid & 0x10 != 0 || (start | size) & (block - 1) != 0 {
        // SAFETY: the caller's range is mapped writable and belongs to it.
        unsafe { core::ptr::write_bytes(start as *mut u8, 0, size) };
    } else {
        // SAFETY: as above; whole blocks of the range, as was checked.
        each(start, start + size, block, |at| unsafe {
            asm!("dc zva, {}", in(reg) at, options(nostack, preserves_flags));
        });
    }
}
