//! The victim: a partition that does nothing but notice what others do to it. It keeps a canary in every word of its RAM,
//! takes a periodic timer interrupt and for each of them an SGI and, if it has a device for it, an SPI, counts all exactly,
//! and measures how late the timer's come.
//!
//! Words of its bootargs: `hz=N` interrupts a second (default 100); `reports=N` powers off after N reports (default: never).
//! A `q` on its console ends it too. Once a second it prints
//! `victim: report N ticks T missed M sgis S lines D lost L strays K again A canaries ok lateness worst W`, all since its start
//! but W, which is since the report before, in counter ticks: T timer interrupts were taken, M more were due while one was
//! late, S SGIs came and D of the device, L that were sent or raised did not, K interrupts came that nobody of the victim's had
//! asked for, and A of the device's with its line down: once more for what had been served. Where a canary is not as it
//! was, `canaries BROKEN AT ADDRESS holds VALUE` stands in its place, for good. Its last words are `victim: end whole` or
//! `victim: end BROKEN`. At each timer interrupt it executes [`cpu::mark`], for whom counts instructions from outside.
#![no_std]
#![no_main]

mod beat;
mod canary;
mod line;

use canary::{Broken, Canaries};
use partita_guest::{Machine, args, console, cpu, gic, println, timer};

partita_guest::guest!(main = main, irq = beat::irq);

fn main(machine: &'static Machine) {
    let number = |name, default| args::get(machine.bootargs, name).map_or(Some(default), args::number);
    let (Some(hz @ 1..=10_000), Some(reports)) = (number("hz", 100), number("reports", u64::MAX)) else {
        println!("victim: bootargs \"{}\": hz is 1 to 10000 and reports is a number", machine.bootargs);
        return;
    };
    let mut canaries = Canaries::new(machine);
    println!(
        "victim: {} bytes of canaries, {hz} ticks a second of {} counter ticks, {} cores",
        canaries.bytes(),
        timer::frequency(),
        machine.cores.len()
    );
    gic::init(machine);
    line::start(machine);
    beat::start(machine, timer::frequency() / hz);

    // A fifth of a second for a round over all of memory.
    let share = (machine.memory.iter().map(|(_, size)| size).sum::<u64>() * 5 / hz).next_multiple_of(8);
    let (mut broken, mut asked): (Option<Broken>, bool) = (None, false);
    for report in 1..=reports {
        for _ in 0..hz {
            beat::wait();
            beat::send();
            if broken.is_none() {
                broken = canaries.look(share).err();
            }
        }
        print(report, broken);
        while let Some(byte) = console::receive() {
            asked |= byte == b'q';
        }
        if asked {
            break;
        }
    }
    cpu::mask_interrupts();
    timer::stop_virtual();
    let whole = broken.is_none() && beat::figures().exact();
    println!("victim: end {}", if whole { "whole" } else { "BROKEN" });
}

fn print(report: u64, broken: Option<Broken>) {
    let beat::Figures { ticks, missed, sgis, lines, lost, strays, again, worst } = beat::figures();
    let came = format_args!("report {report} ticks {ticks} missed {missed} sgis {sgis} lines {lines}");
    let counts = format_args!("{came} lost {lost} strays {strays} again {again}");
    match broken {
        None => println!("victim: {counts} canaries ok lateness worst {worst}"),
        Some(Broken { at, holds }) => {
            println!("victim: {counts} canaries BROKEN AT {at:#x} holds {holds:#x} lateness worst {worst}");
        }
    }
}
