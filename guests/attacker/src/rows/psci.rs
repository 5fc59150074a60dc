//! PSCI with every function and with arguments that name others: cores that are not ours, entries outside our memory, power
//! states of a whole machine. From one core and from all at once.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use partita_abi::psci as id;
use partita_guest::rows::{Env, Outcome, cores, irq};
use partita_guest::{cpu, gic, psci, start, timer};

use super::forms::foreign;
use crate::table::Row;
use crate::{ensure, same, skip};

const TARGETS: &str = "PSCI's targets are looked up among the partition's own cores";
const ENTRIES: &str = "a core begins in the partition's own RAM only";
const ALLOWED: &str = "functions that are not offered are refused, and never reach firmware";

pub const ROWS: &[Row] = &[
    Row::new("on-foreign", "CPU_ON of every other affinity", "invalid parameters", TARGETS, on_foreign),
    Row::new("on-wild", "CPU_ON with bits that no affinity has", "invalid parameters", TARGETS, on_wild),
    Row::new(
        "on-entry",
        "CPU_ON of an own core at foreign addresses",
        "invalid address, and it stays off",
        ENTRIES,
        on_entry,
    ),
    Row::new("on-itself", "CPU_ON of a core that is on", "already on", TARGETS, on_itself),
    Row::new(
        "on-and-off",
        "an own core on and off, again and again",
        "each time it comes and goes",
        TARGETS,
        on_and_off,
    ),
    Row::new(
        "affinity-foreign",
        "AFFINITY_INFO of every other affinity",
        "invalid parameters",
        TARGETS,
        affinity_foreign,
    ),
    Row::new(
        "affinity-levels",
        "AFFINITY_INFO at every level above 0",
        "invalid parameters",
        TARGETS,
        affinity_levels,
    ),
    Row::new(
        "suspend-wild",
        "CPU_SUSPEND with every bit of the power state",
        "refused, or this core's own sleep",
        TARGETS,
        suspend_wild,
    ),
    Row::new("suspend-entry", "CPU_SUSPEND to foreign addresses", "invalid address", ENTRIES, suspend_entry),
    Row::new(
        "optional",
        "SYSTEM_SUSPEND, SYSTEM_RESET2, SYSTEM_OFF2, MEM_PROTECT, STAT and all others",
        "not supported",
        ALLOWED,
        optional,
    ),
    Row::new("reserved", "identifiers that are reserved for PSCI", "not supported", ALLOWED, reserved),
    Row::new(
        "features-wild",
        "PSCI_FEATURES of everything",
        "a yes only for what is offered",
        ALLOWED,
        features_wild,
    ),
    Row::new(
        "upper-halves",
        "arguments with upper halves in the 32-bit convention",
        "only the lower ones count",
        TARGETS,
        upper_halves,
    ),
    Row::new(
        "from-all-cores",
        "all of it from every core at once",
        "the same answers",
        TARGETS,
        from_all_cores,
    ),
    Row::new(
        "on-race",
        "every core turns every core on and asks for it, at once",
        "an answer that PSCI has",
        TARGETS,
        on_race,
    ),
];

const WIDE: [u32; 2] = [0, id::SMC64];

/// A call by a form of a function, with 64-bit registers in both.
fn call(function: u32, args: [u64; 3]) -> i32 {
    psci::call64(function, args)[0] as i32
}

/// Affinities that name none of the partition's cores.
fn strangers(env: &Env) -> impl Iterator<Item = u64> {
    let own = env.machine.cores.len() as u64;
    let low = (own..=0xff).chain([0x100, 0x101, 0x200, 0xff00, 0x1_0000, 0xff_0000, 0xff_ffff]);
    low.chain([1 << 32, 0xff << 32, 0xff_0000_0001, 0xff_00ff_ffff])
}

/// Own affinities with a bit set that is no address, but for bit 31, which reads as one in MPIDR_EL1 and is tolerated.
fn wild(env: &Env) -> impl Iterator<Item = u64> {
    let cores = env.machine.cores.len() as u64;
    (8..64).filter(|bit| *bit != 31).flat_map(move |bit| (0..cores).map(move |core| 1 << bit | core))
}

fn all(values: impl Iterator<Item = u64>, function: u32, wanted: i32) -> Outcome {
    for value in values {
        for wide in WIDE {
            // The 32-bit form does not see the upper half.
            if wide == 0 && value >> 32 != 0 {
                continue;
            }
            let entry = start::secondary_entry();
            let arguments = if function == id::CPU_ON { [value, entry, 1] } else { [value, 0, 0] };
            same!(call(function | wide, arguments), wanted, "{:#x} of {value:#x}", function | wide);
        }
    }
    Ok(())
}

fn on_foreign(env: &Env) -> Outcome {
    all(strangers(env), id::CPU_ON, id::INVALID_PARAMETERS)
}

fn on_wild(env: &Env) -> Outcome {
    all(wild(env), id::CPU_ON, id::INVALID_PARAMETERS)
}

fn second(env: &Env) -> Option<u64> {
    env.machine.cores.get(1).copied()
}

/// Foreign pages, unaligned addresses of our own, devices, and what is beyond all of it.
fn on_entry(env: &Env) -> Outcome {
    let Some(target) = second(env) else { skip!("needs 2 cores") };
    let own = start::secondary_entry();
    let more =
        [own + 1, own + 2, env.machine.gicd, 1 << 48, 1 << 63, !3, !0, own | 1 << 40, own | 0xff << 56];
    for entry in foreign(env).chain(more) {
        same!(call(id::CPU_ON | id::SMC64, [target, entry, 1]), id::INVALID_ADDRESS, "CPU_ON at {entry:#x}");
        same!(psci::affinity_info(target, 0), 1, "the core's state after CPU_ON at {entry:#x}");
    }
    Ok(())
}

fn on_itself(env: &Env) -> Outcome {
    let own = env.machine.cores[0];
    for wide in WIDE {
        let answer = call(id::CPU_ON | wide, [own, start::secondary_entry(), 0]);
        same!(answer, id::ALREADY_ON, "CPU_ON of itself");
    }
    Ok(())
}

fn nothing() {}

fn on_and_off(env: &Env) -> Outcome {
    for _ in 0..200 {
        cores::start_others(env, nothing)?;
        cores::join(env)?;
    }
    Ok(())
}

fn affinity_foreign(env: &Env) -> Outcome {
    all(strangers(env).chain(wild(env)), id::AFFINITY_INFO, id::INVALID_PARAMETERS)
}

fn affinity_levels(env: &Env) -> Outcome {
    for level in (1..64).map(|bit| 1 << bit).chain([1, 3, !0]) {
        for affinity in env.machine.cores.iter() {
            let answer = call(id::AFFINITY_INFO | id::SMC64, [*affinity, level, 0]);
            same!(answer, id::INVALID_PARAMETERS, "AFFINITY_INFO of {affinity:#x} at level {level:#x}");
        }
    }
    Ok(())
}

/// The timer is due soon, so that a sleep ends.
fn suspend_wild(env: &Env) -> Outcome {
    irq::enable(env.machine.virtual_timer);
    // StateType (bit 16) is a power-down, which row suspend-entry has.
    for bit in (0..32).filter(|bit| *bit != 16) {
        for wide in WIDE {
            timer::set_virtual(timer::now() + timer::frequency() / 1000);
            let answer = call(id::CPU_SUSPEND | wide, [1 << bit, start::secondary_entry(), 0]);
            ensure!(
                answer == id::SUCCESS || answer == id::INVALID_PARAMETERS,
                "CPU_SUSPEND with bit {bit}: {answer}"
            );
        }
    }
    timer::stop_virtual();
    Ok(())
}

fn suspend_entry(env: &Env) -> Outcome {
    for entry in foreign(env).chain([start::secondary_entry() + 1, env.machine.gicd, !3]) {
        let answer = call(id::CPU_SUSPEND | id::SMC64, [1 << 16, entry, 0]);
        same!(answer, id::INVALID_ADDRESS, "CPU_SUSPEND to {entry:#x}");
    }
    Ok(())
}

/// Functions of PSCI 1.0 to 1.3 that are not offered, by the lower byte of their identifiers (DEN 0022, table 6).
const OPTIONAL: [u32; 16] =
    [0x05, 0x07, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18];

fn optional(_: &Env) -> Outcome {
    for function in OPTIONAL {
        for wide in WIDE {
            for arguments in [[0; 3], [1, 0, 0], [1 << 31, 0, 0], [!0; 3]] {
                let answer = call(id::VERSION | wide | function, arguments);
                same!(
                    answer,
                    id::NOT_SUPPORTED,
                    "function {:#x} with {arguments:x?}",
                    id::VERSION | wide | function
                );
            }
        }
    }
    Ok(())
}

/// What is reserved, and 64-bit forms of what has none.
fn reserved(_: &Env) -> Outcome {
    let without = [0x00, 0x02, 0x06, 0x08, 0x09, 0x0a].map(|number| id::VERSION | id::SMC64 | number);
    let beyond = (0x19..0x20).flat_map(|number| WIDE.map(|wide| id::VERSION | wide | number));
    for function in without.into_iter().chain(beyond) {
        same!(call(function, [0; 3]), id::NOT_SUPPORTED, "function {function:#x}");
    }
    Ok(())
}

fn features_wild(_: &Env) -> Outcome {
    let offered = [0x00, 0x01, 0x02, 0x03, 0x04, 0x06, 0x08, 0x09, 0x0a].map(|number| id::VERSION | number);
    let wide = [0x01, 0x03, 0x04].map(|number| id::VERSION | id::SMC64 | number);
    let known = |function: u32| offered.contains(&function) || wide.contains(&function);
    for function in (0..0x40).flat_map(|number| WIDE.map(|wide| id::VERSION | wide | number)) {
        let answer = call(id::FEATURES, [u64::from(function), 0, 0]);
        let wanted = if known(function) { id::SUCCESS } else { id::NOT_SUPPORTED };
        same!(answer, wanted, "PSCI_FEATURES of {function:#x}");
    }
    for function in (0..32).map(|bit| 1 << bit).filter(|function| *function != 1 << 31) {
        same!(call(id::FEATURES, [function, 0, 0]), id::NOT_SUPPORTED, "PSCI_FEATURES of {function:#x}");
    }
    Ok(())
}

fn upper_halves(env: &Env) -> Outcome {
    let own = 0xdead_beef_0000_0000 | env.machine.cores[0];
    same!(call(id::AFFINITY_INFO, [own, !0 << 32, 0]), 0, "AFFINITY_INFO of this core");
    let other = 0xdead_beef_0000_0000 | env.machine.cores.len() as u64;
    same!(
        call(id::AFFINITY_INFO, [other, !0 << 32, 0]),
        id::INVALID_PARAMETERS,
        "AFFINITY_INFO of a stranger"
    );
    let version = psci::call64(id::VERSION, [!0; 3])[0];
    same!(version, u64::from(id::VERSION_1_1), "PSCI_VERSION with arguments");
    Ok(())
}

static CORES: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU32 = AtomicU32::new(0);
const ROUNDS: u64 = 300;

fn refused_everywhere() {
    let own = CORES.load(Ordering::SeqCst);
    for round in 0..ROUNDS {
        for (function, argument, wanted) in [
            (id::CPU_ON | id::SMC64, own + round, id::INVALID_PARAMETERS),
            (id::CPU_ON | id::SMC64, (1 + round) << 8, id::INVALID_PARAMETERS),
            (id::AFFINITY_INFO | id::SMC64, own + round, id::INVALID_PARAMETERS),
            (id::VERSION | 0x0e, 0, id::NOT_SUPPORTED),
            (id::VERSION | 0x13, 1, id::NOT_SUPPORTED),
            (id::CPU_SUSPEND, 0xff00_0000, id::INVALID_PARAMETERS),
        ] {
            if call(function, [argument, 0, 0]) != wanted {
                WRONG.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

fn from_all_cores(env: &Env) -> Outcome {
    CORES.store(env.machine.cores.len() as u64, Ordering::SeqCst);
    WRONG.store(0, Ordering::SeqCst);
    cores::start_others(env, refused_everywhere)?;
    refused_everywhere();
    cores::join(env)?;
    same!(WRONG.load(Ordering::SeqCst), 0, "answers that are not as they should be");
    Ok(())
}

/// All cores but the first are on, and so "already on" or "on pending" is what there is to answer.
fn turn_on() {
    let own = CORES.load(Ordering::SeqCst);
    for round in 0..ROUNDS {
        let target = round % own;
        let on = call(id::CPU_ON | id::SMC64, [target, start::secondary_entry(), target]);
        let state = psci::affinity_info(target, 0);
        if !matches!(on, 0 | id::ALREADY_ON | id::ON_PENDING) || !(0..=2).contains(&state) {
            WRONG.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn on_race(env: &Env) -> Outcome {
    CORES.store(env.machine.cores.len() as u64, Ordering::SeqCst);
    WRONG.store(0, Ordering::SeqCst);
    cores::start_others(env, turn_on)?;
    turn_on();
    // A core that was turned on again after its end does the same once more, and then stays off.
    (1..env.machine.cores.len()).for_each(|core| cpu::set_work(core, nothing));
    let off = irq::within(20_000, || {
        env.machine.cores.iter().skip(1).all(|affinity| psci::affinity_info(*affinity, 0) == 1)
    });
    ensure!(off, "a core does not come to its end");
    same!(WRONG.load(Ordering::SeqCst), 0, "answers that PSCI does not have");
    ensure!(gic::highest_pending() >= 1020, "an interrupt came of it");
    Ok(())
}
