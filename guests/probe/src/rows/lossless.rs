//! No interrupt is lost, and none comes twice, in as many as it takes to believe it: timers, SGIs to oneself and to the next
//! core, and an SPI that moves about, on all cores at once.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use partita_guest::cpu::MAX_CORES;
use partita_guest::{args, cpu, gic, println, timer};

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, SET_ACTIVE, SET_PENDING, count, total};
use crate::{cores, ensure, same};

pub const ALONE: &[Row] = &[Row::new("lossless", lossless)];

/// SGI that each core sends to itself.
const OWN: u32 = 3;
/// SGI that each core sends to the next one.
const NEXT: u32 = 12;
/// Milliseconds until an interrupt counts as lost.
const PATIENCE: u64 = 60_000;
/// The SPI moves on after as many of them.
const STAY: u32 = 16;

static CORES: AtomicUsize = AtomicUsize::new(0);
static ROUNDS: AtomicU32 = AtomicU32::new(0);
static TIMER: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicBool = AtomicBool::new(false);
static MEET: cores::Barrier = cores::Barrier::new();
static BITS: [AtomicU32; MAX_CORES] = [const { AtomicU32::new(0) }; MAX_CORES];

/// A round of this core: one of each, none waits for another, all have come before the next round.
fn round(round: u32, extra: impl Fn() -> bool) -> bool {
    let (me, cores) = (cpu::index(), CORES.load(Ordering::Relaxed));
    let (next, intid) = ((me + 1) % cores, TIMER.load(Ordering::Relaxed));
    timer::set_virtual(timer::now() + u64::from(round % 4) * timer::frequency() / 1_000_000);
    gic::send(NEXT, BITS[next].load(Ordering::Relaxed) as u16);
    gic::send(OWN, BITS[me].load(Ordering::Relaxed) as u16);
    irq::within(PATIENCE, || {
        LOST.load(Ordering::Relaxed)
            || extra() && count(me, OWN) >= round && count(me, intid) >= round && count(next, NEXT) >= round
    })
}

fn rounds(mut extra: impl FnMut(u32), here: impl Fn(u32) -> bool) {
    MEET.meet(CORES.load(Ordering::Relaxed));
    for number in 1..=ROUNDS.load(Ordering::Relaxed) {
        extra(number);
        if !round(number, || here(number)) || LOST.load(Ordering::Relaxed) {
            LOST.store(true, Ordering::SeqCst);
            return;
        }
    }
    // The core before may not have come to its end.
    let me = cpu::index();
    irq::within(PATIENCE, || {
        LOST.load(Ordering::Relaxed) || count(me, NEXT) >= ROUNDS.load(Ordering::Relaxed)
    });
}

fn secondary() {
    irq::quiet_secondary();
    irq::enable(TIMER.load(Ordering::Relaxed));
    rounds(|_| {}, |_| true);
    MEET.meet(2 * CORES.load(Ordering::Relaxed));
}

/// `interrupts=` of them (default 100,000).
fn lossless(env: &Env) -> Outcome {
    let wanted = args::get(env.machine.bootargs, "interrupts").and_then(args::number).unwrap_or(100_000);
    let (cores, spi, timer) = (env.machine.cores.len(), irq::own_spi(env.machine), env.machine.virtual_timer);
    let each = 3 * cores as u64 + u64::from(spi.is_some());
    let number = wanted.div_ceil(each) as u32;
    CORES.store(cores, Ordering::SeqCst);
    ROUNDS.store(number, Ordering::SeqCst);
    TIMER.store(timer, Ordering::SeqCst);
    LOST.store(false, Ordering::SeqCst);
    for (bit, affinity) in BITS.iter().zip(env.machine.cores.iter()) {
        bit.store(1 << (affinity & 0xf), Ordering::SeqCst);
    }
    for intid in [OWN, NEXT, timer].into_iter().chain(spi) {
        irq::enable(intid);
    }
    cpu::unmask_interrupts();
    MEET.reset();
    cores::start_others(env, secondary)?;
    let spis = || spi.map_or(0, |spi| (0..cores).map(|core| count(core, spi)).sum::<u32>());
    let raise = |number: u32| {
        let Some(spi) = spi else { return };
        // Pending again before its end it might stay so: see `irq::look_again`.
        irq::within(PATIENCE, || !irq::bit(SET_ACTIVE, spi));
        let core = (number / STAY) as usize % cores;
        gic::route(spi, core, env.machine.cores[core]);
        irq::set_bit(SET_PENDING, spi);
    };
    rounds(raise, |number| spi.is_none() || spis() >= number);
    // What would come twice has time to: the others are still there.
    irq::settle(10);
    MEET.meet(2 * cores);
    cores::join(env)?;
    for core in 0..cores {
        for (what, intid) in [("SGIs to itself", OWN), ("SGIs from the core before", NEXT), ("timers", timer)]
        {
            same!(count(core, intid), number, "{what} on core {core}");
        }
    }
    let sum: usize = (0..cores).map(total).sum();
    same!(spis(), if spi.is_some() { number } else { 0 }, "SPIs");
    same!(sum as u64, u64::from(number) * each, "interrupts in all");
    ensure!(sum as u64 >= wanted, "{sum} interrupts, not {wanted}");
    println!("probe: {sum} interrupts: {number} rounds on {cores} cores, none lost, none twice");
    Ok(())
}
