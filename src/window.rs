//! The window: where a core opens a piece of a partition's memory for one operation, the only time that EL2 maps any.
//!
//! Its two places in the core's own tables are made at boot, so opening allocates nothing, looks nothing up and cannot
//! fail: a window is a few descriptors written and taken back.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_model::addr::{Pa, PaSpan};

use crate::cache;
use crate::layout::{BLOCK, PAGE, WINDOW_BLOCK, WINDOW_PAGES};

/// Pages that are open at a time; the last of the table's 512 stays closed, so that nothing runs out of the window.
const MOST: usize = 511;

/// Valid, AF, inner shareable, AP[1] RES1 at EL2, attribute 1 (boot.S: normal write-back), never executed; read and
/// written (DDI 0487, D8.3.2 and D8.4).
const OPEN: u64 = 1 << 54 | 1 << 10 | 3 << 8 | 1 << 6 | 1 << 2 | 1;
/// At level 3: a page.
const IS_PAGE: u64 = 1 << 1;

/// One core's window.
#[derive(Debug)]
pub struct Window {
    /// The level-2 descriptor of [`WINDOW_BLOCK`].
    block: &'static AtomicU64,
    /// The level-3 descriptors of [`WINDOW_PAGES`].
    pages: &'static [AtomicU64],
}

/// What is open at a time.
#[derive(Clone, Copy)]
struct Piece {
    pa: u64,
    size: u64,
    block: bool,
}

impl Piece {
    /// The first piece of what is left. Blocks where there are whole ones, else pages up to the next block.
    fn first(pa: u64, left: u64) -> Self {
        let into_block = pa & (BLOCK as u64 - 1);
        if into_block == 0 && left >= BLOCK as u64 {
            return Self { pa, size: BLOCK as u64, block: true };
        }
        let into_page = pa & (PAGE as u64 - 1);
        let most = (BLOCK as u64 - into_block).min((MOST * PAGE) as u64 - into_page);
        Self { pa, size: left.min(most), block: false }
    }
}

impl Window {
    /// From its places in the tables of the core that will use it, and that no other core uses.
    pub fn new(block: &'static AtomicU64, pages: &'static [AtomicU64]) -> Self {
        Self { block, pages }
    }

    /// Opens memory piece by piece, writable, and runs `work` on each with its offset. Each is cleaned to the point of
    /// coherency before it is closed: the guest may read it with its caches off.
    pub fn each(&mut self, span: PaSpan, mut work: impl FnMut(&mut [u8], u64)) {
        let mut done = 0;
        while done < span.size {
            let piece = Piece::first(span.base.0 + done, span.size - done);
            let start = self.open(piece);
            // SAFETY: mapped just now, for this core alone, and nothing else in EL2 refers to this memory.
            let bytes = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, piece.size as usize) };
            work(bytes, done);
            cache::flush(start, piece.size as usize);
            self.close(piece);
            done += piece.size;
        }
    }

    /// Copies bytes to physical memory.
    pub fn copy(&mut self, from: &[u8], to: Pa) {
        self.each(PaSpan { base: to, size: from.len() as u64 }, |bytes, done| {
            if let Some(from) = from.get(done as usize..).and_then(|rest| rest.get(..bytes.len())) {
                bytes.copy_from_slice(from);
            }
        });
    }

    /// Opens a table, for reading: descriptors that EL2 itself maps nowhere.
    pub fn table<R>(&mut self, table: Pa, work: impl FnOnce(&[AtomicU64]) -> R) -> R {
        let piece = Piece { pa: table.0 & !(PAGE as u64 - 1), size: PAGE as u64, block: false };
        let start = self.open(piece);
        // SAFETY: mapped just now. Who else refers to it are the walkers, which read it.
        let result = work(unsafe { core::slice::from_raw_parts(start as *const AtomicU64, PAGE / 8) });
        self.close(piece);
        result
    }

    /// The descriptors of a piece, with the offset of what each maps.
    fn descriptors(&self, piece: Piece) -> impl Iterator<Item = (&AtomicU64, usize, usize)> {
        let into_page = piece.pa as usize & (PAGE - 1);
        let count = (into_page + piece.size as usize).div_ceil(PAGE);
        let (block, pages) = if piece.block { (Some(self.block), 0) } else { (None, count) };
        let block = block.map(|descriptor| (descriptor, WINDOW_BLOCK, 0));
        let pages = self.pages.iter().take(pages).enumerate();
        block.into_iter().chain(pages.map(|(index, page)| (page, WINDOW_PAGES + index * PAGE, index * PAGE)))
    }

    /// Closes whatever is open: what was being done there is over.
    pub fn shut(&mut self) {
        self.block.store(0, Ordering::Relaxed);
        self.pages.iter().for_each(|page| page.store(0, Ordering::Relaxed));
        // SAFETY: this core's translations at EL2 go; they are made anew from its tables (DDI 0487, D8.17).
        unsafe {
            asm!("dsb nshst", "tlbi alle2", "dsb nsh", "isb", options(nostack, preserves_flags));
        }
    }

    fn open(&mut self, piece: Piece) -> usize {
        let base = piece.pa & !(PAGE as u64 - 1);
        let kind = if piece.block { OPEN } else { OPEN | IS_PAGE };
        for (descriptor, _, offset) in self.descriptors(piece) {
            descriptor.store((base + offset as u64) | kind, Ordering::Relaxed);
        }
        // SAFETY: barriers: the walker sees the descriptors before the first access. They were invalid, so no stale
        // translation exists (DDI 0487, D8.16).
        unsafe { asm!("dsb nshst", "isb", options(nostack, preserves_flags)) };
        let offset = piece.pa as usize & (PAGE - 1);
        if piece.block { WINDOW_BLOCK } else { WINDOW_PAGES + offset }
    }

    fn close(&mut self, piece: Piece) {
        self.descriptors(piece).for_each(|(descriptor, ..)| descriptor.store(0, Ordering::Relaxed));
        // SAFETY: this core's translations of the window are dropped after the descriptors are gone; nobody uses them.
        unsafe {
            asm!("dsb nshst", options(nostack, preserves_flags));
            for (_, va, _) in self.descriptors(piece) {
                asm!("tlbi vae2, {}", in(reg) va >> 12, options(nostack, preserves_flags));
            }
            asm!("dsb nsh", "isb", options(nostack, preserves_flags));
        }
    }
}
