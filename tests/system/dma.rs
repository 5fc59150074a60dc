//! A device that does DMA for an attacker: QEMU's `edu`, behind the SMMU, where it copies its own partition's memory and
//! reaches nothing else; and without an SMMU, where the same attacks succeed.

use partita_tests::attack::{NO_STREAMS, OTHER_STREAMS};
use partita_tests::{EDU, Machine, Outcome, Running, system_tests};

const PLAN: &str = "tests/system/dma.dtso";
/// Physical addresses that the plan's bootargs name.
const VICTIM: u64 = 0x5020_0000;
const HYPERVISOR: u64 = 0x4021_0000;
/// What the attacker writes, in the upper half of each word.
const PATTERN: u64 = 0xa77a_c4ed;

/// Why not on raspi4b.
const NO_SMMU: &str = "it has no SMMU and, in QEMU, no PCI";

/// The rows whose lines say that they held, and those that escaped.
fn rows(outcome: &Outcome) -> (Vec<&str>, Vec<&str>) {
    let lines = outcome.lines("attacker");
    let ends = |end: &str| {
        let found = lines.iter().filter_map(|line| line.strip_prefix("attacker: dma/")?.split_once(end));
        found.map(|(row, _)| row).collect()
    };
    (ends(" held"), ends(" ESCAPED: "))
}

/// Has the victim end, and the machine with it.
fn end(mut machine: Running) -> Outcome {
    machine.wait_for_line("attacker: done ");
    machine.end_victim();
    machine.end()
}

/// How many words of a page are the attacker's.
fn marked(machine: &mut partita_tests::Debugger, at: u64) -> usize {
    machine.table(at).iter().filter(|word| **word >> 32 == PATTERN).count()
}

#[track_caller]
fn victim_is(outcome: &Outcome, words: &str) {
    outcome.check(outcome.lines("victim").contains(&words), "the victim's last words");
}

system_tests! {
    /// Its own memory is copied, wherever that lies; nothing else is read or written; what was refused is told, counted up
    /// to a bound, and laid at the attacker's door.
    fn a_device_reaches_its_partition_only(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_SMMU] {
        let outcome = end(Machine::run(on, PLAN).args(&["--"]).args(&EDU).start_on_terminal());
        let (held, escaped) = rows(&outcome);
        outcome.check(escaped.is_empty(), &format!("escaped: {escaped:?}"));
        let all = ["own", "victim", "hypervisor", "devices", "beyond", "straddle", "flood"];
        outcome.check(held == all, "every row was run and held");
        victim_is(&outcome, "victim: end whole");
        let told = outcome.lines("partita");
        let refused: Vec<_> = told.iter().filter(|line| line.starts_with("attacker: DMA refused")).collect();
        let first = "attacker: DMA refused: write at 0x50200000 by stream 0x8 (F_TRANSLATION)";
        let second = "attacker: DMA refused: read at 0x50200008 by stream 0x8 (F_TRANSLATION)";
        outcome.check(refused.len() == 5 && *refused[0] == first && *refused[2] == second, "faults are told");
        let last = "attacker: DMA refused 64 times: no more of it is recorded";
        outcome.check(*refused[4] == last, "and not for ever");
        outcome.check(outcome.summary("attacker").contains(" dma=64 "), "they are the attacker's");
        outcome.check(outcome.summary("victim").contains(" dma=0 "), "and nobody else's");
        outcome.check(outcome.status == Some(0), "exit status 0");
    }

    /// The same, with the memory that was attacked read from outside.
    fn nothing_was_written(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_SMMU] {
        let changes = [("test=dma", "test=dma/own,dma/victim,dma/hypervisor,dma/devices")];
        let mut machine = Machine::run_changed(on, PLAN, &changes).debugged().args(&EDU).start();
        machine.wait_for("attacker: done 4 held, 0 escaped, 0 skipped");
        let mut debugger = machine.debugger();
        for at in [VICTIM, HYPERVISOR] {
            assert_eq!(marked(&mut debugger, at), 0, "words of the attacker's at {at:#x}");
        }
    }

    /// A stream that no partition has reaches nothing, nor is anybody told: here the tree has given the attacker others
    /// than its device's.
    fn a_stream_that_nobody_has_is_refused(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_SMMU] {
        let changes = [&[("test=dma", "test=dma/victim,dma/flood")][..], OTHER_STREAMS].concat();
        let machine = Machine::run_changed(on, PLAN, &changes).args(&["--"]).args(&EDU);
        let outcome = end(machine.start_on_terminal());
        outcome.check(rows(&outcome) == (vec!["victim", "flood"], vec![]), "nothing was read");
        victim_is(&outcome, "victim: end whole");
        outcome.check(!outcome.log.contains("DMA refused"), "nobody is told");
        outcome.check(outcome.summary("attacker").contains(" dma=0 "), "nobody is blamed");
    }

    /// An SMMU that guards nothing of the plan is closed, also to a device that the plan trusts.
    fn an_smmu_without_a_task_is_closed(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_SMMU] {
        let changes = [&[("test=dma", "test=dma/victim")][..], NO_STREAMS].concat();
        let machine = Machine::run_changed(on, PLAN, &changes).args(&["--"]).args(&EDU);
        let outcome = end(machine.start_on_terminal());
        outcome.check(rows(&outcome) == (vec!["victim"], vec![]), "nothing was read");
        victim_is(&outcome, "victim: end whole");
    }

    /// The attack itself works: on a board without an SMMU, where the plan has to call the bridge trusted, it reads and
    /// writes the victim's memory.
    fn without_an_smmu_the_attack_succeeds(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_SMMU] {
        let changes = [
            ("test=dma", "test=dma/own,dma/victim"),
            ("devices = \"/pcie@10000000\";", "devices = \"/pcie@10000000\"; dma-trusted = \"/pcie@10000000\";"),
            ("memory@80000000", "memory@60000000"),
            ("reg = <0x0 0x80000000", "reg = <0x0 0x60000000"),
        ];
        let machine = Machine::run_changed(on, PLAN, &changes).args(&["--", "-M", "iommu=none"]).args(&EDU);
        let outcome = end(machine.start_on_terminal());
        outcome.check(outcome.log.contains("UNGUARDED DMA: /pcie@10000000"), "the board has no SMMU");
        let (held, escaped) = rows(&outcome);
        outcome.check(held == ["own"] && escaped == ["victim"], "the attack works");
        victim_is(&outcome, "victim: end BROKEN");
        outcome.check(outcome.summary("attacker").contains(" dma=0 "), "nothing was refused");
    }
}
