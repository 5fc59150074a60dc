//! A partition's watchdog: it is let alone while it is refreshed, and ends the partition when it is not, whatever the guest is at.

use partita_tests::{Machine, On, Outcome, Target, system_tests};

const PLAN: &str = "tests/system/watchdog.dtso";

/// The crasher with a watchdog lives so, once each, and then powers itself off.
fn lives(on: On, ways: &[&str]) -> Outcome {
    let words = format!("ways={},off", ways.join(","));
    let cpu: &[&str] = if on.target() == Target::Raspi4b { &[] } else { &["--cpu", "cortex-a72"] };
    let changes = [("ways=off", words.as_str())];
    let mut machine = Machine::run_changed(on, PLAN, &changes).args(cpu).limit(200).start_on_terminal();
    let last = format!("crasher: life {} way off", ways.len());
    machine.wait_until("its last life", |log| {
        log.contains(&last) || log.contains(" ESCAPED: ") || log.contains(" RESIDUE ")
    });
    machine.end_victim();
    let outcome = machine.end();
    outcome.check(!outcome.log.contains(" ESCAPED: "), "the crasher finds nothing wrong");
    outcome.check(!outcome.log.contains(" RESIDUE "), "nothing is left of the life before");
    outcome
        .check(outcome.summary("crasher").starts_with("state=off cause=system-off "), "it ended by itself");
    let came_back = format!(" restarts={}", ways.len());
    outcome
        .check(outcome.summary("crasher").ends_with(&came_back), "each other life was followed by a new one");
    outcome.check(outcome.lines("victim").contains(&"victim: end whole"), "the victim's last words");
    outcome
}

/// The partition failed by its watchdog, in this life and these others.
fn failed(outcome: &Outcome, lives: impl IntoIterator<Item = usize>) {
    let mut restarts = Vec::new();
    for life in lives {
        restarts.push(format!("crasher: failed: watchdog; starts again, restart {}", life + 1));
        let record = format!("crash: crasher life={life} cause=watchdog");
        outcome.check(outcome.lines("partita").contains(&record.as_str()), &record);
    }
    let told = outcome.lines("partita");
    let told: Vec<_> = told.into_iter().filter(|line| line.starts_with("crasher: failed: ")).collect();
    outcome.check(told == restarts, "it failed in these lives and by its watchdog");
}

/// Linux's own driver, and a program that pings and then hangs: twice, as its restart-limit allows.
fn linux_starves(on: On) {
    let cpu: &[&str] = if on.target() == Target::Raspi4b { &[] } else { &["--cpu", "cortex-a72"] };
    let outcome = Machine::run(on, "tests/system/watchdog-linux.dtso").args(cpu).limit(500).to_end();
    let lines = outcome.lines("linux");
    let twice = |wanted: &str| lines.iter().filter(|line| **line == wanted).count() == 2;
    outcome.check(twice("watchdog=SBSA Generic Watchdog"), "its driver has found it, in both lives");
    outcome.check(twice("pinged for 10 s, and has 4 s"), "it lives while it is pinged");
    outcome.check(!lines.contains(&"starved for a minute"), "it does not live on after that");
    let told = [
        "linux: failed: watchdog; starts again, restart 1",
        "linux: failed: watchdog; stays off: restarted too often (restart-limit)",
    ];
    outcome
        .check(told.iter().all(|line| outcome.lines("partita").contains(line)), "it failed by its watchdog");
    outcome.check(outcome.summary("linux").starts_with("state=failed cause=watchdog "), "and stayed off");
    outcome.check(outcome.status == Some(3), "exit status 3");
}

system_tests! {
    fn of_linux(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        linux_starves(on);
    }

    /// What is refreshed lives, and its next life has nothing of it.
    fn refreshed(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = lives(on, &["refreshed", "calm"]);
        outcome.check(outcome.lines("crasher").contains(&"crasher: refreshed in both ways"), "it was refreshed");
        failed(&outcome, []);
    }

    /// Two stages, then a new life; also from a masked loop, from a sleep that nothing of the guest's could end, and from vectors
    /// that nothing maps.
    fn starved(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let ways = ["starved", "starved-in-a-loop", "starved-asleep", "starved-by-vectors"];
        let outcome = lives(on, &ways);
        let came = "crasher: the first stage came";
        outcome.check(outcome.lines("crasher").contains(&came), came);
        failed(&outcome, 0..ways.len());
    }

    /// Whichever core refreshed it last, and whether that one is on or off.
    fn on_two_cores(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = lives(on, &["starved-while-off", "starved-by-the-other"]);
        failed(&outcome, 0..2);
        // The one that was off is on record as that.
        outcome.check(outcome.lines("partita").contains(&"crash: crasher cpu=0 off"), "its first core was off");
    }
}
