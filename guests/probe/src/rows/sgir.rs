//! A GICv2's SGIs: sent by GICD_SGIR, told apart by the CPU interface that sent them, made pending and taken back by source.

use core::sync::atomic::{AtomicU32, Ordering};

use partita_guest::gic::gicd;
use partita_guest::mmio::{read8, write8, write32};
use partita_guest::{cpu, gic, timer};

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, CLEAR_SGI, SET_ACTIVE, SET_SGI, count, count_from, total};
use crate::{cores, ensure, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("sgir-filters", filters).v2().virtual_gicv2(),
    Row::new("sgir-nobody", nobody).v2(),
    Row::new("sgir-sources", sources).v2().virtual_gicv2(),
    Row::new("sgir-sources-by-hand", sources_by_hand).v2().virtual_gicv2(),
    Row::new("sgir-set-and-clear", set_and_clear).v2().virtual_gicv2(),
    Row::new("sgir-storm", storm).v2().virtual_gicv2(),
];

/// GICD_SGIR (IHI 0048, 4.3.15).
const SGIR: u64 = 0xf00;

fn sgir(filter: u32, targets: u32, sgi: u32) {
    write32(gicd() + SGIR, filter << 24 | targets << 16 | sgi);
}

static UP: cores::Barrier = cores::Barrier::new();
static STOP: AtomicU32 = AtomicU32::new(0);
static ROUNDS: AtomicU32 = AtomicU32::new(0);
static CORES: AtomicU32 = AtomicU32::new(0);
/// Milliseconds until an SGI counts as lost.
const PATIENCE: u64 = 30_000;

fn listen() {
    irq::quiet_secondary();
    UP.meet(1);
    while STOP.load(Ordering::SeqCst) == 0 && !cores::given_up() {
        core::hint::spin_loop();
    }
}

fn start(env: &Env, work: fn()) -> Outcome {
    UP.reset();
    STOP.store(0, Ordering::SeqCst);
    CORES.store(env.machine.cores.len() as u32, Ordering::SeqCst);
    cores::start_others(env, work)?;
    let wanted = env.machine.cores.len() - 1;
    ensure!(irq::within(PATIENCE, || UP.arrived() >= wanted), "{} of {wanted} cores came up", UP.arrived());
    Ok(())
}

fn stop(env: &Env) -> Outcome {
    STOP.store(1, Ordering::SeqCst);
    cores::join(env)
}

/// Each filter reaches whom it names, with the sender's number; the list counts for filter 0 only.
fn filters(env: &Env) -> Outcome {
    let cores = env.machine.cores.len();
    start(env, listen)?;
    cpu::unmask_interrupts();
    let all = (1_u32 << cores) - 1;
    sgir(0, all, 1);
    sgir(1, 0, 2);
    sgir(1, all, 3);
    sgir(2, 0, 4);
    sgir(2, all, 5);
    // The reserved filter, which QEMU's own takes for the sender.
    sgir(if env.native { 2 } else { 3 }, all, if env.native { 0 } else { 6 });
    for core in 0..cores {
        let wanted = if core == 0 { [1, 0, 0, 1, 1, 0] } else { [1, 1, 1, 0, 0, 0] };
        let arrived = || (1..).zip(wanted).all(|(sgi, wanted)| count(core, sgi) >= wanted);
        ensure!(irq::within(PATIENCE, arrived), "SGIs 1 to 3 did not come to core {core}");
    }
    irq::settle(3);
    stop(env)?;
    for core in 0..cores {
        let wanted = if core == 0 { [1, 0, 0, 1, 1, 0] } else { [1, 1, 1, 0, 0, 0] };
        for (sgi, wanted) in (1..).zip(wanted) {
            same!(count(core, sgi), wanted, "SGI {sgi} on core {core}");
            same!(count_from(core, sgi, 0), wanted, "SGI {sgi} from core 0 on core {core}");
        }
    }
    Ok(())
}

/// Targets that are not there: nobody gets anything.
fn nobody(env: &Env) -> Outcome {
    start(env, listen)?;
    cpu::unmask_interrupts();
    let strangers = 0xff & !((1_u32 << env.machine.cores.len()) - 1);
    sgir(0, strangers, 7);
    sgir(0, 0, 8);
    if env.machine.cores.len() == 1 {
        sgir(1, 0xff, 9);
    }
    irq::settle(5);
    stop(env)?;
    for core in 0..env.machine.cores.len() {
        same!(total(core), 0, "interrupts on core {core}");
    }
    Ok(())
}

/// Each other core sends the same SGI to core 0, once.
fn send_one() {
    irq::quiet_secondary();
    sgir(0, 1, 5);
    sgir(0, 1, 5);
    UP.meet(1);
    while STOP.load(Ordering::SeqCst) == 0 && !cores::given_up() {
        core::hint::spin_loop();
    }
}

/// One SGI from several cores, pending at once: once from each, and sent twice before it is taken still once.
fn sources(env: &Env) -> Outcome {
    let cores = env.machine.cores.len();
    start(env, send_one)?;
    sgir(2, 0, 5);
    same!(read8(gicd() + SET_SGI + 5), ((1_u32 << cores) - 1) as u8, "sources of SGI 5");
    cpu::unmask_interrupts();
    ensure!(irq::within(PATIENCE, || count(0, 5) as usize >= cores), "SGI 5 came {} times", count(0, 5));
    irq::settle(2);
    stop(env)?;
    for source in 0..cores {
        same!(count_from(0, 5, source), 1, "SGI 5 from core {source}");
    }
    same!(total(0), cores, "interrupts");
    Ok(())
}

/// The same by hand: after one source's is taken the others' are still pending, and it is active until each has its end.
fn sources_by_hand(env: &Env) -> Outcome {
    let cores = env.machine.cores.len();
    start(env, send_one)?;
    let all = ((1_u32 << cores) - 1) as u8 & !1;
    let mut left = all;
    while left != 0 {
        same!(read8(gicd() + SET_SGI + 5), left, "sources");
        let start = timer::now();
        let taken = loop {
            if let Some(taken) = gic::acknowledge() {
                break taken;
            }
            ensure!(timer::now() - start < 10 * timer::frequency(), "sources {left:#x} did not come");
        };
        same!(taken.intid(), 5, "interrupt");
        ensure!(left & 1 << taken.source() != 0, "source {} came, of {left:#x}", taken.source());
        left &= !(1 << taken.source());
        ensure!(irq::bit(SET_ACTIVE, 5), "it is not active");
        gic::end(taken);
        ensure!(!irq::bit(SET_ACTIVE, 5), "it is active after its end");
    }
    ensure!(irq::nothing_to_take(), "one came twice");
    stop(env)
}

/// GICD_SPENDSGIR makes an SGI pending from any source there is, GICD_CPENDSGIR takes it back, each bit by itself.
fn set_and_clear(env: &Env) -> Outcome {
    let all = ((1_u32 << env.machine.cores.len()) - 1) as u8;
    for sgi in 0..16 {
        let (set, clear) = (gicd() + SET_SGI + sgi, gicd() + CLEAR_SGI + sgi);
        write8(set, all);
        same!(read8(set), all, "sources of SGI {sgi}");
        write8(clear, 1);
        same!(read8(set), all & !1, "sources of SGI {sgi} without core 0");
        same!(read8(clear), all & !1, "sources of SGI {sgi} where they are cleared");
        write8(clear, all);
        same!(read8(set), 0, "sources of SGI {sgi} in the end");
    }
    ensure!(irq::nothing_to_take(), "one came though it was cleared");
    cpu::unmask_interrupts();
    for source in 0..env.machine.cores.len() {
        write8(gicd() + SET_SGI + 9, 1 << source);
        ensure!(irq::within(PATIENCE, || count_from(0, 9, source) == 1), "SGI 9 did not come from {source}");
    }
    irq::settle(2);
    same!(count(0, 9) as usize, env.machine.cores.len(), "SGIs");
    Ok(())
}

/// Each core sends one and the same SGI to every core and waits until it has come from itself everywhere.
fn fire() {
    let (me, cores) = (cpu::index(), CORES.load(Ordering::SeqCst) as usize);
    for round in 1..=ROUNDS.load(Ordering::SeqCst) {
        sgir(0, (1 << cores) - 1, 5);
        if !irq::within(PATIENCE, || (0..cores).all(|core| count_from(core, 5, me) >= round)) {
            return;
        }
    }
}

fn fire_secondary() {
    irq::quiet_secondary();
    // Nobody sends before everybody has set itself up, which takes back what is pending.
    UP.meet(CORES.load(Ordering::SeqCst) as usize - 1);
    fire();
    while STOP.load(Ordering::SeqCst) == 0 && !cores::given_up() {
        core::hint::spin_loop();
    }
}

/// All cores at once, all with one number: what tells them apart is the source alone.
fn storm(env: &Env) -> Outcome {
    let cores = env.machine.cores.len();
    if cores < 2 {
        skip!("needs 2 cores");
    }
    let rounds = 200;
    ROUNDS.store(rounds, Ordering::SeqCst);
    cpu::unmask_interrupts();
    start(env, fire_secondary)?;
    fire();
    let all = || (0..cores).all(|core| count(core, 5) >= rounds * cores as u32);
    irq::within(PATIENCE, all);
    stop(env)?;
    for (core, source) in (0..cores).flat_map(|core| (0..cores).map(move |source| (core, source))) {
        same!(count_from(core, 5, source), rounds, "SGI 5 from core {source} on core {core}");
    }
    Ok(())
}
