//! The program itself, with a file in place of physical memory: tree, mapping, and how it ends.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use partita_abi::supervision::{self, Life, Outcome, VERSION, registers, state};
use tempfile::TempDir;

use super::fake::{Image, metronome, vault};
use super::tree::make;

const BASE: u64 = 0x91_0000;
const AREAS: [u64; 2] = [BASE + 0x1000, BASE + 0x3000];

/// A machine: its tree, its memory, and what answers at the registers. In the end nobody answers any more.
struct World {
    folder: TempDir,
    memory: Arc<File>,
    gone: Arc<AtomicBool>,
    device: Option<JoinHandle<()>>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (base, first, second) = (BASE as u32, AREAS[0] as u32, AREAS[1] as u32);
        let reg = [0, base, 0, 0x1000, 0, first, 0, 0x2000, 0, second, 0, 0x2000];
        make(&folder.path().join("tree"), "supervisor@910000", &reg, b"metronome\0vault\0");
        let memory = folder.path().join("memory");
        let memory = File::options().read(true).write(true).create(true).truncate(true).open(memory);
        let memory = Arc::new(memory.expect("a file"));
        memory.set_len(BASE + 0x6000).expect("a file that is larger");
        let world = Self { folder, memory, gone: Arc::default(), device: None };
        for (at, value) in
            [(registers::MAGIC, supervision::MAGIC), (registers::VERSION, VERSION), (registers::COUNT, 2)]
        {
            put(&world.memory, BASE + at, value);
        }
        world.fill(0, &metronome()).fill(1, &vault())
    }

    fn fill(self, index: usize, image: &Image) -> Self {
        for (at, word) in (0..).step_by(8).zip(image.0.borrow().iter()) {
            put(&self.memory, AREAS[index] + at, *word);
        }
        self
    }

    /// Answers every command: it is so at once.
    fn answering(mut self) -> Self {
        let (memory, gone) = (Arc::clone(&self.memory), Arc::clone(&self.gone));
        self.device = Some(thread::spawn(move || {
            let mut count = 0;
            while !gone.load(Ordering::Relaxed) {
                let word = get(&memory, BASE + registers::COMMAND);
                if word != 0 {
                    let command = supervision::Command(word);
                    let life = AREAS[usize::from(command.index())] + 0x80;
                    let now = if command.request() == 1 { state::OFF } else { state::RUNNING };
                    let started = get(&memory, life + 0x10);
                    put(&memory, life + 0x10, started + 1);
                    put(&memory, life, u64::from(Life(u32::from(now)).0));
                    count += 1;
                    put(&memory, BASE + registers::COMMAND, 0);
                    put(&memory, BASE + registers::RESULT, Outcome::new(command, 0, count).0);
                }
                thread::sleep(Duration::from_micros(100));
            }
        }));
        self
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partitactl"));
        command.arg("--tree").arg(self.folder.path().join("tree"));
        command.arg("--memory").arg(self.folder.path().join("memory"));
        command.args(line.split_whitespace()).current_dir(self.folder.path());
        command
    }

    /// Exit status, output, what is said.
    fn run(&self, line: &str) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(line).output().expect("the program");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code(), text(&stdout), text(&stderr))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        if let Some(device) = self.device.take() {
            device.join().expect("the device");
        }
    }
}

fn put(file: &File, at: u64, word: u64) {
    file.write_all_at(&word.to_le_bytes(), at).expect("a write");
}

fn get(file: &File, at: u64) -> u64 {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, at).expect("a read");
    u64::from_le_bytes(word)
}

#[test]
fn it_maps_what_the_tree_names() {
    let world = World::new();
    let (status, out, said) = world.run("list");
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert!(out.starts_with("NAME       STATE    UPTIME"), "{out}");
    assert!(out.contains("\nmetronome  running") && out.contains("\nvault      failed"), "{out}");
    let (status, out, _) = world.run("crash vault");
    assert_eq!(status, Some(0));
    assert!(out.starts_with("vault: life 4: unexpected-exception, by its CPU 1\n"), "{out}");
}

#[test]
fn commands_reach_the_register() {
    let world = World::new().answering();
    assert_eq!(world.run("stop metronome"), (Some(0), String::new(), String::new()));
    assert_eq!(get(&world.memory, AREAS[0] + 0x80), 0);
    assert_eq!(world.run("restart vault metronome").0, Some(0));
    assert_eq!(get(&world.memory, AREAS[0] + 0x80), 2);
}

/// Several at once: each has its own answer.
#[test]
fn processes_take_turns() {
    let world = World::new().answering();
    let all: Vec<_> = (0..8)
        .map(|turn| world.command(if turn % 2 == 0 { "restart metronome" } else { "restart vault" }))
        .map(|mut command| command.spawn().expect("the program"))
        .collect();
    for mut child in all {
        assert!(child.wait().expect("an end").success());
    }
}

#[test]
fn errors_say_what_to_do() {
    let world = World::new();
    let (status, _, said) = world.run("list --tree /nowhere");
    assert_eq!(status, Some(1));
    assert!(
        said.contains("this partition manages nobody: give it `manages = \"NAME\"` in the overlay"),
        "{said}"
    );
    let (status, _, said) = world.run("list --memory nothing");
    assert!(
        status == Some(1) && said.contains("CONFIG_DEVMEM") && said.contains("mknod nothing c 1 1"),
        "{said}"
    );
    let (status, _, said) = world.run("list --memory /proc/version");
    assert!(
        status == Some(1) && said.contains("run this as root") || said.contains("/proc/version"),
        "{said}"
    );
    let (status, _, said) = world.run("frobnicate");
    assert!(status == Some(2) && said.contains("Usage"), "{said}");
    assert_eq!(world.run("stop").0, Some(2));
    assert_eq!(world.run("top -d 0").0, Some(2));
    assert_eq!(world.run("stop linux").0, Some(4));
    let (status, out, _) = world.run("--version");
    assert!(status == Some(0) && out.starts_with("partitactl 0."), "{out}");
    for command in
        ["list", "status", "is-active", "top", "stop", "start", "restart", "log", "crash", "metrics"]
    {
        let (status, out, _) = world.run(&format!("{command} --help"));
        assert!(status == Some(0) && out.contains("Usage: partitactl"), "{out}");
    }
}

/// Whoever stops reading ends it, and that is no error.
#[test]
fn a_reader_that_has_gone() {
    let world = World::new();
    let mut command = world.command("top -d 0.01");
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the program");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_log_is_followed() {
    use std::io::Read;
    let world = World::new();
    let mut command = world.command("log -f metronome");
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("the program");
    let mut out = child.stdout.take().expect("a pipe");
    let mut first = [0; 38];
    out.read_exact(&mut first).expect("the lines that are there");
    assert_eq!(&first[..], b"[metronome] tick 1\n[metronome] tick 2\n");
    let image = metronome();
    image.say("[metronome] tick 3\r\n");
    let world = world.fill(0, &image);
    let mut second = [0; 19];
    out.read_exact(&mut second).expect("the line that came");
    assert_eq!(&second[..], b"[metronome] tick 3\n");
    child.kill().expect("it goes on until it is ended");
    child.wait().expect("an end");
    drop(world);
}

/// The unit is good, and asks for nothing that the program cannot do.
#[test]
fn the_service_is_a_good_unit() {
    let unit = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/partitactl-metrics.service"),
    )
    .expect("the unit");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("ExecStart");
    let (program, args) = start.split_once(' ').expect("arguments");
    assert_eq!(program, "/usr/local/bin/partitactl");
    clap_accepts(args);
    let Ok(found) = Command::new("systemd-analyze").arg("--version").output() else {
        eprintln!("skipped in part: no systemd-analyze here");
        return;
    };
    assert!(found.status.success());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("partitactl-metrics.service");
    std::fs::write(&file, unit.replace(program, env!("CARGO_BIN_EXE_partitactl"))).expect("a file");
    let checked =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().expect("it runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    let about = said.lines().filter(|line| line.contains("partitactl")).collect::<Vec<_>>();
    assert!(about.is_empty() && checked.status.success(), "{said}");
}

fn clap_accepts(args: &str) {
    use clap::Parser;
    let words = ["partitactl"].into_iter().chain(args.split_whitespace());
    partitactl::args::Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
}
