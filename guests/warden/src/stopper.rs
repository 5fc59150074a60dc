//! Restarts a partition that never ends by itself (guests/crasher with `stays`), whatever its cores are in the midst of.
//!
//! Words of its bootargs: `turns=N`. Each time it waits until all its cores have given a sign of life, and a while that is another one
//! each time, executes [`cpu::mark`], for whom counts instructions from outside, and gives the command. Meanwhile it sleeps, as what it
//! executed itself would be no part of anything. At last it stops the other, prints `stopper: done N`, and powers off.

use core::mem::offset_of;

use partita_abi::supervision::{Command, Cpu, Header, code, request, state};
use partita_guest::supervisor::Device;
use partita_guest::{Machine, args, cpu, gic, println, timer};

/// Milliseconds between looks.
const LOOK: u64 = 2;

/// Restarts so often.
pub fn stopper(machine: &'static Machine) {
    let Some(device) = Device::find(machine) else { return println!("stopper: no device") };
    let turns = args::get(machine.bootargs, "turns").and_then(args::number).unwrap_or(1);
    gic::init(machine);
    gic::enable(machine.virtual_timer, true);
    let cpus = device.word(0, offset_of!(Header, cpu_count)) as usize;
    // A sign of life of each core comes once in each life.
    let beats = |cpu: usize| {
        device.behind(0, offset_of!(Header, cpus), cpu * size_of::<Cpu>() + offset_of!(Cpu, beats))
    };
    let all_in_life = |life: u64| until(|| (0..cpus).all(|cpu| beats(cpu) > life));
    for turn in 0..turns {
        all_in_life(turn);
        // Multiples of what has nothing to do with what they do, up to a millisecond.
        nap((turn * 7919 + 13) % 1000 * timer::frequency() / 1_000_000);
        cpu::mark();
        let outcome = device.command(Command::new(request::RESTART, 0, turn as u16));
        // Of a partition whose interrupts are direct more is not promised.
        if ![code::ASKED, code::BEST_EFFORT].contains(&outcome.code()) {
            return println!("stopper: restart {turn} is answered with {}", outcome.code());
        }
        until(|| device.word(0, offset_of!(Header, restarts)) > turn);
    }
    all_in_life(turns);
    device.command(Command::new(request::STOP, 0, 0));
    until(|| device.life(0).state() == state::OFF);
    println!("stopper: done {turns}");
}

fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        nap(LOOK * timer::frequency() / 1000);
    }
}

/// Sleeps for so many ticks.
fn nap(ticks: u64) {
    let end = timer::now() + ticks;
    timer::set_virtual(end);
    while timer::now() < end {
        cpu::mask_interrupts();
        if timer::now() < end {
            cpu::wait();
        }
        cpu::unmask_interrupts();
    }
}

/// The handler of its timer. One of the nap before may come when the next one is set already.
pub fn irq() {
    if let Some(taken) = gic::acknowledge() {
        if timer::virtual_expired() {
            timer::stop_virtual();
        }
        gic::end(taken);
    }
}
