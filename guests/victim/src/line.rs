//! A device of the victim's with an interrupt that it raises itself, if the plan gives it one: the RTC of virt. Its line stays
//! up until the handler lowers it, as most devices' do.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use partita_guest::mmio::{read32, write32};
use partita_guest::{Machine, gic, machine};

// PL031 (DDI 0224, 3.3): the count of seconds, the match, its mask, its line, its clear.
const DR: u64 = 0x00;
const MR: u64 = 0x04;
const IMSC: u64 = 0x10;
const MIS: u64 = 0x18;
const ICR: u64 = 0x1c;

const NONE: u32 = u32::MAX;

static BASE: AtomicU64 = AtomicU64::new(0);
static INTERRUPT: AtomicU32 = AtomicU32::new(NONE);

/// Finds it, and has its interrupt come here.
pub fn start(machine: &Machine) {
    machine::each_region(&machine.tree, &mut |node, base, _| {
        if machine::is(node, "arm,pl031")
            && let Some(intid) = machine::interrupt(node, 0)
        {
            BASE.store(base, SeqCst);
            INTERRUPT.store(intid, SeqCst);
        }
    });
    if exists() {
        lower();
        gic::route(intid(), 0, machine.cores[0]);
        gic::enable(intid(), true);
    }
}

/// Whether there is one.
pub fn exists() -> bool {
    intid() != NONE
}

/// Its SPI.
pub fn intid() -> u32 {
    INTERRUPT.load(SeqCst)
}

/// Raises the line. With interrupts masked, or it may be lowered before it is looked at.
pub fn raise() {
    write32(BASE.load(SeqCst) + IMSC, 1);
    // The second may pass between the two.
    while !is_up() {
        write32(BASE.load(SeqCst) + MR, read32(BASE.load(SeqCst) + DR));
    }
}

/// Whether the line is up.
pub fn is_up() -> bool {
    read32(BASE.load(SeqCst) + MIS) != 0
}

/// Lowers it.
pub fn lower() {
    write32(BASE.load(SeqCst) + ICR, 1);
}
