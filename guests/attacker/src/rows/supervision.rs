//! The control device of one who manages another partition, which is the pawn here: what it may not say or touch, and what it may, as
//! fast as it goes. Others than the pawn notice nothing.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_abi::supervision::{AREA_MAGIC, Command, Header, Life, call, code, registers, request, state};
use partita_guest::exception::catch;
use partita_guest::mmio::{read64, write8, write16, write32, write64};
use partita_guest::rows::{End, Env, Outcome, code as instructions, cores};
use partita_guest::supervisor::{Device, within_time};
use partita_guest::{cpu, psci, start};

use super::storms;
use crate::owned::{DATA, FETCH, Owned, PAGE, aborted, read_whole, write_whole};
use crate::table::Row;
use crate::{ensure, same};

const LIST: &str = "an index is a place in the caller's own list, and what is refused changes nothing";
const READ_ONLY: &str = "areas are mapped for reading, and for nothing else";
const WORD: &str = "a request is a step of one word and a kick: no lock of another's is taken";

pub const ROWS: &[Row] = &[
    Row::new(
        "read-every-offset",
        "reads of every width at every offset of the registers",
        "an answer, and the pawn's life is as it was",
        LIST,
        read_all,
    ),
    Row::new(
        "write-every-offset",
        "wild writes of every width at every offset of the registers",
        "the pawn's life is as it was",
        LIST,
        write_all,
    ),
    Row::new(
        "commands",
        "every request to others than the pawn, unknown ones, and zeros that are none, from every core",
        "refused",
        LIST,
        commands,
    ),
    Row::new(
        "area-written",
        "stores to all of the pawn's area, of every width at the ends of its pages",
        "external abort",
        READ_ONLY,
        written,
    ),
    Row::new(
        "area-maintained",
        "the area's lines invalidated, cleaned, zeroed",
        "it reads as before",
        READ_ONLY,
        maintained,
    ),
    Row::new("area-executed", "the area's last word, executed", "external abort", READ_ONLY, executed),
    Row::new(
        "beyond",
        "the pages before and behind the registers and the area",
        "external abort",
        super::edges::STAGE2,
        beyond,
    ),
    Row::new(
        "refresh-storm",
        "the refresh registers from every core, as fast as they go",
        "the pawn's life, each time",
        WORD,
        refresh_storm,
    ),
    Row::new(
        "command-storm",
        "stop, start and restart from every core, by registers and calls, as fast as they go",
        "the pawn can be started after it, and others notice nothing",
        WORD,
        command_storm,
    ),
];

const PAWN: u16 = 0;

fn device(env: &Env) -> Result<Device, End> {
    Device::find(env.machine).ok_or(End::Skipped("manages nobody"))
}

/// The pawn's life, and how often it was started again, are the same before and after.
fn unmoved(device: &Device, attack: impl FnOnce() -> Outcome) -> Outcome {
    let is = || (device.life(PAWN.into()), device.word(PAWN.into(), offset_of!(Header, restarts)));
    let before: (Life, u64) = is();
    attack()?;
    same!(is(), before, "the pawn's life and restarts");
    Ok(())
}

fn read_all(env: &Env) -> Outcome {
    let device = device(env)?;
    unmoved(&device, || {
        let fault = read_whole(device.base, PAGE);
        ensure!(fault.is_none(), "{fault:x?}");
        Ok(())
    })
}

/// None of these values is a command about the pawn.
fn write_all(env: &Env) -> Outcome {
    let device = device(env)?;
    unmoved(&device, || {
        for value in [0, !0, 0x5555_5555_5555_5555, 0x1_0000_0001, 0xffff_0000_0000_0000] {
            let fault = write_whole(device.base, value);
            ensure!(fault.is_none(), "{value:#x}: {fault:x?}");
        }
        Ok(())
    })
}

/// Where the registers are, for other cores.
static REGISTERS: AtomicU64 = AtomicU64::new(0);
/// Commands that were not refused.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Every core reads what became of a command of somebody's, and all of them are to be refused.
fn wild_commands() {
    let base = REGISTERS.load(Ordering::SeqCst);
    let others = (1..=64).chain([0x7fff, 0x8000, 0xffff]);
    let to_others = others.flat_map(|index| (1..4).map(move |request| Command::new(request, index, index).0));
    let unknown = (0..=255).filter(|request| !(1..4).contains(request));
    let unknown = unknown.map(|request| Command::new(request, PAWN, 0).0);
    let bits = (8..32).map(|bit| Command::new(request::STOP, PAWN, 0).0 | 1 << bit);
    for command in to_others.chain(unknown).chain(bits) {
        write64(base + registers::COMMAND, command);
        let outcome = partita_abi::supervision::Outcome(read64(base + registers::RESULT));
        if outcome.code() >= 0 {
            TAKEN.store(command, Ordering::SeqCst);
        }
    }
}

fn commands(env: &Env) -> Outcome {
    let device = device(env)?;
    REGISTERS.store(device.base, Ordering::SeqCst);
    TAKEN.store(0, Ordering::SeqCst);
    unmoved(&device, || {
        cores::start_others(env, wild_commands)?;
        wild_commands();
        cores::join(env)?;
        let taken = TAKEN.load(Ordering::SeqCst);
        ensure!(taken == 0, "{taken:#x} was not refused");
        Ok(())
    })
}

fn written(env: &Env) -> Outcome {
    let device = device(env)?;
    unmoved(&device, || {
        for (base, size) in &device.areas[..device.count] {
            for at in (*base..base + size).step_by(8) {
                aborted("write", at, DATA, catch(|| write64(at, !0)).1)?;
            }
            for at in (*base..base + size).step_by(PAGE as usize).flat_map(|page| [page, page + PAGE - 8]) {
                aborted("write byte", at, DATA, catch(|| write8(at, 0x55)).1)?;
                aborted("write half", at, DATA, catch(|| write16(at, 0x5555)).1)?;
                aborted("write word", at, DATA, catch(|| write32(at, !0)).1)?;
            }
        }
        Ok(())
    })
}

/// What a guest may do to a line that it can only read: DC CIVAC and CVAC complete, DC IVAC and DC ZVA want the right to write, and either
/// abort or lose nothing (DDI 0487, D7.5.9).
fn maintained(env: &Env) -> Outcome {
    let device = device(env)?;
    start::map_memory(&device.areas[..device.count]);
    let words = |base: u64| [0, 8, 0x30, 0x38, 0x40, 0x48].map(|offset| read64(base + offset));
    for (base, size) in &device.areas[..device.count] {
        let before = words(*base);
        same!(before[0], AREA_MAGIC, "the area's mark");
        for at in (*base..base + size).step_by(64) {
            // SAFETY: what these may lose is not this guest's.
            let _ = catch(|| unsafe { core::arch::asm!("dc civac, {0}", "dc cvac, {0}", in(reg) at) });
            // SAFETY: as above.
            let _ = catch(|| unsafe { core::arch::asm!("dc ivac, {}", in(reg) at) });
            // SAFETY: as above.
            let _ = catch(|| unsafe { core::arch::asm!("dc zva, {}", in(reg) at) });
        }
        same!(words(*base), before, "the area's head");
    }
    Ok(())
}

/// Its last word is zero, and so UNDEFINED, and nothing is behind it: others could be any instruction.
fn executed(env: &Env) -> Outcome {
    let device = device(env)?;
    start::map_memory(&device.areas[..device.count]);
    let (base, size) = device.areas[device.count - 1];
    aborted("execute", base + size - 4, FETCH, catch(|| instructions::call(base + size - 4, 0)).1)
}

fn beyond(env: &Env) -> Outcome {
    let (device, owned) = (device(env)?, Owned::new(env));
    let registers = (device.base, registers::SIZE);
    for (base, size) in device.areas[..device.count].iter().copied().chain([registers]) {
        for at in [base - 8, base + size].into_iter().filter(|at| !owned.has(*at)) {
            aborted("read", at, DATA, catch(|| read64(at)).1)?;
            aborted("write", at, DATA, catch(|| write64(at, !0)).1)?;
        }
    }
    Ok(())
}

/// Lives that were none of the pawn's, which is off meanwhile.
static STRANGE: AtomicU64 = AtomicU64::new(0);

fn refreshes() {
    let base = REGISTERS.load(Ordering::SeqCst) + registers::REFRESH;
    while storms::blows() {
        if read64(base) as u8 != state::OFF || read64(base + 8) != 0 || read64(base + 8 * 63) != 0 {
            STRANGE.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn refresh_storm(env: &Env) -> Outcome {
    let device = device(env)?;
    REGISTERS.store(device.base, Ordering::SeqCst);
    STRANGE.store(0, Ordering::SeqCst);
    storms::begin(env);
    cores::start_others(env, refreshes)?;
    refreshes();
    cores::join(env)?;
    same!(STRANGE.load(Ordering::SeqCst), 0, "answers that are not the pawn's life");
    Ok(())
}

/// Each request in its turn, by either way; other cores are at other ones.
fn requests() {
    let base = REGISTERS.load(Ordering::SeqCst);
    let mut turn = cpu::index() as u64;
    while storms::blows() {
        let request = request::STOP + (turn % 3) as u8;
        if turn.is_multiple_of(2) {
            write64(base + registers::COMMAND, Command::new(request, PAWN, 0).0);
        } else {
            psci::call64(call::STOP - 1 + u32::from(request), [u64::from(PAWN), 0, 0]);
        }
        turn += 1;
    }
}

fn command_storm(env: &Env) -> Outcome {
    let device = device(env)?;
    let ask = |request| device.command(Command::new(request, PAWN, 0)).code();
    let comes_to = |state| within_time(|| device.life(PAWN.into()).state() == state);
    REGISTERS.store(device.base, Ordering::SeqCst);
    storms::begin(env);
    cores::start_others(env, requests)?;
    requests();
    cores::join(env)?;
    // Whatever it is in the midst of, it comes up and goes off.
    ensure!(ask(request::RESTART) >= code::ASKED, "a restart is refused");
    ensure!(comes_to(state::RUNNING), "it does not come up: {:#x}", device.life(PAWN.into()).0);
    ensure!(device.word(PAWN.into(), offset_of!(Header, restarts)) > 0, "it was never started again");
    ensure!(ask(request::STOP) >= code::ASKED, "a stop is refused");
    ensure!(comes_to(state::OFF), "it does not stop: {:#x}", device.life(PAWN.into()).0);
    Ok(())
}
