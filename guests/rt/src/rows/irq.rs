//! Interrupts as rows need them: counted on each core in the order they came, or taken by hand with interrupts masked.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::cpu::MAX_CORES;
use crate::gic::{Version, frame};
use crate::machine::{self, Machine};
use crate::mmio::{read32, write8, write32};
use crate::rows::{Env, cores};
use crate::{cpu, gic, timer};

// Offsets that both distributors and the SGI frame share (IHI 0069, 12.9 and 12.11; IHI 0048, 4.1.2).
/// IGROUPR.
pub const GROUP: u64 = 0x80;
/// ISENABLER.
pub const SET_ENABLE: u64 = 0x100;
/// ICENABLER.
pub const CLEAR_ENABLE: u64 = 0x180;
/// ISPENDR.
pub const SET_PENDING: u64 = 0x200;
/// ICPENDR.
pub const CLEAR_PENDING: u64 = 0x280;
/// ISACTIVER.
pub const SET_ACTIVE: u64 = 0x300;
/// ICACTIVER.
pub const CLEAR_ACTIVE: u64 = 0x380;
/// IPRIORITYR.
pub const PRIORITY: u64 = 0x400;
/// ICFGR.
pub const CONFIG: u64 = 0xc00;
/// GICv3's IROUTER.
pub const ROUTE: u64 = 0x6000;
/// GICv2's ITARGETSR.
pub const TARGETS: u64 = 0x800;
/// GICv2's CPENDSGIR.
pub const CLEAR_SGI: u64 = 0xf10;
/// GICv2's SPENDSGIR.
pub const SET_SGI: u64 = 0xf20;

pub use crate::gic::{NORMAL, gicd};

const KEPT: usize = 64;

struct Log {
    counts: [AtomicU32; 1024],
    /// A GICv2's SGIs by number and source.
    sources: [[AtomicU32; 8]; 16],
    order: [AtomicU32; KEPT],
    len: AtomicUsize,
}

static LOGS: [Log; MAX_CORES] = [const {
    Log {
        counts: [const { AtomicU32::new(0) }; 1024],
        sources: [const { [const { AtomicU32::new(0) }; 8] }; 16],
        order: [const { AtomicU32::new(0) }; KEPT],
        len: AtomicUsize::new(0),
    }
}; MAX_CORES];

static TIMERS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
static HOOK: AtomicUsize = AtomicUsize::new(0);

/// Remembers which interrupts are the timers'.
pub fn init(machine: &Machine) {
    TIMERS[0].store(machine.virtual_timer, Ordering::SeqCst);
    TIMERS[1].store(machine.physical_timer, Ordering::SeqCst);
}

/// Writes an interrupt's bit of a set or clear register.
pub fn set_bit(register: u64, intid: u32) {
    write32(frame(intid) + register + u64::from(intid / 32) * 4, 1 << (intid % 32));
}

/// Reads an interrupt's bit.
pub fn bit(register: u64, intid: u32) -> bool {
    read32(frame(intid) + register + u64::from(intid / 32) * 4) >> (intid % 32) & 1 != 0
}

/// Sets an interrupt's priority.
pub fn set_priority(intid: u32, priority: u8) {
    write8(frame(intid) + PRIORITY + u64::from(intid), priority);
}

/// Enables an interrupt.
pub fn enable(intid: u32) {
    set_bit(SET_ENABLE, intid);
}

/// Takes back an interrupt's pending state: of a GICv2's SGI that of every source, as ICPENDR has none.
pub fn clear_pending(intid: u32) {
    if intid < 16 && gic::version() == Version::V2 {
        write8(gicd() + CLEAR_SGI + u64::from(intid), 0xff);
    } else {
        set_bit(CLEAR_PENDING, intid);
    }
}

/// Disables an interrupt and waits until that holds (RWP; a GICv2 has none, and needs no wait).
pub fn disable(intid: u32) {
    set_bit(CLEAR_ENABLE, intid);
    if gic::version() == Version::V2 {
        return;
    }
    let (register, bit) = if intid < 32 { (redistributor(cpu::index()), 3) } else { (gicd(), 31) };
    while read32(register) >> bit & 1 != 0 {
        core::hint::spin_loop();
    }
}

/// A GICv3's redistributor of a core.
pub fn redistributor(core: usize) -> u64 {
    gic::private_frame(core) - 0x1_0000
}

/// Back to the state in which every row starts: this core's interrupts and the SPIs disabled, neither pending nor active,
/// priority `NORMAL`, nothing logged, timers stopped, all priorities let through.
pub fn quiet() {
    cpu::mask_interrupts();
    timer::stop_virtual();
    timer::stop_physical();
    HOOK.store(0, Ordering::SeqCst);
    gic::set_split(false);
    gic::set_binary_point(0);
    gic::set_mask(gic::ALL);
    quiet_private();
    let lines = u64::from(read32(gicd() + 4) & 0x1f);
    for word in 1..=lines {
        for register in [CLEAR_ENABLE, CLEAR_PENDING, CLEAR_ACTIVE] {
            write32(gicd() + register + word * 4, !0);
        }
    }
    while let Some(intid) = gic::acknowledge() {
        gic::end(intid);
    }
    // A row that failed may have left an interrupt without its EOI.
    gic::forget_active();
    for log in &LOGS {
        log.len.store(0, Ordering::SeqCst);
        for count in log.counts.iter().chain(log.sources.iter().flatten()) {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// This core's SGIs and PPIs: disabled (a GICv2's SGIs always are enabled), neither pending nor active, priority `NORMAL`.
fn quiet_private() {
    let private = frame(0);
    for register in [CLEAR_ENABLE, CLEAR_PENDING, CLEAR_ACTIVE] {
        write32(private + register, !0);
    }
    for word in 0..8 {
        write32(private + PRIORITY + word * 4, u32::from_ne_bytes([NORMAL; 4]));
    }
    for word in 0..if gic::version() == Version::V2 { 4 } else { 0 } {
        write32(private + CLEAR_SGI + word * 4, !0);
    }
}

/// Sets up a secondary core's interrupts: enabled are the SGIs, interrupts are unmasked.
pub fn quiet_secondary() {
    gic::init_secondary();
    quiet_private();
    write32(frame(0) + SET_ENABLE, 0xffff);
    cpu::unmask_interrupts();
}

/// Lets the handler call `hook` with each interrupt between acknowledge and end.
pub fn set_hook(hook: fn(u32)) {
    HOOK.store(hook as usize, Ordering::SeqCst);
}

/// The interrupt handler.
pub fn handle() {
    let Some(taken) = gic::acknowledge() else { return };
    let intid = taken.intid();
    note(intid);
    if let Some(sources) = LOGS[cpu::index()].sources.get(intid as usize) {
        sources[taken.source()].fetch_add(1, Ordering::SeqCst);
    }
    if intid == TIMERS[0].load(Ordering::Relaxed) {
        timer::stop_virtual();
    } else if intid == TIMERS[1].load(Ordering::Relaxed) {
        timer::stop_physical();
    }
    let hook = HOOK.load(Ordering::SeqCst);
    if hook != 0 {
        // SAFETY: only `set_hook` stores here, and it stores a `fn(u32)`.
        let hook: fn(u32) = unsafe { core::mem::transmute(hook) };
        hook(intid);
    }
    gic::end(taken);
}

/// Notes a number in this core's log; rows use numbers from 1000 on for their own events.
pub fn note(intid: u32) {
    let log = &LOGS[cpu::index()];
    log.counts[intid as usize & 1023].fetch_add(1, Ordering::SeqCst);
    let at = log.len.fetch_add(1, Ordering::SeqCst);
    if let Some(slot) = log.order.get(at) {
        slot.store(intid, Ordering::SeqCst);
    }
}

/// How often an interrupt came to a core.
pub fn count(core: usize, intid: u32) -> u32 {
    LOGS[core].counts[intid as usize & 1023].load(Ordering::SeqCst)
}

/// How often an SGI came to a core from one CPU interface; a GICv3 does not tell, and counts as interface 0.
pub fn count_from(core: usize, sgi: u32, source: usize) -> u32 {
    LOGS[core].sources[sgi as usize & 15][source].load(Ordering::SeqCst)
}

/// How many interrupts came to a core.
pub fn total(core: usize) -> usize {
    LOGS[core].len.load(Ordering::SeqCst)
}

/// What came to a core, in order.
pub fn order(core: usize) -> impl Iterator<Item = u32> {
    let log = &LOGS[core];
    log.order.iter().take(log.len.load(Ordering::SeqCst)).map(|slot| slot.load(Ordering::SeqCst))
}

/// Whether `condition` holds within some milliseconds (of the virtual count).
pub fn within(milliseconds: u64, condition: impl Fn() -> bool) -> bool {
    let (start, limit) = (timer::now(), timer::frequency() / 1000 * milliseconds);
    loop {
        if condition() {
            return true;
        }
        if timer::now() - start > limit || cores::given_up() {
            return false;
        }
        core::hint::spin_loop();
    }
}

/// Spins for some milliseconds: long enough for an interrupt that should not come to come.
pub fn settle(milliseconds: u64) {
    timer::spin(timer::frequency() / 1000 * milliseconds);
}

/// To be called where a list register's end of an interrupt leaves it pending: QEMU's GICv2 looks at its lines again only when
/// something else happens at the distributor. (`gic_complete_irq` and `gic_deactivate_irq` bring up to date the virtual side
/// alone.)
pub fn look_again(env: &Env) {
    if gic::version() == Version::V2 && !env.native {
        let other = env.machine.physical_timer;
        set_bit(SET_ENABLE, other);
        set_bit(CLEAR_ENABLE, other);
    }
}

/// Takes the most urgent interrupt by hand, with interrupts masked; waits up to ten seconds for it. (A GICv2's SGI counts as
/// this core's own.)
pub fn take() -> Option<u32> {
    let (start, limit) = (timer::now(), 10 * timer::frequency());
    loop {
        if let Some(taken) = gic::acknowledge() {
            return Some(taken.intid());
        }
        if timer::now() - start > limit {
            return None;
        }
    }
}

/// Whether nothing can be taken by hand, for a few milliseconds.
pub fn nothing_to_take() -> bool {
    let (start, limit) = (timer::now(), timer::frequency() / 1000 * 5);
    while timer::now() - start < limit {
        if let Some(intid) = gic::acknowledge() {
            gic::end(intid);
            return false;
        }
    }
    true
}

/// Devices that raise nothing by themselves: RTC, pins, a timer that nobody set.
const QUIET: [&str; 4] = ["arm,pl031", "brcm,bcm2835-system-timer", "arm,pl061", "brcm,bcm2711-gpio"];

/// An SPI that is ours and quiet, if the tree has one.
pub fn own_spi(machine: &Machine) -> Option<u32> {
    let device = machine.tree.find_compatible(&QUIET)?;
    machine::interrupt(&device, 0)
}

/// Whether the tree names an SPI in some node's `interrupts`.
pub fn is_ours(machine: &Machine, spi: u32) -> bool {
    machine.tree.all_nodes().any(|node| (0..8).any(|index| machine::interrupt(&node, index) == Some(spi)))
}
