//! PCI functions that partitions have behind the SMMU, one by one: a bare-metal guest that drives QEMU's edu, and Linux with
//! virtio functions. Beside each function that is given there is one that is not.

use partita_tests::{Machine, ONE_THREAD, On, Outcome, native, system_tests};

const NO_PCI: &str = "QEMU's raspi4b has no PCI";
/// An edu whose DMA reaches all memory.
const EDU: &str = "edu,dma_mask=0xffffffffffff";

/// A plan of tests/system on a machine with an SMMU and these functions.
fn machine(on: On, plan: &str, functions: &[&str]) -> Machine {
    let mut args = vec!["--", "-M", "iommu=smmuv3"];
    args.extend(ONE_THREAD);
    functions.iter().for_each(|function| args.extend(["-device", function]));
    Machine::run(on, plan).args(&["--timeout", "200"]).args(&args)
}

fn edu(address: &str) -> String {
    format!("{EDU},addr={address}")
}

/// The rows of the guest that did not pass; it must have come to its end.
#[track_caller]
fn passed(outcome: &Outcome, who: &str) {
    let lines = outcome.lines(who);
    let failed: Vec<_> = lines.iter().filter(|line| line.contains("FAILED")).collect();
    outcome.check(failed.is_empty(), &format!("rows of {who} failed: {failed:#?}"));
    outcome.check(lines.contains(&"pci: done 14 passed, 0 failed"), &format!("{who} came to its end"));
    outcome.check(
        outcome.summary(who).starts_with("state=off cause=system-off "),
        &format!("{who} powered itself off"),
    );
}

fn functions_of_two(on: On) {
    let [two, six, one, three] = ["2", "6", "1", "3"].map(edu);
    let outcome = machine(on, "tests/system/pci.dtso", &[&two, &six, &one, &three]).to_end();
    for who in ["one", "two"] {
        passed(&outcome, who);
        // Each was reset once, and tried foreign memory before and after that.
        let starts = outcome.lines(who).iter().filter(|line| **line == "pci: after-reset ok").count();
        outcome.check(starts == 2, &format!("{who} starts twice"));
        outcome.check(
            outcome.summary(who).split(' ').any(|word| word == "dma=64"),
            &format!("what {who} tried was refused and counted"),
        );
    }
    outcome.check(outcome.status == Some(0), "exit status 0");
}

fn linux_with_virtio(on: On) {
    let virtio = "disable-legacy=on,iommu_platform=on";
    let functions = [
        format!("virtio-rng-pci,addr=2,{virtio}"),
        format!("virtio-net-pci,addr=6,netdev=net,romfile=,{virtio}"),
        // One that goes past the SMMU, which is withheld; one of the neighbour's, and nobody's.
        "virtio-rng-pci,addr=0xa".to_owned(),
        edu("1"),
        edu("3"),
    ];
    let functions = functions.each_ref().map(String::as_str);
    let outcome =
        machine(on, "tests/system/pci-linux.dtso", &functions).args(&["-netdev", "user,id=net"]).to_end();
    let seen: Vec<_> =
        outcome.lines("linux").into_iter().filter_map(|line| line.strip_prefix("pci=")).collect();
    let wanted = ["0000:00:02.0 0x1af4 0x1044 virtio-pci", "0000:00:06.0 0x1af4 0x1041 virtio-pci"];
    outcome.check(seen == wanted, &format!("Linux sees its two functions and no other: {seen:?}"));
    for line in ["random=64 bytes", "net=eth0 answered"] {
        outcome.check(outcome.lines("linux").contains(&line), &format!("Linux says {line}"));
    }
    let withheld =
        "warning: linux: /pcie@10000000/00:0a.0 is withheld: it is a virtio function that does DMA past";
    outcome.check(outcome.log.contains(withheld), "EL2 says what it withholds");
    outcome.check(!outcome.log.contains("DMA refused"), "nobody tried what is not his");
    outcome.check(
        outcome.summary("linux").starts_with("state=off cause=system-off "),
        "Linux powered itself off",
    );
    passed(&outcome, "neighbour");
}

system_tests! {
    /// Two partitions, each with functions of one bridge and memory that is not 1:1: their functions' registers, interrupts
    /// and DMA, and nothing of the other's.
    fn functions_of_two_partitions(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_PCI] {
        functions_of_two(on);
    }

    /// The guest's rows hold where there is no Partita, as far as they are about the device.
    fn edu_natively(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_PCI] {
        let outcome = native(on, "pci", "cortex-a72", 1, "native functions=00:00.0,00:02.0")
            .args(&["-device", &edu("2")])
            .to_end();
        outcome.check(outcome.log.contains("pci: done 14 passed, 0 failed"), "all rows");
    }

    /// The attack works where nothing guards: without Partita and SMMU the device reads what is not the guest's.
    fn dma_reaches_everything_natively(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_PCI] {
        // There QEMU has put its own first instructions.
        let outcome = native(on, "pci", "cortex-a72", 1, "native functions=00:00.0,00:02.0 foreign=0x40000000")
            .args(&["-device", &edu("2")])
            .to_end();
        outcome.check(
            outcome.log.contains("pci: dma-foreign FAILED: it reads memory that is not ours"),
            "the row that keeps Partita's promise fails",
        );
    }

    fn linux_with_virtio_functions(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: NO_PCI] {
        linux_with_virtio(on);
    }
}
