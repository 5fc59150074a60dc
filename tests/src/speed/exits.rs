//! Operations that leave a guest, or would: what they cost without a hypervisor and in a partition.

use std::collections::BTreeMap;

use super::counts::{Counter, Note};
use super::{CPU, Figures, GUARDED, ICOUNT, PLAN, Path};
use crate::{Machine, On, native};

/// The benchmark on a machine of this target, without a hypervisor.
pub fn alone(on: On) -> Figures {
    let outcome = native(on, "bench", CPU, 1, "").args(&ICOUNT).limit(120).to_end();
    rows(outcome.log.lines()).unwrap_or_else(|why| outcome.fail(&why))
}

/// The benchmark as the only partition.
pub fn partition(on: On, path: Path) -> Figures {
    let mut figures = one_core(on, CPU, path);
    figures.extend(to_another(on, path));
    figures
}

/// The same without what several cores take part in, on a core that is guarded (model/src/speculation.rs); and by how much
/// the guard makes the least that comes to Rust dearer.
pub fn guarded(on: On, path: Path) -> (Figures, u64) {
    let (with, without) = (one_core(on, GUARDED, path), one_core(on, CPU, path));
    let row = |figures: &Figures| figures["smccc-unknown-hvc"];
    let guard = row(&with) - row(&without);
    (with, guard)
}

fn one_core(on: On, cpu: &str, path: Path) -> Figures {
    let mut figures = in_plan(on, cpu, path, PLAN);
    // The one row to which it matters whether there is anybody else.
    let beside = in_plan(on, cpu, path, "tests/system/bench-beside.dtso")["tlbi-for-all-cores"];
    figures.insert("tlbi-beside".to_owned(), beside);
    figures
}

fn in_plan(on: On, cpu: &str, path: Path, plan: &str) -> Figures {
    let machine = Machine::run_changed(on, plan, &[path.change()]);
    let outcome = machine.args(&["--cpu", cpu, "--icount"]).limit(120).to_end();
    rows(outcome.lines("bench").into_iter()).unwrap_or_else(|why| outcome.fail(&why))
}

/// The least of each row that the benchmark printed; what has no row is wrong.
pub(super) fn rows<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Figures, String> {
    let mut figures = Figures::new();
    for words in lines.filter_map(|line| line.strip_prefix("bench: ")) {
        if let [name, least, _most] = words.split_whitespace().collect::<Vec<_>>()[..]
            && let Ok(least) = least.parse()
        {
            figures.insert(name.to_owned(), least);
        }
    }
    match figures.get("nothing") {
        Some(2) => Ok(figures),
        other => Err(format!("two reads of the counter are two instructions apart, not {other:?}")),
    }
}

/// An SGI to another core, which waits for it asleep.
fn to_another(on: On, path: Path) -> Figures {
    let counter = Counter::new();
    let changes = [path.change(), ("\"hypervisor\"", "\"mark\""), ("cpus = <0>", "cpus = <0 1>")];
    let [option, plugin] = counter.args();
    let outcome = Machine::run_changed(on, PLAN, &changes)
        .args(&["--cpu", CPU, "--", &option, &plugin])
        .limit(120)
        .to_end();
    outcome.check(outcome.lines("bench").contains(&"bench: marked 16"), "the benchmark came to its end");
    sender_and_receiver(&counter.marks()).unwrap_or_else(|why| outcome.fail(&why))
}

/// The least between two marks that an SGI costs at EL2, on the core that made the marks and on the other one.
pub(super) fn sender_and_receiver(marks: &[Note]) -> Result<Figures, String> {
    if marks.len() != 32 {
        return Err(format!("two marks for each SGI, not {}", marks.len()));
    }
    let least = |sender: bool| {
        let pairs = marks.as_chunks().0.iter();
        let cost = |[before, after]: &[Note; 2]| {
            let core = if sender { after.core } else { 1 - after.core };
            after.counts[core].el2 - before.counts[core].el2
        };
        pairs.map(cost).min().unwrap_or(0)
    };
    Ok(Figures::from([
        ("sgi-other-sender".to_owned(), least(true)),
        ("sgi-other-receiver".to_owned(), least(false)),
    ]))
}

/// What a write costs at EL2 that cores take turns for: the least, the middle one, the 99th percentile and the worst of many,
/// by row.
pub type Turns = BTreeMap<&'static str, [u64; 4]>;

/// The same with nobody else at it, and while three cores of another partition do nothing but that.
pub fn turns(on: On) -> [Turns; 2] {
    [at_turns(on, &[("\"hammer spi=39\"", "\"mark\"")]), at_turns(on, &[])]
}

fn at_turns(on: On, changes: &[(&str, &str)]) -> Turns {
    const ROWS: [&str; 2] = ["icfgr", "icenabler"];
    let counter = Counter::new();
    let [option, plugin] = counter.args();
    let mut machine = Machine::run_changed(on, "tests/system/bench-locks.dtso", changes)
        .args(&["--cpu", CPU, "--", &option, &plugin])
        .limit(240)
        .start_on_terminal();
    machine.wait_for("bench: locks done");
    machine.type_text("\x1dq");
    let outcome = machine.end();
    let marks: Vec<u64> =
        counter.marks().iter().filter(|mark| mark.core == 0).map(|mark| mark.counts[0].el2).collect();
    let mut costs: Vec<u64> =
        marks.as_chunks().0.iter().map(|[before, after]: &[u64; 2]| after - before).collect();
    outcome.check(costs.len() == 4000, &format!("two marks for each write, not {}", costs.len()));
    let half = costs.len() / 2;
    let sum_up = |costs: &mut [u64]| {
        costs.sort_unstable();
        [costs[0], costs[costs.len() / 2], costs[costs.len() * 99 / 100], costs[costs.len() - 1]]
    };
    let (first, second) = costs.split_at_mut(half);
    [(ROWS[0], sum_up(first)), (ROWS[1], sum_up(second))].into()
}
