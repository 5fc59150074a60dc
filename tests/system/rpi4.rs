//! The image that runs on QEMU virt, on its raspi4b: no PSCI, no EL3, cores in a spin table, the mini-UART.

use std::process::Command;

use partita_tests::{Machine, Outcome, partita, root};
use serde_json::Value;

use crate::probe::{all_passed, neighbour_noticed_nothing};

const UNIKERNELS: &str = "platforms/rpi4/unikernels.dtso";
const DEMO: &str = "platforms/rpi4/demo.dtso";

#[track_caller]
fn both_are_off(outcome: &Outcome, names: [&str; 2]) {
    for name in names {
        let summary = outcome.summary(name);
        outcome.check(summary.starts_with("state=off cause=system-off "), "it powered itself off");
    }
}

/// The demo of `make run PLATFORM=rpi4`, to its end by the board's power controller.
#[test]
fn demo() {
    let outcome = Machine::run_on("rpi4", DEMO).to_end();
    outcome.check(outcome.status == Some(0), "exit status 0");
    for line in ["cpus=3", "ram=256 MiB"] {
        outcome.check(outcome.lines("linux").contains(&line), &format!("Linux says {line}"));
    }
    both_are_off(&outcome, ["linux", "metronome"]);
    let reports = outcome.lines("metronome").iter().filter(|line| line.starts_with("tick ")).count();
    outcome.check(reports == 15, "fifteen reports of the metronome");
    outcome.check(!outcome.log.contains("parked"), "the board was powered off");
}

/// Without a controller the board parks, and the tool ends the machine.
#[test]
fn parked() {
    let without = "&{/soc/watchdog@7e100000} { status = \"disabled\"; };\n&{/} {\n\tpartitions";
    let outcome = Machine::run_changed_on("rpi4", UNIKERNELS, &[("&{/} {\n\tpartitions", without)]).to_end();
    outcome.check(outcome.status == Some(0), "exit status 0");
    both_are_off(&outcome, ["metronome", "presto"]);
    let last = outcome.lines("partita").last().copied();
    outcome.check(last == Some("parked: this board has no way to power off"), "EL2 says that it parked");
}

/// Cores that no partition owns wait in EL2's own memory, not where firmware left them.
#[test]
fn spare_cores_stay_in_el2() {
    let output = Command::new(partita()).args(["plan", "--json"]).arg(root().join(DEMO)).output();
    let output = output.expect("partita can be run");
    let plan: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    let reserved = plan["board"]["reserved"].as_array().expect("what is reserved");
    let own = reserved.iter().find(|one| one["what"] == "the hypervisor").expect("its own place");
    let number = |name: &str| {
        let value = &own["range"][name];
        let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        value.as_u64().or_else(|| hex(value.as_str()?)).expect("a number")
    };
    let (base, size) = (number("base"), number("size"));
    let changes = [("cpus = <0 1 2>", "cpus = <1>")];
    let mut machine = Machine::run_changed_on("rpi4", DEMO, &changes).debugged().start();
    machine.wait_for("[linux] press Enter for a shell");
    let mut debugger = machine.debugger();
    assert_eq!(debugger.cores(), 4);
    // Core 0 booted and had translation on; core 2 never had.
    let (level, pc) = debugger.place(2);
    assert!(level == 2 && (base..base + size).contains(&pc), "core 2 is at EL{level}, {pc:#x}");
    let (level, pc) = debugger.place(0);
    assert!(level == 2 && pc >= 0x8000_0000_0000, "core 0 is at EL{level}, {pc:#x}");
}

/// Keys reach a guest by the mini-UART's receive interrupt, and the console's own keys work.
#[test]
fn keyboard() {
    let mut machine = Machine::run_on("rpi4", DEMO).start_on_terminal();
    machine.wait_for("[linux] press Enter for a shell");
    machine.type_text("\r");
    machine.wait_for("# ");
    machine.type_text("echo $((6 * 7))-typed\r");
    machine.wait_for("[linux] 42-typed");
    machine.type_text("\x1dq");
    let outcome = machine.end();
    outcome.check(outcome.summary("linux").contains("cause=stopped-by-user "), "Ctrl-] q ended it");
}

/// The probe's rows, those on SPIs with the system timer's. Two are about what a Cortex-A72 lacks.
fn probe(plan: &str, skipped: usize) -> Outcome {
    let changes = [("/pl031@9010000", "/soc/timer@7e003000")];
    let outcome = Machine::run_changed_on("rpi4", plan, &changes).limit(400).to_end();
    all_passed(&outcome, skipped + 2);
    outcome
}

#[test]
fn probe_on_one_core() {
    // Ten of the rows that are not about GICv3 need a second core.
    neighbour_noticed_nothing(&probe("tests/system/probe-1.dtso", 10));
}

#[test]
fn probe_on_two_cores() {
    neighbour_noticed_nothing(&probe("tests/system/probe-2.dtso", 0));
}

#[test]
fn probe_on_four_cores() {
    probe("tests/system/probe-4.dtso", 0);
}
