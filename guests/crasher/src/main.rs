//! The crasher: a guest that ends, each time in another way, and counts its lives in a device that no restart resets.
//!
//! Words of its bootargs: `lives=N` ends of its own, after which it says `crasher: done N` and sleeps until it is stopped;
//! `stays` has all its cores do the first one's part of it, each with a sign of life (a hypercall) before it, and somebody else is to end it;
//! `calm=SECONDS` before the first; `ways=NAME,...` in this order, again and again (default: all of [`ways::WAYS`] that the machine has). In each life it looks
//! whether anything is left of the one before: in its memory, at its interrupts, on its other core. It prints
//! `crasher: life N way NAME`, or `crasher: life N RESIDUE what` and then nothing more. At each it
//! executes [`cpu::mark`], for whom counts instructions from outside. It needs two cores and a device to count in.
#![no_std]
#![no_main]

mod watched;
mod ways;

use partita_guest::mmio::{read32, read64, write32, write64};
use partita_guest::{Machine, args, cpu, gic, machine, println, psci, start, timer};

partita_guest::guest!(main = main, irq = ways::irq);

/// Registers that keep a number over a reset of the partition: nothing else uses the RTC's match register, or the second
/// compare register of the Pi's system timer (whose bus counts 2 GiB lower than the core does).
const COUNTERS: [(&str, u64); 2] = [("arm,pl031", 0x4), ("brcm,bcm2835-system-timer", 0x8000_0010)];

/// What memory is filled with before the end.
const STAIN: u64 = 0x7e57_ab1e_dead_beef;

fn main(machine: &'static Machine) {
    let Some(counter) = COUNTERS.into_iter().find_map(|(name, offset)| {
        let device = machine.tree.find_compatible(&[name])?;
        Some(machine::first_reg(&device)?.0 + offset)
    }) else {
        return println!("crasher: no device to count in");
    };
    let lives = args::get(machine.bootargs, "lives").and_then(args::number).unwrap_or(u64::MAX);
    let life = u64::from(read32(counter));
    if let Some(what) = residue(machine) {
        println!("crasher: life {life} RESIDUE {what}");
        return sleep();
    }
    if life >= lives {
        println!("crasher: done {life}");
        return sleep();
    }
    let Some(way) = ways::nth(args::get(machine.bootargs, "ways"), life as usize) else {
        return println!("crasher: bootargs \"{}\": no such way", machine.bootargs);
    };
    println!("crasher: life {life} way {}", way.name);
    if life == 0 {
        let calm = args::get(machine.bootargs, "calm").and_then(args::number).unwrap_or(0);
        timer::spin(calm * timer::frequency());
    }
    cpu::mark();
    write32(counter, life as u32 + 1);
    stain(machine);
    gic::init(machine);
    if args::get(machine.bootargs, "stays").is_some() {
        return ways::stay(machine, way);
    }
    ways::end(machine, way)
}

fn sleep() {
    loop {
        cpu::wait();
    }
}

/// Every page outside the image and the tree, by its first word.
fn pages(machine: &'static Machine) -> impl Iterator<Item = u64> {
    let (first, end) = start::image();
    let (tree, size) = machine.tree_at;
    let all = machine.memory.iter().flat_map(|&(base, size)| (base..base + size).step_by(4096));
    all.filter(move |at| (at + 8 <= first || *at >= end) && (at + 8 <= tree || *at >= tree + size))
}

fn stain(machine: &'static Machine) {
    pages(machine).for_each(|at| write64(at, STAIN));
}

/// What is there of an earlier life, if anything is.
fn residue(machine: &'static Machine) -> Option<&'static str> {
    start::map_memory(&machine.memory);
    if pages(machine).any(|at| read64(at) != 0) {
        return Some("in memory");
    }
    if timer::virtual_is_on() {
        return Some("of a timer");
    }
    let other = machine.cores.get(1)?;
    (psci::affinity_info(*other, 0) != 1).then_some("on the other core")
}
