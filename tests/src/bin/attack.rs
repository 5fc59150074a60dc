//! `make attack`: every attack on every target, and every guard taken away wherever it is. Prints two tables; with
//! `--json FILE` the same goes there. The exit status is 1 if anything escaped, hurt the victim, or was not missed. With
//! `--guard NAME` only that one is taken away, and its machines' consoles are shown.

use std::process::ExitCode;

use partita_tests::attack::{Conditions, Fate, REMOVALS, Siege, Trial, lay, run};
use partita_tests::{On, Target};
use serde_json::{Value, json};

/// Target, cores, and the attacker's interrupt path.
const PLACES: [(Target, &str, &str); 8] = [
    (Target::VirtGicv3, "cortex-a72", "mediated"),
    (Target::VirtGicv3, "max", "mediated"),
    (Target::VirtGicv2, "cortex-a72", "mediated"),
    (Target::VirtGicv2, "max", "mediated"),
    (Target::Raspi4b, "cortex-a72", "mediated"),
    (Target::VirtGicv3, "cortex-a72", "direct"),
    (Target::VirtGicv2, "cortex-a72", "direct"),
    (Target::Raspi4b, "cortex-a72", "direct"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let file = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--json", file] => Some(file.to_owned()),
        ["--guard", name] => return one_guard(name),
        _ => {
            eprintln!("usage: attack [--json FILE | --guard NAME]");
            return ExitCode::from(2);
        }
    };
    let sieges = PLACES.map(|(target, cpu, path)| {
        eprintln!("attack on {} with {cpu}, {path}", target.name());
        lay(On::outside_tests(target), Conditions { cpu, path, ..Conditions::default() })
    });
    let mut failures = show_rows(&sieges);
    let (guards, not_missed) = guards();
    failures.extend(not_missed);
    for failure in &failures {
        eprintln!("{failure}");
    }
    let whole =
        json!({ "schema": 1, "sieges": sieges_json(&sieges), "guards": guards, "failures": failures });
    if let Some(file) = file
        && let Err(error) = std::fs::write(&file, format!("{whole:#}\n"))
    {
        eprintln!("{file}: {error}");
        return ExitCode::from(2);
    }
    println!(
        "{} attacks in {} places, {} removals of guards, {} failures",
        names(&sieges).len(),
        PLACES.len(),
        guards.len(),
        failures.len()
    );
    ExitCode::from(u8::from(!failures.is_empty()))
}

/// The rows of all sieges, in their order.
fn names(sieges: &[Siege]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in sieges.iter().flat_map(|siege| &siege.rows) {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    names
}

/// Prints rows by places, and returns what is wrong.
fn show_rows(sieges: &[Siege]) -> Vec<String> {
    println!(
        "Attacks: how each ended, and how many instructions EL2 executed on the victim's core in the worst of"
    );
    println!("its ticks meanwhile.\n");
    let names = names(sieges);
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0).max(24);
    let line = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>16}")).collect();
        println!("{}", format!("{name:width$}{cells}").trim_end());
    };
    let figures = |name: &str, figure: fn(&Siege) -> u64| {
        line(name, sieges.iter().map(|siege| figure(siege).to_string()).collect());
    };
    line("", PLACES.iter().map(|(target, ..)| target.name().to_owned()).collect());
    line("", PLACES.iter().map(|(_, cpu, _)| (*cpu).to_owned()).collect());
    line("", PLACES.iter().map(|(.., path)| (*path).to_owned()).collect());
    figures("calm: the middle tick", |siege| siege.calm.middle);
    figures("calm: the worst tick", |siege| siege.calm.worst);
    let cell = |siege: &Siege, name: &str| {
        let row = siege.rows.iter().find(|row| row.name == name);
        row.map_or_else(String::new, |row| match row.fate {
            Fate::Held => format!("held {}", row.suffered.worst),
            Fate::Escaped(_) => format!("ESCAPED {}", row.suffered.worst),
            Fate::Skipped(_) => "-".to_owned(),
        })
    };
    for name in names {
        line(name, sieges.iter().map(|siege| cell(siege, name)).collect());
    }
    println!();
    figures("lateness: calm", |siege| siege.lateness.0);
    figures("lateness: attacked", |siege| siege.lateness.1);
    println!(
        "(the worst by the victim's own counter, in its ticks: what this computer had to do is in it)\n"
    );
    figures("exceptions to EL2", |siege| siege.exceptions.between(1, 2) + siege.exceptions.between(0, 2));
    figures("from EL2 to EL2", |siege| siege.exceptions.between(2, 2));
    println!();
    let mut failures = Vec::new();
    for (siege, (target, cpu, path)) in sieges.iter().zip(PLACES) {
        let found = siege.failures();
        if !found.is_empty() {
            failures.extend(found.iter().map(|what| format!("{} with {cpu}, {path}: {what}", target.name())));
            eprintln!("--- console of {} with {cpu}, {path}\n{}", target.name(), siege.log);
        }
    }
    failures
}

fn sieges_json(sieges: &[Siege]) -> Vec<Value> {
    let one = |(siege, (target, cpu, path)): (&Siege, (Target, &str, &str))| {
        let rows = siege.rows.iter().map(|row| {
            let (fate, why) = match &row.fate {
                Fate::Held => ("held", None),
                Fate::Escaped(why) => ("escaped", Some(why)),
                Fate::Skipped(why) => ("skipped", Some(why)),
            };
            json!({ "row": row.name, "fate": fate, "why": why, "worst-tick": row.suffered.worst })
        });
        let kinds = siege.exceptions.kinds.iter();
        let kinds = kinds.map(|((kind, core), count)| json!({ "kind": kind, "core": core, "count": count }));
        json!({
            "target": target.name(),
            "cpu": cpu, "interrupt-path": path,
            "calm": { "middle-tick": siege.calm.middle, "worst-tick": siege.calm.worst },
            "lateness": { "calm": siege.lateness.0, "attacked": siege.lateness.1 },
            "rows": rows.collect::<Vec<_>>(),
            "exceptions": kinds.collect::<Vec<_>>(),
            "from-el2-to-el2": siege.exceptions.between(2, 2),
        })
    };
    sieges.iter().zip(PLACES).map(one).collect()
}

/// Takes one guard away wherever it is.
fn one_guard(name: &str) -> ExitCode {
    let mut missed = true;
    for removal in REMOVALS.iter().filter(|removal| removal.guard.name() == name) {
        for &(target, cpu) in removal.places {
            let Trial { caught, log } = run(On::outside_tests(target), cpu, removal);
            missed &= caught.is_some();
            println!("{log}\n{name}  {}  {cpu}  {}\n", target.name(), caught.as_deref().unwrap_or("NOTHING"));
        }
    }
    ExitCode::from(u8::from(!missed))
}

/// Takes each guard away wherever it is, prints what missed it, and returns that with what nothing missed.
fn guards() -> (Vec<Value>, Vec<String>) {
    println!("Guards taken away, one at a time, and what missed each.\n");
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for removal in REMOVALS {
        let name = removal.guard.name();
        for &(target, cpu) in removal.places {
            let Trial { caught, log } = run(On::outside_tests(target), cpu, removal);
            let what = caught.as_deref().unwrap_or("NOTHING");
            println!("{name:24}  {:10}  {cpu:10}  {what}", target.name());
            all.push(json!({ "guard": name, "target": target.name(), "cpu": cpu, "missed-by": caught }));
            if caught.is_none() {
                failures.push(format!("{name}: nothing missed it on {} with {cpu}", target.name()));
                eprintln!("--- console without {name} on {} with {cpu}\n{log}", target.name());
            }
        }
    }
    println!();
    (all, failures)
}
