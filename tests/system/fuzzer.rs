//! The fuzzer guest beside the victim: nothing that it does at random is more than its own affair.

use partita_tests::{Machine, On, Outcome, system_tests};

/// Traps of both cores together.
const TRAPS: u64 = 100_000;

/// The numbers in a text, in order.
fn numbers(text: &str) -> Vec<u64> {
    let words = text.split([' ', ',', '=']);
    words.filter_map(|word| word.parse().ok()).collect()
}

#[track_caller]
fn victim_is_whole(outcome: &Outcome) {
    let lines = outcome.lines("victim");
    let reports = || lines.iter().filter(|line| line.starts_with("victim: report "));
    outcome.check(reports().count() >= 2, "it reported meanwhile");
    let bad = |line: &&&str| !line.contains(" lost 0 strays 0 again 0 canaries ok ");
    outcome.check(reports().find(bad).is_none(), "no report tells of anything");
    outcome.check(lines.contains(&"victim: end whole"), "its last words");
    outcome.check(outcome.summary("victim").starts_with("state=off cause=system-off "), "it ended by itself");
}

fn random(on: On) {
    let seed = format!("seed={}", 1 + on.target() as u64);
    let machine = Machine::run_changed(on, "tests/system/fuzzer.dtso", &[("seed=1", &seed)]).limit(400);
    let mut machine = machine.start_on_terminal();
    machine.wait_for_line("fuzzer: done ");
    machine.end_victim();
    let outcome = machine.end();
    let lines = outcome.lines("fuzzer");
    let done = lines.iter().find_map(|line| line.strip_prefix("fuzzer: done "));
    let Some(done) = done else { outcome.fail("the fuzzer did not come to its end") };
    let [traps, faults, _, _] = numbers(done)[..] else { outcome.fail("the fuzzer's figures") };
    outcome.check(traps >= TRAPS && faults > 0, "it took its traps, and survived exceptions");
    let summary = outcome.summary("fuzzer");
    outcome.check(summary.starts_with("state=off cause=system-off "), "it ended by itself");
    // What the fuzzer believes to be a trap is one: EL2 counted at least as many, of every kind, interrupts aside.
    let exits: Vec<_> = summary.split(' ').filter_map(|word| word.split_once('=')).skip(2).collect();
    let counted = |(kind, count): &(&str, &str)| if *kind == "irq" { 0 } else { count.parse().unwrap_or(0) };
    let seen: u64 = exits.iter().map(counted).sum();
    outcome.check(seen >= traps, &format!("EL2 counted {seen} exits"));
    for kind in ["sgi", "mmio", "sysreg", "psci", "hvc", "other"] {
        let some = exits.iter().any(|(name, count)| *name == kind && *count != "0");
        outcome.check(some, &format!("exits of the kind {kind}"));
    }
    victim_is_whole(&outcome);
}

system_tests! {
    fn a_hundred_thousand_traps(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        random(on);
    }
}
