//! What may be done: to watch, to stop, to start, to restart.

use core::mem::offset_of;

use partita_abi::supervision::{
    AREA_MAGIC, Command, Cpu, Header, MAGIC, Record, TOLD, VERSION, area_bytes, call, code, record,
    registers, request, state,
};
use partita_guest::rows::{Env, Outcome};
use partita_guest::supervisor::{Device, within_time};
use partita_guest::{args, ensure, psci, same, timer};

use crate::ask;

/// A row: its name, and what it does.
pub struct Row(pub &'static str, pub fn(&Env, &Device) -> Outcome);

/// In this order: each begins where the one before left the two.
pub const ROWS: &[Row] = &[
    Row("device", device),
    Row("failure", failure),
    Row("manual-start", manual_start),
    Row("stop-and-start", stop_and_start),
    Row("restart", restart),
    Row("start-failed", start_failed),
];

/// Indices: the one that fails, and the one that idles.
pub const CRASHER: usize = 0;
pub const IDLE: usize = 1;

/// An exception that the hypervisor has no answer to, as the summary has it: `unexpected-exception`.
const UNEXPECTED: u8 = 9;

fn device(env: &Env, device: &Device) -> Outcome {
    same!(device.get(registers::MAGIC), MAGIC, "the registers' mark");
    same!(device.get(registers::VERSION), VERSION, "the version");
    same!(device.get(registers::COUNT), 2, "how many are managed");
    same!(device.count, 2, "how many areas the tree has");
    let [code, count, ..] = psci::call64(call::COUNT, [!0; 3]);
    same!([code, count], [0, 2], "how many, by a hypercall");
    for index in 0..2 {
        let named = Device::name(env.machine, index);
        let shown: [u64; 4] =
            core::array::from_fn(|word| device.word(index, offset_of!(Header, name) + 8 * word));
        let mut bytes = [0; 32];
        bytes[..named.len()].copy_from_slice(named.as_bytes());
        let wanted: [u64; 4] = core::array::from_fn(|word| {
            u64::from_le_bytes(core::array::from_fn(|byte| bytes[8 * word + byte]))
        });
        same!(shown, wanted, "the name of {named} in its area");
        same!(
            psci::call64(call::NAME, [index as u64, 0, 0]),
            [0, wanted[0], wanted[1], wanted[2]],
            "by a hypercall"
        );
        same!(device.word(index, offset_of!(Header, magic)), AREA_MAGIC, "the mark of {named}'s area");
        let cpus = device.word(index, offset_of!(Header, cpu_count));
        same!(cpus, 2 - index as u64, "virtual CPUs of {named}");
        same!(device.areas[index].1, area_bytes(cpus as usize) as u64, "size of its area");
        let direct = index == IDLE && args::get(env.machine.bootargs, "direct").is_some();
        same!(device.word(index, offset_of!(Header, flags)), u64::from(direct), "flags of {named}");
        let refreshed = device.get(registers::REFRESH + 8 * index as u64);
        ensure!(refreshed as u8 <= state::FAILED, "the refresh register of {named} reads {refreshed:#x}");
    }
    Ok(())
}

/// A failure is seen, with its cause, its record and the last words.
fn failure(_: &Env, device: &Device) -> Outcome {
    ensure!(device.wait(CRASHER, state::FAILED), "it does not fail: {:#x}", device.life(CRASHER).0);
    let word = |offset| device.word(CRASHER, offset);
    same!(device.life(CRASHER).cause(), UNEXPECTED, "why it ended");
    same!(word(offset_of!(Header, failures)), 1, "failures");
    same!(word(offset_of!(Header, failure)), u64::from(UNEXPECTED), "why it failed");
    same!(word(offset_of!(Header, restarts)), 0, "restarts");
    let times =
        [offset_of!(Header, started), offset_of!(Header, failed), offset_of!(Header, ended)].map(word);
    ensure!(
        times[0] != 0 && times.is_sorted() && times[2] <= timer::now(),
        "started, failed, ended: {times:x?}"
    );
    let sequence = word(offset_of!(Header, record_sequence));
    ensure!(sequence != 0 && sequence.is_multiple_of(2), "the record's sequence is {sequence}");
    same!(word(offset_of!(Header, record_cause)), u64::from(UNEXPECTED), "cause of the record");
    same!(
        [word(offset_of!(Header, record_life)), word(offset_of!(Header, record_cpu))],
        [0, 0],
        "its life and CPU"
    );
    let first = |offset| device.behind(CRASHER, offset_of!(Header, records), offset);
    let flags = first(offset_of!(Record, flags));
    same!(flags & (record::ON | record::EXCEPTION), record::ON | record::EXCEPTION, "flags of CPU 0");
    // A trapped AArch32 register (DDI 0487, ESR_EL2.EC = 0x5: coprocessor 14; 0x3: 15), from AArch32 EL0.
    same!(first(offset_of!(Record, esr_el2)) >> 26, 3, "class of the exception");
    same!(first(offset_of!(Record, pstate)) & 0x1f, 0x10, "its mode");
    ensure!(first(offset_of!(Record, pc)) != 0, "its program counter");
    same!(first(size_of::<Record>() + offset_of!(Record, flags)), 0, "CPU 1 was off");
    for words in ["crasher: life 0 way aarch32\n", "failed: unexpected-exception\n"] {
        ensure!(within_time(|| device.has_said(CRASHER, words)), "its log lacks {words}");
    }
    ensure!(device.behind(CRASHER, offset_of!(Header, cpus), 2 * 8) != 0, "it has had exits for its console");
    Ok(())
}

fn beats(device: &Device) -> u64 {
    device.behind(IDLE, offset_of!(Header, cpus), offset_of!(Cpu, beats))
}

/// It runs and gives signs of life.
fn is_alive(device: &Device) -> Outcome {
    ensure!(device.wait(IDLE, state::RUNNING), "it does not run: {:#x}", device.life(IDLE).0);
    let before = beats(device);
    ensure!(within_time(|| beats(device) > before + 3), "it gives no sign of life");
    Ok(())
}

/// It is off, by this partition's word, and is still.
fn is_stopped(device: &Device) -> Outcome {
    ensure!(device.wait(IDLE, state::OFF), "it is not off: {:#x}", device.life(IDLE).0);
    let life = device.life(IDLE);
    same!(life.0 >> 8, 1 << 8 | u32::from(TOLD), "who said so, and the cause");
    let (before, ended) = (beats(device), device.word(IDLE, offset_of!(Header, ended)));
    timer::spin(timer::frequency() / 50);
    same!(beats(device), before, "signs of life");
    ensure!(ended > device.word(IDLE, offset_of!(Header, started)) && ended <= timer::now(), "when it ended");
    Ok(())
}

fn manual_start(_: &Env, device: &Device) -> Outcome {
    same!(device.life(IDLE).0, 0, "the life of one that was never started");
    same!(
        [device.word(IDLE, offset_of!(Header, started)), beats(device)],
        [0, 0],
        "when it was started; beats"
    );
    same!(ask(call::STOP, IDLE as u64), i64::from(code::ALREADY), "to stop what is off");
    same!(ask(call::START, IDLE as u64), i64::from(code::ASKED), "to start it");
    is_alive(device)?;
    same!(ask(call::START, IDLE as u64), i64::from(code::ALREADY), "to start what runs");
    same!(device.word(IDLE, offset_of!(Header, restarts)), 0, "restarts");
    let started = device.word(IDLE, offset_of!(Header, started));
    let known = psci::call64(call::STATE, [IDLE as u64, !0, !0]);
    same!(known, [0, u64::from(state::RUNNING), 0, started], "its state by a hypercall");
    ensure!(within_time(|| device.has_said(IDLE, "idle: refused\n")), "it was not refused");
    Ok(())
}

/// What a stop of the one that idles is answered with.
fn stops(env: &Env) -> i8 {
    if args::get(env.machine.bootargs, "direct").is_some() { code::BEST_EFFORT } else { code::ASKED }
}

/// Gives a command, and looks at its result.
fn command(device: &Device, request: u8, index: usize, wanted: i8) -> Outcome {
    let command = Command::new(request, index as u16, 0xa5a5);
    let before = device.get(registers::RESULT) >> 16 & 0xffff;
    let outcome = device.command(command);
    ensure!(outcome.is_of(command), "the result {:#x} is of another command", outcome.0);
    same!(outcome.code(), wanted, "result of request {request}");
    same!(u64::from(outcome.count()), before + 1, "count of commands");
    Ok(())
}

fn stop_and_start(env: &Env, device: &Device) -> Outcome {
    command(device, request::STOP, IDLE, stops(env))?;
    is_stopped(device)?;
    command(device, request::STOP, IDLE, code::ALREADY)?;
    command(device, request::START, IDLE, code::ASKED)?;
    is_alive(device)?;
    same!(device.word(IDLE, offset_of!(Header, restarts)), 1, "restarts");
    same!(ask(call::STOP, IDLE as u64), i64::from(stops(env)), "to stop it by a hypercall");
    is_stopped(device)?;
    same!(ask(call::RESTART, IDLE as u64), i64::from(code::ASKED), "to restart what is off");
    is_alive(device)
}

/// Of one that runs, again and again, also before it has come up.
fn restart(env: &Env, device: &Device) -> Outcome {
    let restarts = |device: &Device| device.word(IDLE, offset_of!(Header, restarts));
    let before = restarts(device);
    for _ in 0..5 {
        command(device, request::RESTART, IDLE, stops(env))?;
        ensure!(within_time(|| restarts(device) > before), "it does not start again");
        is_alive(device)?;
    }
    ensure!(restarts(device) == before + 5, "{} restarts of 5", restarts(device) - before);
    for turn in 0..200 {
        let outcome = device.command(Command::new(request::RESTART, IDLE as u16, turn));
        ensure!(outcome.code() >= 0, "restart {turn} is refused: {}", outcome.code());
    }
    is_alive(device)
}

/// Its record stays, and its policy has no say.
fn start_failed(_: &Env, device: &Device) -> Outcome {
    same!(device.life(CRASHER).state(), state::FAILED, "its state");
    same!(ask(call::START, CRASHER as u64), i64::from(code::ASKED), "to start what failed");
    ensure!(within_time(|| device.has_said(CRASHER, "crasher: done 1\n")), "it does not come to its end");
    same!(device.life(CRASHER).state(), state::RUNNING, "its state then");
    same!(device.word(CRASHER, offset_of!(Header, restarts)), 1, "restarts");
    same!(device.word(CRASHER, offset_of!(Header, failures)), 1, "failures");
    same!(device.word(CRASHER, offset_of!(Header, record_life)), 0, "the life that the record is of");
    Ok(())
}
