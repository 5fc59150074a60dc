//! When each phase of the boot was over, in ticks of the system counter, and what memory it took. It is always noted, as that
//! costs a few instructions, and said where `partita.verbose` stands in the firmware's bootargs.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{clock, heap, layout};

/// What the first core does, in order.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// Firmware, the boot loader and boot.S: since the counter began.
    Firmware,
    /// The firmware's tree, the UART, devices' DMA stopped.
    Tree,
    /// The bundle's list.
    Bundle,
    /// The overlay, the plan and functions silenced.
    Plan,
    /// The digests, the overlay's too.
    Digests,
    /// Guest trees, stage 2, every core's tables and state.
    Tables,
    /// Their audit.
    Audit,
    /// The other cores have come.
    Cores,
}

const NAMES: [&str; 8] = ["firmware", "tree", "bundle", "plan", "digests", "tables", "audit", "cores"];

/// Ticks that each phase took: the overlay's digest comes before the plan, the others' behind it, so a phase may come twice.
static TOOK: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];
/// When the last one was over.
static LAST: AtomicU64 = AtomicU64::new(0);
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// A phase is over, and the next one begins. Called by the first core only.
pub fn done(phase: Phase) {
    let now = clock::now();
    let took = now.wrapping_sub(LAST.swap(now, Ordering::Relaxed));
    TOOK[phase as usize].fetch_add(took, Ordering::Relaxed);
}

/// Says all that is known, and has [`Loaded::show`] say the rest.
pub fn show() {
    VERBOSE.store(true, Ordering::Relaxed);
    for (name, took) in NAMES.iter().zip(&TOOK) {
        log::info!("boot: {name} {} ticks", took.load(Ordering::Relaxed));
    }
    let [kept, used] = heap::used().map(|range| range.len());
    let constant = layout::rodata_end() - layout::IMAGE;
    let data = layout::data_end() - layout::rodata_end();
    log::info!(
        "boot: memory: {constant} bytes of code and constants, {data} of data, {kept} of tables, stacks and state; {used} were \
         needed once"
    );
}

/// How a partition was loaded for the first time, by its own core while others load theirs.
#[derive(Debug, Default)]
pub struct Loaded {
    took: AtomicU64,
    at: AtomicU64,
}

impl Loaded {
    /// It is loaded, which began at `start`.
    pub fn done(&self, start: u64) {
        let now = clock::now();
        self.took.store(now.wrapping_sub(start), Ordering::Relaxed);
        self.at.store(now, Ordering::Relaxed);
    }

    /// Says so, where everything is to be said: with the last words, as no exit may lead to what prints.
    pub fn show(&self, name: &str) {
        let [took, at] = [&self.took, &self.at].map(|ticks| ticks.load(Ordering::Relaxed));
        if VERBOSE.load(Ordering::Relaxed) && at != 0 {
            log::info!("boot: {name} loaded in {took} ticks, by tick {at}");
        }
    }
}
