//! The metronome: takes a periodic interrupt of the virtual timer and prints once a second how late it came.
//!
//! Words of its bootargs: `hz=N` interrupts a second (default 100); `reports=N` powers off after N reports (default: never).
//! A line reads `tick N lateness min/mean/max = A/B/C`: the ticks so far, and how many counter ticks after its due time the
//! handler saw the interrupt, over the last second.
#![no_std]
#![no_main]

use partita_guest::{Machine, args, cpu, gic, println, timer};
use spin::mutex::SpinMutex;

partita_guest::guest!(main = main, irq = tick);

/// What the handler and the reporter share. Locked with interrupts masked only.
struct Beat {
    interrupt: u32,
    period: u64,
    due: u64,
    ticks: u64,
    missed: u64,
    second: Lateness,
}

#[derive(Clone, Copy)]
struct Lateness {
    min: u64,
    max: u64,
    sum: u64,
    count: u64,
}

impl Lateness {
    const NONE: Lateness = Lateness { min: u64::MAX, max: 0, sum: 0, count: 0 };
}

static BEAT: SpinMutex<Beat> =
    SpinMutex::new(Beat { interrupt: 0, period: 0, due: 0, ticks: 0, missed: 0, second: Lateness::NONE });

fn main(machine: &'static Machine) {
    let word = |name, default| args::get(machine.bootargs, name).map_or(Some(default), args::number);
    let (Some(hz @ 1..=10_000), Some(reports)) = (word("hz", 100), word("reports", u64::MAX)) else {
        println!("metronome: bootargs \"{}\": hz is 1 to 10000 and reports is a number", machine.bootargs);
        return;
    };
    let period = timer::frequency() / hz;
    println!("metronome: period {period} ticks at {} Hz", timer::frequency());

    gic::init(machine);
    let due = timer::now() + period;
    {
        let mut beat = BEAT.lock();
        (beat.interrupt, beat.period, beat.due) = (machine.virtual_timer, period, due);
    }
    gic::enable(machine.virtual_timer, true);
    timer::set_virtual(due);
    cpu::unmask_interrupts();

    for _ in 0..reports {
        let (ticks, missed, second) = next_second(hz);
        println!(
            "tick {ticks} lateness min/mean/max = {}/{}/{}",
            second.min,
            second.sum / second.count,
            second.max
        );
        if missed > 0 {
            println!("metronome: {missed} ticks missed");
        }
    }
    cpu::mask_interrupts();
    timer::stop_virtual();
}

/// Sleeps until `hz` more ticks have come, and takes their figures.
fn next_second(hz: u64) -> (u64, u64, Lateness) {
    loop {
        // Looked at and slept on with interrupts masked: one that comes in between still ends the sleep.
        cpu::mask_interrupts();
        let mut beat = BEAT.lock();
        if beat.second.count >= hz {
            let taken = (beat.ticks, beat.missed, beat.second);
            beat.second = Lateness::NONE;
            beat.missed = 0;
            drop(beat);
            cpu::unmask_interrupts();
            return taken;
        }
        drop(beat);
        cpu::wait();
        cpu::unmask_interrupts();
    }
}

fn tick() {
    let now = timer::now();
    let Some(interrupt) = gic::acknowledge() else { return };
    let mut beat = BEAT.lock();
    // The line falls before the end of interrupt and rises after it: QEMU's GICv2 forgets to look at a line that is up
    // when a list register's interrupt ends, until something else happens at the distributor.
    timer::stop_virtual();
    gic::end(interrupt);
    if interrupt.intid() == beat.interrupt {
        let late = now.saturating_sub(beat.due);
        let second = &mut beat.second;
        second.min = second.min.min(late);
        second.max = second.max.max(late);
        second.sum += late;
        second.count += 1;
        let skipped = late / beat.period;
        beat.missed += skipped;
        beat.ticks += 1 + skipped;
        beat.due += beat.period * (1 + skipped);
        timer::set_virtual(beat.due);
    }
}
