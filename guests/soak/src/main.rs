//! The soak: very many interrupts on every core at once, each waited for, so that one that is lost and one that comes twice
//! are both seen.
//!
//! Words of its bootargs: `timers=N` timer interrupts and `sgis=N` SGIs on all cores together. A core arms its virtual timer,
//! for now or for a while ahead, and waits for it, spinning or asleep; it sends itself an SGI, or one to the next core, and
//! waits for that. A timer interrupt has to find its timer armed and expired (CNTV_CTL_EL0.ISTATUS); of each SGI as many come
//! as were sent. It prints `soak: core C: ...` as it goes, and at the end
//! `soak: T timer interrupts, S SGIs to oneself, O to another, on C cores: none lost, none twice`.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use partita_guest::cpu::MAX_CORES;
use partita_guest::{Machine, args, cpu, gic, println, timer};

partita_guest::guest!(main = main, irq = irq);

/// The SGI that a core sends itself; those that core n sends to the next have this number and n more.
const ITSELF: u32 = 1;
const FROM: u32 = 2;
/// How long an interrupt may take, in seconds: far beyond what a busy computer makes of it.
const PATIENCE: u64 = 60;
/// How far ahead a timer is armed at most, in parts of a second.
const AHEAD: u64 = 20_000;
/// How often a core says how far it is.
const REPORTS: u64 = 4;

/// What a core has seen.
struct Seen {
    /// Its timer is armed and has not come yet.
    armed: AtomicBool,
    timers: AtomicU64,
    /// SGIs by number.
    sgis: [AtomicU64; 16],
    /// Interrupts that nobody asked for: of a timer that was not armed or had not expired, or of no known number.
    strays: AtomicU64,
}

static SEEN: [Seen; MAX_CORES] = [const {
    Seen {
        armed: AtomicBool::new(false),
        timers: AtomicU64::new(0),
        sgis: [const { AtomicU64::new(0) }; 16],
        strays: AtomicU64::new(0),
    }
}; MAX_CORES];

/// What each core is to do, and the timer's interrupt.
static CORES: AtomicUsize = AtomicUsize::new(0);
static TIMERS: AtomicU64 = AtomicU64::new(0);
static SGIS: AtomicU64 = AtomicU64::new(0);
static TIMER: AtomicUsize = AtomicUsize::new(0);
/// Cores that can be sent to, and cores that are through.
static READY: AtomicUsize = AtomicUsize::new(0);
static THROUGH: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicBool = AtomicBool::new(false);

/// What is wrong with an interrupt, and which one it was of how many.
enum Wrong {
    Lost(&'static str, u64),
    Twice(&'static str, u64),
    Stray(u64),
}

fn main(machine: &'static Machine) {
    let number = |name| args::get(machine.bootargs, name).and_then(args::number);
    let (Some(timers), Some(sgis)) = (number("timers"), number("sgis")) else {
        return println!("soak: bootargs \"{}\": timers and sgis are numbers", machine.bootargs);
    };
    let cores = machine.cores.len();
    CORES.store(cores, Ordering::Relaxed);
    TIMERS.store(timers.div_ceil(cores as u64), Ordering::Relaxed);
    SGIS.store(sgis.div_ceil(cores as u64), Ordering::Relaxed);
    TIMER.store(machine.virtual_timer as usize, Ordering::Relaxed);
    gic::init(machine);
    for (core, affinity) in machine.cores.iter().enumerate().skip(1) {
        let answer = cpu::start(core, *affinity, secondary);
        assert!(answer == 0, "CPU_ON of core {core}: {answer}");
    }
    work();
    while THROUGH.load(Ordering::SeqCst) != cores {
        cpu::give_way();
    }
    let sum = |one: &dyn Fn(&Seen) -> u64| SEEN.iter().map(one).sum::<u64>();
    let sgi = |seen: &Seen, number: u32| seen.sgis[number as usize].load(Ordering::SeqCst);
    println!(
        "soak: {} timer interrupts, {} SGIs to oneself, {} to another, on {cores} cores: {}",
        sum(&|seen| seen.timers.load(Ordering::SeqCst)),
        sum(&|seen| sgi(seen, ITSELF)),
        sum(&|seen| (0..MAX_CORES as u32).map(|core| sgi(seen, FROM + core)).sum()),
        if FAILED.load(Ordering::SeqCst) { "NOT WELL" } else { "none lost, none twice" },
    );
}

fn secondary() {
    gic::init_secondary();
    work();
}

/// One core's part: rounds of timers and SGIs until both are done.
fn work() {
    gic::enable(TIMER.load(Ordering::Relaxed) as u32, true);
    (ITSELF..FROM + MAX_CORES as u32).for_each(|sgi| gic::enable(sgi, true));
    cpu::unmask_interrupts();
    READY.fetch_add(1, Ordering::SeqCst);
    let cores = CORES.load(Ordering::Relaxed);
    while READY.load(Ordering::SeqCst) != cores {
        cpu::give_way();
    }
    let core = cpu::index();
    if let Err(wrong) = rounds(core, cores) {
        FAILED.store(true, Ordering::SeqCst);
        match wrong {
            Wrong::Lost(what, number) => println!("soak: core {core}: {what} {number} is LOST"),
            Wrong::Twice(what, number) => println!("soak: core {core}: {what} {number} came TWICE"),
            Wrong::Stray(count) => println!("soak: core {core}: {count} came UNASKED"),
        }
    }
    // It still takes what others send it.
    THROUGH.fetch_add(1, Ordering::SeqCst);
    while THROUGH.load(Ordering::SeqCst) != cores {
        cpu::give_way();
    }
}

fn rounds(core: usize, cores: usize) -> Result<(), Wrong> {
    let seen = &SEEN[core];
    let (timers, sgis) = (TIMERS.load(Ordering::Relaxed), SGIS.load(Ordering::Relaxed));
    let next = (core + 1) % cores;
    let (mut itself, mut other) = (0, 0);
    let all = timers.max(sgis);
    for round in 0..all {
        if round < timers {
            arm(core, round);
            // Every other one that is ahead is waited for asleep.
            let asleep = round.is_multiple_of(128);
            await_count("timer interrupt", &seen.timers, round + 1, asleep)?;
        }
        // Evenly among the rounds; with several cores every other one to the next.
        if (round + 1) * sgis / all > itself + other {
            if cores > 1 && (itself + other) % 2 == 1 {
                other += 1;
                gic::send(FROM + core as u32, 1 << next);
                await_count("SGI to another", &SEEN[next].sgis[FROM as usize + core], other, false)?;
            } else {
                itself += 1;
                gic::send(ITSELF, 1 << core);
                await_count("SGI to oneself", &seen.sgis[ITSELF as usize], itself, false)?;
            }
        }
        if (round + 1).is_multiple_of(all.div_ceil(REPORTS)) {
            println!(
                "soak: core {core}: {} timer interrupts, {} SGIs",
                (round + 1).min(timers),
                itself + other
            );
        }
    }
    // What would come twice at the very end has time to.
    timer::spin(timer::frequency() / 1000);
    await_count("timer interrupt", &seen.timers, timers, false)?;
    await_count("SGI to oneself", &seen.sgis[ITSELF as usize], itself, false)?;
    await_count("SGI to another", &SEEN[next].sgis[FROM as usize + core], other, false)?;
    match seen.strays.load(Ordering::SeqCst) {
        0 => Ok(()),
        strays => Err(Wrong::Stray(strays)),
    }
}

/// Arms the virtual timer: mostly for now, every 64th time for a while ahead.
fn arm(core: usize, round: u64) {
    let ahead = if round.is_multiple_of(64) { round / 64 * 7919 % (timer::frequency() / AHEAD) } else { 0 };
    // With interrupts masked, so that it cannot come before it is known to be armed.
    cpu::with_interrupts_masked(|| {
        SEEN[core].armed.store(true, Ordering::SeqCst);
        timer::set_virtual(timer::now() + ahead);
    });
}

/// Waits until that many have come, and no more.
fn await_count(what: &'static str, count: &AtomicU64, wanted: u64, asleep: bool) -> Result<(), Wrong> {
    let begin = timer::now();
    loop {
        let came = count.load(Ordering::SeqCst);
        match came.cmp(&wanted) {
            core::cmp::Ordering::Equal => return Ok(()),
            core::cmp::Ordering::Greater => return Err(Wrong::Twice(what, wanted)),
            core::cmp::Ordering::Less => {}
        }
        if timer::now() - begin > PATIENCE * timer::frequency() {
            return Err(Wrong::Lost(what, wanted));
        }
        if asleep {
            // Masked ones end the wait too, so none is missed between the look and the sleep.
            cpu::with_interrupts_masked(|| {
                if count.load(Ordering::SeqCst) < wanted {
                    cpu::wait();
                }
            });
        } else {
            cpu::give_way();
        }
    }
}

fn irq() {
    let Some(taken) = gic::acknowledge() else { return };
    let seen = &SEEN[cpu::index()];
    let intid = taken.intid();
    if intid as usize == TIMER.load(Ordering::Relaxed) {
        if seen.armed.swap(false, Ordering::SeqCst) && timer::virtual_expired() {
            seen.timers.fetch_add(1, Ordering::SeqCst);
        } else {
            seen.strays.fetch_add(1, Ordering::SeqCst);
        }
        timer::stop_virtual();
    } else if let Some(count) = seen.sgis.get(intid as usize) {
        count.fetch_add(1, Ordering::SeqCst);
    } else {
        seen.strays.fetch_add(1, Ordering::SeqCst);
    }
    gic::end(taken);
}
