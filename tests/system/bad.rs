//! Bad input at boot: one clear error on the console, nothing started, the machine off by itself.

use std::path::PathBuf;
use std::process::Command;

use partita_tests::{Machine, On, Outcome, partita, qemu, system_tests};
use tempfile::TempDir;

/// A good image and bundle that a test may spoil.
struct Built {
    on: On,
    folder: TempDir,
    bundle: Vec<u8>,
}

impl Built {
    fn new(on: On) -> Built {
        let folder = TempDir::new().expect("a folder for the test");
        let plan = on.plan("platforms/qemu-virt/unikernels.dtso");
        let built = Command::new(partita()).arg("build").arg(plan).arg("-o").arg(folder.path()).output();
        let built = built.expect("partita can be run");
        assert!(built.status.success(), "partita build: {}", String::from_utf8_lossy(&built.stderr));
        let bundle = std::fs::read(folder.path().join("bundle.cpio")).expect("build wrote bundle.cpio");
        Built { on, folder, bundle }
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("partita-image")
    }

    /// Where `what` begins in the bundle for the first time.
    fn find(&self, what: &[u8]) -> usize {
        self.bundle.windows(what.len()).position(|window| window == what).expect("the bundle has it")
    }

    fn boot(&self, bundle: &[u8]) -> Outcome {
        let path = self.folder.path().join("spoilt.cpio");
        std::fs::write(&path, bundle).expect("the test's folder takes files");
        qemu(self.on, &self.image(), Some(&path)).limit(90).to_end()
    }
}

/// As [`told`], and QEMU ended by itself.
#[track_caller]
fn refused(outcome: &Outcome, words: &[&str]) {
    told(outcome, words);
    outcome.check(outcome.status == Some(0), "the machine powered off by itself");
}

/// Exactly one error, which has all of `words`; no partition said anything.
#[track_caller]
fn told(outcome: &Outcome, words: &[&str]) {
    let errors: Vec<_> =
        outcome.lines("partita").into_iter().filter(|line| line.starts_with("error: ")).collect();
    outcome.check(errors.len() == 1, &format!("one error, not {}", errors.len()));
    for word in words {
        outcome.check(errors[0].contains(word), &format!("the error says \"{word}\""));
    }
    outcome.check(!outcome.log.lines().any(|line| line.starts_with('[')), "nothing was started");
    outcome.check(!outcome.log.contains("panic"), "no panic for a user interface");
    outcome.check(outcome.log.lines().count() < 20, "no endless output");
}

system_tests! {
    fn good_bundle_boots(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let built = Built::new(on);
        let outcome = built.boot(&built.bundle);
        outcome.check(outcome.lines("metronome").len() > 1, "what the others spoil is good");
    }

    fn no_bundle(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let built = Built::new(on);
        refused(&qemu(on, &built.image(), None).limit(90).to_end(), &["initrd"]);
    }

    fn truncated_bundle(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let built = Built::new(on);
        for part in [1, 50, 99] {
            let outcome = built.boot(&built.bundle[..built.bundle.len() * part / 100]);
            refused(&outcome, &[]);
        }
    }

    fn not_a_bundle(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        refused(&Built::new(on).boot(&[0x5a; 5000]), &["bundle"]);
    }

    fn corrupt_image(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let built = Built::new(on);
        let mut bundle = built.bundle.clone();
        // Inside the metronome's ELF file.
        let at = built.find(b"\x7fELF") + 0x10100;
        bundle[at] ^= 1;
        refused(&built.boot(&bundle), &["metronome", "SHA256SUMS"]);
    }

    fn corrupt_overlay(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let built = Built::new(on);
        let mut bundle = built.bundle.clone();
        let at = built.find(b"\xd0\x0d\xfe\xed");
        bundle[at] = 0;
        refused(&built.boot(&bundle), &["partitions.dtbo"]);
    }

    fn missing_file(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let built = Built::new(on);
        let mut bundle = built.bundle.clone();
        // The member's name stands behind its header, which ends in a checksum of zeros.
        let at = built.find(b"00000000metronome\0") + 8;
        bundle[at..at + 9].copy_from_slice(b"metronomy");
        refused(&built.boot(&bundle), &["metronome"]);
    }

    /// There is nothing wrong with a plan but that there is too much of it: here a property of a device, which goes into its
    /// partition's tree.
    fn more_than_the_boots_heap(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let padding = "00 ".repeat(1_500_000);
        let padded = format!("&{{/pl031@9010000}} {{ padding = [{padding}]; }};\n&{{/}} {{");
        let changes = [("&{/} {", padded.as_str())];
        let outcome = Machine::run_changed(on, "tests/system/probe-1.dtso", &changes).to_end();
        told(&outcome, &["more memory to prepare than the 4096 KiB", "a block of 2048 KiB"]);
        outcome.check(outcome.status == Some(1), "the tool says that the plan was refused");
    }

    /// A boot loader that enters below EL2: the registers that a hypervisor needs are not there, nor PSCI to
    /// power
    /// off.
    fn entered_at_el1(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "that machine always starts at EL2"] {
        let built = Built::new(on);
        let below = ["-machine", "virtualization=off"];
        let mut machine = qemu(on, &built.image(), None).args(&below).limit(60).start();
        machine.wait_for("partita: error: entered at EL1, but a hypervisor runs at EL2; ");
        machine.wait_for("parked");
        let outcome = machine.now();
        outcome.check(outcome.log.lines().count() < 5, "no endless output");
    }
}
