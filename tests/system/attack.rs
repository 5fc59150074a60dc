//! The attacker beside its victim: no row escapes, and the victim notices nothing.

use partita_tests::{A72_ONLY, Machine, On, Outcome, Target, system_tests};

const PLAN: &str = "tests/system/attack.dtso";
/// Ctrl-], and the number of a partition: its console gets what is typed from now on.
const FOCUS_VICTIM: &str = "\u{1d}2";

/// Runs every row but those that need a boot of their own, on a terminal: the victim lives until it is told to end.
fn attack(on: On, cpu: &str, bootargs: &str) -> Outcome {
    let changes = [("wait=3", bootargs)];
    let machine = Machine::run_changed(on, PLAN, &changes).args(&["--cpu", cpu]).limit(400);
    let mut machine = machine.start_on_terminal();
    machine.wait_for("attacker: done ");
    machine.type_text(FOCUS_VICTIM);
    machine.type_text("q");
    machine.end()
}

#[track_caller]
fn held(on: On, outcome: &Outcome) {
    let lines = outcome.lines("attacker");
    let escaped: Vec<_> = lines.iter().filter(|line| line.contains(" ESCAPED: ")).collect();
    outcome.check(escaped.is_empty(), &format!("{} rows escaped:\n{escaped:#?}", escaped.len()));
    let done = lines.iter().find_map(|line| line.strip_prefix("attacker: done "));
    let Some(done) = done else { outcome.fail("the attacker did not come to its end") };
    let numbers: Vec<usize> = done.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [held, 0, skipped] = numbers[..] else { outcome.fail("the attacker's count") };
    let rows = lines.iter().filter(|line| line.ends_with(" held")).count();
    outcome.check(rows == held && skipped < held, "most rows are about what every machine has");
    let other = if on.target() == Target::VirtGicv3 { "about GICv2" } else { "about GICv3" };
    for line in lines.iter().filter_map(|line| line.strip_prefix("attacker: ")) {
        let Some((row, why)) = line.split_once(" skipped: ") else { continue };
        outcome.check(why == other, &format!("{row} was left out: {why}"));
    }
    outcome
        .check(outcome.summary("attacker").starts_with("state=off cause=system-off "), "it ended by itself");
}

#[track_caller]
fn victim_is_whole(outcome: &Outcome) {
    let lines = outcome.lines("victim");
    let reports = || lines.iter().filter(|line| line.starts_with("victim: report "));
    outcome.check(reports().count() >= 2, "it reported meanwhile");
    let bad = |line: &&&str| !line.contains(" lost 0 strays 0 canaries ok ");
    outcome.check(reports().find(bad).is_none(), "no report tells of anything");
    outcome.check(lines.contains(&"victim: end whole"), "its last words");
    outcome.check(outcome.summary("victim").starts_with("state=off cause=system-off "), "it ended by itself");
}

system_tests! {
    fn rows_on_cortex_a72(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = attack(on, "cortex-a72", "wait=3");
        held(on, &outcome);
        victim_is_whole(&outcome);
    }

    /// A row in a boot of its own: the core that loops is got out when the other one powers the partition off.
    fn loop_without_end(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = attack(on, "cortex-a72", "test=vector-unmappable");
        let held = outcome.lines("attacker").contains(&"attacker: loops/vector-unmappable held");
        outcome.check(held, "the other core ran on");
        outcome.check(outcome.summary("attacker").starts_with("state=off cause=system-off "), "it was stopped");
        victim_is_whole(&outcome);
    }

    fn rows_on_max(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: A72_ONLY] {
        let outcome = attack(on, "max", "wait=3");
        held(on, &outcome);
        victim_is_whole(&outcome);
    }
}
