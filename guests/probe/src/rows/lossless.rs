//! No interrupt is lost, and none comes twice, in as many as it takes to believe it: timers, SGIs to oneself, to the next
//! core and back from there, and an SPI that moves about, on all cores at once. Who waits, sleeps: of emulated cores only
//! those that work cost anything.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use partita_guest::cpu::MAX_CORES;
use partita_guest::{args, cpu, gic, println, timer};

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, SET_ACTIVE, SET_PENDING, count, total};
use crate::{cores, ensure, same};

pub const ALONE: &[Row] = &[Row::new("lossless", lossless)];

/// SGI that each core sends to itself.
const OWN: u32 = 3;
/// SGI that each core sends to the next one, and what that sends back when it has come.
const NEXT: u32 = 12;
const BACK: u32 = 5;
/// What another core sends to core 0 when the SPI has come there.
const SPI_CAME: u32 = 9;
/// The end, from core 0 to all.
const END: u32 = 14;
/// Seconds until an interrupt counts as lost.
const PATIENCE: u64 = 30;
/// The SPI comes in one of as many rounds, and moves on each time: what another core has to answer for takes long where it
/// has to wait for a processor.
const PAUSE: u32 = 10;

static CORES: AtomicUsize = AtomicUsize::new(0);
static ROUNDS: AtomicU32 = AtomicU32::new(0);
static TIMERS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
/// The SPI, or 0.
static SPI: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicBool = AtomicBool::new(false);
static MEET: cores::Barrier = cores::Barrier::new();
static BITS: [AtomicU32; MAX_CORES] = [const { AtomicU32::new(0) }; MAX_CORES];

fn send(sgi: u32, core: usize) {
    gic::send(sgi, BITS[core].load(Ordering::Relaxed) as u16);
}

/// Answers, on the core where the interrupt came.
fn answer(intid: u32) {
    let (me, cores) = (cpu::index(), CORES.load(Ordering::Relaxed));
    if intid == NEXT {
        send(BACK, (me + cores - 1) % cores);
    } else if intid == SPI.load(Ordering::Relaxed) && me != 0 {
        send(SPI_CAME, 0);
    }
}

/// Sleeps until interrupts that came to this core have made it so. The physical timer wakes up who waits in vain.
fn wait_until(done: impl Fn() -> bool) -> bool {
    let limit = timer::physical_now() + PATIENCE * timer::frequency();
    timer::set_physical(limit);
    loop {
        // Looked at and slept on with interrupts masked: one that comes in between still ends the sleep.
        cpu::mask_interrupts();
        if done() || LOST.load(Ordering::Relaxed) || timer::physical_now() >= limit {
            break;
        }
        cpu::wait();
        cpu::unmask_interrupts();
    }
    timer::stop_physical();
    cpu::unmask_interrupts();
    done()
}

/// One of each in a round; none waits for another, and all have come before the next round.
fn rounds(extra: impl Fn(u32), extra_came: impl Fn(u32) -> bool) {
    let (me, cores) = (cpu::index(), CORES.load(Ordering::Relaxed));
    let (next, virtual_timer) = ((me + 1) % cores, TIMERS[0].load(Ordering::Relaxed));
    let number = ROUNDS.load(Ordering::Relaxed);
    MEET.meet(cores);
    for round in 1..=number {
        extra(round);
        timer::set_virtual(timer::now() + u64::from(round % 4) * timer::frequency() / 1_000_000);
        send(NEXT, next);
        send(OWN, me);
        let came = || [OWN, BACK, virtual_timer].iter().all(|intid| count(me, *intid) >= round);
        if !wait_until(|| came() && extra_came(round)) {
            if !LOST.swap(true, Ordering::SeqCst) {
                let [own, back, timers] = [OWN, BACK, virtual_timer].map(|intid| count(me, intid));
                println!(
                    "probe: core {me}, round {round}: {own} own, {back} back of {}, {timers} timers, {} SPIs away",
                    count(next, NEXT),
                    count(me, SPI_CAME)
                );
            }
            return;
        }
    }
    // The core before may have far to go still.
    while count(me, NEXT) < number {
        let so_far = count(me, NEXT);
        if !wait_until(|| count(me, NEXT) > so_far) {
            LOST.store(true, Ordering::SeqCst);
            return;
        }
    }
}

fn secondary() {
    irq::quiet_secondary();
    for timer in &TIMERS {
        irq::enable(timer.load(Ordering::Relaxed));
    }
    rounds(|_| {}, |_| true);
    while count(cpu::index(), END) == 0 && !LOST.load(Ordering::Relaxed) && !cores::given_up() {
        wait_until(|| count(cpu::index(), END) > 0);
    }
}

/// `interrupts=` of them at least (default 100,000).
fn lossless(env: &Env) -> Outcome {
    let wanted = args::get(env.machine.bootargs, "interrupts").and_then(args::number).unwrap_or(100_000);
    let (cores, spi, timer) = (env.machine.cores.len(), irq::own_spi(env.machine), env.machine.virtual_timer);
    let each = 4 * cores as u64;
    let number = wanted.div_ceil(each) as u32;
    let raised = |round: u32| if spi.is_some() { round / PAUSE } else { 0 };
    CORES.store(cores, Ordering::SeqCst);
    ROUNDS.store(number, Ordering::SeqCst);
    TIMERS[0].store(timer, Ordering::SeqCst);
    TIMERS[1].store(env.machine.physical_timer, Ordering::SeqCst);
    SPI.store(spi.unwrap_or(0), Ordering::SeqCst);
    LOST.store(false, Ordering::SeqCst);
    for (bit, affinity) in BITS.iter().zip(env.machine.cores.iter()) {
        bit.store(1 << (affinity & 0xf), Ordering::SeqCst);
    }
    for intid in [OWN, NEXT, BACK, SPI_CAME, timer, env.machine.physical_timer].into_iter().chain(spi) {
        irq::enable(intid);
    }
    irq::set_hook(answer);
    cpu::unmask_interrupts();
    MEET.reset();
    cores::start_others(env, secondary)?;
    let home = |nth: u32| nth as usize % cores;
    let raise = |round: u32| {
        let (Some(spi), 0) = (spi, round % PAUSE) else { return };
        let core = home(raised(round));
        // Pending again before its end it might stay so: see `irq::look_again`.
        irq::within(PATIENCE * 1000, || !irq::bit(SET_ACTIVE, spi));
        gic::route(spi, core, env.machine.cores[core]);
        irq::set_bit(SET_PENDING, spi);
    };
    let spis = || spi.map_or(0, |spi| count(0, spi)) + count(0, SPI_CAME);
    rounds(raise, |round| spis() >= raised(round));
    // What would come twice has time to: the others are still there.
    irq::settle(10);
    gic::send_to_others(END);
    cores::join(env)?;
    let what = [
        ("SGIs to itself", OWN),
        ("SGIs from the core before", NEXT),
        ("SGIs back from the next core", BACK),
        ("timers", timer),
    ];
    for (core, (what, intid)) in (0..cores).flat_map(|core| what.map(|what| (core, what))) {
        same!(count(core, intid), number, "{what} on core {core}");
    }
    let away = (1..=raised(number)).filter(|nth| home(*nth) != 0).count() as u32;
    same!(count(0, SPI_CAME), away, "SPIs that came to other cores");
    let came = |core| spi.map_or(0, |spi| count(core, spi));
    same!((0..cores).map(came).sum::<u32>(), raised(number), "SPIs");
    // But for the physical timer, which may have woken up who had nothing to do for long.
    let of_core = |core| total(core) as u64 - u64::from(count(core, env.machine.physical_timer));
    let sum: u64 = (0..cores).map(of_core).sum();
    let others = u64::from(raised(number) + away) + cores as u64 - 1;
    same!(sum, u64::from(number) * each + others, "interrupts in all");
    ensure!(sum >= wanted, "{sum} interrupts, not {wanted}");
    println!("probe: {sum} interrupts in {number} rounds on {cores} cores: none lost, none twice");
    Ok(())
}
