//! A partition that is stopped whatever it is in the midst of, and started again: what it takes to have its core out of its guest, and
//! each step until the next life's first instruction.

use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{Endianness, Object};

use super::counts::{Counter, Note};
use super::{CPU, Figures};
use crate::{Machine, On, build, guest_elf};

/// A partition of 64 MiB that does not end, and who restarts it.
const PLAN: &str = "tests/system/stop.dtso";
/// The core of who restarts, and the first one of those who are.
const STOPPER: usize = 0;
const STOPPED: usize = 1;
/// Where the partition's own properties stand.
const DEVICE: &str = "devices = ";
/// What it is in the midst of: what asks nothing of EL2, what never lets an interrupt in, what comes to EL2 again and again, and
/// what EL2 is long at.
pub const STATES: [&str; 11] = [
    "sleep",
    "suspended",
    "spin",
    "unmappable-vectors",
    "no-walks",
    "interrupt-storm",
    "calls",
    "aborts",
    "maintenance",
    "set-way",
    "console-flood",
];

/// A restart, in instructions at EL2 of the stopped partition's cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What they were in the midst of.
    pub state: &'static str,
    /// By step, as in [`STEPS`]; all cores together.
    pub steps: [u64; STEPS.len()],
    /// Of the first step, by core.
    pub out: Vec<u64>,
}

/// A step begins where the hypervisor comes to a function, and ends where the next one begins: its row, and a part of the function's
/// mangled name. The first one begins with the first kick, which the command's own core sends once it has changed the other's life; the
/// last one ends with the guest's first instruction.
pub const STEPS: [(&str, &str); 7] = [
    ("restart-stop", "6status6Status4kick"),
    ("restart-reset", "4life6finish"),
    ("restart-audit", "4life4load"),
    ("restart-digests", "4life15files_are_whole"),
    ("restart-clear", "4life12clear_memory"),
    ("restart-fill", "4life11fill_memory"),
    ("restart-launch", "4life6launch"),
];

/// Restarts it so often in each state. Its one core waits for nobody then, so what is counted is nearly the same on every computer;
/// with `cores` of 2 both do the same (or what a state's own words say), and one waits for what the other one has locked.
#[track_caller]
pub fn stops(on: On, states: &[&'static str], each: usize, cores: usize, direct: bool) -> Vec<Stop> {
    let elf = std::fs::read(guest_elf("crasher")).expect("the guest can be read");
    let entry = ElfFile::<FileHeader64<Endianness>>::parse(&*elf).expect("the guest is an ELF file").entry();
    let functions = STEPS.iter().map(|(_, name)| build::symbol(name).start);
    let places: Vec<u64> = functions.chain([entry]).collect();
    let counter = Counter::new().at(places.iter().copied());
    let turns = states.len() * each;
    let bootargs = format!("\"stays ways={}\"", states.join(","));
    let (command, done) = (format!("turns={turns}"), format!("stopper: done {turns}"));
    let mut changes = vec![("turns=1", command.as_str()), ("\"stays\"", bootargs.as_str())];
    if cores == 2 {
        changes.push(("cpus = <1>", "cpus = <1 2>"));
    }
    if direct {
        changes.push((DEVICE, "interrupt-path = \"direct\"; stop = \"best-effort\"; devices = "));
    }
    let [option, plugin] = counter.args();
    let mut args = vec!["--", option.as_str(), plugin.as_str()];
    if on.target() != crate::Target::Raspi4b {
        args.splice(0..0, ["--cpu", CPU]);
    }
    let outcome = Machine::run_changed(on, PLAN, &changes).args(&args).limit(600).to_end();
    outcome.check(outcome.lines("stopper").contains(&done.as_str()), "every restart");
    outcome.check(!outcome.log.contains("RESIDUE"), "nothing is left of the life before");
    let notes = counter.notes();
    let commands = notes.iter().enumerate().filter(|(_, note)| note.what == "mark" && note.core == STOPPER);
    let commands: Vec<usize> = commands.map(|(at, _)| at).collect();
    outcome.check(commands.len() == turns, "every command is marked");
    let stop = |turn: usize| one(states[turn % states.len()], &notes[commands[turn]..], &places, cores);
    let lacking = |turn| outcome.fail(&format!("restart {turn} lacks a step"));
    (0..turns).map(|turn| stop(turn).unwrap_or_else(|| lacking(turn))).collect()
}

/// The restart that begins with the first of these notes.
fn one(state: &'static str, notes: &[Note], places: &[u64], cores: usize) -> Option<Stop> {
    let stopped = STOPPED..STOPPED + cores;
    let mut notes = notes.iter();
    let mut begins = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let what = format!("at-{place:x}");
        let there = |core: usize| if index == 0 { core == STOPPER } else { stopped.contains(&core) };
        begins.push(notes.find(|note| note.what == what && there(note.core))?);
    }
    let grown = |step: usize, core: usize| {
        Some(begins[step + 1].counts.get(core)?.el2 - begins[step].counts.get(core)?.el2)
    };
    let mut steps = [0; STEPS.len()];
    for (step, sum) in steps.iter_mut().enumerate() {
        *sum = stopped.clone().map(|core| grown(step, core)).sum::<Option<u64>>()?;
    }
    Some(Stop { state, steps, out: stopped.map(|core| grown(0, core)).collect::<Option<_>>()? })
}

/// A restart of one that spins with everything masked, step by step.
#[track_caller]
pub fn restart(on: On) -> Figures {
    // The first life leaves less behind than any other.
    let stops = stops(on, &["spin"], 2, 1, false);
    let steps = stops.last().expect("there were two").steps;
    let mut figures: Figures =
        STEPS.iter().zip(steps).map(|((row, _), count)| ((*row).to_owned(), count)).collect();
    figures.insert("restart".to_owned(), steps.iter().sum());
    figures
}
