//! What the machine knows of each partition from outside: state, cause, exits by kind. Every core maps it; each core
//! counts in a row of its own, so counting needs no lock and disturbs nobody.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use partita_model::lifecycle::exits::{Count, Exits};
use partita_model::lifecycle::{Lifecycle, State, Summary};
use spin::Once;

use crate::gic::{self, Seat};
use crate::timeline::Loaded;

/// One partition's status.
#[derive(Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub life: Lifecycle,
    /// Exits of each virtual CPU.
    pub exits: Vec<Exits>,
    /// Of a direct partition: whether each virtual CPU is in its guest, where a kick would be the guest's own SGI.
    doors: Vec<Door>,
    /// Its first load.
    pub loaded: Loaded,
    /// Accesses of its devices that an SMMU refused. Other partitions' cores may count here.
    dma: AtomicU64,
    /// How often it was loaded again. Its own cores count, under its lock.
    restarts: AtomicU64,
}

impl Status {
    /// Of a partition with so many virtual CPUs, which is about to be loaded.
    pub fn new(name: &str, vcpus: usize, direct: bool) -> Self {
        let life = Lifecycle::new();
        // A new one is off, so this succeeds.
        let _ = life.load();
        Self {
            name: name.into(),
            life,
            exits: (0..vcpus).map(|_| Exits::new()).collect(),
            doors: (0..if direct { vcpus } else { 0 }).map(|_| Door::default()).collect(),
            loaded: Loaded::default(),
            dma: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    /// Whether physical interrupts reach this partition without EL2.
    pub fn is_direct(&self) -> bool {
        !self.doors.is_empty()
    }

    /// Kicks the core of a virtual CPU, unless a direct guest runs on it. Whether it did.
    pub fn kick(&self, vcpu: usize, seat: Seat) -> bool {
        let kick = || gic::controller().kick(seat);
        match self.doors.get(vcpu) {
            Some(door) => door.knock(kick),
            None => {
                kick();
                true
            }
        }
    }

    /// Whether a direct guest runs on this virtual CPU.
    pub fn is_inside(&self, vcpu: usize) -> bool {
        self.doors.get(vcpu).is_some_and(|door| door.inside.load(Ordering::SeqCst))
    }

    /// A direct partition's core is about to enter its guest (true), or has left it and can be kicked again.
    pub fn inside(&self, vcpu: usize, yes: bool) {
        if let Some(door) = self.doors.get(vcpu) {
            door.inside(yes);
        }
    }

    /// How often it was loaded again.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Counts a restart.
    pub fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refused access.
    pub fn count_dma(&self) {
        self.dma.fetch_add(1, Ordering::Relaxed);
    }
}

/// What keeps EL2's kicks from a direct guest: it takes every SGI of its core for its own.
#[derive(Debug, Default)]
struct Door {
    inside: AtomicBool,
    /// Cores that are between looking and kicking.
    knocking: AtomicUsize,
}

impl Door {
    fn knock(&self, kick: impl FnOnce()) -> bool {
        self.knocking.fetch_add(1, Ordering::SeqCst);
        let outside = !self.inside.load(Ordering::SeqCst);
        if outside {
            kick();
        }
        self.knocking.fetch_sub(1, Ordering::SeqCst);
        outside
    }

    /// Closes it: who kicks now has done so when this returns, so that what arrived can be cleared. A kick takes some tens of
    /// instructions.
    fn inside(&self, yes: bool) {
        self.inside.store(yes, Ordering::SeqCst);
        while yes && self.knocking.load(Ordering::SeqCst) != 0 {
            core::hint::spin_loop();
        }
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

/// Notes that one more partition is off; true if it was the last, or if everything is to stop and only direct partitions are
/// left, which may not hear of it. It is true once.
pub fn one_is_off(quitting: bool) -> bool {
    static OVER: AtomicBool = AtomicBool::new(false);
    let none = ALIVE.fetch_sub(1, Ordering::AcqRel) == 1;
    let ended =
        |status: &Status| matches!(status.life.get().0, State::Off | State::Failed) || status.is_direct();
    (none || quitting && all().iter().all(ended)) && !OVER.swap(true, Ordering::AcqRel)
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
        status.loaded.show(&status.name);
        let restarts = status.restarts();
        log::info!("{}", Summary { name: &status.name, state, cause, exits, dma, restarts });
    }
}
