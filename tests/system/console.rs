//! The shared console: whole lines, nobody waits for anybody, keys go to one partition.

use std::time::Duration;

use partita_tests::{Machine, On, system_tests};

fn typed(on: On, row: &str) {
    let test = format!("test={row}");
    let changes = [("mem=16384", test.as_str()), ("reports=5", "reports=1")];
    let mut machine = Machine::run_changed(on, "tests/system/probe-1.dtso", &changes).start_on_terminal();
    machine.wait_for("[probe] probe: type a line");
    // It says so before it goes to sleep.
    std::thread::sleep(Duration::from_millis(500));
    machine.type_text("Hello, world 42\r");
    let outcome = machine.end();
    outcome.check(outcome.lines("probe").contains(&"probe: typed Hello, world 42"), "what was typed came");
    outcome.check(outcome.lines("probe").contains(&format!("probe: {row} ok").as_str()), "the row passed");
}

system_tests! {
    /// 100 KiB of one partition in one go: none of it is lost or mixed, and the neighbour's lines come
    /// through
    /// meanwhile.
    fn flood(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let changes = [("mem=16384", "test=console-flood"), ("reports=5", "reports=3")];
        let outcome = Machine::run_changed(on, "tests/system/probe-1.dtso", &changes).to_end();
        let lines: Vec<_> =
            outcome.lines("probe").into_iter().filter(|line| line.starts_with("flood ")).collect();
        outcome.check(lines.len() == 1600, &format!("1600 lines, not {}", lines.len()));
        for (index, line) in lines.iter().enumerate() {
            let wanted = format!("flood {index:06} {}", ".".repeat(51));
            outcome.check(*line == wanted, &format!("line {index} is {line:?}"));
        }
        let ticks: Vec<_> =
            outcome.lines("neighbour").into_iter().filter(|line| line.starts_with("tick ")).collect();
        outcome.check(ticks.len() == 3, "three reports of the neighbour");
        for line in ticks {
            outcome.check(line.contains(" lateness min/mean/max = "), "whole lines of the neighbour");
        }
    }

    fn typed_to_a_polling_guest(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        typed(on, "console-echo");
    }

    fn typed_to_a_sleeping_guest(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        typed(on, "console-echo-interrupt");
    }
}
