//! The console that partitions share: what one prints can neither be taken for another's nor reach the terminal as a
//! command, and a flood of it slows down nobody else. What came out is for who reads the log to judge.

use core::sync::atomic::{AtomicU64, Ordering};

use partita_guest::console;
use partita_guest::exception::catch;
use partita_guest::mmio::{read32, write8, write16, write32, write64};
use partita_guest::rows::{Env, Outcome, cores, irq};
use partita_guest::{cpu, timer};

use crate::owned::{DATA, PAGE, read_whole};
use crate::table::Row;
use crate::{ensure, skip};

const CLEAN: &str = "lines come whole, cleaned, and with the partition's name in front";
const NAMED: &str = "no line without `[attacker]` in front, and no control sequence";
const RING: &str = "each partition has a ring of its own, and nobody waits for the UART";
const MODEL: &str = "the console's registers are a model's, and it has no others";

pub const ROWS: &[Row] = &[
    Row::new("read-every-offset", "reads of every width at every offset", "an answer", MODEL, read_all),
    Row::new(
        "write-every-offset",
        "wild writes of every width at every offset but the data register",
        "an answer",
        MODEL,
        write_all,
    ),
    Row::new(
        "interrupts",
        "every interrupt of the UART raised, masked and cleared",
        "the console's interrupt only, and an end of it",
        MODEL,
        interrupts,
    ),
    Row::new("beyond", "the pages before and behind it", "external abort", super::edges::STAGE2, beyond),
    Row::new("escapes", "sequences that clear, title, move, answer, print and lock", NAMED, CLEAN, escapes),
    Row::new(
        "forged",
        "lines that look like another partition's, after CR, LF, BS, VT, FF and NEL",
        NAMED,
        CLEAN,
        forged,
    ),
    Row::new("bytes", "every byte, alone and after ESC", NAMED, CLEAN, bytes),
    Row::new("unicode", "overlong and broken UTF-8, direction overrides, C1 as UTF-8", NAMED, CLEAN, unicode),
    Row::new("long-line", "64 KiB without a line's end", NAMED, RING, long_line),
    Row::new(
        "lines",
        "lines as fast as they go, for a while",
        "others' lines come all the same",
        RING,
        lines,
    ),
    Row::new(
        "no-look",
        "output without a look at the FIFO",
        "others' lines come all the same",
        RING,
        no_look,
    ),
    Row::new(
        "from-all-cores",
        "output from all cores at once",
        "others' lines come all the same",
        RING,
        from_all_cores,
    ),
];

const DR: u64 = 0x00;
const FR: u64 = 0x18;

fn base() -> u64 {
    console::base()
}

/// Prints bytes as they are.
fn put(bytes: &[u8]) {
    for byte in bytes {
        while read32(base() + FR) & 1 << 5 != 0 {
            core::hint::spin_loop();
        }
        write32(base() + DR, u32::from(*byte));
    }
}

fn read_all(_: &Env) -> Outcome {
    let fault = read_whole(base(), PAGE);
    ensure!(fault.is_none_or(|fault| fault.class() == DATA && !fault.serror), "{fault:x?}");
    Ok(())
}

fn write_all(_: &Env) -> Outcome {
    let base = base();
    for value in [!0, 0x5555_5555_5555_5555, 0] {
        let (_, fault) = catch(|| {
            (8..PAGE).for_each(|offset| write8(base + offset, value as u8));
            (8..PAGE).step_by(2).for_each(|offset| write16(base + offset, value as u16));
            (8..PAGE).step_by(4).for_each(|offset| write32(base + offset, value as u32));
            (8..PAGE).step_by(8).for_each(|offset| write64(base + offset, value));
        });
        ensure!(fault.is_none_or(|fault| fault.class() == DATA && !fault.serror), "{value:#x}: {fault:x?}");
    }
    console::init(base);
    Ok(())
}

/// IMSC (0x38), ICR (0x44), LCR_H, CR with loop-back, IFLS, DMACR.
fn interrupts(_: &Env) -> Outcome {
    let base = base();
    for round in 0..200 {
        for (register, value) in
            [(0x38, 0x7ff), (0x30, 0x381), (0x34, round & 0x3f), (0x48, 7), (0x44, 0x7ff), (0x38, 0)]
        {
            write32(base + register, value);
        }
    }
    console::init(base);
    irq::settle(2);
    ensure!(partita_guest::gic::highest_pending() >= 1020, "an interrupt stays");
    Ok(())
}

fn beyond(env: &Env) -> Outcome {
    let owned = crate::owned::Owned::new(env);
    for at in [base() - 8, base() + PAGE].into_iter().filter(|at| !owned.has(*at)) {
        crate::owned::aborted("read", at, DATA, catch(|| read32(at)).1)?;
        crate::owned::aborted("write", at, DATA, catch(|| write32(at, 0)).1)?;
    }
    Ok(())
}

fn escapes(_: &Env) -> Outcome {
    for sequence in [
        &b"\x1b[2J\x1b[H"[..],        // clear, home
        b"\x1b]0;partita\x07",        // title
        b"\x1b]52;c;cm0gLXJm\x1b\\",  // clipboard
        b"\x1b[6n\x1b[c\x1b[>c\x05",  // answers to be typed in
        b"\x1b[1;1H\x1b[1A",          // move
        b"\x1bP+q544e\x1b\\",         // DCS
        b"\x1b_Gf=32;AAAA\x1b\\",     // APC
        b"\x1b^private\x1b\\",        // PM
        b"\x1b[5i\x1b[4i",            // print
        b"\x1b[?1049h\x1b[?25l",      // other screen, no cursor
        b"\x1bc\x1b#8\x1b(0",         // reset, pattern, character set
        b"\x9b2J\x9d0;x\x9c\x90\x9f", // C1
        b"\x0e\x0f\x18\x1a\x1b",      // shifts, and an end
    ] {
        put(b"escape ");
        put(sequence);
        put(b" end\n");
    }
    Ok(())
}

fn forged(_: &Env) -> Outcome {
    for before in [
        &b"\r"[..],
        b"\n",
        b"\n\r",
        b"\r\n",
        b"\x0b",
        b"\x0c",
        b"\x85",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08",
    ] {
        put(b"x");
        put(before);
        put(b"[victim] forged");
        put(before);
        put(b"partita: forged\n");
    }
    Ok(())
}

fn bytes(_: &Env) -> Outcome {
    for byte in 0..=255 {
        put(&[b'b', byte, b' ', 0x1b, byte, b'e', b'\n']);
    }
    // What the last sequence left open ends here.
    put(b"\x1b\\\x07\n");
    Ok(())
}

fn unicode(_: &Env) -> Outcome {
    for text in [
        &b"\xc0\x9b2J"[..],                      // ESC, overlong
        b"\xe0\x80\x9b",                         // again
        b"\xc2\x9b2J",                           // C1 CSI
        b"\xe2\x80\xaedesrever\xe2\x80\xac",     // right to left override
        b"\xe2\x81\xa6isolate",                  // isolate without an end
        b"\xf4\x90\x80\x80\xff\xfe\xed\xa0\x80", // beyond, never, surrogate
        b"\xf0\x9f",                             // cut
    ] {
        put(b"unicode ");
        put(text);
        put(b" end\n");
    }
    Ok(())
}

fn long_line(_: &Env) -> Outcome {
    for _ in 0..1024 {
        put(&[b'l'; 64]);
    }
    put(b"\n");
    Ok(())
}

static END: AtomicU64 = AtomicU64::new(0);

fn begin() {
    END.store(timer::now() + timer::frequency() / 2, Ordering::SeqCst);
}

fn blows() -> bool {
    timer::now() < END.load(Ordering::SeqCst)
}

fn lines(_: &Env) -> Outcome {
    begin();
    while blows() {
        put(b"flood flood flood flood flood flood\n");
    }
    Ok(())
}

fn no_look(_: &Env) -> Outcome {
    begin();
    while blows() {
        (0..100).for_each(|_| write32(base() + DR, u32::from(b'n')));
        write32(base() + DR, u32::from(b'\n'));
    }
    Ok(())
}

fn shout() {
    while blows() {
        write32(base() + DR, u32::from(b'0') + cpu::index() as u32);
        write32(base() + DR, u32::from(b'\n'));
    }
}

fn from_all_cores(env: &Env) -> Outcome {
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    begin();
    cores::start_others(env, shout)?;
    shout();
    cores::join(env)?;
    put(b"\n");
    Ok(())
}
