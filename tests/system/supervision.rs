//! One partition supervises others: by its device and by hypercalls, and no others than those.

use partita_tests::lives::weakened_with;
use partita_tests::{Machine, On, Outcome, Target, system_tests};

const PLAN: &str = "tests/system/supervision.dtso";

fn cpu(on: On) -> &'static [&'static str] {
    if on.target() == Target::Raspi4b { &[] } else { &["--cpu", "cortex-a72"] }
}

fn supervised(on: On, changes: &[(&str, &str)]) -> Outcome {
    let outcome = Machine::run_changed(on, PLAN, changes).args(cpu(on)).limit(240).to_end();
    let lines = outcome.lines("warden");
    outcome.check(lines.contains(&"warden: done 12 ok, 0 failed"), "every row of the warden's");
    // Told by hypercall at the end: the machine ends when nobody is left who could start them.
    let told = outcome.summary("idle");
    outcome.check(told.starts_with("state=off cause=told ") && told.contains(" by=warden"), told);
    let crasher = outcome.summary("crasher");
    outcome.check(crasher.starts_with("state=off cause=told ") && crasher.contains(" restarts=1 "), crasher);
    outcome.check(outcome.summary("warden").contains(" refused="), "what the warden was refused is told");
    outcome.check(outcome.summary("idle").contains(" refused="), "what the idle one was refused is told");
    outcome.check(outcome.status == Some(0), "exit status 0");
    outcome
}

system_tests! {
    fn stopped_started_watched(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = supervised(on, &[]);
        let told = "idle: ended: told to by warden; starts again, restart 3";
        outcome.check(outcome.lines("partita").contains(&told), told);
    }

    fn stopped_directly(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let direct = "start = \"manual\"; interrupt-path = \"direct\"; stop = \"best-effort\";";
        supervised(on, &[("start = \"manual\";", direct), ("role=warden", "role=warden direct=yes")]);
    }

    /// Signs of life that a guest gives without knowing of it.
    fn watched_by_its_watchdog(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        supervised(on, &[("start = \"manual\";", "start = \"manual\"; watchdog;")]);
    }

    fn each_other(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = Machine::run(on, "tests/system/supervision-mutual.dtso").args(cpu(on)).limit(120).to_end();
        outcome.check(outcome.lines("first").contains(&"first: true true true"), "the first's part");
        outcome.check(outcome.lines("second").contains(&"second: true true"), "the second's part");
        let first = outcome.summary("first");
        outcome.check(first.starts_with("state=off cause=told ") && first.ends_with(" by=second"), first);
        let second = outcome.summary("second");
        outcome.check(second.starts_with("state=off cause=system-off ") && second.contains(" restarts=1"), second);
        outcome.check(outcome.status == Some(0), "exit status 0");
    }

    /// What the hypervisor failed in is not started again, whoever asks.
    fn not_after_a_fault_of_the_hypervisors(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let folder = tempfile::TempDir::new().expect("a folder for the test");
        let changes = [
            ("role=stopper turns=1", "role=mourner"),
            ("\"stays\"", "\"lives=9 ways=fault\""),
            ("cpus = <1>", "cpus = <1 2>"),
        ];
        let outcome = weakened_with(on, folder.path(), "tests/system/stop.dtso", &changes).limit(120).to_end();
        let told = "mourner: true start -4 -4 restart -4 -4 stop 1 true";
        outcome.check(outcome.lines("stopper").contains(&told), told);
        let summary = outcome.summary("crasher");
        outcome.check(summary.starts_with("state=failed cause=hypervisor-fault ") && summary.contains(" restarts=0"), summary);
    }

    /// Of two who manage the same one neither is refused, and who spoke last is who told it.
    fn one_by_two(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome =
            Machine::run(on, "tests/system/supervision-shared.dtso").args(cpu(on)).limit(120).to_end();
        for name in ["one", "other"] {
            let lines = outcome.lines(name);
            let good = |line: &&str| line.starts_with("rival: asked true refused 0 ");
            outcome.check(lines.iter().any(good), &format!("{name} was never refused"));
        }
        let last = "rival: asked true refused 0 came true stopped true";
        outcome.check(outcome.lines("other").contains(&last), last);
        let shared = outcome.summary("shared");
        outcome.check(shared.starts_with("state=off cause=told ") && shared.contains(" by=other"), shared);
        outcome.check(outcome.status == Some(0), "exit status 0");
    }
}
