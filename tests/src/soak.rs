//! The soak: a guest takes very many interrupts and counts that each comes once (guests/soak). Its counts are compared with
//! what was asked for, and with what EL2 counted.

use crate::{Machine, On, Outcome};

const PLAN: &str = "tests/system/soak.dtso";

/// An interrupt path: its name, and what the partition's node says for it.
pub type Path = (&'static str, &'static str);

/// The paths.
pub const PATHS: [Path; 2] =
    [("mediated", ""), ("direct", "interrupt-path = \"direct\"; stop = \"best-effort\";")];

/// How many of each, on all cores together.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Timer interrupts.
    pub timers: u64,
    /// SGIs: on one core all to itself, on two every other one to the other.
    pub sgis: u64,
}

/// Lets the guest run on this many cores, and checks what it says. The result is its last line.
pub fn soak(on: On, (path, properties): Path, cores: u64, amount: Amount, limit: u64) -> String {
    let Amount { timers, sgis } = amount;
    let asked = format!("\"timers={timers} sgis={sgis}\"");
    let kernel = format!("kernel = \"soak\"; {properties}");
    let changes = [
        ("\"timers=20000 sgis=5000\"", asked.as_str()),
        ("kernel = \"soak\";", kernel.as_str()),
        ("cpus = <0 1>", if cores == 1 { "cpus = <0>" } else { "cpus = <0 1>" }),
    ];
    let outcome = Machine::run_changed(on, PLAN, &changes).limit(limit).to_end();
    let lines = outcome.lines("soak");
    let last = lines.iter().rev().find_map(|line| line.strip_prefix("soak: "));
    let other = if cores == 1 { 0 } else { sgis / cores / 2 * cores };
    let expected = format!(
        "{timers} timer interrupts, {} SGIs to oneself, {other} to another, on {cores} cores: none lost, none twice",
        sgis - other
    );
    outcome.check(last == Some(expected.as_str()), &format!("{expected}, not {last:?}"));
    seen_by_el2(&outcome, amount, path == "direct");
    expected
}

/// EL2 counted each SGI, as it has to send them, and on the mediated path each timer interrupt; on the direct one none.
fn seen_by_el2(outcome: &Outcome, amount: Amount, direct: bool) {
    let summary = outcome.summary("soak");
    let count = |kind: &str| {
        let value = summary.split(' ').find_map(|word| word.strip_prefix(kind)?.strip_prefix('='));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    outcome.check(count("sgi") == amount.sgis, "EL2 counted as many SGIs as were sent");
    if direct {
        outcome.check(count("irq") == 0, "EL2 saw no interrupt");
    } else {
        outcome.check(count("irq") >= amount.timers, "EL2 counted an interrupt for each timer's");
    }
}
