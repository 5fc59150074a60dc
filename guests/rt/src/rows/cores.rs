//! Putting the other cores to work.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::cpu::{self, MAX_CORES};
use crate::rows::{Env, Outcome, irq};
use crate::{ensure, psci, same, timer};

const OFF: i64 = 1;

/// Starts every other core on `work` and waits until each has begun.
pub fn start_others(env: &Env, work: fn()) -> Outcome {
    let before: [usize; MAX_CORES] = core::array::from_fn(cpu::starts);
    for (core, affinity) in env.machine.cores.iter().enumerate().skip(1) {
        same!(cpu::start(core, *affinity, work), 0, "CPU_ON of core {core}");
    }
    for (core, before) in before.iter().enumerate().take(env.machine.cores.len()).skip(1) {
        ensure!(
            irq::within(10_000, || cpu::starts(core) > *before),
            "core {core} did not come up within 10 s"
        );
    }
    Ok(())
}

/// Waits until every other core has powered itself off.
pub fn join(env: &Env) -> Outcome {
    for (core, affinity) in env.machine.cores.iter().enumerate().skip(1) {
        let off = irq::within(60_000, || psci::affinity_info(*affinity, 0) == OFF);
        ensure!(off, "core {core} is still on after 60 s");
    }
    Ok(())
}

/// Whether the row has failed and the other cores are to come to an end.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// Whether the row has failed: whoever waits for something stops waiting.
pub fn given_up() -> bool {
    GIVEN_UP.load(Ordering::SeqCst)
}

/// After a failed row: gets the other cores off, so that the next row finds them as it should.
pub fn give_up(env: &Env) {
    GIVEN_UP.store(true, Ordering::SeqCst);
    let end = timer::now() + 5 * timer::frequency();
    for affinity in env.machine.cores.iter().skip(1) {
        while psci::affinity_info(*affinity, 0) != OFF && timer::now() < end {}
    }
    GIVEN_UP.store(false, Ordering::SeqCst);
}

/// A place where all cores meet; by default nobody has come yet.
#[derive(Default)]
pub struct Barrier(AtomicUsize);

impl Barrier {
    /// Nobody has come yet.
    pub const fn new() -> Barrier {
        Barrier(AtomicUsize::new(0))
    }

    /// To be called before the cores are started.
    pub fn reset(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// How many have come.
    pub fn arrived(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Comes, and waits for `cores` to have come; false after 10 s.
    pub fn meet(&self, cores: usize) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        irq::within(10_000, || self.arrived() >= cores)
    }
}

fn spin() {
    loop {
        timer::spin(1000);
    }
}

/// Leaves core 1 in a loop.
pub fn leave_one_spinning(env: &Env) {
    if let Some(affinity) = env.machine.cores.get(1) {
        cpu::start(1, *affinity, spin);
    }
}
