//! A partition that ends again and again, each time in another way, and comes back (guests/crasher), beside a victim that
//! notices nothing: what both say, what the hypervisor keeps for itself, and how late the victim is by the hypervisor's doing.

use tempfile::TempDir;

use crate::attack::qmp::Monitor;
use crate::attack::siege::{MARGIN, reserved};
use crate::attack::suffered::{Suffered, suffered};
use crate::speed::Counter;
use crate::{Machine, On, Target, build, qemu};

const PLAN: &str = "tests/system/life.dtso";

/// What the crasher's lives came to.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// How often it came back.
    pub restarts: u64,
    /// Different ways in which it ended.
    pub ways: usize,
    /// The victim's ticks before the first end, and from then on.
    pub calm: Suffered,
    /// The worst and the middle one.
    pub during: Suffered,
}

/// How many lives a long soak has, by target.
pub const SOAK: [(Target, u64); 3] =
    [(Target::VirtGicv3, 1000), (Target::VirtGicv2, 1000), (Target::Raspi4b, 100)];

/// Lets the crasher end `count` times, and checks everything.
#[track_caller]
pub fn lives(on: On, count: u64, changes: &[(&str, &str)], limit: u64) -> Lives {
    let folder = TempDir::new().expect("a folder for the test");
    let counter = Counter::new();
    let plugin = counter.args();
    let monitor = Monitor::args(folder.path());
    let words = format!("lives={count} calm=3");
    let changes = [&[("lives=34", words.as_str())], changes].concat();
    let args: Vec<&str> =
        ["--"].into_iter().chain(plugin.iter().chain(&monitor).map(String::as_str)).collect();
    let cpu: &[&str] = if on.target() == Target::Raspi4b { &[] } else { &["--cpu", "cortex-a72"] };
    let mut machine =
        Machine::run_changed(on, PLAN, &changes).args(cpu).args(&args).limit(limit).start_on_terminal();

    machine.wait_for_line("crasher: life 0 way ");
    let mut monitor = Monitor::connect(folder.path());
    let heap = heap(on);
    let before = monitor.memory(&[heap]);
    let done = format!("crasher: done {count}");
    machine.wait_until("the crasher's last life", |log| {
        log.contains(&done) || log.contains(" RESIDUE ") || log.contains("stays off")
    });
    let after = monitor.memory(&[heap]);
    let reports = machine.now().log.matches("[victim] victim: report ").count();
    machine.wait_until("the victim reports", |log| log.matches("[victim] victim: report ").count() > reports);
    machine.end_victim();
    machine.wait_for_line("victim: end ");
    machine.type_text("\u{1d}q");
    let outcome = machine.end();

    outcome.check(before == after, "what the hypervisor keeps of its memory has changed");
    let lines = outcome.lines("crasher");
    let mut ways: Vec<&str> = Vec::new();
    for life in 0..count {
        let mark = format!("crasher: life {life} way ");
        let way = lines.iter().find_map(|line| line.strip_prefix(mark.as_str()));
        ways.push(way.unwrap_or_else(|| outcome.fail(&format!("no life {life}"))));
    }
    outcome.check(lines.contains(&done.as_str()), "it came to its last life");
    let summary = outcome.summary("crasher");
    let came_back = format!(" restarts={count}");
    outcome.check(summary.ends_with(&came_back), "every end was followed by a new life");
    outcome.check(summary.starts_with("state=off cause=stopped-by-user "), summary);
    let victim = outcome.lines("victim");
    let reports = || victim.iter().filter(|line| line.starts_with("victim: report "));
    let good = |line: &&str| line.contains(" lost 0 strays 0 again 0 canaries ok ");
    outcome.check(reports().count() >= 3 && reports().all(good), "no report of the victim tells of anything");
    outcome.check(victim.contains(&"victim: end whole"), "the victim's last words");
    outcome.check(outcome.status == Some(0), "exit status 0");

    ways.sort_unstable();
    ways.dedup();
    let (calm, rows) = suffered(&counter.text());
    let worst = rows.iter().map(|row| row.worst).max().unwrap_or(0);
    let mut middles: Vec<u64> = rows.iter().map(|row| row.middle).collect();
    middles.sort_unstable();
    let middle = middles.get(middles.len() / 2).copied().unwrap_or(0);
    let worse =
        format!("EL2 executes {worst} instructions in a tick of the victim's, {} in the calm", calm.worst);
    outcome.check(worst <= calm.worst + MARGIN, &worse);
    Lives { restarts: count, ways: ways.len(), calm, during: Suffered { worst, middle } }
}

/// The state of the hypervisor's allocator: where it lies in physical memory, and its size.
fn heap(on: On) -> (u64, u64) {
    let text = build::section(".text").start;
    let symbol = build::symbol("4heap9ALLOCATOR");
    (lies(on, "the hypervisor") + (symbol.start - text), symbol.end - symbol.start)
}

/// A machine of the test build, in which the crasher goes these ways.
pub fn weakened(on: On, folder: &std::path::Path, ways: &str) -> Machine {
    let words = format!("lives=9 ways={ways}");
    weakened_with(on, folder, PLAN, &[("lives=34", words.as_str())])
}

/// A machine of the test build with this plan, so changed.
pub fn weakened_with(on: On, folder: &std::path::Path, plan: &str, changes: &[(&str, &str)]) -> Machine {
    let path = on.plan(plan);
    let mut text = std::fs::read_to_string(&path).expect("the plan");
    for (from, to) in on.changes(&path).iter().chain(changes) {
        text = text.replace(from, to);
    }
    let plan = folder.join("plan.dtso");
    std::fs::write(&plan, text).expect("the test's folder takes files");
    let mut command = std::process::Command::new(build::partita());
    command.args(["build", "-q", "--platform", on.target().platform(), "-o"]).arg(folder).arg(plan);
    let output = command.output().expect("partita can be run");
    assert!(output.status.success(), "partita build: {}", String::from_utf8_lossy(&output.stderr));
    qemu(on, &build::weakened(), Some(&folder.join("bundle.cpio"))).args(&["-cpu", "cortex-a72"])
}

/// Where something that the plan reserves lies.
pub fn lies(on: On, what: &str) -> u64 {
    let path = on.plan(PLAN);
    let mut text = std::fs::read_to_string(&path).expect("the plan");
    for (from, to) in on.changes(&path) {
        text = text.replace(from, to);
    }
    let folder = TempDir::new().expect("a folder for the plan");
    let changed = folder.path().join("life.dtso");
    std::fs::write(&changed, text).expect("the folder takes files");
    reserved(on, &changed, what)
}
