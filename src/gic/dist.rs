//! What both distributors have in common. It is shared by all cores, so each operation is a single write that concerns
//! its own interrupts alone (set and clear bits, bytes, IROUTER), or [`alone`].

use core::sync::atomic::{AtomicUsize, Ordering};

use spin::mutex::TicketMutex;

use super::{
    Frame, ICACTIVER, ICENABLER, ICFGR, ICPENDR, IPRIORITYR, ISENABLER, ISPENDR, KICK_PRIORITY, PRIORITY,
};

/// GICD_CTLR.
pub const CTLR: usize = 0x000;
/// GICD_TYPER.
pub const TYPER: usize = 0x004;

/// For what is everybody's. First come, first served: a core waits for those that came before it, once for each.
static ALONE: TicketMutex<()> = TicketMutex::new(());

static BASE: AtomicUsize = AtomicUsize::new(0);

/// Notes the distributor's mapped address.
pub fn set(base: usize) {
    BASE.store(base, Ordering::Relaxed);
}

/// The distributor's registers.
pub fn frame() -> Frame {
    Frame(BASE.load(Ordering::Relaxed))
}

/// Does something to the distributor that no two cores may do at a time: a change of a register that interrupts of
/// several owners share, or a write with the wait for it. Short, and never two inside one another.
pub fn alone<R>(work: impl FnOnce(Frame) -> R) -> R {
    let _turn = ALONE.lock();
    work(frame())
}

/// Whether nobody is at that now.
pub fn can_be_alone() -> bool {
    ALONE.try_lock().is_some()
}

/// Number of INTIDs below 1020 that it has (GICD_TYPER.ITLinesNumber).
pub fn lines() -> u32 {
    (((frame().read(TYPER) & 0x1f) + 1) * 32).min(super::SPECIAL)
}

/// Every SPI disabled, idle and with EL2's priority.
pub fn quieten() {
    let dist = frame();
    for word in 1..lines().div_ceil(32) as usize {
        dist.write(ICENABLER + 4 * word, !0);
        dist.write(ICPENDR + 4 * word, !0);
        dist.write(ICACTIVER + 4 * word, !0);
    }
    for word in 8..lines() as usize / 4 {
        dist.write(IPRIORITYR + 4 * word, u32::from_ne_bytes([PRIORITY; 4]));
    }
}

/// Makes one of EL2's own SPIs edge-triggered or level-sensitive, with the kick's priority, so that a core whose guest
/// does not run takes it too.
pub fn claim(intid: u32, edge: bool) {
    frame().write_byte(IPRIORITYR + intid as usize, KICK_PRIORITY);
    // Where the field is read-only it is what it must be.
    let _ = set_edge(frame(), intid, edge);
}

/// Enables one of EL2's own SPIs.
pub fn enable(intid: u32) {
    frame().write(ISENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
}

/// Disables one of EL2's own SPIs; it may still come once.
pub fn disable(intid: u32) {
    frame().write(ICENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
}

/// Makes one of EL2's own SPIs pending, as if its device had.
pub fn pend(intid: u32) {
    frame().write(ISPENDR + 4 * (intid as usize / 32), 1 << (intid % 32));
}

/// Makes an interrupt edge-triggered or level-sensitive, and tells what it now is: the field may be read-only. ICFGR has
/// 16 interrupts in a register, takes no bytes and has no set and clear forms (IHI 0069, 12.9.9; IHI 0048, 4.3.13). A
/// core's private ones have their own register, for which nobody waits.
pub fn set_edge(frame: Frame, intid: u32, edge: bool) -> bool {
    let (offset, bit) = (ICFGR + 4 * (intid as usize / 16), 2 << (2 * (intid % 16)));
    let change = |frame: Frame| {
        let old = frame.read(offset);
        frame.write(offset, if edge { old | bit } else { old & !bit });
        frame.read(offset) & bit != 0
    };
    if intid < 32 { change(frame) } else { alone(change) }
}
