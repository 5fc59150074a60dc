//! A card for Raspberry Pi 4: mtools takes its files off, and QEMU's raspi4b gets those that its config.txt names, as the
//! board's firmware would load them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use partita_tests::{ABOUT_THE_BOARD, On, Outcome, emulator, partita, root, system_tests};
use tempfile::TempDir;

/// Where `partita image` lets the partition begin; its own tests read that from the partition table.
const PARTITION: &str = "@@4M";

struct Card {
    folder: TempDir,
}

#[track_caller]
fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Card {
    fn new(plan: &str) -> Card {
        let card = Card { folder: TempDir::new().expect("a folder for the test") };
        let mut image = Command::new(partita());
        done(image.args(["image", "-q", "--no-firmware", "-o"]).arg(card.image()).arg(root().join(plan)));
        fs::create_dir(card.file("")).expect("a folder");
        let place = format!("{}{PARTITION}", card.image().display());
        let mut copy = Command::new("mcopy");
        done(
            copy.args(["-s", "-n", "-Q", "-i", &place, "::"]).arg(card.file("")).env("MTOOLSRC", "/dev/null"),
        );
        card
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("sd.img")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// What config.txt says: `NAME=VALUE`, and `initramfs FILE WHERE`.
    fn config(&self) -> HashMap<String, String> {
        let text = fs::read_to_string(self.file("config.txt")).expect("config.txt");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('=').or_else(|| line.split_once(' ')));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn boot(&self, on: On, tree: &Path) -> Outcome {
        let config = self.config();
        let (bundle, place) = config["initramfs"].split_once(' ').expect("initramfs FILE WHERE");
        assert_eq!(place, "followkernel");
        let text = |path: PathBuf| path.to_str().expect("a path of text").to_owned();
        let (kernel, bundle) = (text(self.file(&config["kernel"])), text(self.file(bundle)));
        let drive = format!("if=sd,format=raw,snapshot=on,file={}", self.image().display());
        emulator(on)
            .args(&["-M", "raspi4b", "-m", "2G", "-display", "none", "-monitor", "none"])
            // QEMU's GICv2 does not see that an interrupt has come again while a guest ended it through a
            // list register,
            // before anything else happens at the GIC: a core that wakes by its timer alone would sleep for
            // ever. With
            // time counted by instructions no tick is so late.
            .args(&["-icount", "shift=0,sleep=off"])
            .args(&["-serial", "null", "-serial", "stdio", "-drive", &drive])
            .args(&["-kernel", &kernel, "-initrd", &bundle, "-dtb", &text(tree.to_owned())])
            .to_end()
    }
}

#[track_caller]
fn ran(outcome: &Outcome) {
    outcome.check(outcome.status == Some(0), "the board powered itself off");
    for who in ["metronome", "presto"] {
        let count = outcome.reports(who);
        outcome.check(count == 10, &format!("10 reports of {who}"));
        outcome
            .check(outcome.summary(who).starts_with("state=off cause=system-off "), "it powered itself off");
    }
}

system_tests! {
    fn its_own_files_boot_on_raspi4b(on)
        [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run]
    {
        let card = Card::new("platforms/rpi4/unikernels.dtso");
        ran(&card.boot(on, &card.file(&card.config()["device_tree"])));
    }

    /// The firmware's `dtoverlay=`: the tree comes with a plan in it, which counts, and not that of the
    /// bundle.
    fn a_tree_that_the_firmware_merged_boots_too(on)
        [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run]
    {
        let card = Card::new("platforms/rpi4/unikernels.dtso");
        let merged = card.file("merged.dtb");
        let text = fs::read_to_string(card.file("config.txt")).expect("config.txt");
        let name = text.lines().find_map(|line| line.strip_prefix("#dtoverlay=")).expect("config.txt offers it");
        let mut merge = Command::new("fdtoverlay");
        merge.arg("-i").arg(card.file(&card.config()["device_tree"])).arg("-o").arg(&merged);
        done(merge.arg(card.file("overlays").join(name).with_extension("dtbo")));
        let change =
            ["-t", "s", &merged.display().to_string(), "/partitions/metronome", "bootargs", "hz=500 reports=10"];
        done(Command::new("fdtput").args(change));
        let outcome = card.boot(on, &merged);
        ran(&outcome);
        let period = outcome.lines("metronome").contains(&"metronome: period 125000 ticks at 62500000 Hz");
        outcome.check(period, "the bootargs of the merged tree");
    }
}
