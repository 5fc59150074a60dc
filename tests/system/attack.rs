//! The attacker beside its victim: no row escapes, and the victim notices nothing.

use partita_tests::attack::{Siege, lay};
use partita_tests::{A72_ONLY, Machine, On, Outcome, system_tests};

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

/// By all that the attacker, the victim, EL2 and those outside say.
#[track_caller]
fn nothing_escapes(siege: &Siege) {
    let failures = siege.failures();
    assert!(failures.is_empty(), "{failures:#?}\n--- console\n{}", siege.log);
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
        nothing_escapes(&lay(on, "cortex-a72", None, true));
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
        nothing_escapes(&lay(on, "max", None, false));
    }
}
