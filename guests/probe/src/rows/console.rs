//! The console's registers, and the rows that need somebody at its other end.

use partita_guest::mmio::{read32, write8, write16, write32};
use partita_guest::{args, console, machine, println, timer};

use crate::check::{Env, Outcome, Row};
use crate::{ensure, irq, same, skip};

pub const ROWS: &[Row] = &[Row::new("console-identity", identity), Row::new("console-widths", widths)];

pub const ALONE: &[Row] = &[
    Row::new("console-flood", flood),
    Row::new("console-echo", echo),
    Row::new("console-echo-interrupt", echo_interrupt),
];

/// It says that it is a PL011 (DDI 0183, 3.3.15 and 3.3.16).
fn identity(_: &Env) -> Outcome {
    let base = console::base();
    if base == 0 {
        skip!("no console in the tree");
    }
    for (offset, wanted) in
        [(0xfe0, 0x11), (0xfe4, 0x10), (0xff0, 0x0d), (0xff4, 0xf0), (0xff8, 0x05), (0xffc, 0xb1)]
    {
        same!(read32(base + offset), wanted, "PL011 + {offset:#x}");
    }
    same!(read32(base + 0xfe8) & 0xf, 4, "PL011's designer");
    Ok(())
}

/// Bytes, half-words and words stored to the data register are all one character: the line says "widths: BHW".
fn widths(_: &Env) -> Outcome {
    let base = console::base();
    if base == 0 {
        skip!("no console in the tree");
    }
    for byte in *b"widths: " {
        write32(base, u32::from(byte));
    }
    write8(base, b'B');
    write16(base, u16::from(b'H'));
    write32(base, u32::from(b'W'));
    println!("");
    Ok(())
}

/// Numbered lines of 64 characters, `flood=KIB` of them (default 100).
fn flood(env: &Env) -> Outcome {
    let kib = args::get(env.machine.bootargs, "flood").and_then(args::number).unwrap_or(100);
    for line in 0..kib * 16 {
        println!("flood {line:06} ...................................................");
    }
    Ok(())
}

const SECONDS: u64 = 60;

/// Reads bytes by `next` until the end of a line and says what they were.
fn repeat(mut next: impl FnMut() -> Option<u8>) -> Outcome {
    let mut line = [0u8; 80];
    let mut length = 0;
    let end = timer::now() + SECONDS * timer::frequency();
    println!("probe: type a line");
    loop {
        ensure!(timer::now() < end, "no line within {SECONDS} s; {length} characters came");
        match next() {
            Some(b'\r' | b'\n') if length > 0 => break,
            Some(byte) if length < line.len() => {
                line[length] = byte;
                length += 1;
            }
            _ => {}
        }
    }
    println!("probe: typed {}", core::str::from_utf8(&line[..length]).unwrap_or("?"));
    Ok(())
}

/// Polls for input.
fn echo(_: &Env) -> Outcome {
    repeat(console::receive)
}

/// Takes input by the receive interrupt.
fn echo_interrupt(env: &Env) -> Outcome {
    let Some(intid) = env.machine.tree.chosen().stdout().and_then(|node| machine::interrupt(&node, 0)) else {
        skip!("the console has no interrupt")
    };
    let base = console::base();
    irq::enable(intid);
    write32(base + 0x38, 0x50); // UARTIMSC: receive and receive time-out
    let timer = env.machine.virtual_timer;
    irq::enable(timer);
    let (mut interrupts, mut woken) = (0, false);
    let outcome = repeat(|| {
        // All that the FIFO holds, once an interrupt has come for it: it comes when the FIFO fills, not while it is filled.
        if woken && let Some(byte) = console::receive() {
            return Some(byte);
        }
        woken = false;
        timer::set_virtual(timer::now() + timer::frequency()); // so that the row's own limit is looked at
        partita_guest::cpu::wait();
        let taken = partita_guest::gic::acknowledge()?;
        if taken.intid() == intid {
            interrupts += 1;
            woken = true;
            write32(base + 0x44, 0x50); // UARTICR
        }
        timer::stop_virtual();
        partita_guest::gic::end(taken);
        None
    });
    write32(base + 0x38, 0);
    outcome?;
    ensure!(interrupts > 0, "the line came without an interrupt");
    Ok(())
}
