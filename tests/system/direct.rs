//! `interrupt-path = "direct"`: interrupts reach the guest without EL2, and all else holds as for any partition.

use partita_tests::speed::{self, PATHS};
use partita_tests::{Machine, On, Outcome, system_tests};

/// What makes a partition of a plan direct, behind its kernel.
const DIRECT: &str = "interrupt-path = \"direct\"; stop = \"best-effort\";";
const EXITS: &str = "the figures are the core's and the GIC's, not the board's";

/// What to change in a plan to make the partition with this kernel direct.
pub(crate) fn kernel(name: &str) -> (String, String) {
    let line = format!("kernel = \"{name}\";");
    (line.clone(), format!("{line} {DIRECT}"))
}

/// A plan with these partitions, by kernel, direct.
fn machine(on: On, plan: &str, kernels: &[&str]) -> Machine {
    let changes: Vec<_> = kernels.iter().map(|name| kernel(name)).collect();
    let changes: Vec<_> = changes.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    Machine::run_changed(on, plan, &changes)
}

/// It ended by itself, and no interrupt of its came to EL2.
#[track_caller]
fn ended_without_an_interrupt(outcome: &Outcome, name: &str) {
    let summary = outcome.summary(name);
    outcome.check(summary.starts_with("state=off cause=system-off irq=0 "), &format!("{name}: {summary}"));
}

fn linux(on: On, others: &[&str]) {
    let kernels: Vec<_> = ["vmlinuz"].iter().chain(others).copied().collect();
    let outcome = machine(on, "platforms/qemu-virt/demo.dtso", &kernels).limit(180).to_end();
    outcome.check(outcome.log.contains("reboot: Power down"), "Linux came to its end, with both cores");
    ended_without_an_interrupt(&outcome, "linux");
    outcome.check(outcome.reports("metronome") == 15, "the metronome's reports");
    let summary = outcome.summary("metronome");
    outcome.check(summary.starts_with("state=off cause=system-off "), summary);
    if others.contains(&"metronome") {
        ended_without_an_interrupt(&outcome, "metronome");
    }
}

fn typed(on: On, row: &str, neighbour: &[&str]) {
    let changes = [kernel("probe")].into_iter().chain(neighbour.iter().map(|name| kernel(name)));
    let test = format!("test={row}");
    let others = [("mem=16384", test.as_str()), ("reports=5", "reports=1")];
    let changes: Vec<_> = changes.collect();
    let changes = changes.iter().map(|(from, to)| (from.as_str(), to.as_str())).chain(others);
    let mut machine = Machine::run_changed(on, "tests/system/probe-1.dtso", &changes.collect::<Vec<_>>())
        .start_on_terminal();
    machine.wait_for("[probe] probe: type a line");
    // It says so before it goes to sleep.
    std::thread::sleep(std::time::Duration::from_millis(500));
    machine.type_text("Hello, world 42\r");
    let outcome = machine.end();
    outcome.check(outcome.lines("probe").contains(&"probe: typed Hello, world 42"), "what was typed came");
    outcome.check(outcome.lines("probe").contains(&format!("probe: {row} ok").as_str()), "the row passed");
    ended_without_an_interrupt(&outcome, "probe");
}

system_tests! {
    /// An interrupt costs what it costs without a hypervisor.
    fn a_timer_interrupt_is_as_natively(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: EXITS] {
        let native = speed::alone(on)["timer-latency"];
        let direct = PATHS.iter().find(|path| path.name == "direct").expect("the path");
        assert_eq!(speed::partition(on, *direct)["timer-latency"], native);
    }

    fn linux_beside_a_mediated_neighbour(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "the demo of that board"] {
        linux(on, &[]);
    }

    fn two_direct_partitions(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "the demo of that board"] {
        linux(on, &["metronome"]);
    }

    /// By a mediated neighbour's core, which has the UART's interrupt: the console's own SPI wakes the guest.
    fn typed_to_a_sleeping_guest(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        typed(on, "console-echo-interrupt", &[]);
    }

    /// Nobody has the UART's interrupt: it is looked at when the guest looks.
    fn typed_without_a_mediated_partition(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        typed(on, "console-echo", &["metronome"]);
    }
}
