//! Stage-1 tables of the attacker's own: the run time's identity map stays where it is, and above it there is a window onto any
//! guest-physical address, 512 GiB at a time, and a page whose table descriptors the rows write themselves.

use core::cell::UnsafeCell;

use partita_guest::mmio::{read64, write64};
use partita_guest::start;

use crate::mrs;

/// Where the window begins: entry 256 of the level 0 table.
const WINDOW: u64 = 256 << 39;
/// Where the chain of tables for single pages begins: entry 257.
const CHAIN: u64 = 257 << 39;

const GIB: u64 = 1 << 30;

/// A gigabyte below 4 GiB in which this partition has nothing: the second or the third, of which its memory has one.
fn unused() -> u64 {
    if start::image().0 / GIB == 2 { 1 } else { 2 }
}
/// Descriptor of a table (DDI 0487, D8.3.1).
pub const TABLE: u64 = 3;
/// Level 1 block, MAIR index 0 (Device-nGnRnE), AF, never executable.
pub const DEVICE: u64 = 0x401 | 0x0060 << 48;
/// Level 1 block, MAIR index 1 (Normal write-back), AF, inner shareable.
pub const NORMAL: u64 = 0x705;
/// The same as a page at level 3.
pub const PAGE: u64 = NORMAL | 2;

#[repr(C, align(4096))]
struct Tables(UnsafeCell<[[u64; 512]; 5]>);
// SAFETY: only the boot core's rows use them, one at a time.
unsafe impl Sync for Tables {}
static TABLES: Tables = Tables(UnsafeCell::new([[0; 512]; 5]));

/// 48 bits of virtual address, and output addresses as wide as the core has. Gives the old map back when it goes.
pub struct Space {
    root: u64,
    tcr: u64,
    /// What the run time's map has where [`Space::low`] puts a page.
    low: u64,
}

/// Address of a table; 0 is the root, 1 the window's, 2 to 4 the chain's of levels 1 to 3.
fn table(index: usize) -> u64 {
    TABLES.0.get() as u64 + index as u64 * 0x1000
}

fn set(index: usize, entry: usize, value: u64) {
    // SAFETY: the tables are ours, and nobody holds a reference into them.
    unsafe { (&raw mut (*TABLES.0.get())[index][entry]).write_volatile(value) }
}

/// Makes what was written to tables count: nothing of before is left in the TLB.
fn flush() {
    // SAFETY: barriers and TLB maintenance change no memory.
    unsafe { core::arch::asm!("dsb sy", "tlbi vmalle1", "dsb sy", "isb", options(nostack)) }
}

/// Changes tables and their shape at once: neither fits the other, so stage 1 is off in between, where the identity map leaves
/// code where it is.
fn switch(root: u64, tcr: u64) {
    // SAFETY: no memory is touched while stage 1 is off, and both maps have this code and the stack at the same place.
    unsafe {
        core::arch::asm!(
            "dsb sy", "mrs {on}, sctlr_el1", "bic {off}, {on}, #1", "msr sctlr_el1, {off}", "isb",
            "msr ttbr0_el1, {root}", "msr tcr_el1, {tcr}", "isb", "tlbi vmalle1", "dsb sy", "isb",
            "msr sctlr_el1, {on}", "isb",
            on = out(reg) _, off = out(reg) _, root = in(reg) root, tcr = in(reg) tcr, options(nostack)
        )
    }
}

/// The width of physical addresses by ID_AA64MMFR0_EL1.PARange (DDI 0487, D24.2.83), 48 bits at most.
pub fn physical_bits() -> u32 {
    [32, 36, 40, 42, 44, 48][(mrs!("id_aa64mmfr0_el1") & 0xf).min(5) as usize]
}

impl Space {
    /// Switches to the attacker's own map.
    pub fn new() -> Space {
        let root = mrs!("ttbr0_el1");
        let space = Space { root, tcr: mrs!("tcr_el1"), low: read64(root + 8 * unused()) };
        for entry in 0..512 {
            (0..5).for_each(|index| set(index, entry, 0));
        }
        set(0, 0, space.root | TABLE);
        set(0, 256, table(1) | TABLE);
        set(0, 257, table(2) | TABLE);
        set(2, 0, table(3) | TABLE);
        set(3, 0, table(4) | TABLE);
        let range = (mrs!("id_aa64mmfr0_el1") & 0xf).min(5);
        // T0SZ 16: 48 bits, so walks begin at level 0; IPS (bits 34..32) as the core has it.
        switch(table(0), space.tcr & !0x3f & !(7 << 32) | 16 | range << 32);
        space
    }

    /// Lets the window show the 512 GiB of guest-physical addresses that begin at `base`.
    pub fn show(&self, base: u64, attributes: u64) {
        for entry in 0..512 {
            set(1, entry, (base + entry as u64 * GIB) | attributes);
        }
        flush();
    }

    /// Where the window shows `offset` of its 512 GiB.
    pub fn at(&self, offset: u64) -> u64 {
        WINDOW + offset
    }

    /// Maps the one page at `page`, by four levels of tables, and says where.
    pub fn page(&self, page: u64) -> u64 {
        set(2, 0, table(3) | TABLE);
        set(3, 0, table(4) | TABLE);
        // AP[1] (bit 6): EL0 may, which unprivileged accesses ask for.
        set(4, 0, page & !0xfff | PAGE | 1 << 6);
        flush();
        CHAIN
    }

    /// Maps a page below 4 GiB, where AArch32 reaches it, in place of a gigabyte in which there is nothing: a
    /// descriptor of level 3, and where it is to be found.
    pub fn low(&self, value: u64) -> u64 {
        set(3, 0, table(4) | TABLE);
        set(4, 0, value);
        write64(self.root + 8 * unused(), table(3) | TABLE);
        flush();
        unused() * GIB
    }

    /// Puts a descriptor of the row's choice into the chain at `level` (0 to 3), and says which address it translates.
    pub fn descriptor(&self, level: usize, value: u64) -> u64 {
        set(0, 257, table(2) | TABLE);
        set(2, 0, table(3) | TABLE);
        set(3, 0, table(4) | TABLE);
        match level {
            0 => set(0, 257, value),
            level => set(level + 1, 0, value),
        }
        flush();
        CHAIN
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        write64(self.root + 8 * unused(), self.low);
        switch(self.root, self.tcr);
    }
}
