//! The image that runs on QEMU virt, on its raspi4b: no PSCI, no EL3, cores in a spin table, the mini-UART.

use std::process::Command;

use partita_tests::{ABOUT_THE_BOARD, Machine, Outcome, partita, root, system_tests};
use serde_json::Value;

const UNIKERNELS: &str = "platforms/rpi4/unikernels.dtso";
const DEMO: &str = "platforms/rpi4/demo.dtso";

#[track_caller]
fn both_are_off(outcome: &Outcome, names: [&str; 2]) {
    for name in names {
        let summary = outcome.summary(name);
        outcome.check(summary.starts_with("state=off cause=system-off "), "it powered itself off");
    }
}

system_tests! {
    /// The demo of `make run PLATFORM=rpi4`, to its end by the board's power controller.
    fn demo(on) [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run] {
        let outcome = Machine::run(on, DEMO).to_end();
        outcome.check(outcome.status == Some(0), "exit status 0");
        for line in ["cpus=3", "ram=256 MiB"] {
            outcome.check(outcome.lines("linux").contains(&line), &format!("Linux says {line}"));
        }
        both_are_off(&outcome, ["linux", "metronome"]);
        let reports = outcome.reports("metronome");
        outcome.check(reports == 15, "fifteen reports of the metronome");
        outcome.check(!outcome.log.contains("parked"), "the board was powered off");
    }

    /// Without a controller the board parks, and the tool ends the machine.
    fn parked(on) [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run] {
        let without = "&{/soc/watchdog@7e100000} { status = \"disabled\"; };\n&{/} {\n\tpartitions";
        let outcome = Machine::run_changed(on, UNIKERNELS, &[("&{/} {\n\tpartitions", without)]).to_end();
        outcome.check(outcome.status == Some(0), "exit status 0");
        both_are_off(&outcome, ["metronome", "presto"]);
        let last = outcome.lines("partita").last().copied();
        outcome.check(last == Some("parked: this board has no way to power off"), "EL2 says that it parked");
    }

    /// Cores that no partition owns wait in EL2's own memory, not where firmware left them.
    fn spare_cores_stay_in_el2(on) [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run] {
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
        let mut machine = Machine::run_changed(on, DEMO, &changes).debugged().start();
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
    fn keyboard(on) [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run] {
        let mut machine = Machine::run(on, DEMO).start_on_terminal();
        machine.wait_for("[linux] press Enter for a shell");
        machine.type_text("\r");
        machine.wait_for("# ");
        machine.type_text("echo $((6 * 7))-typed\r");
        machine.wait_for("[linux] 42-typed");
        machine.type_text("\x1dq");
        let outcome = machine.end();
        outcome.check(outcome.summary("linux").contains("cause=stopped-by-user "), "Ctrl-] q ended it");
    }
}
