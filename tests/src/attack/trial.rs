//! Boots a hypervisor from which a guard was taken away, and sees whether it is missed.

use std::path::{Path, PathBuf};
use std::process::Command;

use partita_model::weaken::Guard;
use tempfile::TempDir;

use super::exceptions::Listener;
use super::{Removal, Scene, Sign};
use crate::{Machine, On, Outcome, Running, build, bundle, compile, qemu};

/// Seconds that a machine may take: it has a few rows to do, and some guards' absence makes it hang.
const LIMIT: u64 = 90;
/// The plan of scenes with the probe. The neighbour has no end of its own.
const PLAN: &str = "tests/system/probe-2.dtso";
/// What EL2 says when the defect is its own.
const EL2_FAILED: &str = "the hypervisor itself failed";
/// The line with which partitions begin.
const STARTS: &str = "partita: audit: ";

/// How a machine without a guard ended.
#[derive(Debug)]
pub struct Trial {
    /// What missed the guard, if anything did.
    pub caught: Option<String>,
    /// The console.
    pub log: String,
}

/// The rows of several removals as one list.
fn joined<'a>(removals: impl Iterator<Item = &'a Removal>) -> String {
    let mut rows: Vec<&str> = Vec::new();
    for removal in removals {
        if let Scene::Probe(list) = removal.scene {
            rows.extend(list.split(',').filter(|row| *row != "system-reset"));
        }
    }
    rows.sort_unstable();
    rows.dedup();
    rows.join(",")
}

/// The bundle of a scene.
fn bundle_of(on: On, scene: Scene, folder: &Path) -> PathBuf {
    let rows = match scene {
        Scene::Probe(rows) => rows,
        Scene::Plan(name, _) => {
            let plans = build::root().join("tests/plans");
            let image = std::fs::read(plans.join("images/flat.bin")).expect("the plans' image");
            let overlay = compile(&plans.join(name).with_extension("dtso"));
            let path = folder.join("bundle.cpio");
            std::fs::write(&path, bundle(&overlay, &[("flat.bin".to_owned(), image)]))
                .expect("the test's folder takes files");
            return path;
        }
    };
    probe(on, rows, folder)
}

/// The bundle of the probe with these rows and its neighbour.
fn probe(on: On, rows: &str, folder: &Path) -> PathBuf {
    let path = on.plan(PLAN);
    let mut text = std::fs::read_to_string(&path).expect("the plan");
    let (test, wait) = (format!("mem=16384 test={rows}"), ("reports=5", "reports=1000"));
    for (from, to) in on.changes(&path).iter().copied().chain([("mem=16384", test.as_str()), wait]) {
        assert!(text.contains(from), "{PLAN} has no {from}");
        text = text.replace(from, to);
    }
    let plan = folder.join("plan.dtso");
    std::fs::write(&plan, text).expect("the test's folder takes files");
    let mut command = Command::new(build::partita());
    command.args(["build", "-q", "--platform", on.target().platform(), "-o"]).arg(folder).arg(plan);
    let output = command.output().expect("partita can be run");
    assert!(output.status.success(), "partita build: {}", String::from_utf8_lossy(&output.stderr));
    folder.join("bundle.cpio")
}

/// Lines that have come to their end.
fn whole_lines(log: &str) -> impl Iterator<Item = &str> {
    log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::trim_end)
}

/// A machine of the test build, without a guard if one is named.
fn machine(on: On, cpu: &str, bundle: &Path, guard: Option<Guard>) -> Machine {
    let words = guard.map_or_else(String::new, |guard| format!("weaken={}", guard.name()));
    qemu(on, &build::weakened(), Some(bundle)).args(&["-cpu", cpu, "-append", &words]).limit(LIMIT)
}

/// Boots without the guard.
#[track_caller]
pub fn run(on: On, cpu: &str, removal: &Removal) -> Trial {
    let folder = TempDir::new().expect("a folder for the test");
    let bundle = bundle_of(on, removal.scene, folder.path());
    let mut machine = machine(on, cpu, &bundle, Some(removal.guard));
    let listener = removal.sign.counts().then(|| Listener::new(folder.path()));
    if let Some(listener) = &listener {
        machine = machine.args(&listener.args().each_ref().map(String::as_str));
    }
    if matches!(removal.sign, Sign::Seen(..)) {
        machine = machine.stub();
    }
    let mut running = machine.start();
    let caught = look(&mut running, removal);
    let Outcome { log, .. } = running.now();
    drop(running);
    let exceptions = listener.map(Listener::end);
    let untrapped = exceptions.is_some_and(|seen| removal.sign.untrapped(&seen));
    let caught = caught.or_else(|| untrapped.then(|| removal.sign.words(removal.scene)));
    Trial { caught, log }
}

/// Watches a machine until it shows the sign, or can no more.
fn look(running: &mut Running, removal: &Removal) -> Option<String> {
    let words = || removal.sign.words(removal.scene);
    let failed = |row: &str, log: &str| {
        let mark = format!("[probe] probe: {row} FAILED: ");
        whole_lines(log).find_map(|line| line.strip_prefix(mark.as_str()).map(str::to_owned))
    };
    match removal.sign {
        Sign::Row(row) => {
            running.watch(|log| failed(row, log).is_some());
            failed(row, &running.now().log).map(|why| format!("{}: {why}", words()))
        }
        Sign::Failed => running.watch(|log| log.contains(EL2_FAILED)).then(words),
        Sign::Console(text) => running.watch(|log| log.contains(text)).then(words),
        Sign::Nameless(line) => running.watch(|log| whole_lines(log).any(|one| one == line)).then(words),
        Sign::MachineOff => (running.wait_end() == Some(0) && running.now().log.contains(STARTS)).then(words),
        Sign::Untrapped(..) => {
            running.watch(|log| log.contains("probe: done "));
            None
        }
        Sign::Seen(_, seen) => {
            (running.watch(|log| log.contains("probe: done ")) && seen(&mut running.debugger())).then(words)
        }
        Sign::Accepted => {
            let Scene::Plan(_, refusal) = removal.scene else { return None };
            let met = running.watch(|log| log.contains(STARTS) || log.contains("error: "));
            (met && !running.now().log.contains(refusal)).then(words)
        }
    }
}

/// Boots the test build with all its guards, for the rows of all these removals: none of their signs is to be seen. The
/// result is what is, and the console.
#[track_caller]
pub fn control(on: On, cpu: &str, removals: &[&Removal]) -> (Vec<String>, String) {
    let folder = TempDir::new().expect("a folder for the test");
    let bundle = probe(on, &joined(removals.iter().copied()), folder.path());
    let listener = Listener::new(folder.path());
    let args = listener.args();
    let machine = machine(on, cpu, &bundle, None).args(&args.each_ref().map(String::as_str)).stub();
    let mut running = machine.start();
    let done = running.watch(|log| log.contains("probe: done "));
    let Outcome { log, .. } = running.now();
    let mut wrong = if done { Vec::new() } else { vec!["the probe did not come to its end".to_owned()] };
    let mut debugger = done.then(|| running.debugger());
    let mut gone = |removal: &&&Removal| match removal.sign {
        // It does not come back; `probe::reset` is about it.
        Sign::Row("system-reset") => false,
        Sign::Row(row) => !whole_lines(&log).any(|line| line == format!("[probe] probe: {row} ok")),
        Sign::Failed => log.contains(EL2_FAILED),
        Sign::Console(text) => log.contains(text),
        Sign::Nameless(line) => whole_lines(&log).any(|one| one == line),
        Sign::Seen(_, seen) => debugger.as_mut().is_some_and(seen),
        Sign::Untrapped(..) | Sign::MachineOff | Sign::Accepted => false,
    };
    let seen = removals.iter().filter(&mut gone).map(|removal| removal.sign.words(removal.scene));
    wrong.extend(seen);
    drop(running);
    let exceptions = listener.end();
    let untrapped = removals.iter().filter(|removal| removal.sign.untrapped(&exceptions));
    wrong.extend(untrapped.map(|removal| removal.sign.words(removal.scene)));
    (wrong, log)
}
