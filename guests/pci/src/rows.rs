//! The rows: what a partition's functions are to it, and that there is nothing else.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use partita_guest::mmio::{read32, read64, write64};
use partita_guest::{cpu, exception, gic, psci, timer};

use crate::bus::{COMMAND, Function, INTX_DISABLE, MASTER, MEMORY};
use crate::edu::{self, Edu};
use crate::{Env, Why};

type Outcome = Result<(), Why>;
/// A row: its name and its check.
type Row = (&'static str, fn(&Env) -> Outcome);

/// In this order: each leaves the functions as the next one wants them.
pub const ROWS: &[Row] = &[
    ("after-reset", after_reset),
    ("functions", functions),
    ("config-foreign", config_foreign),
    ("config-widths", config_widths),
    ("capabilities", capabilities),
    ("command", command),
    ("registers", registers),
    ("bar-outside", bar_outside),
    ("interrupt", interrupt),
    ("interrupt-disabled", interrupt_disabled),
    ("dma-copy", dma_copy),
    ("dma-no-master", dma_no_master),
    ("dma-foreign", dma_foreign),
    ("reset", reset),
];

fn expect(holds: bool, why: &'static str, seen: impl Into<u64>) -> Outcome {
    if holds { Ok(()) } else { Err(Why(why, seen.into())) }
}

/// A few characters.
struct Text([u8; 128], usize);

impl Write for Text {
    fn write_str(&mut self, words: &str) -> core::fmt::Result {
        for byte in words.bytes() {
            *self.0.get_mut(self.1).ok_or(core::fmt::Error)? = byte;
            self.1 += 1;
        }
        Ok(())
    }
}

/// Exactly the functions that the partition has answer.
fn functions(env: &Env) -> Outcome {
    let mut found = Text([0; 128], 0);
    let mut count = 0_u64;
    for function in env.bridge.functions() {
        let comma = if count == 0 { "" } else { "," };
        let _ = write!(found, "{comma}00:{:02x}.{}", function.number >> 3, function.number & 7);
        count += 1;
    }
    expect(&found.0[..found.1] == env.functions.as_bytes(), "other functions than those given answer", count)
}

/// The first edu.
fn edu(env: &Env) -> Result<Function, Why> {
    env.bridge.functions().find(|function| function.read32(0) == edu::ID).ok_or(Why("there is no edu", 0))
}

/// The edu with an address in the window and everything on.
fn running(env: &Env) -> Result<(Function, Edu), Why> {
    with_command(env, MEMORY | MASTER)
}

fn with_command(env: &Env, command: u16) -> Result<(Function, Edu), Why> {
    let function = edu(env)?;
    let size = u64::from(function.size(0));
    let (bus, core, bytes) = env.bridge.window;
    let at = (bus + bytes / 2).next_multiple_of(size.max(1));
    function.write32(0x10, at as u32);
    function.write16(COMMAND, command);
    Ok((function, Edu(core + (at - bus))))
}

/// What is not the partition's reads as ones at every width, and takes no writes.
fn config_foreign(env: &Env) -> Outcome {
    if env.native {
        return Ok(());
    }
    for number in 0..=u8::MAX {
        let function = env.bridge.function(number);
        if function.read32(0) != u32::MAX {
            continue;
        }
        for register in [0, 4, 0x10, 0x34, 0x3c, 0x40, 0x100, 0xffc] {
            function.write32(register, 0);
            function.write16(register, 0);
            function.write8(register, 0);
            let seen = function.read32(register) & u32::from(function.read16(register + 2)) << 16
                | u32::from(function.read8(register + 1)) << 8
                | u32::from(function.read16(register));
            expect(seen == u32::MAX, "a function that is not ours shows something", seen)?;
        }
    }
    Ok(())
}

fn config_widths(env: &Env) -> Outcome {
    let function = edu(env)?;
    for register in (0..0x100).step_by(4) {
        let whole = function.read32(register);
        let bytes =
            (0..4).fold(0, |all, lane| all | u32::from(function.read8(register + lane)) << (8 * lane));
        let halves = u32::from(function.read16(register)) | u32::from(function.read16(register + 2)) << 16;
        expect(whole == bytes && whole == halves, "widths do not agree at this register", register)?;
    }
    Ok(())
}

/// No message-signalled interrupts, no power states, nothing extended.
fn capabilities(env: &Env) -> Outcome {
    if env.native {
        return Ok(());
    }
    for function in env.bridge.functions() {
        let mut at = u64::from(function.read8(0x34));
        while at != 0 {
            let id = function.read8(at);
            expect(matches!(id, 0x09 | 0x10), "a capability that no guest has", id)?;
            at = function.read8(at + 1).into();
        }
        for register in (0x100..0x1000).step_by(4) {
            expect(function.read32(register) == 0, "there is extended configuration space", register)?;
        }
    }
    Ok(())
}

fn command(env: &Env) -> Outcome {
    let function = edu(env)?;
    expect(env.native || function.read16(COMMAND) == 0, "it is not off at first", function.read16(COMMAND))?;
    function.write16(COMMAND, 0xffff);
    let seen = function.read16(COMMAND);
    expect(env.native || seen == MEMORY | MASTER | INTX_DISABLE, "other bits can be set", seen)?;
    function.write16(COMMAND, 0);
    expect(function.size(0) == 0x10_0000, "the size of its registers", function.size(0))
}

fn registers(env: &Env) -> Outcome {
    let (_, edu) = running(env)?;
    expect(edu.version() == 0x0100_00ed, "its version", edu.version())?;
    edu.set_alive(0x1234_5678);
    expect(edu.alive() == !0x1234_5678, "its complement", edu.alive())
}

/// Outside the partition's part of the window the function is nowhere; back inside it is there again.
fn bar_outside(env: &Env) -> Outcome {
    let (function, edu) = running(env)?;
    let before = function.read32(0x10);
    let (bus, _, bytes) = env.bridge.window;
    let above = (bus + bytes).next_multiple_of(0x10_0000);
    for outside in [0, bus.wrapping_sub(0x10_0000), above, 0x4000_0000, 0xfff0_0000] {
        function.write32(0x10, outside as u32);
        expect(function.read32(0x10) == outside as u32, "an address that was written is not read", outside)?;
        // Nothing answers there now: ones, or an abort.
        let (seen, fault) = exception::catch(|| read32(edu.0));
        expect(fault.is_some() || seen == u32::MAX, "it still decodes where it was", seen)?;
    }
    function.write32(0x10, before);
    expect(edu.version() == 0x0100_00ed, "it does not come back", edu.version())
}

fn interrupt(env: &Env) -> Outcome {
    let (function, edu) = running(env)?;
    let intid = env.bridge.interrupt(&function).ok_or(Why("its pin leads nowhere", 0))?;
    gic::route(intid, 0, cpu::affinity());
    gic::enable(intid, true);
    cpu::unmask_interrupts();
    let mut outcome = Ok(());
    for round in 1..=10_u32 {
        edu.raise(round);
        if !edu::soon(|| edu::interrupts() == (round, round)) {
            outcome = Err(Why("interrupts that came", edu::interrupts().0.into()));
            break;
        }
    }
    // None without a reason, either.
    timer::spin(timer::frequency() / 100);
    cpu::mask_interrupts();
    outcome?;
    expect(edu::interrupts().0 == 10, "interrupts without a reason", edu::interrupts().0)
}

fn interrupt_disabled(env: &Env) -> Outcome {
    let (function, edu) = running(env)?;
    let before = edu::interrupts().0;
    function.write16(COMMAND, MEMORY | MASTER | INTX_DISABLE);
    cpu::unmask_interrupts();
    edu.raise(0x55);
    timer::spin(timer::frequency() / 100);
    expect(edu::interrupts().0 == before, "it interrupts although it may not", edu::interrupts().0)?;
    function.write16(COMMAND, MEMORY | MASTER);
    let came = edu::soon(|| edu::interrupts() == (before + 1, 0x55));
    cpu::mask_interrupts();
    expect(came, "what it held back does not come", edu::interrupts().0)
}

/// Memory for DMA: two pieces.
#[repr(C, align(4096))]
struct Pages([u8; 2 * BYTES as usize]);

const BYTES: u64 = 4096;
static mut PAGES: Pages = Pages([0; 2 * BYTES as usize]);

fn pieces() -> (u64, u64) {
    let first = &raw const PAGES as u64;
    (first, first + BYTES)
}

fn fill(at: u64, seed: u64) {
    for word in 0..BYTES / 8 {
        write64(at + 8 * word, seed.wrapping_add(word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

/// The first word that is not what `fill` wrote.
fn differs(at: u64, seed: u64) -> Option<u64> {
    (0..BYTES / 8)
        .find(|word| read64(at + 8 * word) != seed.wrapping_add(*word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The device copies the guest's memory through its own buffer.
fn dma_copy(env: &Env) -> Outcome {
    let (_, edu) = running(env)?;
    let (from, to) = pieces();
    for seed in 1..4 {
        fill(from, seed);
        fill(to, 0);
        expect(edu.copy(from, BYTES, false) && edu.copy(to, BYTES, true), "it does not end", seed)?;
        if let Some(word) = differs(to, seed) {
            return Err(Why("what was copied differs from this word on", word));
        }
    }
    Ok(())
}

fn dma_no_master(env: &Env) -> Outcome {
    let (function, edu) = running(env)?;
    let (_, to) = pieces();
    function.write16(COMMAND, MEMORY);
    fill(to, 7);
    expect(edu.copy(to, BYTES, true), "it does not end", 0_u64)?;
    expect(differs(to, 7).is_none(), "it writes although it is no master", differs(to, 7).unwrap_or(0))
}

/// Memory of another partition's is neither read nor written. It is not empty, so what the device got of it would show:
/// what it got is nothing, that is zeros or what its buffer had before.
fn dma_foreign(env: &Env) -> Outcome {
    const FEW: u64 = 64;
    let Some(foreign) = env.foreign else { return Ok(()) };
    let (_, edu) = running(env)?;
    let (own, to) = pieces();
    fill(own, 9);
    fill(to, 0);
    let ended = edu.copy(own, BYTES, false) && edu.copy(foreign, FEW, false) && edu.copy(to, BYTES, true);
    expect(ended, "it does not end", 0_u64)?;
    for at in (0..FEW).step_by(8) {
        let (got, before) = (read64(to + at), read64(own + at));
        expect(got == 0 || got == before, "it reads memory that is not ours", got)?;
    }
    // What would be overwritten is the other's program: the other would not come to its end.
    expect(edu.copy(foreign, FEW, true), "it does not end", 1_u64)
}

/// A value that the device keeps over a reset of the partition: the second start is told by it.
const BEFORE: u32 = 0x0bad_cafe;
static SECOND: AtomicBool = AtomicBool::new(false);

/// The second start: what DMA was under way when the partition was reset has not arrived.
fn after_reset(env: &Env) -> Outcome {
    if env.native {
        return Ok(());
    }
    let function = edu(env)?;
    let state = (function.read16(COMMAND), function.read32(0x10));
    expect(state == (0, 0), "it is set up already", u64::from(state.0) << 32 | u64::from(state.1))?;
    // Not its master yet: an edu cannot be reset, and goes on with what it was told.
    let (_, edu) = with_command(env, MEMORY)?;
    let outcome = if edu.alive() == !BEFORE {
        SECOND.store(true, Ordering::Relaxed);
        // The DMA takes a tenth of a second; this is after it.
        timer::spin(timer::frequency() / 4);
        let (_, to) = pieces();
        expect(read64(to) == 0, "memory was written by what was started before", read64(to))
    } else {
        Ok(())
    };
    function.write16(COMMAND, 0);
    outcome
}

/// Resets the partition while DMA is under way.
fn reset(env: &Env) -> Outcome {
    if env.native || SECOND.load(Ordering::Relaxed) {
        return Ok(());
    }
    let (_, edu) = running(env)?;
    let (from, to) = pieces();
    fill(from, 3);
    expect(edu.copy(from, BYTES, false), "it does not end", 0_u64)?;
    edu.set_alive(BEFORE);
    edu.start(to, BYTES, true);
    Err(Why("the partition was not reset", psci::system_reset() as u64))
}
