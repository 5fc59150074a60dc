//! What the machine knows of each partition from outside: state, cause, exits by kind. Every core maps it; each core
//! counts in a row of its own, so counting needs no lock and disturbs nobody. What a partition's managers may read of it lies in its
//! area (area.rs).

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use partita_model::lifecycle::exits::{Count, Exits};
use partita_model::lifecycle::{Cause, Lifecycle, State, Summary};
use partita_model::plan::{Plan, Start};
use spin::Once;

use crate::area::Area;
use crate::clock;
use crate::gic::{self, Seat};
use crate::timeline::Loaded;

/// One partition's status.
#[derive(Debug)]
pub struct Status {
    /// Its number in the plan.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// What those who manage it may read,
    pub area: Area,
    /// and of that, where it is in its life,
    pub life: &'static Lifecycle,
    /// and the exits of each virtual CPU.
    pub exits: Vec<&'static Exits>,
    /// The cores that its virtual CPUs are.
    seats: Vec<Seat>,
    /// The names of those who manage it, in the plan's order.
    managers: Vec<String>,
    /// Of a direct partition: whether each virtual CPU is in its guest, where a kick would be the guest's own SGI.
    doors: Vec<Door>,
    /// Its first load.
    pub loaded: Loaded,
}

impl Status {
    /// Of a partition of the plan, on these cores. One that starts with the machine is about to be loaded.
    pub fn new(plan: &Plan, number: usize, area: Area, seats: Vec<Seat>) -> Self {
        let partition = &plan.partitions[number];
        let life = area.life();
        if partition.start == Start::Auto {
            // A new one is off, so this succeeds.
            let _ = life.load();
        }
        Self {
            number,
            name: partition.name.as_str().into(),
            area,
            life,
            exits: (0..seats.len()).filter_map(|vcpu| area.exits(vcpu)).collect(),
            doors: (0..if partition.is_direct() { seats.len() } else { 0 })
                .map(|_| Door::default())
                .collect(),
            seats,
            managers: plan.managers(number).map(|manager| manager.name.as_str().into()).collect(),
            loaded: Loaded::default(),
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

    /// Kicks all its cores, as far as they can be: another partition's core wants something of it.
    pub fn kick_all(&self) {
        self.seats.iter().enumerate().for_each(|(vcpu, seat)| _ = self.kick(vcpu, *seat));
    }

    /// Kicks its first core, which is to load it.
    pub fn kick_first(&self) {
        if let Some(seat) = self.seats.first() {
            self.kick(0, *seat);
        }
    }

    /// Who of its managers told it to end, if one did.
    pub fn told_by(&self) -> Option<&str> {
        let life = self.life.life();
        let by = life.by.filter(|_| life.cause == Cause::Told)?;
        self.managers.get(usize::from(by)).map(String::as_str)
    }

    /// A sign of life of a virtual CPU, counted by its own core.
    pub fn beat(&self, vcpu: usize) {
        self.area.beat(vcpu);
    }

    /// Whether it was loaded before.
    pub fn was_started(&self) -> bool {
        self.area.header().started.load(Ordering::Relaxed) != 0
    }

    /// It is loaded, and about to run.
    pub fn starts(&self) {
        self.area.header().started.store(clock::now(), Ordering::Relaxed);
    }

    /// It is off.
    pub fn ends(&self) {
        self.area.header().ended.store(clock::now(), Ordering::Relaxed);
    }

    /// How often it was loaded again.
    pub fn restarts(&self) -> u64 {
        self.area.header().restarts.load(Ordering::Relaxed)
    }

    /// Counts a restart. Its own cores count, under its lock.
    pub fn count_restart(&self) {
        self.area.header().restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refused access. Other partitions' cores may.
    pub fn count_dma(&self) {
        self.area.header().dma.fetch_add(1, Ordering::Relaxed);
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
    let alive = all.iter().filter(|status| !status.life.is(State::Off)).count();
    ALIVE.store(alive, Ordering::Relaxed);
    ALL.call_once(|| all);
}

/// All of them, by partition number.
pub fn all() -> &'static [Status] {
    ALL.get().map_or(&[], Vec::as_slice)
}

/// Notes that a partition that was off is to run, at the word of one that is not off until this returns: so the count does not come to
/// zero meanwhile. The one that is to run may not have been counted as off yet; then that follows.
pub fn one_is_on() {
    ALIVE.fetch_add(1, Ordering::AcqRel);
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
        let header = status.area.header();
        let [dma, refused] = [&header.dma, &header.refused].map(|word| word.load(Ordering::Relaxed));
        status.loaded.show(&status.name);
        let (restarts, by) = (status.restarts(), status.told_by());
        log::info!("{}", Summary { name: &status.name, state, cause, by, exits, dma, restarts, refused });
    }
}
