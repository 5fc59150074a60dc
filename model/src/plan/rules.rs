//! Rules between properties and between partitions.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use partita_abi::supervision::MOST_MANAGED;

use super::spec::{ConsoleWord, Spec};
use super::{Board, CpuEnable, ErrorKind, Gic, InterruptPath, PlanError, Start};
use crate::dt::nearest;
use crate::gic::MAX_VCPUS_V2;
use crate::weaken::{Guard, removed};

/// What holds between properties.
pub(super) fn check(specs: &[Spec]) -> Result<(), PlanError> {
    for spec in specs {
        if spec.interrupt_path == InterruptPath::Direct {
            if !spec.best_effort {
                let kind = ErrorKind::Needs("stop = \"best-effort\": a direct partition can keep its cores");
                return Err(spec.error("interrupt-path", kind));
            }
            if spec.watchdog {
                let kind = ErrorKind::Needs(
                    "interrupt-path = \"mediated\": the watchdog's timer would go to a direct partition",
                );
                return Err(spec.error("watchdog", kind));
            }
        }
        if spec.console.is_some_and(|console| console != ConsoleWord::Shared) {
            let needs = ErrorKind::Needs("console = \"shared\"");
            if spec.console_base.is_some() {
                return Err(spec.error("console-base", needs));
            }
            if spec.console_interrupt.is_some() {
                return Err(spec.error("console-interrupt", needs));
            }
        }
        for name in &spec.manages {
            if *name == spec.name {
                return Err(spec.error("manages", ErrorKind::Itself));
            }
            if !specs.iter().any(|other| other.name == *name) {
                let near = nearest(name, specs.iter().map(|other| other.name.as_str()));
                let kind = ErrorKind::NoSuchPartition(name.clone(), near.map(ToString::to_string));
                return Err(spec.error("manages", kind));
            }
        }
        if spec.manages.len() > MOST_MANAGED {
            let kind = ErrorKind::Needs("at most 384 partitions: its device has no more registers");
            return Err(spec.error("manages", kind));
        }
        let one_to_one =
            |entry: &super::spec::MemorySpec| entry.pin.is_some_and(|pin| pin.0 == entry.ipa.base.0);
        if !spec.dma_trusted.is_empty() && !spec.memory.iter().all(one_to_one) {
            let kind = ErrorKind::Needs("memory that is 1:1 (`host-base;` in each memory@* node)");
            return Err(spec.error("dma-trusted", kind));
        }
    }
    startable(specs)
}

/// A partition that does not start with the machine is started by one that runs, which itself started with the machine or was
/// started by such a one.
fn startable(specs: &[Spec]) -> Result<(), PlanError> {
    let mut can: Vec<bool> = specs.iter().map(|spec| spec.start == Start::Auto).collect();
    // In each round one more at least, or it is over.
    for _ in specs {
        let started: Vec<&String> =
            specs.iter().zip(&can).filter(|(_, can)| **can).flat_map(|(spec, _)| &spec.manages).collect();
        let more: Vec<bool> =
            specs.iter().zip(&can).map(|(spec, can)| *can || started.contains(&&spec.name)).collect();
        can = more;
    }
    let needs = "a partition that starts with the machine and has this one in its `manages`, or manages one that has: nobody else can \
                 start it";
    match specs.iter().zip(can).find(|(_, can)| !can) {
        Some((spec, _)) => Err(spec.error("start", ErrorKind::Needs(needs))),
        None => Ok(()),
    }
}

/// Which of the board's cores each partition has; the board is told its owners.
pub(super) fn cores(board: &mut Board, specs: &[Spec]) -> Result<Vec<Vec<usize>>, PlanError> {
    let alone = board.cpus.len() == 1;
    let mut all = Vec::new();
    for (partition, spec) in specs.iter().enumerate() {
        let mut mine = Vec::new();
        for (place, core) in spec.cpus.iter().enumerate() {
            let error = |kind| Err(spec.error(spec.cpus_property, kind));
            let Some(at) = board.cpus.iter().position(|cpu| cpu.mpidr == *core) else {
                let have: Vec<String> =
                    board.cpus.iter().map(|cpu| alloc::format!("{:#x}", cpu.mpidr)).collect();
                return error(ErrorKind::NoSuchCore(*core, have.join(", ")));
            };
            if matches!(board.gic, Gic::V2 { .. }) && at >= MAX_VCPUS_V2 {
                return error(ErrorKind::CoreBeyondGic(*core));
            }
            let Some(cpu) = board.cpus.get_mut(at) else { continue };
            let other = cpu.owner.and_then(|(owner, _)| specs.get(owner));
            if let Some(other) = other.filter(|_| !removed(Guard::PlanCore)) {
                return error(ErrorKind::CoreTaken(*core, other.name.clone()));
            }
            if cpu.enable == CpuEnable::Unknown && !alone {
                return error(ErrorKind::CoreCannotStart(*core));
            }
            cpu.owner = Some((partition, place));
            mine.push(at);
        }
        all.push(mine);
    }
    Ok(all)
}
