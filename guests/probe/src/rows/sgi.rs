//! SGIs: to oneself, to others, to all, to nobody; storms of them lose none.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use partita_guest::cpu::MAX_CORES;
use partita_guest::{cpu, gic};

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, SET_PENDING, count, total};
use crate::{cores, ensure, msr, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("sgi-self", to_self),
    Row::new("sgi-disabled", disabled).v3(),
    Row::new("sgi-others", others),
    Row::new("sgi-broadcast", broadcast),
    Row::new("sgi-nobody", nobody).v3(),
    Row::new("sgi-group0", group0).v3(),
    Row::new("sgi-set-pending", set_pending).v3(),
    Row::new("sgi-storm", storm),
    Row::new("sgi-crossfire", crossfire),
    Row::new("sgi-burst", burst),
];

/// ICC_SGI1R_EL1 as it is (IHI 0069, 12.2.21).
fn sgi1r(value: u64) {
    msr!("S3_0_C12_C11_5", value);
}

/// The bit of each core in a target list: Aff0.
fn target(env: &Env, core: usize) -> u16 {
    1 << (env.machine.cores[core] & 0xf)
}

/// All sixteen, one each.
fn to_self(_: &Env) -> Outcome {
    (0..16).for_each(irq::enable);
    cpu::unmask_interrupts();
    for sgi in 0..16 {
        gic::send(sgi, 1);
        ensure!(irq::within(10_000, || count(0, sgi) == 1), "SGI {sgi} came {} times", count(0, sgi));
    }
    same!(total(0), 16, "interrupts");
    Ok(())
}

/// A disabled SGI waits.
fn disabled(_: &Env) -> Outcome {
    cpu::unmask_interrupts();
    gic::send(3, 1);
    irq::settle(3);
    same!(total(0), 0, "interrupts");
    ensure!(irq::bit(SET_PENDING, 3), "it is not pending");
    irq::enable(3);
    ensure!(irq::within(10_000, || count(0, 3) == 1), "it did not come when enabled");
    Ok(())
}

static UP: cores::Barrier = cores::Barrier::new();
static STOP: AtomicUsize = AtomicUsize::new(0);

/// A core that does nothing but take interrupts until it is told to stop.
fn listen() {
    irq::quiet_secondary();
    UP.meet(1);
    while STOP.load(Ordering::SeqCst) == 0 && !cores::given_up() {
        core::hint::spin_loop();
    }
}

fn start_listeners(env: &Env) -> Outcome {
    UP.reset();
    STOP.store(0, Ordering::SeqCst);
    cores::start_others(env, listen)?;
    let wanted = env.machine.cores.len() - 1;
    ensure!(irq::within(PATIENCE, || UP.arrived() == wanted), "{} of {wanted} cores came up", UP.arrived());
    Ok(())
}

fn stop_listeners(env: &Env) -> Outcome {
    STOP.store(1, Ordering::SeqCst);
    cores::join(env)
}

/// To each other core by itself, and to all of them in one write.
fn others(env: &Env) -> Outcome {
    let cores = env.machine.cores.len();
    if cores < 2 {
        skip!("needs 2 cores");
    }
    start_listeners(env)?;
    let mut all = 0;
    for core in 1..cores {
        gic::send(core as u32, target(env, core));
        all |= target(env, core);
        ensure!(
            irq::within(10_000, || count(core, core as u32) == 1),
            "SGI {core} did not come to core {core}"
        );
    }
    gic::send(9, all);
    for core in 1..cores {
        ensure!(irq::within(10_000, || count(core, 9) == 1), "SGI 9 did not come to core {core}");
    }
    irq::settle(3);
    stop_listeners(env)?;
    for core in 1..cores {
        same!(total(core), 2, "interrupts on core {core}");
    }
    same!(total(0), 0, "interrupts on core 0");
    Ok(())
}

/// To all but the sender.
fn broadcast(env: &Env) -> Outcome {
    irq::enable(12);
    cpu::unmask_interrupts();
    start_listeners(env)?;
    gic::send_to_others(12);
    for core in 1..env.machine.cores.len() {
        ensure!(irq::within(10_000, || count(core, 12) == 1), "it did not come to core {core}");
    }
    irq::settle(3);
    stop_listeners(env)?;
    same!(total(0), 0, "interrupts on the sender");
    for core in 1..env.machine.cores.len() {
        same!(total(core), 1, "interrupts on core {core}");
    }
    Ok(())
}

/// Targets that are not cores of this partition: nobody gets anything, and the sender goes on.
fn nobody(env: &Env) -> Outcome {
    for sgi in 0..16 {
        irq::enable(sgi);
    }
    cpu::unmask_interrupts();
    start_listeners(env)?;
    let own: u64 = (0..env.machine.cores.len()).map(|core| u64::from(target(env, core))).sum();
    let sgi = 13 << 24;
    let strangers = !own & 0xffff;
    let beyond = [
        sgi | 1 << 44 | 0xffff,   // range selector 1: Aff0 16 to 31
        sgi | 0xf << 44 | 0xffff, // range selector 15
    ];
    // QEMU's own GIC has no range selector and takes these for Aff0 0 to 15.
    let beyond = if env.native { &[][..] } else { &beyond };
    let nobody = [
        sgi | strangers,
        sgi | 1 << 16 | 0xffff,    // Aff1 1
        sgi | 0xff << 16 | 0xffff, // Aff1 255
        sgi | 1 << 32 | 0xffff,    // Aff2 1
        sgi | 1 << 48 | 0xffff,    // Aff3 1
        sgi | 0xff << 48 | 0xffff, // Aff3 255
        sgi,                       // an empty list
    ];
    for value in nobody.iter().chain(beyond) {
        sgi1r(*value);
    }
    // Each alone too, which EL2 answers without Rust: strangers of our own affinity, and ours of another one.
    for bit in (0..16).map(|bit| 1 << bit) {
        sgi1r(sgi | bit & strangers);
        for affinity in [1 << 16, 1 << 32, 1 << 48] {
            sgi1r(sgi | affinity | bit);
        }
    }
    irq::settle(5);
    stop_listeners(env)?;
    for core in 0..env.machine.cores.len() {
        same!(total(core), 0, "interrupts on core {core}");
    }
    Ok(())
}

/// SGI0R and ASGI1R reach no Group 1 interrupt here, and cost nothing but themselves.
fn group0(_: &Env) -> Outcome {
    irq::enable(14);
    cpu::unmask_interrupts();
    let (_, fault) = partita_guest::exception::catch(|| {
        msr!("S3_0_C12_C11_7", 14 << 24 | 1); // ICC_SGI0R_EL1
    });
    ensure!(fault.is_none_or(|fault| fault.is_undefined()), "SGI0R: {fault:x?}");
    irq::settle(3);
    same!(total(0), 0, "interrupts");
    Ok(())
}

/// ISPENDR raises an SGI as well.
fn set_pending(_: &Env) -> Outcome {
    irq::enable(5);
    cpu::unmask_interrupts();
    irq::set_bit(SET_PENDING, 5);
    ensure!(irq::within(10_000, || count(0, 5) == 1), "it did not come");
    irq::settle(2);
    same!(count(0, 5), 1, "interrupts");
    Ok(())
}

/// Milliseconds until a single SGI counts as lost: emulated cores may wait long for a real one.
const PATIENCE: u64 = 30_000;
const ROUNDS: u32 = 400;
static CORES: AtomicUsize = AtomicUsize::new(0);
static TARGETS: [AtomicU32; MAX_CORES] = [const { AtomicU32::new(0) }; MAX_CORES];
static STALLED: AtomicUsize = AtomicUsize::new(0);

fn announce(env: &Env) {
    CORES.store(env.machine.cores.len(), Ordering::SeqCst);
    STALLED.store(0, Ordering::SeqCst);
    UP.reset();
    for (core, bit) in TARGETS.iter().enumerate().take(env.machine.cores.len()) {
        bit.store(u32::from(target(env, core)), Ordering::SeqCst);
    }
}

/// Sends SGI `sgi` to `to` and waits until it has come `round` times there.
fn send_and_wait(sgi: u32, to: usize, round: u32) -> bool {
    gic::send(sgi, TARGETS[to].load(Ordering::SeqCst) as u16);
    irq::within(PATIENCE, || count(to, sgi) >= round)
}

/// Round after round, each core sends to its neighbour and waits for the arrival.
fn pass_on() {
    let (me, cores) = (cpu::index(), CORES.load(Ordering::SeqCst));
    let (next, sgi) = ((me + 1) % cores, me as u32);
    UP.meet(cores);
    for round in 1..=ROUNDS {
        if !send_and_wait(sgi, next, round) {
            STALLED.store(1, Ordering::SeqCst);
            return;
        }
    }
    // Its own neighbour may still be sending to it.
    let before = (me + cores - 1) % cores;
    irq::within(PATIENCE, || STALLED.load(Ordering::SeqCst) != 0 || count(me, before as u32) >= ROUNDS);
}

fn pass_on_secondary() {
    irq::quiet_secondary();
    pass_on();
}

/// All cores send hundreds each, all at once; each arrives once.
fn storm(env: &Env) -> Outcome {
    let cores = env.machine.cores.len();
    announce(env);
    (0..16).for_each(irq::enable);
    cpu::unmask_interrupts();
    cores::start_others(env, pass_on_secondary)?;
    pass_on();
    cores::join(env)?;
    for core in 0..cores {
        let from = (core + cores - 1) % cores;
        same!(count(core, from as u32), ROUNDS, "SGIs from core {from} on core {core}");
    }
    Ok(())
}

/// Each core sends to every core, itself too, each with an SGI of its own.
fn fire() {
    let (me, cores) = (cpu::index(), CORES.load(Ordering::SeqCst));
    UP.meet(cores);
    for round in 1..=ROUNDS / 4 {
        let all = (0..cores).fold(0, |all, core| all | TARGETS[core].load(Ordering::SeqCst));
        gic::send(me as u32, all as u16);
        let arrived = || (0..cores).all(|core| count(core, me as u32) >= round);
        if !irq::within(PATIENCE, arrived) {
            STALLED.store(1, Ordering::SeqCst);
            return;
        }
    }
    let done = || (0..cores).all(|from| count(me, from as u32) >= ROUNDS / 4);
    irq::within(PATIENCE, || STALLED.load(Ordering::SeqCst) != 0 || done());
}

fn fire_secondary() {
    irq::quiet_secondary();
    fire();
}

/// Every core to every core at once.
fn crossfire(env: &Env) -> Outcome {
    let cores = env.machine.cores.len();
    announce(env);
    (0..16).for_each(irq::enable);
    cpu::unmask_interrupts();
    cores::start_others(env, fire_secondary)?;
    fire();
    cores::join(env)?;
    for (core, from) in (0..cores).flat_map(|core| (0..cores).map(move |from| (core, from))) {
        same!(count(core, from as u32), ROUNDS / 4, "SGIs from core {from} on core {core}");
    }
    Ok(())
}

/// All sixteen to another core in one go, many times: more than it has list registers.
fn burst(env: &Env) -> Outcome {
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    start_listeners(env)?;
    for round in 1..=50 {
        for sgi in 0..16 {
            gic::send(sgi, target(env, 1));
        }
        for sgi in 0..16 {
            ensure!(
                irq::within(10_000, || count(1, sgi) == round),
                "round {round}: SGI {sgi} came {} times",
                count(1, sgi)
            );
        }
    }
    stop_listeners(env)
}
