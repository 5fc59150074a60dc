//! The fuzzer: on every core of its partition it does at random, from a seed, what makes EL2 work or should not be done at
//! all, and survives it: accesses of every form to emulated devices and beyond its memory, system registers by encoding,
//! hypercalls, SGIs, timers, waiting, stage-1 changes.
//!
//! Words of its bootargs: `seed=N`, the same seed does the same on each core (default 1); `traps=N`, how many it takes on
//! each core (default 50,000). Only what EL2 must have seen counts as a trap: a call, an access to an emulated device, an
//! external abort, a register that is always trapped. It prints `fuzzer: core C: N traps, F faults, I interrupts` as it goes
//! and `fuzzer: done N traps, F faults, I interrupts, seed S` at the end.
#![no_std]
#![no_main]

mod acts;
mod random;
mod world;

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use partita_guest::{Machine, args, cpu, gic, println};
use random::Random;
use world::World;

partita_guest::guest!(main = main, irq = world::interrupt);

/// How often a core says how far it is.
const REPORTS: u64 = 5;

/// The machine and what the bootargs ask for, for the other cores.
static WORLD: AtomicUsize = AtomicUsize::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);
static WANTED: AtomicU64 = AtomicU64::new(0);
/// Cores that are there, and cores that are through.
static STARTED: AtomicUsize = AtomicUsize::new(0);
static THROUGH: AtomicUsize = AtomicUsize::new(0);
/// Sums of all cores.
static TRAPS: AtomicU64 = AtomicU64::new(0);
static FAULTS: AtomicU64 = AtomicU64::new(0);

fn main(machine: &'static Machine) {
    let number = |name, default| args::get(machine.bootargs, name).map_or(Some(default), args::number);
    let (Some(seed), Some(traps)) = (number("seed", 1), number("traps", 50_000)) else {
        println!("fuzzer: bootargs \"{}\": seed and traps are numbers", machine.bootargs);
        return;
    };
    println!("fuzzer: {} cores, seed {seed}, {traps} traps on each", machine.cores.len());
    SEED.store(seed, Ordering::Relaxed);
    WANTED.store(traps, Ordering::Relaxed);
    gic::init(machine);
    WORLD.store(machine as *const Machine as usize, Ordering::Release);
    for (core, affinity) in machine.cores.iter().enumerate().skip(1) {
        let answer = cpu::start(core, *affinity, secondary);
        assert!(answer == 0, "CPU_ON of core {core}: {answer}");
    }
    work(machine);
    println!("");
    println!(
        "fuzzer: done {} traps, {} faults, {} interrupts, seed {seed}",
        TRAPS.load(Ordering::SeqCst),
        FAULTS.load(Ordering::SeqCst),
        world::interrupts(),
    );
}

fn secondary() {
    gic::init_secondary();
    // SAFETY: the boot core stores it before it starts any other, and the machine is there for good.
    let machine = unsafe { &*(WORLD.load(Ordering::Acquire) as *const Machine) };
    work(machine);
    // A core that is off could be started by another's random call.
    loop {
        core::hint::spin_loop();
    }
}

/// One core's part: begins when all are there, and ends when all are through.
fn work(machine: &'static Machine) {
    let core = cpu::index();
    let all = machine.cores.len();
    wait_for(&STARTED, all);
    let wanted = WANTED.load(Ordering::Relaxed);
    let mut world = World::new(machine, Random::new(SEED.load(Ordering::Relaxed), core as u64));
    for report in 1..=REPORTS {
        while world.traps < wanted * report / REPORTS {
            acts::one(&mut world);
        }
        // Whatever was written to the console last ends with its line.
        println!("");
        println!(
            "fuzzer: core {core}: {} traps, {} faults, {} interrupts",
            world.traps,
            world.faults,
            world::interrupts()
        );
    }
    world.calm();
    TRAPS.fetch_add(world.traps, Ordering::SeqCst);
    FAULTS.fetch_add(world.faults, Ordering::SeqCst);
    wait_for(&THROUGH, all);
}

fn wait_for(counter: &AtomicUsize, all: usize) {
    counter.fetch_add(1, Ordering::SeqCst);
    while counter.load(Ordering::SeqCst) < all {
        world::stand_still();
        core::hint::spin_loop();
    }
}
