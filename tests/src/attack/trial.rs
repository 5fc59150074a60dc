//! Boots a hypervisor from which a guard was taken away, and sees whether it is missed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use partita_model::weaken::Guard;
use tempfile::TempDir;

use super::exceptions::Listener;
use super::removals::{NOBODYS, configuration};
use super::{Removal, Scene, Sign};
use crate::{Machine, On, Outcome, Running, bundle, compile, qemu};

/// Seconds that a machine may take: it has a few rows to do, and some guards' absence makes it hang.
const LIMIT: u64 = 90;
/// What EL2 says when the defect is its own.
fn el2_failed(log: &str) -> bool {
    log.contains("the hypervisor itself failed") || log.contains(": failed: hypervisor-fault")
}
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

/// Rows that end their partition: they are in no list with others.
const ENDINGS: [&str; 2] = ["system-reset", "endless/aarch32"];

/// A guest that is a table of rows, and what it says of them.
struct Table {
    name: &'static str,
    plan: &'static str,
    /// What to change in the plan for the rows `%`, and by what.
    changes: &'static [(&'static str, &'static str)],
    held: &'static str,
    escaped: &'static str,
}

/// The neighbour has no end of its own.
const PROBE: Table = Table {
    name: "probe",
    plan: "tests/system/probe-2.dtso",
    changes: &[("mem=16384", "mem=16384 test=%"), ("reports=5", "reports=1000")],
    held: "ok",
    escaped: "FAILED",
};

/// The attacker's memory is at guest addresses where the machine has none, so that all of RAM is foreign to it, and the
/// device is its victim's.
const ATTACKER: Table = Table {
    name: "attacker",
    plan: "tests/system/attack.dtso",
    changes: &[
        ("wait=3", "test=%"),
        ("memory@40000000", "memory@80000000"),
        ("<0x0 0x40000000 0x0 0x", "<0x0 0x80000000 0x0 0x"),
    ],
    held: "held",
    escaped: "ESCAPED",
};

/// The warden, and what it manages.
const WARDEN: Table = Table {
    name: "warden",
    plan: "tests/system/supervision.dtso",
    changes: &[("role=warden", "role=warden test=%")],
    held: "ok",
    escaped: "FAILED",
};

/// The attacker with a device that does DMA.
const DMA: Table = Table {
    name: "attacker",
    plan: "tests/system/dma.dtso",
    changes: &[("test=dma ", "test=% ")],
    held: "held",
    escaped: "ESCAPED",
};
/// The first of two partitions with PCI functions.
const PCI: Table =
    Table { name: "pci", plan: "tests/system/pci.dtso", changes: &[], held: "ok", escaped: "FAILED" };
/// The crasher, whose lives are as many as there are ways.
const CRASHER: Table = Table {
    name: "crasher",
    plan: "tests/system/watchdog.dtso",
    changes: &[("lives=9 ways=off", "lives=3 ways=%")],
    held: "ok",
    escaped: "ESCAPED",
};
/// How long a partition takes to be off after its guest's last line.
const END: Duration = Duration::from_secs(2);

impl Table {
    fn of(scene: Scene) -> Option<(&'static Table, &'static str)> {
        match scene {
            Scene::Probe(rows) => Some((&PROBE, rows)),
            Scene::Attack(rows) => Some((&ATTACKER, rows)),
            Scene::Warden(rows) => Some((&WARDEN, rows)),
            Scene::Dma(rows, _) => Some((&DMA, rows)),
            Scene::Pci => Some((&PCI, "")),
            Scene::Watchdog(ways) => Some((&CRASHER, ways)),
            Scene::Plan(..) => None,
        }
    }

    /// The guest's last line; of [`PCI`] one after which both partitions go on.
    fn done(&self) -> String {
        match self.name {
            "pci" => "[one] pci: interrupt ok".to_owned(),
            name => format!("[{name}] {name}: done "),
        }
    }

    /// Why a row escaped, if the console says so.
    fn escaped(&self, row: &str, log: &str) -> Option<String> {
        let mark = format!("[{0}] {0}: {row} {1}: ", self.name, self.escaped);
        whole_lines(log).find_map(|line| line.strip_prefix(mark.as_str()).map(str::to_owned))
    }

    fn held(&self, row: &str, log: &str) -> bool {
        let mark = format!("[{0}] {0}: {row} {1}", self.name, self.held);
        whole_lines(log).any(|line| line == mark)
    }

    /// The bundle with these rows, its plan changed first.
    fn bundle(&self, on: On, rows: &str, changes: &[(&str, &str)], folder: &Path) -> PathBuf {
        let path = on.plan(self.plan);
        let mut text = std::fs::read_to_string(&path).expect("the plan");
        for (from, to) in on.changes(&path).iter().chain(changes).chain(self.changes) {
            assert!(text.contains(from), "{} has no {from}", self.plan);
            text = text.replace(from, &to.replace('%', rows));
        }
        let plan = folder.join("plan.dtso");
        std::fs::write(&plan, text).expect("the test's folder takes files");
        let mut command = Command::new(crate::build::partita());
        command.args(["build", "-q", "--platform", on.target().platform(), "-o"]).arg(folder).arg(plan);
        let output = command.output().expect("partita can be run");
        assert!(output.status.success(), "partita build: {}", String::from_utf8_lossy(&output.stderr));
        folder.join("bundle.cpio")
    }
}

/// The bundle of a plan that is to be refused.
fn refused(name: &str, folder: &Path) -> PathBuf {
    let plans = crate::build::root().join("tests/plans");
    let image = std::fs::read(plans.join("images/flat.bin")).expect("the plans' image");
    let overlay = compile(&plans.join(name).with_extension("dtso"));
    let path = folder.join("bundle.cpio");
    std::fs::write(&path, bundle(&overlay, &[("flat.bin".to_owned(), image)]))
        .expect("the test's folder takes files");
    path
}

/// Lines that have come to their end.
fn whole_lines(log: &str) -> impl Iterator<Item = &str> {
    log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::trim_end)
}

/// A machine of the test build, without a guard if one is named.
fn machine(on: On, cpu: &str, bundle: &Path, guard: Option<Guard>) -> Machine {
    let words = guard.map_or_else(String::new, |guard| format!("weaken={}", guard.name()));
    qemu(on, &crate::build::weakened(), Some(bundle)).args(&["-cpu", cpu, "-append", &words]).limit(LIMIT)
}

/// Boots without the guard.
#[track_caller]
pub fn run(on: On, cpu: &str, removal: &Removal) -> Trial {
    boot(on, cpu, removal, Some(removal.guard))
}

#[track_caller]
fn boot(on: On, cpu: &str, removal: &Removal, without: Option<Guard>) -> Trial {
    let folder = TempDir::new().expect("a folder for the test");
    let bundle = match removal.scene {
        Scene::Plan(name, _) => refused(name, folder.path()),
        Scene::Probe(rows) => PROBE.bundle(on, rows, &[], folder.path()),
        Scene::Attack(rows) => ATTACKER.bundle(on, rows, &[], folder.path()),
        Scene::Warden(rows) => WARDEN.bundle(on, rows, &[], folder.path()),
        Scene::Dma(rows, changes) => DMA.bundle(on, rows, changes, folder.path()),
        Scene::Pci => PCI.bundle(on, "", &[], folder.path()),
        Scene::Watchdog(ways) => CRASHER.bundle(on, ways, &[], folder.path()),
    };
    let mut machine = machine(on, cpu, &bundle, without);
    let listener = removal.sign.counts().then(|| Listener::new(folder.path()));
    if let Some(listener) = &listener {
        machine = machine.args(&listener.args().each_ref().map(String::as_str));
    }
    match removal.scene {
        Scene::Dma(..) => machine = machine.args(&crate::EDU),
        Scene::Pci => {
            for device in [2, 6, 1, NOBODYS] {
                machine = machine.args(&["-device", &format!("{},addr={device}", crate::EDU[1])]);
            }
            machine = machine.args(&crate::ONE_THREAD).args(&["-S"]);
        }
        _ => {}
    }
    let waits = removal.scene == Scene::Pci;
    if waits || matches!(removal.sign, Sign::Seen(..)) {
        machine = machine.stub();
    }
    let mut running = machine.start();
    if waits {
        // As firmware may leave it: it decodes and masters the bus. Before the first instruction.
        let mut debugger = running.debugger();
        debugger.set_register32(configuration(NOBODYS) + 4, 7);
        debugger.leave();
    }
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
    let table = Table::of(removal.scene).map_or(&PROBE, |(table, _)| table);
    match removal.sign {
        Sign::Row(row) | Sign::RowOrStand(row) => {
            let end = table.done();
            let ended = running.watch(|log| table.escaped(row, log).is_some() || log.contains(&end));
            let stands = !ended && matches!(removal.sign, Sign::RowOrStand(_));
            let why = table.escaped(row, &running.now().log);
            let why = why.or_else(|| stands.then(|| "the machine comes to a stand".to_owned()));
            why.map(|why| format!("{}: {why}", words()))
        }
        Sign::Failed => running.watch(el2_failed).then(words),
        Sign::Console(text) => running.watch(|log| log.contains(text)).then(words),
        Sign::Nameless(line) => running.watch(|log| whole_lines(log).any(|one| one == line)).then(words),
        Sign::MachineOff => (running.wait_end() == Some(0) && running.now().log.contains(STARTS)).then(words),
        Sign::Untrapped(..) => {
            running.watch(|log| log.contains(&table.done()));
            None
        }
        Sign::Seen(_, seen) => {
            if !running.watch(|log| log.contains(&table.done())) {
                return None;
            }
            if matches!(removal.scene, Scene::Dma(..)) {
                std::thread::sleep(END);
            }
            seen(&mut running.debugger()).then(words)
        }
        Sign::Accepted => {
            let Scene::Plan(_, refusal) = removal.scene else { return None };
            let met = running.watch(|log| log.contains(STARTS) || log.contains("error: "));
            (met && !running.now().log.contains(refusal)).then(words)
        }
    }
}

/// Boots the test build with all its guards, for the rows of all these removals: none of their signs is to be seen. The
/// result is what is, and the console. The rows with a device that does DMA are `dma::`'s, with all guards in place; what is
/// seen from outside with such devices has a boot of its own.
#[track_caller]
pub fn control(on: On, cpu: &str, removals: &[&Removal]) -> (Vec<String>, String) {
    let (mut wrong, mut logs) = (Vec::new(), String::new());
    for table in [&PROBE, &ATTACKER, &WARDEN] {
        let own =
            |removal: &&&Removal| Table::of(removal.scene).is_some_and(|(its, _)| its.plan == table.plan);
        let removals: Vec<&Removal> = removals.iter().filter(own).copied().collect();
        if !removals.is_empty() {
            let (seen, log) = all_in_place(on, cpu, table, &removals);
            wrong.extend(seen);
            logs += &log;
        }
    }
    let apart = |removal: &&&Removal| match removal.scene {
        Scene::Dma(..) => matches!(removal.sign, Sign::Seen(..)),
        Scene::Pci | Scene::Watchdog(_) => true,
        _ => false,
    };
    for removal in removals.iter().filter(apart) {
        let Trial { caught, log } = boot(on, cpu, removal, None);
        let ended = Table::of(removal.scene).is_some_and(|(table, _)| log.contains(&table.done()));
        wrong.extend(caught.or_else(|| (!ended).then(|| format!("{}: no end", removal.guard.name()))));
        logs += &log;
    }
    (wrong, logs)
}

#[track_caller]
fn all_in_place(on: On, cpu: &str, table: &Table, removals: &[&Removal]) -> (Vec<String>, String) {
    let rows = removals.iter().filter_map(|removal| Some(Table::of(removal.scene)?.1));
    let mut rows: Vec<&str> =
        rows.flat_map(|rows| rows.split(',')).filter(|row| !ENDINGS.contains(row)).collect();
    rows.sort_unstable();
    rows.dedup();
    let folder = TempDir::new().expect("a folder for the test");
    let bundle = table.bundle(on, &rows.join(","), &[], folder.path());
    let listener = Listener::new(folder.path());
    let args = listener.args();
    let machine = machine(on, cpu, &bundle, None).args(&args.each_ref().map(String::as_str)).stub();
    let mut running = machine.start();
    let done = running.watch(|log| log.contains(&table.done()));
    let Outcome { log, .. } = running.now();
    let mut wrong = if done { Vec::new() } else { vec![format!("{} did not come to its end", table.name)] };
    // Only where something is looked at: other machines may be off by now.
    let looked_at = removals.iter().any(|removal| matches!(removal.sign, Sign::Seen(..)));
    let mut debugger = (done && looked_at).then(|| running.debugger());
    let mut gone = |removal: &&&Removal| match removal.sign {
        Sign::Row(row) | Sign::RowOrStand(row) => !ENDINGS.contains(&row) && !table.held(row, &log),
        Sign::Failed => el2_failed(&log),
        Sign::Console(text) => log.contains(text),
        Sign::Nameless(line) => whole_lines(&log).any(|one| one == line),
        Sign::Seen(_, seen) => debugger.as_mut().is_some_and(seen),
        Sign::Untrapped(..) | Sign::MachineOff | Sign::Accepted => false,
    };
    let seen = removals.iter().filter(&mut gone).map(|removal| removal.sign.words(removal.scene));
    wrong.extend(seen);
    drop(running);
    let exceptions = listener.end();
    let counted = removals.iter().filter(|removal| removal.sign.counts());
    let untrapped = counted.filter(|removal| removal.sign.untrapped(&exceptions));
    wrong.extend(untrapped.map(|removal| removal.sign.words(removal.scene)));
    (wrong, log)
}
