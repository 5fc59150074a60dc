//! QEMU's command line for a platform, and the tree that this machine hands over. Starting the machine for a plan is
//! `cmd::run`'s work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::failure::{Failure, Outcome};
use crate::ui::Ui;
use crate::{kit, project, tool};

/// What a word of `qemu.args` begins with that names a file beside it or, where there is none, an image of the kit.
const IMAGES: &str = "{images}/";

/// The emulator's name.
pub const QEMU: &str = "qemu-system-aarch64";

/// What the user asks of the machine beyond its platform's folder.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The core's name.
    pub cpu: Option<String>,
    /// Further arguments.
    pub extra: Vec<String>,
}

/// A machine: QEMU's arguments without kernel, initrd and console.
#[derive(Clone, Debug)]
pub struct Machine {
    folder: PathBuf,
    platform: Vec<String>,
    extra: Vec<String>,
}

impl Machine {
    /// Reads a platform's `qemu.args`: words between blanks; a line that begins with `#` is a comment; `{images}/NAME`
    /// is an image. `gic` is the version of the interrupt controller if the user wants another than the platform's.
    pub fn read(file: &Path, options: &Options, gic: Option<u8>) -> Outcome<Self> {
        let text = fs::read_to_string(file).map_err(|error| Failure::file(file, &error))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut args: Vec<String> = lines.flat_map(str::split_whitespace).map(str::to_owned).collect();
        if let Some(cpu) = &options.cpu {
            match args.iter().position(|word| word == "-cpu") {
                Some(at) if at + 1 < args.len() => args[at + 1].clone_from(cpu),
                _ => args.extend(["-cpu".to_owned(), cpu.clone()]),
            }
        }
        if let Some(gic) = gic {
            let machine = args.iter().position(|word| word == "-M" || word == "-machine");
            match machine.and_then(|at| args.get_mut(at + 1)) {
                Some(machine) if machine.split(',').next() == Some("virt") => {
                    let kept = machine.split(',').filter(|option| !option.starts_with("gic-version="));
                    *machine = format!("{},gic-version={gic}", kept.collect::<Vec<_>>().join(","));
                }
                _ => {
                    let message =
                        format!("--gic {gic}: this platform's machine has no choice of controllers");
                    return Err(Failure::Usage(message));
                }
            }
        }
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, platform: args, extra: options.extra.clone() })
    }

    /// The arguments, with this as the next serial port after those of the platform: one more of the user's makes
    /// another UART. Images that they name are fetched where they are missing.
    pub fn args(&self, serial: &str, ui: Ui) -> Outcome<Vec<String>> {
        let own = ["-display", "none", "-monitor", "none", "-serial", serial].map(str::to_owned);
        let words = self.platform.iter().map(|word| match word.strip_prefix(IMAGES) {
            Some(name) => Ok(self.image(name, ui)?.display().to_string()),
            None => Ok(word.clone()),
        });
        words.chain(own.into_iter().chain(self.extra.iter().cloned()).map(Ok)).collect()
    }

    /// A file of the platform's folder or, where it has none of this name, of the kit.
    pub fn image(&self, name: &str, ui: Ui) -> Outcome<PathBuf> {
        let beside = self.folder.join(name);
        if beside.is_file() {
            return Ok(beside);
        }
        let shown = ui.progress(format!("looking for {name}"));
        let (root, cache) = (project::root(), project::cache());
        let progress = |doing: &str| shown.say(doing);
        let options = kit::Options {
            root: &root,
            cache: &cache,
            offline: ui.offline(),
            partitactl: None,
            progress: &progress,
        };
        kit::ensure(name, options)
            .map_err(|error| Failure::input(format!("{}: {error}", args_file(&self.folder).display())))
    }

    /// The tree that the machine hands over. QEMU is asked once; the answer is kept in the cache under the arguments
    /// and the emulator's identity.
    pub fn tree(&self, ui: Ui) -> Outcome<Vec<u8>> {
        let missing = || tool::cannot_start(QEMU, &std::io::ErrorKind::NotFound.into());
        let program = tool::find(QEMU).ok_or_else(missing)?;
        let folder = project::cache().join("trees");
        let mut args = self.args("null", ui)?;
        // Any kernel will do, but without one some machines wait for firmware, and have another tree.
        args.extend(["-kernel".to_owned(), args_file(&self.folder).display().to_string()]);
        let kept = folder.join(format!("{}.dtb", key(&program, &args)));
        if let Ok(tree) = fs::read(&kept) {
            return Ok(tree);
        }
        fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
        let fresh = folder.join(format!("new-{}.dtb", std::process::id()));
        let mut command = Command::new(&program);
        command.args(&args).arg("-machine");
        // In QEMU's option syntax a comma is written twice.
        command.arg(format!("dumpdtb={}", fresh.display().to_string().replace(',', ",,")));
        ui.command(&command);
        let output = tool::output(&mut command, QEMU)?;
        let tree = fs::read(&fresh);
        if !output.status.success() || tree.is_err() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::input(format!("QEMU refuses the machine: {}", words.trim_end())));
        }
        fs::rename(&fresh, &kept).map_err(|error| Failure::file(&kept, &error))?;
        tree.map_err(|error| Failure::file(&fresh, &error))
    }
}

/// What a tree depends on: the emulator, its arguments and the files among them.
fn key(program: &Path, args: &[String]) -> String {
    let mut hash = Sha256::new();
    hash.update(program.as_os_str().as_encoded_bytes());
    if let Ok(metadata) = fs::metadata(program) {
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hash.update(format!("\0{}\0{:?}", metadata.len(), changed));
    }
    for pair in args.windows(2) {
        hash.update(b"\0");
        hash.update(&pair[0]);
        hash.update(b"\0");
        hash.update(&pair[1]);
        if pair[0] == "-dtb" {
            hash.update(fs::read(&pair[1]).unwrap_or_default());
        }
    }
    hex(&hash.finalize()[..16])
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a platform says how QEMU plays it.
pub fn args_file(folder: &Path) -> PathBuf {
    folder.join("qemu.args")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Voice;

    fn read(text: &str, options: &Options, gic: Option<u8>) -> Outcome<Machine> {
        let folder = tempfile::tempdir().unwrap();
        let file = args_file(folder.path());
        fs::write(&file, text).unwrap();
        Machine::read(&file, options, gic)
    }

    fn args(machine: &Machine) -> Vec<String> {
        machine.args("null", Ui::new(Voice { quiet: true, verbose: 0, offline: true })).unwrap()
    }

    #[test]
    fn images_are_found_beside_the_arguments_or_in_the_kit() {
        let folder = tempfile::tempdir().unwrap();
        let file = args_file(folder.path());
        fs::write(&file, "-dtb {images}/board.dtb").unwrap();
        let machine = Machine::read(&file, &Options::default(), None).unwrap();
        let ui = Ui::new(Voice { quiet: true, verbose: 0, offline: true });
        let refused = machine.args("null", ui).unwrap_err();
        let words = "board.dtb is not an image of the kit";
        assert!(matches!(&refused, Failure::Input(report) if report.message.contains(words)), "{refused:?}");
        let tree = folder.path().join("board.dtb");
        fs::write(&tree, "one").unwrap();
        let found = args(&machine);
        assert_eq!(found[1], tree.display().to_string());
        let before = key(Path::new("/qemu"), &found);
        fs::write(&tree, "two").unwrap();
        assert_ne!(before, key(Path::new("/qemu"), &found));
    }

    #[test]
    fn words_comments_and_the_core_are_read() {
        let options = Options { cpu: Some("max".into()), extra: vec!["-m".into(), "2G".into()] };
        let machine = read("-M virt\n# all\n-cpu cortex-a72\n-smp 4\n", &options, None).unwrap();
        let own = "-display none -monitor none -serial null";
        assert_eq!(args(&machine).join(" "), format!("-M virt -cpu max -smp 4 {own} -m 2G"));
    }

    #[test]
    fn the_interrupt_controller_is_chosen() {
        let with = |text, gic| read(text, &Options::default(), Some(gic)).map(|machine| args(&machine));
        assert_eq!(
            with("-M virt,gic-version=3,virtualization=on", 2).unwrap()[1],
            "virt,virtualization=on,gic-version=2"
        );
        assert_eq!(with("-smp 2 -machine virt", 3).unwrap()[3], "virt,gic-version=3");
        assert_eq!(with("-M raspi4b", 2).unwrap_err().status(), 2);
    }
}
