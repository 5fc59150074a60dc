//! `partitactl` typed at the shell of an unmodified Debian Linux.

use partita_tests::{Machine, On, Running, Target, has_partitactl, system_tests};
use serde_json::Value;

const PLAN: &str = "tests/system/partitactl.dtso";
const VIRT: &str = "the plan's device is virt's";
const DEMO: &str = "platforms/qemu-virt/demo.dtso";

/// A shell that types commands, and knows what each printed.
struct Shell {
    machine: Running,
    typed: usize,
}

impl Shell {
    fn new(machine: Machine) -> Self {
        let mut machine = machine.limit(240).start_on_terminal();
        machine.wait_for("[linux] press Enter for a shell");
        machine.type_text("\r");
        machine.wait_for("linux:/root# ");
        let mut shell = Self { machine, typed: 0 };
        // It is a terminal; colours would stand between the words.
        shell.expect(0, "export NO_COLOR=1");
        shell
    }

    /// Types a command: its exit status, and the lines that it printed.
    #[track_caller]
    fn run(&mut self, command: &str) -> (u8, Vec<String>) {
        self.typed += 1;
        let (begin, end) = (format!("begin-{}", self.typed), format!("end-{}-", self.typed));
        // What is typed comes back as an echo, which is not the mark.
        let typed = format!("echo begin-{}; {command}; echo end-{}-$?\r", self.typed, self.typed);
        let end_of = |log: &str| {
            let lines = partita_tests::lines_of(log, "linux");
            // The shell may wrap the echo, so a line can begin as the mark does: that has no number.
            let status = |line: &&str| line.strip_prefix(end.as_str())?.parse().ok();
            let (at, status) = lines.iter().enumerate().find_map(|(at, line)| Some((at, status(line)?)))?;
            let first = lines[..at].iter().rposition(|line| line.trim_end() == begin)?;
            Some((status, lines[first + 1..at].iter().map(|line| (*line).to_owned()).collect()))
        };
        self.machine.type_text(&typed);
        self.machine
            .wait_until(command, |log| log.ends_with('\n') | log.contains(&end) && end_of(log).is_some());
        end_of(&self.machine.now().log).expect("it is there")
    }

    /// The same, of a command that has to end so; its lines as one text.
    #[track_caller]
    fn expect(&mut self, status: u8, command: &str) -> String {
        let (got, lines) = self.run(command);
        if got != status {
            self.machine.now().fail(&format!("{command}: exit status {got}, not {status}: {lines:#?}"));
        }
        lines.join("\n")
    }

    #[track_caller]
    fn json(&mut self, command: &str) -> Value {
        let text = self.expect(0, command);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
    }
}

/// What a partition of `list --json` says.
fn of<'a>(list: &'a Value, name: &str) -> &'a Value {
    let all = list["partitions"].as_array().expect("a list");
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// A machine whose kit has the program; none where this toolchain cannot build it.
fn machine(on: On, plan: &str, changes: &[(&str, &str)]) -> Option<Machine> {
    if !has_partitactl() {
        println!("skipped: this toolchain cannot build partitactl");
        return None;
    }
    let cpu: &[&str] = if on.target() == Target::Raspi4b { &[] } else { &["--cpu", "cortex-a72"] };
    Some(Machine::run_changed(on, plan, changes).args(cpu))
}

fn supervised(on: On, changes: &[(&str, &str)]) {
    let Some(machine) = machine(on, PLAN, changes) else { return };
    let mut shell = Shell::new(machine);

    let list = shell.json("partitactl list --json");
    assert_eq!(list["schema"], 1);
    let metronome = of(&list, "metronome");
    assert_eq!((&metronome["state"], &metronome["restarts"]), (&"running".into(), &0.into()));
    assert!(metronome["uptime"].as_f64().is_some_and(|uptime| uptime > 0.5), "{metronome}");
    assert!(metronome["exits"]["irq"].as_u64().is_some_and(|exits| exits > 10), "{metronome}");
    assert_eq!(list["partitions"].as_array().map(Vec::len), Some(2), "those that it manages, and no more");

    // A restart: it is another life, and it has begun just now.
    shell.expect(0, "partitactl restart metronome");
    let list = shell.json("partitactl list --json");
    let again = of(&list, "metronome");
    assert_eq!(
        (&again["state"], &again["restarts"], &again["cause"]),
        (&"running".into(), &1.into(), &"told".into())
    );
    let uptimes = [metronome, again].map(|one| one["uptime"].as_f64().expect("a number"));
    assert!(uptimes[1] < 30.0, "{uptimes:?}");
    assert!(again["exits"]["irq"].as_u64() > metronome["exits"]["irq"].as_u64(), "counters go on");

    // Stopped, it is off and stays so; started, it runs.
    shell.expect(0, "partitactl stop metronome");
    assert_eq!(shell.expect(3, "partitactl is-active metronome"), "off");
    let status = shell.expect(3, "partitactl status metronome");
    assert!(
        status.contains("State: off since ") && status.contains("Cause: told by its manager 1"),
        "{status}"
    );
    shell.expect(0, "partitactl start metronome");
    assert_eq!(shell.expect(0, "partitactl is-active metronome"), "running");

    // Not its own: itself, and who does not exist, are the same.
    for name in ["linux", "nobody"] {
        let refused = shell.expect(4, &format!("partitactl stop {name}"));
        let words = format!("{name} is not managed by this partition; it manages metronome, crasher");
        assert!(refused.contains(&words), "{refused}");
    }

    // The log is what the console has, and goes on.
    shell.expect(0, "sleep 3");
    let log = shell.expect(0, "partitactl log metronome -n 2");
    assert!(log.lines().count() == 2 && log.contains("[metronome] "), "{log}");
    let live = shell
        .expect(0, "partitactl log -f -n 0 metronome > /tmp/log & sleep 3; kill $!; grep -c tick /tmp/log");
    assert_ne!(live.lines().last(), Some("0"), "{live}");

    // It failed once, and came back: the record is that of its first life.
    let crash = shell.expect(0, "partitactl crash crasher");
    assert!(
        crash.starts_with("crasher: life 0: unexpected-exception, by its CPU 0\n  CPU 0 at 0x"),
        "{crash}"
    );
    let crash = shell.json("partitactl crash crasher --json");
    assert_eq!(crash["failures"][0]["cause"], "unexpected-exception");
    let none = shell.expect(1, "partitactl crash metronome");
    assert!(none.contains("metronome has not failed since power-on"), "{none}");

    // Figures, in a file that is there at once.
    shell.expect(0, "partitactl metrics -o /tmp/partita.prom");
    let state = shell.expect(0, "grep running /tmp/partita.prom");
    assert!(
        state.contains("partita_partition_state{partition=\"metronome\",state=\"running\"} 1"),
        "{state}"
    );
    let failures = shell.expect(0, "grep failures_total /tmp/partita.prom");
    assert!(failures.contains("partita_partition_failures_total{partition=\"crasher\"} 1"), "{failures}");
    let top = shell.expect(0, "partitactl top -n 1 -d 1 | cat");
    assert!(top.contains("2 partitions, 2 running") && top.contains("\nmetronome  running"), "{top}");

    // RAM, and what a driver has claimed, is refused to root, too: the kernel is as strict as Debian's are.
    for taken in ["0x40000000", "0x9000000"] {
        let refused = shell.expect(1, &format!("devmem {taken}"));
        assert!(refused.contains("Operation not permitted"), "{refused}");
    }

    // Nobody else may look.
    shell.expect(0, "echo u::9:9::/:/bin/sh > /etc/passwd");
    let denied = shell.expect(1, "su u -c 'partitactl list'");
    assert!(denied.contains("run this as root"), "{denied}");

    shell.expect(0, "partitactl stop metronome crasher");
    shell.machine.type_text("exit\r");
    let outcome = shell.machine.end();
    outcome.check(outcome.status == Some(0), "exit status 0");
    for name in ["metronome", "crasher"] {
        let summary = outcome.summary(name);
        outcome
            .check(summary.starts_with("state=off cause=told ") && summary.ends_with(" by=linux"), summary);
    }
}

system_tests! {
    fn supervises(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: VIRT] {
        supervised(on, &[]);
    }

    /// Debian's general kernel, which has drivers for everything.
    fn supervises_on_the_general_kernel(on) [virt_gicv3: run, virt_gicv2: "the kernel is the same", raspi4b: VIRT] {
        supervised(on, &[("\"vmlinuz\"", "\"vmlinuz-arm64\"")]);
    }

    /// The demo: its Linux restarts the metronome. Without the right there is no device, and nothing to ask.
    fn the_demo_restarts_its_metronome(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let reports = ("reports=15", "reports=1000000");
        let Some(with) = machine(on, DEMO, &[reports]) else { return };
        let mut shell = Shell::new(with);
        shell.expect(0, "partitactl restart metronome");
        shell.expect(4, "partitactl stop linux");
        shell.machine.type_text("\x1dq");
        let outcome = shell.machine.end();
        let summary = outcome.summary("metronome");
        outcome.check(summary.contains(" restarts=1"), summary);
    }

    fn without_the_right_there_is_nobody(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let Some(without) = machine(on, DEMO, &[("manages = \"metronome\";", "")]) else { return };
        let mut shell = Shell::new(without);
        let said = shell.expect(1, "partitactl restart metronome");
        assert!(said.contains("this partition manages nobody: give it `manages = \"NAME\"`"), "{said}");
        assert_eq!(shell.expect(0, "find /proc/device-tree/ -name 'supervisor*' | wc -l"), "0");
        shell.machine.type_text("\x1dq");
        shell.machine.end();
    }
}
