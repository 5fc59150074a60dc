//! Ways to end, or not to, that need a watchdog: they are gone only when they are named.
//!
//! What must not happen is told as `crasher: WAY ESCAPED: what`, after which the guest sleeps.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use partita_guest::watchdog::{self, ENABLED, WS0, Watchdog};
use partita_guest::{Machine, cpu, gic, println, psci, timer};

use crate::ways::{Way, alone, masked_sleep, spin, unmappable_vectors};

/// All of them.
pub const WAYS: &[Way] = &[
    alone("refreshed", refreshed),
    alone("calm", calm),
    alone("starved", starved),
    alone("starved-in-a-loop", |machine| then(machine, |_| spin())),
    alone("starved-asleep", |machine| then(machine, masked_sleep)),
    alone("starved-by-vectors", |machine| then(machine, unmappable_vectors)),
    // The core that stored last goes off; the other one goes on.
    Way {
        name: "starved-while-off",
        first: |machine| then(machine, |_| _ = psci::cpu_off()),
        second: Some(spin),
    },
    // It is taken over by the other core, which masks everything, while the first one sleeps for ever.
    Way { name: "starved-by-the-other", first: hand_over, second: Some(take_over) },
];

/// Milliseconds of a stage.
const STAGE: u64 = 100;
/// The same of one that outlasts a restart.
const LONG: u64 = 2000;

/// First stages since the start, and when the last one came.
static STAGES: AtomicU64 = AtomicU64::new(0);
static CAME: AtomicU64 = AtomicU64::new(0);
/// Where the control frame is, for the other core.
static HANDED: AtomicU64 = AtomicU64::new(0);
/// Whether the first stage's interrupt starts it anew.
static SAVES: AtomicBool = AtomicBool::new(false);

fn escaped(way: &str, what: &str) -> ! {
    println!("crasher: {way} ESCAPED: {what}");
    loop {
        cpu::wait();
    }
}

fn found(machine: &'static Machine, way: &str) -> Watchdog {
    Watchdog::find(machine).unwrap_or_else(|| escaped(way, "there is no watchdog"))
}

fn passes(milliseconds: u64) {
    timer::spin(timer::frequency() * milliseconds / 1000);
}

/// The handler of its first stage, a level that stays until it is refreshed: by this, or by nobody.
pub fn interrupt(intid: u32) {
    if !watchdog::is_its(intid) {
        return;
    }
    STAGES.fetch_add(1, Ordering::SeqCst);
    CAME.store(timer::now(), Ordering::SeqCst);
    if SAVES.load(Ordering::SeqCst) {
        partita_guest::mmio::write32(HANDED.load(Ordering::SeqCst), 0);
    } else {
        gic::enable(intid, false);
    }
}

/// Its interrupt comes to this core.
fn listen(machine: &'static Machine, watchdog: Watchdog) {
    gic::route(watchdog.intid, 0, machine.cores.first().copied().unwrap_or(0));
    gic::enable(watchdog.intid, true);
    cpu::unmask_interrupts();
}

/// It is refreshed for five times its first stage, then by its own first stage's interrupt, and lives. It is on when the partition
/// is reset.
fn refreshed(machine: &'static Machine) {
    let watchdog = found(machine, "refreshed");
    watchdog.start(10 * STAGE);
    listen(machine, watchdog);
    for _ in 0..50 {
        passes(STAGE);
        watchdog.refresh();
    }
    if watchdog.status() != ENABLED || STAGES.load(Ordering::SeqCst) != 0 {
        escaped("refreshed", "its first stage came although it was refreshed");
    }
    HANDED.store(watchdog.refresh, Ordering::SeqCst);
    SAVES.store(true, Ordering::SeqCst);
    watchdog.start(3 * STAGE);
    passes(20 * STAGE);
    let stages = STAGES.load(Ordering::SeqCst);
    if !(2..=10).contains(&stages) {
        escaped("refreshed", "its first stage came not once in its time");
    }
    SAVES.store(false, Ordering::SeqCst);
    watchdog.start(LONG);
    println!("crasher: refreshed in both ways");
    psci::system_reset();
}

/// The life after that: there is nothing of its watchdog, and nothing happens.
fn calm(machine: &'static Machine) {
    let watchdog = found(machine, "calm");
    if watchdog.status() != 0 {
        escaped("calm", "the watchdog of the life before is on");
    }
    listen(machine, watchdog);
    passes(5 * LONG / 2);
    if watchdog.status() != 0 || STAGES.load(Ordering::SeqCst) != 0 {
        escaped("calm", "a watchdog that nobody turned on did something");
    }
    psci::system_reset();
}

/// It is refreshed no more: its first stage comes in time, and the second one ends all this.
fn starved(machine: &'static Machine) {
    let watchdog = found(machine, "starved");
    listen(machine, watchdog);
    let begun = timer::now();
    watchdog.start(STAGE);
    while STAGES.load(Ordering::SeqCst) == 0 {
        if timer::now() - begun > timer::frequency() * STAGE / 100 {
            escaped("starved", "its first stage did not come");
        }
    }
    if CAME.load(Ordering::SeqCst) - begun < timer::frequency() * STAGE / 1000 {
        escaped("starved", "its first stage came early");
    }
    if watchdog.status() != ENABLED | WS0 {
        escaped("starved", "its registers do not say so");
    }
    println!("crasher: the first stage came");
    passes(10 * STAGE);
    escaped("starved", "it lives on after the second stage");
}

/// Is at something else when its time comes.
fn then(machine: &'static Machine, what: fn(&'static Machine)) {
    found(machine, "starved").start(STAGE);
    what(machine);
}

fn hand_over(machine: &'static Machine) {
    let watchdog = found(machine, "starved-by-the-other");
    // Long enough for the other core.
    watchdog.start(LONG);
    HANDED.store(watchdog.control, Ordering::SeqCst);
    masked_sleep(machine);
}

fn take_over() {
    let control = loop {
        match HANDED.load(Ordering::SeqCst) {
            0 => core::hint::spin_loop(),
            control => break control,
        }
    };
    Watchdog { control, refresh: 0, intid: 0 }.start(STAGE);
    spin();
}
