//! What a core knows of its partition, what it has counted, and how it gets quiet again.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use partita_guest::exception::{Fault, catch};
use partita_guest::gic::Version;
use partita_guest::{Machine, console, cpu, gic, mmio, timer};

use crate::random::Random;

/// Memory that any access may hit: 4 KiB a core, with a page around it for what reaches across its ends.
#[repr(C, align(4096))]
struct Scratch(UnsafeCell<[[u8; 0x3000]; cpu::MAX_CORES]>);
// SAFETY: only random accesses by assembly touch it; nobody reads a meaning out of it.
unsafe impl Sync for Scratch {}
static SCRATCH: Scratch = Scratch(UnsafeCell::new([[0; 0x3000]; cpu::MAX_CORES]));

/// PL011's interrupt mask (DDI 0183, 3.3.10).
const IMSC: u64 = 0x38;
// Registers of private interrupts, which both architectures have (IHI 0069, 12.11; IHI 0048, 4.1.2).
const IGROUPR: u64 = 0x80;
const ICENABLER: u64 = 0x180;
const ICPENDR: u64 = 0x280;
const ICACTIVER: u64 = 0x380;
const IPRIORITYR: u64 = 0x400;
/// Gigabytes below this one are mapped by the run time's table and never changed ([`crate::acts`] changes others).
pub const FIXED: u64 = 256;
/// Most ranges of the tree that are kept.
const MOST: usize = 24;

/// The core that asked the others to stand still, from 1 on; 0: none.
static STILL: AtomicUsize = AtomicUsize::new(0);
/// How many stand still.
static STANDING: AtomicUsize = AtomicUsize::new(0);

static INTERRUPTS: AtomicU64 = AtomicU64::new(0);

/// How many interrupts all cores took.
pub fn interrupts() -> u64 {
    INTERRUPTS.load(Ordering::Relaxed)
}

/// One core's view and counts.
pub struct World {
    pub machine: &'static Machine,
    pub random: Random,
    /// Exits that EL2 must have seen.
    pub traps: u64,
    /// Exceptions of its own that it survived.
    pub faults: u64,
    /// Registers and memory that the tree names: first address and size.
    ranges: [(u64, u64); MOST],
    len: usize,
}

impl World {
    pub fn new(machine: &'static Machine, random: Random) -> World {
        let mut world = World { machine, random, traps: 0, faults: 0, ranges: [(0, 0); MOST], len: 0 };
        machine.memory.iter().for_each(|&(base, size)| world.add(base, size));
        for node in machine.tree.all_nodes().filter(|node| node.name.contains('@')) {
            // The numbers of cores are no addresses.
            if node.property("device_type").is_none() {
                let regions = node.reg().into_iter().flatten();
                regions.for_each(|region| {
                    world.add(region.starting_address as u64, region.size.unwrap_or(0) as u64)
                });
            }
        }
        world
    }

    fn add(&mut self, base: u64, size: u64) {
        if size > 0 && self.len < MOST {
            self.ranges[self.len] = (base, size);
            self.len += 1;
        }
    }

    /// The ranges of the tree.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges[..self.len]
    }

    /// Whether an access of at most 64 bytes there could reach this partition's memory.
    pub fn is_memory(&self, at: u64) -> bool {
        let near =
            |&(base, size): &(u64, u64)| at.saturating_add(64) > base && at < base.saturating_add(size);
        self.machine.memory.iter().any(near)
    }

    /// Somewhere in this core's own scratch memory.
    pub fn scratch(&mut self) -> u64 {
        let all = SCRATCH.0.get() as u64;
        all + 0x3000 * cpu::index() as u64 + 0x1000 + self.random.below(0x1000)
    }

    /// Does something, and counts how it ended. `traps`: without a fault EL2 saw it.
    pub fn attempt(&mut self, traps: bool, work: impl FnOnce()) -> Option<Fault> {
        let ((), fault) = catch(work);
        match fault {
            Some(fault) => {
                self.faults += 1;
                self.traps += u64::from(fault.is_external_abort());
            }
            None => self.traps += u64::from(traps),
        }
        fault
    }

    /// Takes what has become pending.
    pub fn take_interrupts(&mut self) {
        cpu::unmask_interrupts();
        timer::spin(1);
        cpu::mask_interrupts();
    }

    /// Brings interrupts back to where one can be waited for.
    pub fn calm(&mut self) {
        calm();
        self.traps += 1;
    }
}

/// Does something during which no other core may change the registers that both reach; not at all if another asked first.
pub fn alone(cores: usize, work: impl FnOnce()) {
    if STILL.compare_exchange(0, cpu::index() + 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return;
    }
    while STANDING.load(Ordering::SeqCst) < cores - 1 {
        core::hint::spin_loop();
    }
    work();
    STILL.store(0, Ordering::SeqCst);
    while STANDING.load(Ordering::SeqCst) > 0 {
        core::hint::spin_loop();
    }
}

/// Stands still while another core asks for it. To be called between acts, and by whoever has none left.
pub fn stand_still() {
    let asked = || ![0, cpu::index() + 1].contains(&STILL.load(Ordering::SeqCst));
    if asked() {
        STANDING.fetch_add(1, Ordering::SeqCst);
        while asked() {
            core::hint::spin_loop();
        }
        STANDING.fetch_sub(1, Ordering::SeqCst);
    }
}

fn calm() {
    timer::stop_virtual();
    timer::stop_physical();
    if console::base() != 0 {
        mmio::write32(console::base() + IMSC, 0);
    }
    // Both groups on (GICD_CTLR, IHI 0069, 12.9.4; the other bits are fixed).
    mmio::write32(gic::gicd(), 3);
    gic::init_secondary();
    gic::set_split(false);
    gic::forget_active();
    if gic::version() == Version::V3 {
        // Nor of Group 0, which the run time never uses: an interrupt that was acknowledged and not ended hides all others.
        // SAFETY: ICC_AP0R0_EL1 and ICC_IGRPEN0_EL1 of this core's own CPU interface (IHI 0069, 12.2); no memory.
        unsafe { asm!("msr S3_0_C12_C8_4, xzr", "msr S3_0_C12_C12_6, xzr", "isb", options(nostack)) };
    }
    // Of this core's own interrupts none is active, pending, or of another group or priority than the rest.
    let own = gic::private_frame(cpu::index());
    let group = if gic::version() == Version::V3 { u32::MAX } else { 0 };
    for (register, value) in [(ICACTIVER, u32::MAX), (ICPENDR, u32::MAX), (IGROUPR, group)] {
        mmio::write32(own + register, value);
    }
    for four in 0..8 {
        mmio::write32(own + IPRIORITYR + 4 * four, u32::from_ne_bytes([gic::NORMAL; 4]));
    }
}

/// The interrupt handler: ends whatever comes, and sees to it that nothing comes for ever.
pub fn interrupt() {
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    timer::stop_virtual();
    timer::stop_physical();
    match gic::acknowledge() {
        Some(taken) => {
            gic::end(taken);
            let intid = u64::from(taken.intid());
            if intid >= 32 {
                // A device that was set to raise it goes on until somebody who knows it sees to it. What is done at random
                // enables it again.
                mmio::write32(gic::gicd() + ICENABLER + 4 * (intid / 32), 1 << (intid % 32));
                if console::base() != 0 {
                    mmio::write32(console::base() + IMSC, 0);
                }
            }
        }
        // Something is signalled that cannot be taken in the state that the registers are in.
        None => calm(),
    }
}

/// The partition's own controller, as ranges that EL2 emulates: base and size.
pub fn emulated(machine: &Machine) -> [(u64, u64); 3] {
    let redists = match gic::version() {
        Version::V3 => (gic::gicr(), 0x2_0000 * machine.cores.len() as u64),
        Version::V2 => (0, 0),
    };
    let dist = if gic::version() == Version::V3 { 0x1_0000 } else { 0x1000 };
    let console = if console::base() == 0 { 0 } else { 0x1000 };
    [(gic::gicd(), dist), redists, (console::base(), console)]
}
