//! Partita's own guests without Partita: what the probe demands of the hypervisor, QEMU's own machine must do as well, so a row
//! that fails here is wrong itself.

use partita_tests::{Outcome, native};

fn probe(cpu: &str, cores: usize, row: &str) -> Outcome {
    native("probe", cpu, cores, &format!("native {row}")).limit(120).to_end()
}

#[track_caller]
fn passes(cpu: &str, cores: usize) {
    let outcome = probe(cpu, cores, "");
    let failed: Vec<_> = outcome.log.lines().filter(|line| line.contains(" FAILED: ")).collect();
    outcome.check(failed.is_empty(), &format!("rows failed: {failed:#?}"));
    outcome.check(outcome.log.contains("probe: done ") && outcome.status == Some(0), "it ended by itself");
}

#[test]
fn probe_on_one_core() {
    passes("cortex-a53", 1);
}

#[test]
fn probe_on_two_cores() {
    passes("max", 2);
}

#[test]
fn probe_on_four_cores() {
    passes("cortex-a72", 4);
}

/// Rows can fail: RAM of another size than said, and a hypervisor's promises where there is no hypervisor.
#[test]
fn probe_fails_where_it_should() {
    let outcome =
        native("probe", "cortex-a72", 1, "test=memory-size,gicd-foreign,features-hidden mem=1").to_end();
    for row in ["memory-size", "gicd-foreign", "features-hidden"] {
        outcome.check(outcome.log.contains(&format!("probe: {row} FAILED: ")), row);
    }
    outcome.check(outcome.log.contains("probe: done 0 passed, 3 failed, 0 skipped"), "the count");
}

#[test]
fn metronome() {
    let outcome = native("metronome", "cortex-a72", 1, "hz=50 reports=3").to_end();
    outcome.check(outcome.log.contains("metronome: period 1250000 ticks at 62500000 Hz"), "its first line");
    outcome.check(outcome.log.matches("lateness min/mean/max = ").count() == 3, "three reports");
    outcome.check(outcome.status == Some(0), "it ended by itself");
}

#[test]
fn metronome_with_a_wrong_word() {
    let outcome = native("metronome", "cortex-a72", 1, "hz=0").to_end();
    outcome.check(outcome.log.contains("hz is 1 to 10000"), "it says what is wrong");
    outcome.check(outcome.status == Some(0), "it ended by itself");
}

#[test]
fn flat() {
    let outcome = native("flat-hvc", "cortex-a72", 1, "").to_end();
    outcome.check(outcome.log.trim() == "flat: el 00000001 tree d00dfeed psci 00010001", "its line");
}
