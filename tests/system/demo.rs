//! The plans that a user meets first.

use partita_tests::{A72_ONLY, Machine, OTHER_CORE, On, Outcome, system_tests};

/// How many of a partition's lines begin with `start`, between the first and the last line of `other`.
fn beside(log: &str, who: &str, start: &str, other: &str) -> usize {
    let lines: Vec<&str> = log.lines().collect();
    let mark = format!("[{other}] ");
    let first = lines.iter().position(|line| line.starts_with(&mark)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| line.starts_with(&mark)).unwrap_or(first);
    let wanted = format!("[{who}] {start}");
    lines[first.min(last)..last].iter().filter(|line| line.starts_with(&wanted)).count()
}

/// The number in a partition's line `NAME=NUMBER ...`.
#[track_caller]
fn number(outcome: &Outcome, who: &str, name: &str) -> u64 {
    let lines = outcome.lines(who);
    let value = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let digits = value.and_then(|value| value.split([' ', '.']).next()?.parse().ok());
    digits.unwrap_or_else(|| outcome.fail(&format!("[{who}] has no {name}=")))
}

#[track_caller]
fn linux_came_up(outcome: &Outcome, who: &str) {
    assert_eq!(number(outcome, who, "cpus"), 2, "cores of {who}");
    assert_eq!(number(outcome, who, "ram"), 256, "RAM of {who} by its tree");
    let free = number(outcome, who, "mem");
    outcome.check((200..=256).contains(&free), "Linux has about 256 MiB");
    let uptimes = outcome.lines(who).iter().filter(|line| line.starts_with("uptime=")).count();
    outcome.check(uptimes >= 2, "Linux says its uptime at start and at power-off");
    let summary = outcome.summary(who);
    outcome.check(summary.starts_with("state=off cause=system-off "), "Linux powered itself off");
}

#[track_caller]
fn exits(outcome: &Outcome, who: &str, kind: &str) -> u64 {
    let mark = format!("{kind}=");
    let summary = outcome.summary(who);
    let count = summary.split(' ').find_map(|word| word.strip_prefix(mark.as_str())?.parse().ok());
    count.unwrap_or_else(|| outcome.fail(&format!("the summary of {who} has no {kind}=")))
}

fn demo(on: On, cpu: &str) {
    let outcome = Machine::run(on, "platforms/qemu-virt/demo.dtso").args(&["--cpu", cpu]).to_end();
    outcome.check(outcome.status == Some(0), "exit status 0");
    linux_came_up(&outcome, "linux");
    let reports = beside(&outcome.log, "metronome", "tick ", "linux");
    outcome.check(reports >= 5, "at least 5 reports of the metronome while Linux was up");
    outcome.check(
        outcome.summary("metronome").starts_with("state=off cause=system-off "),
        "it powered itself off",
    );
    // A report is a hundred ticks, and each tick an interrupt: more of them than the console asks for.
    outcome.check(exits(&outcome, "metronome", "irq") >= 1500, "1,500 timer interrupts");
    for kind in ["irq", "sgi", "mmio", "sysreg", "psci"] {
        outcome.check(exits(&outcome, "linux", kind) > 0, "Linux on two cores uses every kind of exit");
    }
    let own: Vec<_> = outcome.log.lines().filter(|line| !line.starts_with(['[', 'p'])).collect();
    outcome.check(own.iter().all(|line| line.trim().is_empty()), "every line says whose it is");
}

system_tests! {
    fn demo_on_cortex_a72(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "rpi4::demo"] {
        demo(on, "cortex-a72");
    }

    fn demo_on_max(on) [virt_gicv3: run, virt_gicv2: OTHER_CORE, raspi4b: A72_ONLY] {
        demo(on, "max");
    }

    fn two_linux(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = Machine::run(on, "platforms/qemu-virt/two-linux.dtso").limit(400).to_end();
        outcome.check(outcome.status == Some(0), "exit status 0");
        linux_came_up(&outcome, "left");
        linux_came_up(&outcome, "right");
    }

    fn unikernels(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let outcome = Machine::run(on, "platforms/qemu-virt/unikernels.dtso").to_end();
        outcome.check(outcome.status == Some(0), "exit status 0");
        for who in ["metronome", "presto"] {
            let reports = outcome.reports(who);
            outcome.check(reports == 10, "ten reports of each");
        }
    }

    fn three_partitions(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "this U-Boot is for virt"] {
        let mut machine = Machine::run(on, "platforms/qemu-virt/three.dtso").limit(400).start_on_terminal();
        machine.wait_for("[u-boot] U-Boot ");
        machine.wait_for("[linux] cpus=2");
        machine.wait_until("5 reports of the metronome", |log| log.matches("[metronome] tick ").count() >= 5);
    }

    /// The hypervisor, the bundle and the tree lie where two partitions' memory is pinned: they move, and
    /// nothing is
    /// lost.
    fn one_to_one(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "the memory that it pins is virt's"] {
        let outcome = Machine::run(on, "tests/system/one-to-one.dtso").to_end();
        outcome.check(outcome.status == Some(0), "exit status 0");
        for what in ["the hypervisor", "the bundle"] {
            let line = format!("partita: {what} moves from ");
            let moved = outcome.log.lines().any(|one| one.starts_with(&line));
            outcome.check(moved, &format!("{what} moved"));
        }
        let passed = outcome
            .lines("two")
            .iter()
            .any(|line| line.starts_with("probe: done ") && line.contains(" 0 failed"));
        outcome.check(passed, "the probe finds its memory as it should be");
        let reports = outcome.reports("one");
        outcome.check(reports == 2, "two reports of the metronome");
    }
}
