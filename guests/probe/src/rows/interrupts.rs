//! Delivery: timers, an own SPI, masks, priorities and preemption.

use core::sync::atomic::{AtomicU32, Ordering};

use partita_guest::{cpu, gic, timer};

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, CLEAR_PENDING, NORMAL, SET_ACTIVE, SET_PENDING, count, order, total};
use crate::{cores, ensure, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("timer-virtual", virtual_timer),
    Row::new("timer-physical", physical_timer),
    Row::new("timer-repeats", repeats),
    Row::new("timer-disabled", disabled),
    Row::new("timer-priority-mask", priority_mask),
    Row::new("timer-every-core", every_core),
    Row::new("spi-pending", spi_pending),
    Row::new("spi-active", spi_active),
    Row::new("spi-cleared", spi_cleared),
    Row::new("spi-route", spi_route),
    Row::new("spi-moved-pending", spi_moved),
    Row::new("preemption", preemption),
    Row::new("no-preemption", no_preemption),
    Row::new("spurious", spurious),
];

fn one_shot(intid: u32, arm: fn(u64), now: fn() -> u64) -> Outcome {
    irq::enable(intid);
    cpu::unmask_interrupts();
    let due = now() + timer::frequency() / 200;
    arm(due);
    let early = count(0, intid) > 0;
    ensure!(!early || now() >= due, "interrupt {intid} came before its time");
    ensure!(irq::within(10_000, || count(0, intid) > 0), "interrupt {intid} did not come");
    irq::settle(5);
    same!(count(0, intid), 1, "interrupts {intid}");
    same!(total(0), 1, "interrupts of any kind");
    Ok(())
}

fn virtual_timer(env: &Env) -> Outcome {
    one_shot(env.machine.virtual_timer, timer::set_virtual, timer::now)
}

fn physical_timer(env: &Env) -> Outcome {
    one_shot(env.machine.physical_timer, timer::set_physical, timer::physical_now)
}

/// A hundred in a row, one each.
fn repeats(env: &Env) -> Outcome {
    let intid = env.machine.virtual_timer;
    irq::enable(intid);
    cpu::unmask_interrupts();
    for round in 1..=100 {
        timer::set_virtual(timer::now() + timer::frequency() / 5000);
        ensure!(irq::within(10_000, || count(0, intid) >= round), "interrupt {round} did not come");
        same!(count(0, intid), round, "interrupts");
    }
    Ok(())
}

/// A disabled interrupt is pending and does not come; enabled it comes; when its line falls it is not pending.
fn disabled(env: &Env) -> Outcome {
    let intid = env.machine.virtual_timer;
    cpu::unmask_interrupts();
    timer::set_virtual(timer::now());
    irq::settle(5);
    same!(total(0), 0, "interrupts while disabled");
    ensure!(irq::bit(SET_PENDING, intid), "ISPENDR does not show the timer");
    irq::enable(intid);
    ensure!(irq::within(10_000, || count(0, intid) == 1), "it did not come when enabled");
    irq::disable(intid);
    timer::stop_virtual();
    irq::settle(2);
    ensure!(!irq::bit(SET_PENDING, intid), "ISPENDR shows a timer that is stopped");
    same!(count(0, intid), 1, "interrupts in the end");
    Ok(())
}

/// PMR holds back what is not more urgent than it, and what was held back comes when it opens.
fn priority_mask(env: &Env) -> Outcome {
    let intid = env.machine.virtual_timer;
    irq::set_priority(intid, 0xa0);
    irq::enable(intid);
    gic::set_mask(0xa0);
    cpu::unmask_interrupts();
    timer::set_virtual(timer::now());
    irq::settle(5);
    same!(total(0), 0, "interrupts of priority 0xa0 with PMR 0xa0");
    gic::set_mask(0xa8);
    ensure!(irq::within(10_000, || count(0, intid) == 1), "it did not come with PMR 0xa8");
    Ok(())
}

const ROUNDS: u32 = 50;

fn tick_on_this_core() {
    irq::quiet_secondary();
    let intid = VIRTUAL.load(Ordering::SeqCst);
    irq::enable(intid);
    for round in 1..=ROUNDS {
        timer::set_virtual(timer::now() + timer::frequency() / 5000);
        irq::within(10_000, || count(cpu::index(), intid) >= round);
    }
}

static VIRTUAL: AtomicU32 = AtomicU32::new(0);

/// Each core has its own timer, all at the same time.
fn every_core(env: &Env) -> Outcome {
    VIRTUAL.store(env.machine.virtual_timer, Ordering::SeqCst);
    cores::start_others(env, tick_on_this_core)?;
    tick_on_this_core();
    cores::join(env)?;
    for core in 0..env.machine.cores.len() {
        same!(count(core, env.machine.virtual_timer), ROUNDS, "timer interrupts on core {core}");
    }
    Ok(())
}

/// Made pending by ISPENDR, an own SPI comes once.
fn spi_pending(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    irq::enable(spi);
    cpu::unmask_interrupts();
    for round in 1..=20 {
        irq::set_bit(SET_PENDING, spi);
        ensure!(irq::within(10_000, || count(0, spi) >= round), "SPI {spi} did not come in round {round}");
        irq::settle(1);
        same!(count(0, spi), round, "SPIs");
        ensure!(!irq::bit(SET_PENDING, spi), "SPI {spi} is still pending");
        ensure!(!irq::bit(SET_ACTIVE, spi), "SPI {spi} is still active");
    }
    Ok(())
}

static ACTIVE: AtomicU32 = AtomicU32::new(0);

fn look_active(intid: u32) {
    ACTIVE.store(if irq::bit(SET_ACTIVE, intid) { 1 } else { 2 }, Ordering::SeqCst);
}

/// In its handler it is active.
fn spi_active(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    ACTIVE.store(0, Ordering::SeqCst);
    irq::set_hook(look_active);
    irq::enable(spi);
    cpu::unmask_interrupts();
    irq::set_bit(SET_PENDING, spi);
    ensure!(irq::within(10_000, || ACTIVE.load(Ordering::SeqCst) != 0), "SPI {spi} did not come");
    same!(ACTIVE.load(Ordering::SeqCst), 1, "1 = ISACTIVER shows it in the handler");
    Ok(())
}

/// Pending cleared before it is enabled: it does not come.
fn spi_cleared(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    irq::set_bit(SET_PENDING, spi);
    ensure!(irq::bit(SET_PENDING, spi), "ISPENDR of {spi} does not hold");
    irq::set_bit(CLEAR_PENDING, spi);
    ensure!(!irq::bit(SET_PENDING, spi), "ICPENDR of {spi} does not clear");
    irq::enable(spi);
    cpu::unmask_interrupts();
    irq::settle(5);
    same!(total(0), 0, "interrupts");
    Ok(())
}

static READY: cores::Barrier = cores::Barrier::new();
static SPI: AtomicU32 = AtomicU32::new(0);

fn receive_one() {
    irq::quiet_secondary();
    READY.meet(1);
    let me = cpu::index();
    irq::within(10_000, || count(me, SPI.load(Ordering::SeqCst)) > 0);
}

/// IROUTER or ITARGETSR sends an SPI to the core it names, and to no other.
fn spi_route(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    SPI.store(spi, Ordering::SeqCst);
    READY.reset();
    same!(cpu::start(1, env.machine.cores[1], receive_one), 0, "CPU_ON of core 1");
    ensure!(irq::within(10_000, || READY.arrived() > 0), "core 1 did not come up");
    gic::route(spi, 1, env.machine.cores[1]);
    irq::enable(spi);
    cpu::unmask_interrupts();
    irq::set_bit(SET_PENDING, spi);
    ensure!(irq::within(10_000, || count(1, spi) > 0), "SPI {spi} did not come to core 1");
    cores::join(env)?;
    same!(count(1, spi), 1, "SPIs on core 1");
    same!(count(0, spi), 0, "SPIs on core 0");
    gic::route(spi, 0, env.machine.cores[0]);
    irq::set_bit(SET_PENDING, spi);
    ensure!(irq::within(10_000, || count(0, spi) == 1), "SPI {spi} did not come back to core 0");
    Ok(())
}

/// Pending and moved before it is taken, an SPI comes once, at the core that it was moved to; moved back and forth, it comes
/// to the last one.
fn spi_moved(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    SPI.store(spi, Ordering::SeqCst);
    for moves in [1, 3, 5] {
        READY.reset();
        let before = count(1, spi);
        ROUND.store(before + 1, Ordering::SeqCst);
        same!(cpu::start(1, env.machine.cores[1], receive_round), 0, "CPU_ON of core 1");
        ensure!(irq::within(10_000, || READY.arrived() > 0), "core 1 did not come up");
        gic::route(spi, 0, env.machine.cores[0]);
        irq::enable(spi);
        irq::set_bit(SET_PENDING, spi);
        irq::settle(1);
        same!(count(1, spi), before, "SPIs on core 1 while it is pending on core 0");
        for turn in 1..=moves {
            gic::route(spi, turn % 2, env.machine.cores[turn % 2]);
        }
        ensure!(
            irq::within(10_000, || count(1, spi) > before),
            "it did not come to core 1 after {moves} moves"
        );
        ensure!(irq::nothing_to_take(), "it came to core 0 as well after {moves} moves");
        cores::join(env)?;
        same!(count(1, spi), before + 1, "SPIs on core 1 after {moves} moves");
    }
    gic::route(spi, 0, env.machine.cores[0]);
    Ok(())
}

static ROUND: AtomicU32 = AtomicU32::new(0);

fn receive_round() {
    irq::quiet_secondary();
    READY.meet(1);
    let (me, wanted) = (cpu::index(), ROUND.load(Ordering::SeqCst));
    irq::within(10_000, || count(me, SPI.load(Ordering::SeqCst)) >= wanted);
    irq::settle(3);
}

const LOW: u32 = 3;
const HIGH: u32 = 5;
/// Noted when the handler of `LOW` ends.
const LOW_ENDS: u32 = 1000;

fn raise_the_other(intid: u32) {
    if intid == LOW {
        gic::send(HIGH, 1);
        cpu::unmask_interrupts();
        irq::settle(2);
        cpu::mask_interrupts();
        irq::note(LOW_ENDS);
    }
}

fn nest(low: u8, high: u8, wanted: [u32; 3]) -> Outcome {
    irq::set_priority(LOW, low);
    irq::set_priority(HIGH, high);
    irq::enable(LOW);
    irq::enable(HIGH);
    irq::set_hook(raise_the_other);
    cpu::unmask_interrupts();
    gic::send(LOW, 1);
    ensure!(irq::within(10_000, || total(0) == 3), "{} events came", total(0));
    for (seen, wanted) in order(0).zip(wanted) {
        same!(seen, wanted, "order of events");
    }
    Ok(())
}

/// A more urgent interrupt interrupts the handler of a less urgent one.
fn preemption(_: &Env) -> Outcome {
    nest(0xc0, 0x40, [LOW, HIGH, LOW_ENDS])
}

/// One that is not more urgent waits for its end.
fn no_preemption(_: &Env) -> Outcome {
    nest(NORMAL, NORMAL, [LOW, LOW_ENDS, HIGH])
}

/// With nothing pending there is nothing to take, ICC_HPPIR1_EL1 or GICC_HPPIR reads 1023, and the running priority is idle
/// in its five bits.
fn spurious(_: &Env) -> Outcome {
    ensure!(gic::acknowledge().is_none(), "something could be taken");
    same!(gic::highest_pending(), 1023, "HPPIR");
    same!(gic::running_priority() & 0xf8, 0xf8, "RPR");
    Ok(())
}
