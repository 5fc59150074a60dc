//! What the machine knows of each partition from outside: state, cause, exits by kind. Every core maps it; each core
//! counts in a row of its own, so counting needs no lock and disturbs nobody.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use partita_model::lifecycle::exits::{Count, Exits};
use partita_model::lifecycle::{Lifecycle, Summary};
use spin::Once;

/// One partition's status.
#[derive(Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub life: Lifecycle,
    /// Exits of each virtual CPU.
    pub exits: Vec<Exits>,
    /// Accesses of its devices that an SMMU refused. Other partitions' cores may count here.
    dma: AtomicU64,
}

impl Status {
    /// Of a partition with so many virtual CPUs, which is about to be loaded.
    pub fn new(name: &str, vcpus: usize) -> Self {
        let life = Lifecycle::new();
        // A new one is off, so this succeeds.
        let _ = life.load();
        Self {
            name: name.into(),
            life,
            exits: (0..vcpus).map(|_| Exits::new()).collect(),
            dma: AtomicU64::new(0),
        }
    }

    /// Counts a refused access.
    pub fn count_dma(&self) {
        self.dma.fetch_add(1, Ordering::Relaxed);
    }
}

static ALL: Once<Vec<Status>> = Once::new();
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Makes the statuses known. Called once, before any partition runs.
pub fn init(all: Vec<Status>) {
    ALIVE.store(all.len(), Ordering::Relaxed);
    ALL.call_once(|| all);
}

/// All of them, by partition number.
pub fn all() -> &'static [Status] {
    ALL.get().map_or(&[], Vec::as_slice)
}

/// Notes that one more partition is off; true if it was the last.
pub fn one_is_off() -> bool {
    ALIVE.fetch_sub(1, Ordering::AcqRel) == 1
}

/// Prints the closing summary: one line per partition.
pub fn summarize() {
    for status in all() {
        let mut exits = Count::default();
        for row in &status.exits {
            exits.0.iter_mut().zip(row.get().0).for_each(|(sum, count)| *sum += count);
        }
        let (state, cause) = status.life.get();
        let dma = status.dma.load(Ordering::Relaxed);
        log::info!("{}", Summary { name: &status.name, state, cause, exits, dma });
    }
}
