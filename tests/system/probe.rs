//! The probe guest: every row of its table, on both kinds of core and with one, two and four of them.

use partita_tests::{Machine, Outcome};

/// The rows that a machine like this one leaves out.
const WITHOUT_SECOND_CORE: usize = 8;

/// Every row passed, but for so many that this machine leaves out.
#[track_caller]
pub fn all_passed(outcome: &Outcome, most_skipped: usize) {
    let lines = outcome.lines("probe");
    let failed: Vec<_> = lines.iter().filter(|line| line.contains(" FAILED: ")).collect();
    outcome.check(failed.is_empty(), &format!("{} rows failed:\n{failed:#?}", failed.len()));
    let done = lines.iter().find_map(|line| line.strip_prefix("probe: done "));
    let Some(done) = done else { outcome.fail("the probe did not come to its end") };
    let numbers: Vec<usize> = done.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [passed, 0, skipped] = numbers[..] else { outcome.fail("the probe's count") };
    outcome.check(passed + skipped >= 120, "every row was run");
    let other = lines.iter().filter(|line| line.contains(" skipped: about GICv")).count();
    outcome.check(passed >= 80, "most rows are about what this machine has");
    outcome.check(skipped - other <= most_skipped, "more rows were skipped than this machine accounts for");
    outcome.check(outcome.status == Some(0), "exit status 0");
    outcome
        .check(outcome.summary("probe").starts_with("state=off cause=system-off "), "it powered itself off");
    outcome.check(lines.contains(&"widths: BHW"), "stores of all widths reach the console");
}

/// The neighbour reported as if it were alone.
#[track_caller]
pub fn neighbour_noticed_nothing(outcome: &Outcome) {
    let reports = outcome.lines("neighbour").iter().filter(|line| line.starts_with("tick ")).count();
    outcome.check(reports == 5, "five reports of the neighbour");
}

/// Rows on pointer authentication and LSE atomics need a core that has them.
fn probe(plan: &str, cpu: &str, neighbour: bool, skipped: usize) {
    let outcome = Machine::run(plan).args(&["--cpu", cpu]).limit(400).to_end();
    all_passed(&outcome, skipped);
    if neighbour {
        neighbour_noticed_nothing(&outcome);
    }
}

#[test]
fn one_core_of_cortex_a72() {
    probe("tests/system/probe-1.dtso", "cortex-a72", true, WITHOUT_SECOND_CORE + 2);
}

#[test]
fn two_cores_of_cortex_a72() {
    probe("tests/system/probe-2.dtso", "cortex-a72", true, 2);
}

#[test]
fn four_cores_of_cortex_a72() {
    probe("tests/system/probe-4.dtso", "cortex-a72", false, 2);
}

#[test]
fn one_core_of_max() {
    probe("tests/system/probe-1.dtso", "max", true, WITHOUT_SECOND_CORE);
}

#[test]
fn two_cores_of_max() {
    probe("tests/system/probe-2.dtso", "max", true, 0);
}

#[test]
fn four_cores_of_max() {
    probe("tests/system/probe-4.dtso", "max", false, 0);
}

/// A GICv2 with Security Extensions, as firmware at EL3 leaves it: all interrupts in Group 1, and EL2's view of the
/// distributor and of the CPU interface is the non-secure one (IHI 0048B, 4.4.1).
#[test]
fn gicv2_seen_from_the_non_secure_side() {
    let args = ["--gic", "2", "--", "-M", "virt,secure=on"];
    all_passed(&Machine::run("tests/system/probe-4.dtso").args(&args).limit(400).to_end(), 2);
}

/// A reset restarts the caller alone, with clean memory, and its other core stopped; the neighbour ticks on.
#[test]
fn reset() {
    let changes = [("mem=16384", "test=system-reset")];
    let outcome = Machine::run_changed("tests/system/probe-2.dtso", &changes).to_end();
    let banners = outcome.lines("probe").iter().filter(|line| line.starts_with("probe: 2 cores")).count();
    outcome.check(banners == 2, "it started twice");
    outcome.check(outcome.lines("probe").contains(&"probe: system-reset ok"), "the second start was clean");
    let starts =
        outcome.lines("neighbour").iter().filter(|line| line.starts_with("metronome: period")).count();
    outcome.check(starts == 1, "the neighbour started once");
    neighbour_noticed_nothing(&outcome);
}

/// A partition whose cores do nothing but exit to the hypervisor: the neighbour's ticks come all the same.
#[test]
fn hog() {
    let changes = [("mem=16384", "test=hog")];
    let outcome = Machine::run_changed("tests/system/probe-2.dtso", &changes).to_end();
    outcome.check(outcome.lines("probe").contains(&"probe: hog ok"), "the hog came to its end");
    neighbour_noticed_nothing(&outcome);
    let first = outcome.log.find("summary: probe").unwrap_or(0);
    let reports = outcome.log[..first].matches("[neighbour] tick ").count();
    outcome.check(reports >= 3, "the neighbour reported meanwhile");
}
