//! What is said of the cores at boot: how an exit is guarded on each kind, and its errata.

use partita_tests::{A72_ONLY, Machine, OTHER_CORE, On, Outcome, system_tests};

const PLAN: &str = "platforms/qemu-virt/unikernels.dtso";

/// The line of the cores that run partitions.
#[track_caller]
fn line(outcome: &Outcome) -> String {
    let lines: Vec<_> =
        outcome.lines("partita").into_iter().filter(|line| line.starts_with("cores ")).collect();
    outcome.check(lines.len() == 1, "one line, as all cores are of one kind");
    lines[0].to_owned()
}

/// The console until partitions run.
fn told(on: On, cpu: &[&str], bootargs: &str) -> Outcome {
    let mut machine = Machine::run(on, PLAN).args(cpu).args(&["--", "-append", bootargs]).start();
    machine.wait_for("[presto] ");
    machine.now()
}

system_tests! {
    /// Without firmware to call, branch targets of a Cortex-A72 have no guard, and that is no secret. Its errata are listed
    /// for who asks.
    fn a_cortex_a72_is_told(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let errata = |outcome: &Outcome| {
            let lines = outcome.lines("partita");
            lines.iter().filter(|line| line.starts_with("Cortex-A72: ")).count()
        };
        let (short, long) = (told(on, &[], "quiet"), told(on, &[], "quiet partita.verbose"));
        for outcome in [&short, &long] {
            let line = line(outcome);
            let (cores, rest) = line.split_once(": ").unwrap_or_default();
            outcome.check(cores.split(' ').count() == 3, "two cores run partitions");
            outcome.check(rest.starts_with("Cortex-A72 r0p3, 3 errata: 2 settled, 1 firmware's; "), "its errata");
            let guards = "; branch targets UNGUARDED, history by 8 branches, stores UNGUARDED";
            outcome.check(rest.ends_with(guards), guards);
        }
        short.check(errata(&short) == 0, "nobody asked for the errata");
        long.check(errata(&long) == 3, "each erratum has its line");
    }

    fn a_core_without_need_is_told(on) [virt_gicv3: run, virt_gicv2: OTHER_CORE, raspi4b: A72_ONLY] {
        let outcome = told(on, &["--cpu", "max"], "");
        let guards = "no errata known; branch targets unaffected, history unaffected, stores by SSBS";
        outcome.check(line(&outcome).ends_with(guards), guards);
    }
}
