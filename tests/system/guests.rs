//! Partita's own guests without Partita: what the probe demands of the hypervisor, QEMU's own machine must do as well, so a row
//! that fails here is wrong itself.

use partita_tests::{On, Outcome, native, system_tests};

const AT_EL2: &str = "that machine starts programs at EL2, and these are for EL1";

fn probe(on: On, cpu: &str, cores: usize, row: &str) -> Outcome {
    native(on, "probe", cpu, cores, &format!("native {row}")).limit(120).to_end()
}

#[track_caller]
fn passes(on: On, cpu: &str, cores: usize) {
    let outcome = probe(on, cpu, cores, "");
    let failed: Vec<_> = outcome.log.lines().filter(|line| line.contains(" FAILED: ")).collect();
    outcome.check(failed.is_empty(), &format!("rows failed: {failed:#?}"));
    outcome.check(outcome.log.contains("probe: done ") && outcome.status == Some(0), "it ended by itself");
}

system_tests! {
    fn probe_on_one_core(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: AT_EL2] {
        passes(on, "cortex-a53", 1);
    }

    fn probe_on_two_cores(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: AT_EL2] {
        passes(on, "max", 2);
    }

    fn probe_on_four_cores(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: AT_EL2] {
        passes(on, "cortex-a72", 4);
    }

    /// Rows can fail: RAM of another size than said, and a hypervisor's promises where there is no
    /// hypervisor.
    fn probe_fails_where_it_should(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: AT_EL2] {
        let bootargs = "test=memory-size,gicd-foreign,features-hidden mem=1";
        let outcome = native(on, "probe", "cortex-a72", 1, bootargs).to_end();
        for row in ["memory-size", "gicd-foreign", "features-hidden"] {
            outcome.check(outcome.log.contains(&format!("probe: {row} FAILED: ")), row);
        }
        outcome.check(outcome.log.contains("probe: done 0 passed, 3 failed, 0 skipped"), "the count");
    }

    fn metronome(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: AT_EL2] {
        let outcome = native(on, "metronome", "cortex-a72", 1, "hz=50 reports=3").to_end();
        let first = "metronome: period 1250000 ticks at 62500000 Hz";
        outcome.check(outcome.log.contains(first), "its first line");
        outcome.check(outcome.log.matches("lateness min/mean/max = ").count() == 3, "three reports");
        outcome.check(outcome.status == Some(0), "it ended by itself");
    }

    fn metronome_with_a_wrong_word(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: AT_EL2] {
        let outcome = native(on, "metronome", "cortex-a72", 1, "hz=0").to_end();
        outcome.check(outcome.log.contains("hz is 1 to 10000"), "it says what is wrong");
        outcome.check(outcome.status == Some(0), "it ended by itself");
    }

    fn flat(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: AT_EL2] {
        let outcome = native(on, "flat-hvc", "cortex-a72", 1, "").to_end();
        outcome.check(outcome.log.trim() == "flat: el 00000001 tree d00dfeed psci 00010001", "its line");
    }
}
