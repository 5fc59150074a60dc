//! The first words: EL2 maps the firmware's tree and the UART through boot.S's tables, before it has tables of its
//! own, so that it can say what is wrong even where it was entered at the wrong exception level.

use core::arch::asm;

use partita_model::addr::Pa;

use crate::layout::{self, BLOCK};

/// First level-2 entry of boot.S's tables that the image does not use.
const FIRST: usize = 8;

/// Maps the 2 MiB block around a physical address, and the one after it if `reach` bytes end there, in slot 0 or 1, and
/// returns the address that it has there. Boot.S's tables are in use; the entries were invalid, so no stale translation exists.
pub fn map(slot: usize, pa: Pa, reach: usize, device: bool, level: u64, e2h: bool) -> usize {
    // Level-2 table of the linked range (boot.S): the third page.
    let table = (layout::boot_tables() + 2 * layout::PAGE) as *mut u64;
    let two_ranges = level == 1 || e2h;
    let rights = if two_ranges { 3 << 53 } else { 1 << 54 | 1 << 6 };
    let kind = if device { 0 } else { 1 << 2 | 3 << 8 | 1 << 7 };
    let base = pa.0 & !(BLOCK as u64 - 1);
    // What is read begins in the first block; it may end in the next one, which is mapped only then.
    let blocks = if pa.0 - base + reach as u64 > BLOCK as u64 { 2 } else { 1 };
    for half in 0..blocks {
        let index = FIRST + 2 * slot + half;
        let descriptor = (base + (half * BLOCK) as u64) | rights | kind | 1 << 10 | 1;
        // SAFETY: the page belongs to boot.S's tables, which only this core uses now; the entry maps nothing yet.
        unsafe { table.add(index).write_volatile(descriptor) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    layout::IMAGE + (FIRST + 2 * slot) * BLOCK + (pa.0 - base) as usize
}
