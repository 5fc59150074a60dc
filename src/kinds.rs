//! The kinds of cores that run partitions, and what the first core says of each before any of them starts: its errata, and
//! how its entries from a guest are guarded.

use aarch64_cpu::registers::{MIDR_EL1, MPIDR_EL1};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use partita_model::errata::{self, Answer};
use partita_model::midr::Midr;
use partita_model::plan;
use partita_model::speculation::Speculation;
use spin::mutex::SpinMutex;
use tock_registers::interfaces::Readable;

use crate::{power, traps};

/// A kind of core: cores of one kind are as good as each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    midr: Midr,
    /// What it does with predictions, by its ID registers and its firmware.
    pub speculation: Speculation,
}

impl Kind {
    /// Of the calling core.
    pub fn of_this_core() -> Self {
        let midr = Midr(MIDR_EL1.get());
        Self { midr, speculation: Speculation::of(midr, &traps::host(), power::workarounds()) }
    }
}

/// As many cores as the line of a kind can name.
const MOST: usize = 256;

/// What cores have said, by their affinity.
static REPORTS: SpinMutex<ArrayVec<(u64, Kind), MOST>> = SpinMutex::new(ArrayVec::new_const());

/// Says what kind the calling core is, before its roll call.
pub fn report(kind: Kind) {
    // Beyond the most that can be named a core is missing in a line, and nothing else.
    let _ = REPORTS.lock().try_push((MPIDR_EL1.get() & plan::MPIDR_AFFINITY, kind));
}

/// Prints a line for each kind, and its errata if they are wanted. What a guest can do to its core is said in any case.
pub fn announce(cpus: &[plan::Cpu], verbose: bool) {
    let mut reports = REPORTS.lock().clone();
    while let Some(&(_, kind)) = reports.first() {
        let number = |mpidr: u64| cpus.iter().position(|cpu| cpu.mpidr == mpidr);
        let mut cores: Vec<usize> =
            reports.iter().filter(|report| report.1 == kind).filter_map(|report| number(report.0)).collect();
        partita_model::sort::plain(&mut cores);
        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
        log::info!(
            "cores {}: {}, {}; {}",
            cores.join(" "),
            kind.midr,
            errata::Count(kind.midr),
            kind.speculation
        );
        for erratum in errata::of(kind.midr) {
            match erratum.answer {
                Answer::Open(_) => log::warn!("{}: {erratum}", kind.midr.kind()),
                _ if verbose => log::info!("{}: {erratum}", kind.midr.kind()),
                _ => {}
            }
        }
        reports.retain(|report| report.1 != kind);
    }
}
