//! The attacker beside its victim, and all that is looked at from outside meanwhile: the victim's memory and what EL2
//! never writes, before and after; every exception; every line of the console; what EL2 does on the victim's core.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::console;
use super::exceptions::{Exceptions, Listener};
use super::qmp::Monitor;
use super::starved::Starved;
use super::suffered::{Suffered, suffered};
use crate::{Machine, On, Outcome, Target, build, lines_of};

/// The plan of the siege.
const PLAN: &str = "tests/system/attack.dtso";
/// Seconds before the attack begins, in which it is seen what the victim itself changes.
const CALM: &str = "wait=6";
/// Seconds that a siege may take.
const LIMIT: u64 = 900;
const PAGE: usize = 4096;
/// How often memory is looked at afterwards, at most: the victim may be in the midst of something that it rarely does, and
/// on a busy computer it is in the midst of it for long.
const LOOKS: usize = 20;
/// Between them, and between what the victim prints and a look: not in tune with what it does once a second. While it prints, the
/// lock of its console is taken, and what is so in both looks of the calm would have to be so afterwards.
const APART: Duration = Duration::from_millis(170);
/// The victim's core, as QEMU counts, and the attacker's first one.
pub(super) const VICTIM: usize = 0;
pub(super) const ATTACKER: usize = 1;

/// What spans of memory hold.
type Memory = Vec<Vec<u8>>;

/// How a row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The attack led to nothing.
    Held,
    /// It did not; why.
    Escaped(String),
    /// The machine lacks what it is about; why.
    Skipped(String),
}

/// A row of the attack table.
#[derive(Clone, Debug)]
pub struct Row {
    /// SURFACE/ROW.
    pub name: String,
    /// How it ended.
    pub fate: Fate,
    /// What the victim suffered meanwhile.
    pub suffered: Suffered,
}

/// How a siege went.
#[derive(Clone, Debug)]
pub struct Siege {
    /// The rows in their order.
    pub rows: Vec<Row>,
    /// The victim's calm.
    pub calm: Suffered,
    /// The victim's worst lateness by its own counter, in ticks of that: calm and attacked. It depends on the computer.
    pub lateness: (u64, u64),
    /// All exceptions.
    pub exceptions: Exceptions,
    /// What is not as it must be: empty.
    pub wrong: Vec<String>,
    /// The console.
    pub log: String,
    /// Why rows are left out that are about what the target, or the attacker, has not.
    absent: Vec<&'static str>,
}

/// Why a row may be left out on a core, and which: those of cortex-a72 have neither atomics, nor keys, nor SVE.
const LACKS: &str = "this core has none of these";
const LACKING: [&str; 3] = ["memory/form-atomic", "state/keys", "state/sve"];
/// How much more than in the calm EL2 may do on the victim's core in a tick. While others flood the console, what the victim
/// has to say goes out in more pieces: it waits for its turn, is called by a kick, and writes what has gathered. At most as
/// often as it has lines, and FIFOs of 16 bytes, to write; some 31,000 have been seen.
pub(crate) const MARGIN: u64 = 70_000;

impl Siege {
    /// All that is not as it must be.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut all = self.wrong.clone();
        for Row { name, fate, suffered } in &self.rows {
            match fate {
                Fate::Held => {}
                Fate::Escaped(why) => all.push(format!("{name} escaped: {why}")),
                Fate::Skipped(why) if self.absent.contains(&why.as_str()) => {}
                Fate::Skipped(why) if why == LACKS && LACKING.contains(&name.as_str()) => {}
                Fate::Skipped(why) => all.push(format!("{name} was left out: {why}")),
            }
            if suffered.worst > self.calm.worst + MARGIN {
                let (worst, calm) = (suffered.worst, self.calm.worst);
                all.push(format!(
                    "{name}: EL2 executes {worst} instructions in a tick of the victim's, {calm} in the calm"
                ));
            }
        }
        if self.held() == 0 {
            all.push("no row held".to_owned());
        }
        all
    }

    /// How many rows held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.rows.iter().filter(|row| row.fate == Fate::Held).count()
    }
}

/// Where to look, as `partita plan --json` tells: the victim's memory, and where EL2's image is.
struct Places {
    victim: Vec<(u64, u64)>,
    hypervisor: u64,
}

/// Where something that is reserved lies with a plan, by what the plan calls it.
pub(crate) fn reserved(on: On, plan: &Path, what: &str) -> u64 {
    let json = planned(on, plan);
    let all = json["board"]["reserved"].as_array().expect("a list");
    let one = all.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("{what} has no place"));
    number(&one["range"]["base"])
}

/// A number of the plan's JSON.
fn number(value: &Value) -> u64 {
    let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    value.as_u64().or_else(|| hex(value.as_str()?)).expect("a number")
}

/// The plan as a file in a folder, with the target's own device, the attacker's interrupt path, watchdog and bootargs.
fn plan(on: On, path: &str, bootargs: &str, folder: &Path) -> PathBuf {
    let kernel = "kernel = \"attacker\";";
    // A direct partition can have none.
    let watchdog = if path == "direct" { "" } else { "watchdog;" };
    let interrupts = format!("{kernel} interrupt-path = \"{path}\"; stop = \"best-effort\"; {watchdog}");
    let path = on.plan(PLAN);
    let mut text = std::fs::read_to_string(&path).expect("the plan");
    for (from, to) in on.changes(&path).iter().chain([&("wait=3", bootargs), &(kernel, &interrupts)]) {
        assert!(text.contains(from), "{PLAN} has no {from}");
        text = text.replace(from, to);
    }
    let plan = folder.join("attack.dtso");
    std::fs::write(&plan, text).expect("the test's folder takes files");
    plan
}

fn planned(on: On, plan: &Path) -> Value {
    let mut command = Command::new(build::partita());
    let output =
        command.args(["plan", "--json"]).args(on.args()).arg(plan).output().expect("partita can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

fn places(on: On, plan: &Path) -> Places {
    let json = planned(on, plan);
    let all = |value: &Value| value.as_array().expect("a list").clone();
    let victim =
        all(&json["partitions"]).into_iter().find(|one| one["name"] == "victim").expect("the victim");
    let image = all(&json["board"]["reserved"]).into_iter().find(|one| one["what"] == "the hypervisor");
    Places {
        victim: all(&victim["memory"]).iter().map(|m| (number(&m["host"]), number(&m["size"]))).collect(),
        hypervisor: number(&image.expect("the hypervisor")["range"]["base"]),
    }
}

/// How a siege is laid.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The cores, as QEMU calls them.
    pub cpu: &'a str,
    /// The attacker's `interrupt-path`.
    pub path: &'a str,
    /// Which rows, as the attacker's bootargs: all but those that need a boot of their own, if there are none.
    pub bootargs: Option<&'a str>,
    /// Also by the counter plugin, which takes its time.
    pub counted: bool,
    /// Half of the time the attacker's cores run only while the victim's has nothing to do: whatever they are in the midst of at
    /// EL2, they do not leave it before.
    pub starved: bool,
}

impl Default for Conditions<'_> {
    fn default() -> Self {
        Self { cpu: "cortex-a72", path: "mediated", bootargs: None, counted: true, starved: false }
    }
}

/// Lays the siege.
#[track_caller]
pub fn lay(on: On, conditions: Conditions<'_>) -> Siege {
    let Conditions { cpu, path, bootargs, counted, starved } = conditions;
    let folder = TempDir::new().expect("a folder for the test");
    let words = bootargs.map_or_else(|| CALM.to_owned(), |words| format!("{CALM} {words}"));
    let plan = plan(on, path, &words, folder.path());
    let places = places(on, &plan);
    let listener = Listener::new(folder.path());
    let counts = folder.path().join("counts");
    let mut args = vec!["--cpu".to_owned(), cpu.to_owned(), "--".to_owned()];
    args.extend(listener.args());
    args.extend(Monitor::args(folder.path()));
    if counted {
        let plugin = format!("{},log={}", build::counter().display(), counts.display());
        args.extend(["-plugin".to_owned(), plugin]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut machine = Machine::run_file(on, &plan).args(&args).limit(LIMIT).start_on_terminal();

    // EL2's image ends with what it writes: code and constants come first.
    let mut spans = places.victim.clone();
    spans.push((places.hypervisor, build::constant_part()));
    machine.wait_for("[victim] victim: report 1 ");
    let mut monitor = Monitor::connect(folder.path());
    let starved = starved.then(|| Starved::new(&monitor.threads(), VICTIM));
    std::thread::sleep(APART);
    let first = monitor.memory(&spans);
    machine.wait_for("[victim] victim: report 2 ");
    std::thread::sleep(2 * APART);
    let second = monitor.memory(&spans);
    let early = first_row(&machine.now().log).is_some();
    machine.wait_for_line("attacker: done ");
    let reports = machine.now().log.matches("[victim] victim: report ").count();
    machine.wait_until("the victim reports", |log| log.matches("[victim] victim: report ").count() > reports);
    let mut last = Vec::new();
    let changed = loop {
        std::thread::sleep(APART);
        last.push(monitor.memory(&spans));
        let changed = changed(&spans, [&first, &second], &last);
        if changed.is_empty() || last.len() == LOOKS {
            break changed;
        }
    };
    drop(starved);
    machine.end_victim();
    let outcome = machine.end();

    let exceptions = listener.end();
    let mut wrong = Vec::new();
    if early {
        wrong.push("the attack began before the victim's calm was seen".to_owned());
    }
    wrong.extend(changed);
    wrong.extend(console::wrong(&outcome.log, &["attacker", "victim", "pawn"]));
    if exceptions.between(2, 2) > 0 {
        wrong.push(format!("{} exceptions taken from EL2 to EL2", exceptions.between(2, 2)));
    }
    wrong.extend(ends(&outcome));
    let counts = if counted { std::fs::read_to_string(&counts).expect("the counts") } else { String::new() };
    let (calm, mut suffered) = suffered(&counts);
    let mut rows = rows(&outcome.log);
    // One row executes every hint, the mark among them.
    if let Some(at) = rows.iter().position(|row| row.name == "sysregs/hints")
        && suffered.len() == rows.len() + 1
    {
        let second = suffered.remove(at + 1);
        suffered[at].worst = suffered[at].worst.max(second.worst);
    }
    if counted && suffered.len() != rows.len() {
        wrong.push(format!("{} rows, but {} marks of them", rows.len(), suffered.len()));
    }
    let mut absent = vec![if on.target() == Target::VirtGicv3 { "about GICv2" } else { "about GICv3" }];
    if path == "direct" {
        // It can have none (docs/overlay.md).
        absent.push("no watchdog");
    }
    rows.iter_mut().zip(suffered).for_each(|(row, suffered)| row.suffered = suffered);
    Siege { rows, calm, lateness: lateness(&outcome.log), exceptions, wrong, log: outcome.log, absent }
}

/// Pages that did not change in the calm, and are other ones each time that they are looked at afterwards.
fn changed(spans: &[(u64, u64)], [first, second]: [&Memory; 2], last: &[Memory]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, (base, _)) in spans.iter().enumerate() {
        let pages = |all: &Memory| -> Vec<Vec<u8>> { all[index].chunks(PAGE).map(<[u8]>::to_vec).collect() };
        let (first, second) = (pages(first), pages(second));
        let last: Vec<_> = last.iter().map(pages).collect();
        let (mut constant, mut broken) = (0, Vec::new());
        for (page, (before, calm)) in first.iter().zip(&second).enumerate() {
            if before == calm {
                constant += 1;
                if last.iter().all(|last| last[page] != *before) {
                    broken.push(base + (page * PAGE) as u64);
                }
            }
        }
        if !broken.is_empty() {
            wrong.push(format!("memory at {broken:x?} is not as it was"));
        }
        // Were nearly all of it to change by itself, this would say nothing.
        if constant * 10 < first.len() * 8 {
            wrong.push(format!("only {constant} of {} pages at {base:#x} keep their contents", first.len()));
        }
    }
    wrong
}

/// What the partitions and EL2 say at the end.
fn ends(outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |holds: bool, words: &str| {
        if !holds {
            wrong.push(words.to_owned());
        }
    };
    let lines = outcome.lines("victim");
    let reports = || lines.iter().filter(|line| line.starts_with("victim: report "));
    check(reports().count() >= 4, "the victim reported throughout");
    let good = |line: &&str| line.contains(" lost 0 strays 0 again 0 canaries ok ");
    check(reports().all(good), "no report of the victim tells of anything");
    check(lines.contains(&"victim: end whole"), "the victim's last words");
    for name in ["attacker", "victim"] {
        let whole = format!("summary: {name} state=off cause=system-off ");
        let ended = outcome.lines("partita").iter().any(|line| line.starts_with(&whole));
        check(ended, &format!("{name} ended by itself"));
    }
    let failed = ["the hypervisor itself failed", ": failed: hypervisor-fault"];
    check(!failed.iter().any(|words| outcome.log.contains(words)), "EL2 did not fail");
    check(outcome.status == Some(0), "exit status 0");
    wrong
}

/// The rows that the attacker tells of.
fn rows(log: &str) -> Vec<Row> {
    let row = |line: &str| {
        let (name, end) = line.strip_prefix("attacker: ")?.split_once(' ')?;
        let fate = match end.split_once(": ") {
            None if end == "held" => Fate::Held,
            Some(("ESCAPED", why)) => Fate::Escaped(why.to_owned()),
            Some(("skipped", why)) => Fate::Skipped(why.to_owned()),
            _ => return None,
        };
        name.contains('/').then(|| Row { name: name.to_owned(), fate, suffered: Suffered::default() })
    };
    lines_of(log, "attacker").into_iter().filter_map(row).collect()
}

/// Where the first row's line begins.
fn first_row(log: &str) -> Option<usize> {
    let mut lines = log.match_indices("[attacker] attacker: ");
    let name = |at: usize, mark: &str| {
        log[at + mark.len()..].split(' ').next().is_some_and(|word| word.contains('/'))
    };
    lines.find(|(at, mark)| name(*at, mark)).map(|(at, _)| at)
}

/// The worst lateness that the victim reports, before the attack and from its first row on.
fn lateness(log: &str) -> (u64, u64) {
    let begin = first_row(log).unwrap_or(log.len());
    let worst = |part: &str| {
        let figure = |line: &str| line.rsplit_once(" lateness worst ")?.1.trim().parse().ok();
        lines_of(part, "victim").into_iter().filter_map(figure).max().unwrap_or(0)
    };
    (worst(&log[..begin]), worst(&log[begin..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let log = "[attacker] attacker: memory/edge-read held\r\n[attacker] attacker: a/b skipped: about GICv2\r\n\
            [attacker] attacker: a/c ESCAPED: why: so\r\n[attacker] attacker: done 1 held, 1 escaped, 1 skipped\r\n";
        let fates: Vec<_> = rows(log).into_iter().map(|row| (row.name, row.fate)).collect();
        assert_eq!(fates[0], ("memory/edge-read".to_owned(), Fate::Held));
        assert_eq!(fates[1], ("a/b".to_owned(), Fate::Skipped("about GICv2".to_owned())));
        assert_eq!(fates[2], ("a/c".to_owned(), Fate::Escaped("why: so".to_owned())));
        assert_eq!(fates.len(), 3);
    }

    #[test]
    fn what_changed_is_told() {
        let page = |byte| vec![byte; PAGE];
        let calm = vec![[page(1), page(2), page(3), page(4), page(5), page(6)].concat()];
        let mut after = calm.clone();
        let told = |second: &Memory, last: &[Memory]| changed(&[(0x1000, 0x6000)], [&calm, second], last);
        assert!(told(&calm, &[after.clone()]).is_empty());
        after[0][PAGE] ^= 1;
        let after = [after];
        assert_eq!(told(&calm, &after), ["memory at [2000] is not as it was"]);
        assert!(told(&after[0], &after).is_empty());
        assert!(told(&calm, &[after[0].clone(), calm.clone()]).is_empty());
    }
}
