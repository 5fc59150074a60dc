//! The warden: a guest that supervises two others by its device and by hypercalls, and a guest that is supervised.
//!
//! The word `role=NAME` of its bootargs says which part it has. `warden` (the default) is a table of rows ([`rows::ROWS`]) about two
//! partitions that it manages: the first fails of its own once (guests/crasher with `lives=1 ways=aarch32`), the second is this guest
//! as `idle`, with `start = "manual"`. `test=NAME,...` picks rows, `direct` says that the second one's interrupts are. It prints
//! `warden: ROW ok`, or `warden: ROW FAILED: why`, then `warden: done N ok, M failed`; it stops both, and powers off. `idle` looks
//! for what it has no right to, and gives signs of life until it is stopped. `first` and `second` manage each other: `first` stops
//! `second` and starts it again, and the new one stops `first`. `stopper` restarts one that never ends by itself ([`stopper`]).
//! `mourner` asks for one that is not to be started any more. `rival` restarts one for as many seconds as `seconds=N` says, while
//! another partition does the same, and stops it.
#![no_std]
#![no_main]

mod refusals;
mod rows;
mod stopper;

use core::mem::offset_of;

use partita_abi::supervision::{Command, Cpu, Header, call, code, request, state};
use partita_guest::rows::{End, Env, why};
use partita_guest::supervisor::{Device, within_time};
use partita_guest::watchdog::Watchdog;
use partita_guest::{Machine, args, cpu, println, psci, timer};

partita_guest::guest!(main = main, irq = stopper::irq);

fn main(machine: &'static Machine) {
    match args::get(machine.bootargs, "role").unwrap_or("warden") {
        "idle" => idle(machine),
        "first" => first(machine),
        "second" => second(machine),
        "mourner" => mourner(machine),
        "rival" => rival(machine),
        "stopper" => stopper::stopper(machine),
        _ => warden(machine),
    }
}

fn warden(machine: &'static Machine) {
    let env = Env { machine, native: false };
    let Some(device) = Device::find(machine) else { return println!("warden: no device") };
    let (mut ok, mut bad) = (0, 0);
    for row in rows::ROWS.iter().chain(refusals::ROWS).filter(|row| env.selects("", row.0)) {
        match (row.1)(&env, &device) {
            Ok(()) => {
                println!("warden: {} ok", row.0);
                ok += 1;
            }
            Err(End::Skipped(what)) => println!("warden: {} skipped: {what}", row.0),
            Err(End::Failed) => {
                println!("warden: {} FAILED: {}", row.0, why());
                bad += 1;
            }
        }
    }
    println!("warden: done {ok} ok, {bad} failed");
    for index in 0..device.count {
        ask(call::STOP, index as u64);
    }
    let is_off = |index| matches!(device.life(index).state(), state::OFF | state::FAILED);
    within_time(|| (0..device.count).all(is_off));
}

/// A hypercall about one that is managed: its code.
fn ask(function: u32, index: u64) -> i64 {
    psci::call64(function, [index, 0, 0])[0] as i64
}

fn beat() {
    ask(call::BEAT, 0);
}

/// It has no right to anything.
fn idle(machine: &'static Machine) {
    println!("idle: up");
    let seen = Device::find(machine).is_some();
    let indices = (0..16).chain([0x7fff_ffff, 1 << 32, 1 << 63, !0]);
    let mut calls =
        indices.flat_map(|index| (call::NAME..=call::RESTART).map(move |function| (function, index)));
    let answered = calls.find(|(function, index)| {
        let answer = psci::call64(*function, [*index, !0, !0]);
        let silent = !matches!(*function, call::NAME | call::STATE) || answer[1..] == [0; 3];
        answer[0] as i64 != i64::from(code::NO_SUCH) || !silent
    });
    let count = psci::call64(call::COUNT, [!0; 3]);
    match answered {
        _ if seen => println!("idle: it has a device"),
        _ if count[..2] != [0, 0] => println!("idle: it manages {count:?}"),
        Some((function, index)) => println!("idle: {function:#x} of {index:#x} is answered"),
        None => println!("idle: refused"),
    }
    // With a watchdog its refreshes are the signs of life.
    let watchdog = Watchdog::find(machine);
    loop {
        watchdog.map_or_else(beat, Watchdog::refresh);
        timer::spin(timer::frequency() / 1000);
    }
}

fn first(machine: &'static Machine) {
    let Some(device) = Device::find(machine) else { return println!("first: no device") };
    println!("first: up, manages {}", Device::name(machine, 0));
    let up = device.wait(0, state::RUNNING) && within_time(|| device.has_said(0, "second: waits"));
    let stopped = ask(call::STOP, 0) == 0 && device.wait(0, state::OFF);
    // What the other one's next life tells it by.
    beat();
    let started = ask(call::START, 0) == 0;
    println!("first: {up} {stopped} {started}");
    loop {
        cpu::wait();
    }
}

/// It fails, by the hypervisor's fault, and whoever asks for it is told that it stays so.
fn mourner(machine: &'static Machine) {
    let Some(device) = Device::find(machine) else { return println!("mourner: no device") };
    let failed = device.wait(0, state::FAILED);
    let by_register = |request| device.command(Command::new(request, 0, 0)).code();
    let [start, restart, stop] = [request::START, request::RESTART, request::STOP].map(by_register);
    let [called, recalled] = [call::START, call::RESTART].map(|function| ask(function, 0));
    let still = device.life(0).state() == state::FAILED;
    println!("mourner: {failed} start {start} {called} restart {restart} {recalled} stop {stop} {still}");
}

fn rival(machine: &'static Machine) {
    let Some(device) = Device::find(machine) else { return println!("rival: no device") };
    let seconds = args::get(machine.bootargs, "seconds").and_then(args::number).unwrap_or(1);
    let end = timer::now() + seconds * timer::frequency();
    let (mut asked, mut refused) = (0, 0);
    while timer::now() < end {
        asked += 1;
        refused += u64::from(ask(call::RESTART, 0) < 0);
        timer::spin(timer::frequency() / 2000);
    }
    let came = device.wait(0, state::RUNNING) || device.life(0).state() == state::RUNNING;
    let stopped = ask(call::STOP, 0) >= 0 && device.wait(0, state::OFF);
    println!("rival: asked {} refused {refused} came {came} stopped {stopped}", asked > 100);
}

fn second(machine: &'static Machine) {
    let Some(device) = Device::find(machine) else { return println!("second: no device") };
    if device.behind(0, offset_of!(Header, cpus), offset_of!(Cpu, beats)) == 0 {
        println!("second: waits");
        loop {
            cpu::wait();
        }
    }
    let said = within_time(|| device.has_said(0, "first: true true true"));
    let stopped = ask(call::STOP, 0) == 0 && device.wait(0, state::OFF);
    println!("second: {said} {stopped}");
}
