//! A project of its own for each test: a root with one platform, a cargo and a QEMU that are shell scripts, and a
//! folder with plans and images.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Hands out its ELF file as if it had built it.
const CARGO: &str = r#"#!/bin/sh
echo "{\"reason\":\"compiler-artifact\",\"executable\":\"$PARTITA_ROOT/hypervisor.elf\"}"
"#;

/// Gives the board's tree when asked for it; else prints what the test wants and ends, or hangs, or takes what is
/// typed.
const QEMU: &str = r#"#!/bin/sh
for word in "$@"; do
    case $word in
    dumpdtb=*) cp "$PARTITA_ROOT/board.dtb" "${word#dumpdtb=}"; exit 0 ;;
    esac
done
echo $$ > "$PARTITA_ROOT/pid"
printf '%s\n' "$@" > "$PARTITA_ROOT/args"
[ ! -f "$PARTITA_ROOT/console" ] || cat "$PARTITA_ROOT/console"
[ ! -f "$PARTITA_ROOT/typed" ] || exec cat > "$PARTITA_ROOT/typed"
[ ! -f "$PARTITA_ROOT/hang" ] || exec sleep 600
exit "$(cat "$PARTITA_ROOT/status" 2>/dev/null || echo 0)"
"#;

/// A project in a scratch folder.
pub struct World {
    folder: TempDir,
}

impl World {
    /// A project with the plans of tests/plans and two images.
    pub fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a scratch folder") };
        for folder in ["platforms/qemu-virt", "scripts", "bin", "cache", "plans"] {
            fs::create_dir_all(world.path(folder)).expect("a folder");
        }
        world.write("platforms/qemu-virt/qemu.args", b"-M virt\n# a comment\n-smp 4\n");
        world.script("scripts/cargo", CARGO);
        world.script("bin/qemu-system-aarch64", QEMU);
        world.write("hypervisor.elf", &elf());
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
        for entry in fs::read_dir(sources).expect("tests/plans").flatten() {
            fs::copy(entry.path(), world.path("plans").join(entry.file_name())).expect("a copy");
        }
        world.write("plans/first.bin", &[1; 5000]);
        world.write("plans/second.bin", &[2; 3000]);
        let board = ["-q", "-I", "dts", "-O", "dtb", "-o", "board.dtb", "plans/board.dts"];
        let dtc = Command::new("dtc").args(board).current_dir(world.folder.path()).status();
        assert!(dtc.expect("dtc").success());
        world
    }

    /// A file of the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file");
    }

    /// Writes a program of the project.
    pub fn script(&self, name: &str, text: &str) {
        self.write(name, text.as_bytes());
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// The tool, to be run in the folder with the plans.
    pub fn command(&self, args: &str) -> Command {
        let mut path = self.path("bin").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(env!("CARGO_BIN_EXE_partita"));
        command.args(args.split_whitespace()).current_dir(self.path("plans")).stdin(Stdio::null());
        command.env("PARTITA_ROOT", self.folder.path()).env("PARTITA_CACHE", self.path("cache"));
        command.env("PATH", path).env_remove("CARGO_TARGET_DIR").env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the tool to its end.
    pub fn run(&self, args: &str) -> Output {
        self.command(args).output().expect("the tool")
    }

    /// Runs the tool, which must end with this status, and returns standard output and error.
    pub fn expect(&self, status: i32, args: &str) -> (String, String) {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "partita {args}\n{out}\n{err}");
        (out, err)
    }
}

/// Compares with a file of tests/expected; with `BLESS=1` the file is written instead.
pub fn expected(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    if env::var_os("BLESS").is_some() {
        fs::write(file, text).expect("a file");
        return;
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, wanted, "differs from {name}; BLESS=1 takes it as it is now");
}

/// The smallest hypervisor: one segment with an arm64 Image header that asks for 1 MiB.
fn elf() -> Vec<u8> {
    let mut file = vec![0_u8; 0x40];
    file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    file[16..20].copy_from_slice(&[2, 0, 183, 0]);
    file[20] = 1;
    file[0x20] = 0x40;
    file[0x34..0x3a].copy_from_slice(&[64, 0, 56, 0, 1, 0]);
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0x78_u64, 0x20_0000, 0x20_0000, 0x40, 0x10_0000, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    let mut image = [0_u8; 0x40];
    image[16..24].copy_from_slice(&0x10_0000_u64.to_le_bytes());
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    file.extend(image);
    file
}
