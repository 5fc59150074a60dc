//! Boot loaders start Partita as they start Linux, and hand over trees of their own making. All end in the plan that
//! `partita check` tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use partita_tests::{
    ABOUT_THE_BOARD, Firmware, Machine, On, Outcome, Running, partita, pi_with_u_boot, qemu, root,
    system_tests, with_firmware,
};
use serde_json::Value;
use tempfile::TempDir;

const LOADER: &str = "what differs is the boot loader: u_boot_booti has all targets";

/// Runs a program to its good end.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Two metronomes, built: a folder with plan.dtso, plan.dtbo, partita-image and bundle.cpio.
struct Built(TempDir, &'static str);

impl Built {
    /// Each partition ends after this many reports.
    fn new(reports: usize) -> Built {
        let built = Built::plan_only("qemu-virt", reports);
        run(built.partita("build").arg("-o").arg(built.0.path()));
        built
    }

    fn plan_only(platform: &'static str, reports: usize) -> Built {
        let folder = TempDir::new().expect("a folder for the test");
        let text = fs::read_to_string(root().join(format!("platforms/{platform}/unikernels.dtso")))
            .expect("the plan");
        let built = Built(folder, platform);
        fs::write(built.plan(), text.replace("reports=10", &format!("reports={reports}"))).expect("the plan");
        let dtc = ["-q", "-@", "-I", "dts", "-O", "dtb", "-o"];
        run(Command::new("dtc").args(dtc).arg(built.overlay()).arg(built.plan()));
        built
    }

    fn partita(&self, command: &str) -> Command {
        let mut partita = Command::new(partita());
        partita.args([command, "--platform", self.1]).arg(self.plan());
        partita
    }

    fn plan(&self) -> PathBuf {
        self.0.path().join("plan.dtso")
    }

    fn overlay(&self) -> PathBuf {
        self.0.path().join("plan.dtbo")
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("partita-image")
    }

    fn bundle(&self) -> PathBuf {
        self.0.path().join("bundle.cpio")
    }

    /// The board's tree with the plan in it, as a boot loader would make it.
    fn merged(&self) -> PathBuf {
        let (board, merged) = (self.0.path().join("board.dtb"), self.0.path().join("merged.dtb"));
        let machine = ["-M", "virt,virtualization=on,gic-version=3", "-cpu", "cortex-a72", "-smp", "4"];
        let dump = format!("dumpdtb={}", board.display());
        run(Command::new("qemu-system-aarch64")
            .args(machine)
            .args(["-m", "1G", "-nic", "none", "-machine"])
            .arg(dump));
        run(Command::new("fdtoverlay").arg("-i").arg(&board).arg("-o").arg(&merged).arg(self.overlay()));
        merged
    }

    /// What EL2 says of each partition, by what the tool says of the plan: sorted, as mergers of trees order
    /// new nodes
    /// as they like.
    fn expected(&self) -> Vec<String> {
        let json: Value =
            serde_json::from_slice(&run(self.partita("check").arg("--json"))).expect("check writes JSON");
        let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let line = |partition: &Value| {
            let size: u64 =
                array(&partition["memory"]).iter().filter_map(|entry| entry["size"].as_u64()).sum();
            let cpus = array(&partition["cpus"]);
            let cores = cpus.iter().filter_map(|cpu| cpu.as_str()?.split_once('@').map(|(_, core)| core));
            format!(
                "{}: cores {}, {} KiB, kernel {}, devices {}",
                partition["name"].as_str().unwrap_or_default(),
                cores.collect::<Vec<_>>().join(" "),
                size >> 10,
                partition["kernel"].as_str().unwrap_or_default(),
                array(&partition["devices"]).len()
            )
        };
        let mut lines: Vec<_> = array(&json["partitions"]).iter().map(line).collect();
        lines.sort();
        assert_eq!(lines.len(), 2, "two partitions");
        lines
    }

    /// The plan came out as it should, every partition ran to its end, and the machine powered off.
    #[track_caller]
    fn came_true(&self, outcome: &Outcome, reports: usize) {
        let expected = self.expected();
        let mut found: Vec<_> =
            outcome.lines("partita").into_iter().filter(|line| line.contains(": cores ")).collect();
        found.sort_unstable();
        outcome.check(found == expected, &format!("EL2 announces {expected:?}"));
        for who in ["metronome", "presto"] {
            let count = outcome.reports(who);
            outcome.check(count == reports, &format!("{reports} reports of {who}"));
            let summary = outcome.summary(who);
            outcome.check(summary.starts_with("state=off cause=system-off "), "it powered itself off");
        }
        outcome.check(outcome.status == Some(0), "exit status 0");
    }
}

/// The note on a tree that brought the plan itself, when the bundle has one too.
const NOTE: &str =
    "note: the board's tree has /partitions already and is used as it is; the overlay is not applied";

/// U-Boot at its prompt.
struct UBoot {
    machine: Running,
    prompt: &'static str,
    prompts: usize,
}

impl UBoot {
    fn start(machine: Machine, prompt: &'static str) -> UBoot {
        let mut machine = machine.start_on_terminal();
        machine.wait_for("Hit any key to stop autoboot");
        machine.type_text("\r");
        let mut u_boot = UBoot { machine, prompt, prompts: 0 };
        u_boot.wait();
        u_boot
    }

    fn wait(&mut self) {
        let (mark, prompts) = (format!("\n{}", self.prompt), self.prompts);
        self.machine.wait_until("U-Boot's prompt", |log| log.matches(&mark).count() > prompts);
        self.prompts += 1;
    }

    /// Types a line, and waits until U-Boot has done it.
    fn line(&mut self, line: &str) {
        self.machine.type_text(&format!("{line}\r"));
        self.wait();
    }

    /// Types a line that starts something else.
    fn last(mut self, line: &str) -> Outcome {
        self.machine.type_text(&format!("{line}\r"));
        self.machine.end()
    }
}

const LOAD: [&str; 2] =
    ["load virtio 0 $kernel_addr_r partita-image", "load virtio 0 $ramdisk_addr_r bundle.cpio"];
const BOOTI: &str = "booti $kernel_addr_r $ramdisk_addr_r:$filesize $fdt_addr";

fn booti(on: On) {
    let built = Built::new(2);
    let machine = with_firmware(on, Firmware::UBoot, built.0.path());
    let mut u_boot = UBoot::start(machine, "=> ");
    LOAD.iter().for_each(|line| u_boot.line(line));
    let outcome = u_boot.last(BOOTI);
    built.came_true(&outcome, 2);
    outcome.check(!outcome.log.contains("note: "), "the bundle's overlay was used");
}

/// An overlay as lines for U-Boot's `fdt`.
fn fdt_commands(overlay: &Path) -> Vec<String> {
    let text = run(Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts"]).arg(overlay));
    let text = String::from_utf8(text).expect("dtc writes text");
    let inner = text.split("__overlay__ {\n").nth(1).expect("an overlay has a fragment");
    let (mut lines, mut path) = (Vec::new(), Vec::new());
    for line in inner.lines().map(str::trim) {
        let place = format!("/{}", path.join("/"));
        if let Some(name) = line.strip_suffix(" {") {
            lines.push(format!("fdt mknode {place} {name}"));
            path.push(name);
        } else if line == "};" {
            if path.pop().is_none() {
                break;
            }
        } else if let Some((name, value)) = line.strip_suffix(';').and_then(|line| line.split_once(" = ")) {
            // Quoted: to U-Boot's shell # begins a comment.
            lines.push(format!("fdt set {place} \"{name}\" {value}"));
        }
    }
    assert!(lines.len() > 10, "{text}");
    lines
}

/// A disk for UEFI: nothing has to be configured.
fn efi_disk(built: &Built) {
    let folder = built.0.path().join("EFI/BOOT");
    fs::create_dir_all(&folder).expect("the test's folder takes files");
    fs::rename(built.image(), folder.join("BOOTAA64.EFI")).expect("the test's folder takes files");
}

/// EDK2 gives a device tree where the machine has no ACPI tables.
const NO_ACPI: [&str; 2] = ["-machine", "acpi=off"];

/// EDK2 with what it was given besides the disk.
fn edk2(on: On, built: &Built, bundle: bool, args: &[&str]) -> Machine {
    let empty = built.0.path().join("empty");
    fs::create_dir_all(&empty).expect("the test's folder takes files");
    let path = |path: PathBuf| path.display().to_string();
    let machine =
        with_firmware(on, Firmware::Edk2, &empty).args(&["-kernel", &path(built.image())]).args(args);
    if bundle { machine.args(&["-initrd", &path(built.bundle())]) } else { machine }
}

system_tests! {
    fn u_boot_booti(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "u_boot_applies_on_raspi4b"] {
        booti(on);
    }

    /// U-Boot puts the plan into the tree before it starts Partita: by `fdt apply`, or property by property
    /// where it was built
    /// without that, as Debian 12's is for this machine.
    fn u_boot_merges(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        // Another overlay in the bundle: what runs is U-Boot's tree.
        let other = Built::new(3);
        fs::copy(other.bundle(), built.bundle()).expect("the test's folder takes files");
        let mut u_boot = UBoot::start(with_firmware(on, Firmware::UBoot, built.0.path()), "=> ");
        u_boot.line("help fdt");
        let applies = u_boot.machine.now().log.contains("fdt apply");
        u_boot.line("fdt addr $fdt_addr");
        u_boot.line("fdt resize 0x4000");
        if applies {
            u_boot.line("load virtio 0 $loadaddr plan.dtbo");
            u_boot.line("fdt apply $loadaddr");
        } else {
            fdt_commands(&built.overlay()).iter().for_each(|line| u_boot.line(line));
        }
        LOAD.iter().for_each(|line| u_boot.line(line));
        let outcome = u_boot.last(BOOTI);
        built.came_true(&outcome, 2);
        outcome.check(outcome.lines("partita").contains(&NOTE), "a note says whose plan it is");
    }

    /// Raspberry Pi 4's card as `partita image` makes it. U-Boot applies the overlay that is on it for the
    /// board's firmware.
    fn u_boot_applies_on_raspi4b(on)
        [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run]
    {
        let built = Built::plan_only("rpi4", 2);
        let card = built.0.path().join("sd.img");
        run(built.partita("image").arg("--no-firmware").arg("-o").arg(&card));
        let mut u_boot = UBoot::start(pi_with_u_boot(on, &card), "U-Boot> ");
        for line in [
            "fdt addr $fdt_addr",
            "fdt resize 0x4000",
            "load mmc 0 $scriptaddr overlays/partitions.dtbo",
            "fdt apply $scriptaddr",
            "load mmc 0 $kernel_addr_r kernel8.img",
            "load mmc 0 $ramdisk_addr_r bundle.cpio",
        ] {
            u_boot.line(line);
        }
        let outcome = u_boot.last(BOOTI);
        built.came_true(&outcome, 2);
        outcome.check(outcome.lines("partita").contains(&NOTE), "a note says whose plan it is");
    }

    /// U-Boot by itself, from the file that it looks for on every disk.
    fn u_boot_extlinux(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        fs::create_dir(built.0.path().join("extlinux")).expect("the test's folder takes files");
        let text = "label partita\n\tkernel /partita-image\n\tinitrd /bundle.cpio\n";
        fs::write(built.0.path().join("extlinux/extlinux.conf"), text).expect("the test's folder takes files");
        let outcome = with_firmware(on, Firmware::UBoot, built.0.path()).to_end();
        built.came_true(&outcome, 2);
    }

    /// U-Boot as UEFI firmware.
    fn u_boot_efi(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        efi_disk(&built);
        let outcome = with_firmware(on, Firmware::UBoot, built.0.path()).to_end();
        outcome.check(outcome.log.contains("bootaa64.efi"), "U-Boot started the application");
        built.came_true(&outcome, 2);
    }

    /// The bundle by another name, which the command line tells; the one that would be taken otherwise is
    /// spoilt.
    fn u_boot_efi_command_line(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        efi_disk(&built);
        fs::rename(built.bundle(), built.0.path().join("other.cpio")).expect("the test's folder takes files");
        fs::write(built.bundle(), "no bundle").expect("the test's folder takes files");
        let mut u_boot = UBoot::start(with_firmware(on, Firmware::UBoot, built.0.path()), "=> ");
        u_boot.line("load virtio 0 $kernel_addr_r EFI/BOOT/BOOTAA64.EFI");
        u_boot.line("setenv bootargs quiet initrd=/other.cpio");
        built.came_true(&u_boot.last("bootefi $kernel_addr_r $fdt_addr"), 2);
    }

    fn edk2_from_disk(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        efi_disk(&built);
        let outcome = with_firmware(on, Firmware::Edk2, built.0.path()).args(&NO_ACPI).to_end();
        built.came_true(&outcome, 2);
    }

    /// The bundle as the loader's initial RAM disk (LoadFile2).
    fn edk2_initrd(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        built.came_true(&edk2(on, &built, true, &NO_ACPI).to_end(), 2);
    }

    /// What cannot be started goes back to the firmware, with a reason.
    fn edk2_refusals(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        let refusals: [(&[&str], bool, &str); 3] = [
            (&[], true, "error: the firmware gives no device tree"),
            (&NO_ACPI, false, "error: no bundle: "),
            (&["-machine", "acpi=off,virtualization=off"], true, "error: entered at EL1"),
        ];
        for (args, bundle, words) in refusals {
            let mut machine = edk2(on, &built, bundle, args).limit(120).start();
            machine.wait_for(&format!("partita: {words}"));
        }
    }

    /// A tree that firmware merged, and a bundle without an overlay.
    fn merged_tree(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let built = Built::new(2);
        let merged = built.merged().display().to_string();
        let outcome = Machine::run(on, &merged).to_end();
        built.came_true(&outcome, 2);
        outcome.check(!outcome.log.contains("note: "), "nothing to note");
    }

    /// The same where the bundle has an overlay too, and where there is no bundle.
    fn merged_tree_and_overlay(on) [virt_gicv3: run, virt_gicv2: LOADER, raspi4b: LOADER] {
        let (built, other) = (Built::new(2), Built::new(3));
        let merged = built.merged().display().to_string();
        let outcome = qemu(on, &other.image(), Some(&other.bundle())).args(&["-dtb", &merged]).to_end();
        built.came_true(&outcome, 2);
        outcome.check(outcome.lines("partita").contains(&NOTE), "a note says whose plan it is");

        let outcome = qemu(on, &built.image(), None).args(&["-dtb", &merged]).limit(90).to_end();
        let said = outcome.lines("partita").join("\n");
        let words = "load the bundle as the initial RAM disk (the tree has the plan; the images that it names are in the \
                     bundle)";
        outcome.check(said.contains(words), "what is missing");
        outcome.check(outcome.status == Some(0), "the machine powered off by itself");
    }
}
