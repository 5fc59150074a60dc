//! QEMU's command line for a platform, and the tree that this machine hands over. Starting the machine for a plan is
//! `cmd::run`'s work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::failure::{Failure, Outcome};
use crate::ui::Ui;
use crate::{project, tool};

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
    platform: Vec<String>,
    extra: Vec<String>,
}

impl Machine {
    /// Reads a platform's `qemu.args`: words between blanks; a line that begins with `#` is a comment. `gic` is the
    /// version of the interrupt controller if the user wants another than the platform's.
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
        Ok(Self { platform: args, extra: options.extra.clone() })
    }

    /// The arguments, with this as the first serial port: a second one of the user's makes a second UART.
    pub fn args(&self, serial: &str) -> Vec<String> {
        let own = ["-display", "none", "-monitor", "none", "-serial", serial].map(str::to_owned);
        self.platform.iter().cloned().chain(own).chain(self.extra.iter().cloned()).collect()
    }

    /// The tree that the machine hands over. QEMU is asked once; the answer is kept in the cache under the arguments
    /// and the emulator's identity.
    pub fn tree(&self, ui: Ui) -> Outcome<Vec<u8>> {
        let missing = || tool::cannot_start(QEMU, &std::io::ErrorKind::NotFound.into());
        let program = tool::find(QEMU).ok_or_else(missing)?;
        let folder = project::cache().join("trees");
        let kept = folder.join(format!("{}.dtb", self.key(&program)));
        if let Ok(tree) = fs::read(&kept) {
            return Ok(tree);
        }
        fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
        let fresh = folder.join(format!("new-{}.dtb", std::process::id()));
        let mut command = Command::new(&program);
        command.args(self.args("null")).arg("-machine");
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

    fn key(&self, program: &Path) -> String {
        let mut hash = Sha256::new();
        hash.update(program.as_os_str().as_encoded_bytes());
        if let Ok(metadata) = fs::metadata(program) {
            let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            hash.update(format!("\0{}\0{:?}", metadata.len(), changed));
        }
        for word in self.args("null") {
            hash.update(b"\0");
            hash.update(word);
        }
        hex(&hash.finalize()[..16])
    }
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

    fn read(text: &str, options: &Options, gic: Option<u8>) -> Outcome<Machine> {
        let folder = tempfile::tempdir().unwrap();
        let file = args_file(folder.path());
        fs::write(&file, text).unwrap();
        Machine::read(&file, options, gic)
    }

    #[test]
    fn words_comments_and_the_core_are_read() {
        let options = Options { cpu: Some("max".into()), extra: vec!["-m".into(), "2G".into()] };
        let machine = read("-M virt\n# all\n-cpu cortex-a72\n-smp 4\n", &options, None).unwrap();
        let own = "-display none -monitor none -serial null";
        assert_eq!(machine.args("null").join(" "), format!("-M virt -cpu max -smp 4 {own} -m 2G"));
    }

    #[test]
    fn the_interrupt_controller_is_chosen() {
        let with = |text, gic| read(text, &Options::default(), Some(gic)).map(|machine| machine.args("null"));
        assert_eq!(
            with("-M virt,gic-version=3,virtualization=on", 2).unwrap()[1],
            "virt,virtualization=on,gic-version=2"
        );
        assert_eq!(with("-smp 2 -machine virt", 3).unwrap()[3], "virt,gic-version=3");
        assert_eq!(with("-M raspi4b", 2).unwrap_err().status(), 2);
    }
}
