//! What operations cost in instructions: the benchmark guest under -icount, where a tick of its counter is an instruction,
//! and the counter plugin where several cores take part. The figures are the same on every computer.

use std::collections::BTreeMap;

use crate::{Machine, On, Outcome, build, native};

const PLAN: &str = "tests/system/bench.dtso";
/// A core that counts at 1 GHz, and on which nothing guards the way to Rust.
const CPU: &str = "max";
/// One whose branch history is overwritten on the way to Rust, made to count as fast.
const GUARDED: &str = "cortex-a72,cntfrq=1000000000";

/// Instructions by row of the benchmark.
pub type Figures = BTreeMap<String, u64>;

/// The benchmark on a machine of this target, without a hypervisor.
pub fn alone(on: On) -> Figures {
    let outcome = native(on, "bench", CPU, 1, "").args(&["-icount", "shift=0,sleep=off"]).limit(120).to_end();
    rows(&outcome, outcome.log.lines().collect())
}

/// The benchmark as the only partition.
pub fn partition(on: On) -> Figures {
    let mut figures = one_core(on, CPU);
    figures.extend(to_another(on));
    figures
}

/// The same without what several cores take part in, on a core that is guarded (model/src/speculation.rs); and by how much
/// the guard makes the least that comes to Rust dearer.
pub fn guarded(on: On) -> (Figures, u64) {
    let (with, without) = (one_core(on, GUARDED), one_core(on, CPU));
    let row = |figures: &Figures| figures["smccc-unknown-hvc"];
    let guard = row(&with) - row(&without);
    (with, guard)
}

fn one_core(on: On, cpu: &str) -> Figures {
    let outcome = Machine::run(on, PLAN).args(&["--cpu", cpu, "--icount"]).limit(120).to_end();
    rows(&outcome, outcome.lines("bench"))
}

/// The least of each row; what has no row is wrong.
fn rows(outcome: &Outcome, lines: Vec<&str>) -> Figures {
    let mut figures = Figures::new();
    for words in lines.iter().filter_map(|line| line.strip_prefix("bench: ")) {
        if let [name, least, _most] = words.split(' ').collect::<Vec<_>>()[..]
            && let Ok(least) = least.parse()
        {
            figures.insert(name.to_owned(), least);
        }
    }
    outcome.check(figures.get("nothing") == Some(&2), "two reads of the counter are two instructions apart");
    figures
}

/// An SGI to another core: instructions at EL2, of the sender and of the receiver, which waits asleep.
fn to_another(on: On) -> Figures {
    let log = tempfile::NamedTempFile::new().expect("a file for the counts");
    let plugin = format!("{},log={}", build::counter().display(), log.path().display());
    let changes = [("\"hypervisor\"", "\"mark\""), ("cpus = <0>", "cpus = <0 1>")];
    let outcome = Machine::run_changed(on, PLAN, &changes)
        .args(&["--cpu", CPU, "--", "-plugin", &plugin])
        .limit(120)
        .to_end();
    outcome.check(outcome.lines("bench").contains(&"bench: marked 16"), "the benchmark came to its end");
    let counts = std::fs::read_to_string(log.path()).expect("the plugin wrote its counts");
    let marks: Vec<Vec<u64>> =
        counts.lines().filter_map(|line| Some(el2(line.strip_prefix("mark ")?))).collect();
    outcome.check(marks.len() == 32, "two marks for each SGI");
    let least = |core: usize| {
        let pairs = marks.as_chunks().0.iter();
        pairs.map(|[before, after]: &[Vec<u64>; 2]| after[core] - before[core]).min().unwrap_or(0)
    };
    Figures::from([("sgi-other-sender".to_owned(), least(0)), ("sgi-other-receiver".to_owned(), least(1))])
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
    let log = tempfile::NamedTempFile::new().expect("a file for the counts");
    let plugin = format!("{},log={}", build::counter().display(), log.path().display());
    let mut machine = Machine::run_changed(on, "tests/system/bench-locks.dtso", changes)
        .args(&["--cpu", CPU, "--", "-plugin", &plugin])
        .limit(240)
        .start_on_terminal();
    machine.wait_for("bench: locks done");
    machine.type_text("\x1dq");
    let outcome = machine.end();
    let counts = std::fs::read_to_string(log.path()).expect("the plugin wrote its counts");
    let marks: Vec<u64> = counts
        .lines()
        .filter(|line| line.starts_with("mark 0: "))
        .map(|line| el2(line.trim_start_matches("mark "))[0])
        .collect();
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

/// The cores' counts of EL2 in a line of the plugin: `CORE: EL2/OTHER ...`.
fn el2(line: &str) -> Vec<u64> {
    let pairs = line.split(' ').skip(1).filter_map(|pair| pair.split('/').next()?.parse().ok());
    pairs.collect()
}
