//! One machine: a run of `partita run`, or of QEMU itself where a test must hand it something that `partita` never would.
//! It has a time limit from its start, and ends with its test in every case.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use crate::console::{Console, lines_of};
use crate::debugger::Debugger;
use crate::firmware::{self, Firmware};
use crate::slots::Slot;
use crate::{On, Target, build, guest};

/// How long a machine may run, if the test does not say. A busy computer boots Linux in a minute.
const LIMIT: Duration = Duration::from_secs(240);
/// How long `partita` gets to end QEMU before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// All of the machine's cores on one thread, for machines whose PCI functions change their decoding: where each core has its
/// own, QEMU 10.0 now and then takes a core's load from one function's registers to another's (seen in its trace: a load of
/// core 1 at its own function arrives at that of core 0).
pub const ONE_THREAD: [&str; 2] = ["-accel", "tcg,thread=single"];
/// A device that copies memory by DMA as it is told. QEMU's usual mask of its addresses does not reach memory.
pub const EDU: [&str; 2] = ["-device", "edu,dma_mask=0xffffffffff"];

const QEMU: &str = "qemu-system-aarch64";
/// The debugger's socket in the test's folder.
const SOCKET: &str = "gdb";

/// A command that dies with us, even if we are killed: by way of setpriv, where there is one.
fn tied(program: &OsStr) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// How a machine ended.
pub struct Outcome {
    /// Exit status; none if it was killed.
    pub status: Option<i32>,
    /// All of its console.
    pub log: String,
    /// What the tool said beside the console.
    pub said: String,
}

impl Outcome {
    /// Fails the test with everything that is known.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}\nexit status: {:?}\n--- stderr\n{}\n--- console\n{}", self.status, self.said, self.log)
    }

    /// Fails the test unless `holds`.
    #[track_caller]
    pub fn check(&self, holds: bool, why: &str) {
        if !holds {
            self.fail(why);
        }
    }

    /// The lines of a partition, or of `partita`.
    pub fn lines(&self, who: &str) -> Vec<&str> {
        lines_of(&self.log, who)
    }

    /// How many reports of a metronome there are.
    pub fn reports(&self, who: &str) -> usize {
        let report = |line: &&str| line.starts_with("tick ") && line.contains(" lateness min/mean/max = ");
        self.lines(who).into_iter().filter(report).count()
    }

    /// The summary of each partition: its line after `summary: NAME `.
    #[track_caller]
    pub fn summary(&self, name: &str) -> &str {
        let mark = format!("summary: {name} ");
        let found = self.lines("partita").into_iter().find_map(|line| line.strip_prefix(mark.as_str()));
        found.unwrap_or_else(|| self.fail(&format!("no summary of {name}")))
    }
}

/// A machine to be started.
pub struct Machine {
    command: Command,
    limit: Duration,
    folder: TempDir,
}

/// A machine that runs.
pub struct Running {
    child: Child,
    console: Console,
    said: Console,
    keyboard: Option<File>,
    deadline: Instant,
    folder: TempDir,
    _slot: Slot,
}

impl Machine {
    /// `partita run` with a plan, named from the project's root, or the target's own in its place ([`On`]).
    pub fn run(on: On, plan: &str) -> Machine {
        Machine::run_changed(on, plan, &[])
    }

    /// The same with its text changed first: each pair of `changes` is what to replace and by what.
    pub fn run_changed(on: On, plan: &str, changes: &[(&str, &str)]) -> Machine {
        let path = on.plan(plan);
        let changes = [changes, &on.changes(&path)].concat();
        if changes.is_empty() {
            return Machine::run_file(on, &path);
        }
        let mut machine = Machine::new(tied(build::partita().as_os_str()));
        machine.command.arg("run").args(on.args());
        let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{plan}: {error}"));
        for (from, to) in changes {
            assert!(text.contains(from), "{} has no {from}", path.display());
            text = text.replace(from, to);
        }
        let changed = machine.folder.path().join(path.file_name().expect("a plan is a file"));
        std::fs::write(&changed, text).expect("the test's folder takes files");
        machine.command.arg(changed);
        machine
    }

    /// `partita run` with a plan as it is.
    pub fn run_file(on: On, plan: &Path) -> Machine {
        let mut machine = Machine::new(tied(build::partita().as_os_str()));
        machine.command.arg("run").args(on.args()).arg(plan);
        machine
    }

    fn new(command: Command) -> Machine {
        let folder = TempDir::new().expect("a folder for the test");
        Machine { command, limit: LIMIT, folder }
    }

    /// Puts a file into the test's own folder, and lets the plan's images be looked for there.
    pub fn image(mut self, name: &str, bytes: &[u8]) -> Machine {
        std::fs::write(self.folder.path().join(name), bytes).expect("the test's folder takes files");
        if !self.command.get_args().any(|arg| arg == "--images") {
            self.command.arg("--images").arg(self.folder.path());
        }
        self
    }

    /// More arguments.
    pub fn args(mut self, args: &[&str]) -> Machine {
        self.command.args(args);
        self
    }

    /// Lets [`Running::debugger`] look into it. To be said last: QEMU's own arguments end the tool's.
    pub fn debugged(self) -> Machine {
        self.args(&["--"]).stub()
    }

    /// The same for QEMU itself.
    pub fn stub(mut self) -> Machine {
        let socket = self.folder.path().join(SOCKET);
        self.command.arg("-gdb").arg(format!("unix:{},server=on,wait=off", socket.display()));
        self
    }

    /// Another time limit, in seconds.
    pub fn limit(mut self, seconds: u64) -> Machine {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Starts it without a terminal.
    pub fn start(mut self) -> Running {
        let slot = Slot::take();
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = self.spawn(slot, None);
        running.console.read(running.child.stdout.take().expect("stdout is a pipe"));
        running
    }

    /// Starts it on a terminal, so that the test can type.
    pub fn start_on_terminal(mut self) -> Running {
        let slot = Slot::take();
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a pseudo-terminal that we may use");
        let path = ptsname(&ours, Vec::new()).expect("the terminal's name");
        let path = PathBuf::from(path.into_string().expect("the terminal's name is text"));
        let theirs: OwnedFd =
            OpenOptions::new().read(true).write(true).open(path).expect("the terminal opens").into();
        self.command.stdin(theirs.try_clone().expect("a second handle")).stdout(theirs);
        let ours = File::from(ours);
        let running = self.spawn(slot, Some(ours.try_clone().expect("a second handle")));
        running.console.read(ours);
        running
    }

    fn spawn(mut self, slot: Slot, keyboard: Option<File>) -> Running {
        self.command.stderr(Stdio::piped()).process_group(0).current_dir(build::root());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        // Its copies of the terminal would keep that open after the process has ended.
        drop(self.command);
        let said = Console::default();
        said.read(child.stderr.take().expect("stderr is a pipe"));
        let deadline = Instant::now() + self.limit;
        Running {
            child,
            console: Console::default(),
            said,
            keyboard,
            deadline,
            folder: self.folder,
            _slot: slot,
        }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn to_end(self) -> Outcome {
        self.start().end()
    }
}

impl Running {
    /// Waits until the console has `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        if !self.console.wait(self.deadline, |all| all.contains(text)) {
            self.now().fail(&format!("no \"{text}\" on the console"));
        }
    }

    /// Waits until a line with `text` in it is on the console, with its end.
    #[track_caller]
    pub fn wait_for_line(&mut self, text: &str) {
        self.wait_until(&format!("a line with \"{text}\""), |all| {
            all.split_inclusive('\n').any(|line| line.ends_with('\n') && line.contains(text))
        });
    }

    /// Waits until `found` likes what is on the console.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, found: impl Fn(&str) -> bool) {
        if !self.console.wait(self.deadline, found) {
            self.now().fail(&format!("{what}: not so"));
        }
    }

    /// Waits until `found` likes what is on the console, until there will be no more, or until the time is over. Whether it
    /// does.
    pub fn watch(&mut self, found: impl Fn(&str) -> bool) -> bool {
        self.console.wait(self.deadline, found)
    }

    /// Waits until it has ended, or until the time is over: its exit status.
    pub fn wait_end(&mut self) -> Option<i32> {
        let in_time = self.console.wait_closed(self.deadline);
        // It closes its console just before it ends.
        let end = Instant::now() + GRACE;
        while in_time && Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Types.
    #[track_caller]
    pub fn type_text(&mut self, text: &str) {
        let keyboard = self.keyboard.as_mut().expect("started on a terminal");
        keyboard.write_all(text.as_bytes()).expect("the terminal takes keys");
    }

    /// What is known so far.
    pub fn now(&mut self) -> Outcome {
        let status = self.child.try_wait().ok().flatten().and_then(|status| status.code());
        Outcome { status, log: self.console.text(), said: self.said.text() }
    }

    /// Waits for its end; a machine that does not end in time fails the test.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        let in_time = self.console.wait_closed(self.deadline);
        while in_time && Instant::now() < self.deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.said.wait_closed(Instant::now() + GRACE);
                return Outcome { status: status.code(), log: self.console.text(), said: self.said.text() };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.now().fail("the machine did not end in time")
    }

    /// Stops a machine that was started [`Machine::debugged`], for good, and looks into it.
    pub fn debugger(&self) -> Debugger {
        Debugger::connect(&self.folder.path().join(SOCKET))
    }

    /// Has the victim of an attack, the plan's second partition, say its last words and power off: `q` on its console, which
    /// Ctrl-] and its number choose: a line that another partition has begun on the console by then is ended there.
    pub fn end_victim(&mut self) {
        self.type_text("\u{1d}2");
        self.type_text("q");
    }

    /// The folder of the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // `partita` ends its QEMU when asked to end, and QEMU ends by itself when `partita` is killed.
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// QEMU itself with a hypervisor image and a bundle, as `partita build` made them and a test has then changed them.
pub fn qemu(on: On, image: &Path, bundle: Option<&Path>) -> Machine {
    let mut command = platform(on);
    command.arg("-kernel").arg(image);
    if let Some(bundle) = bundle {
        command.arg("-initrd").arg(bundle);
    }
    Machine::new(command)
}

/// The same machine, started by a boot loader, which finds a folder's files on a FAT disk.
pub fn with_firmware(on: On, firmware: Firmware, folder: &Path) -> Machine {
    let mut command = platform(on);
    command.arg("-bios").arg(firmware.image()).args(firmware::disk(folder));
    Machine::new(command)
}

/// Raspberry Pi 4 with a card, started by U-Boot. The kit must have the board's tree.
pub fn pi_with_u_boot(on: On, card: &Path) -> Machine {
    let mut command = platform(on);
    command.arg("-drive").arg(format!("if=sd,format=raw,file={}", card.display()));
    command.arg("-kernel").arg(Firmware::UBootPi.image());
    Machine::new(command)
}

/// QEMU with the arguments of a target's platform.
fn platform(on: On) -> Command {
    let path = build::root().join("platforms").join(on.target().platform()).join("qemu.args");
    let words = std::fs::read_to_string(path).expect("a platform has qemu.args");
    let images = firmware::cache().join("images").display().to_string();
    let mut command = tied(OsStr::new(QEMU));
    for line in words.lines().filter(|line| !line.starts_with('#')) {
        command.args(line.split_ascii_whitespace().map(|word| word.replace("{images}", &images)));
    }
    command.args(match on.target() {
        Target::VirtGicv3 => &[][..],
        Target::VirtGicv2 => &["-M", "gic-version=2"],
        Target::Raspi4b => &["-display", "none", "-monitor", "none", "-serial", "stdio"],
    });
    command
}

/// QEMU itself, with nothing but the arguments that a test gives it.
pub fn emulator(_: On) -> Machine {
    Machine::new(tied(OsStr::new(QEMU)))
}

/// A guest alone on QEMU's virt machine at EL1, without Partita.
pub fn native(on: On, program: &str, cpu: &str, cores: usize, bootargs: &str) -> Machine {
    native_image(on, &guest(program), cpu, cores, bootargs)
}

/// The same with an image that is not one of the project's guests.
pub fn native_image(on: On, image: &[u8], cpu: &str, cores: usize, bootargs: &str) -> Machine {
    let mut machine = Machine::new(tied(OsStr::new(QEMU)));
    let kernel = machine.folder.path().join("kernel");
    std::fs::write(&kernel, image).expect("the test's folder takes files");
    let gic = if on.target() == Target::VirtGicv2 { "virt,gic-version=2" } else { "virt,gic-version=3" };
    machine.command.args(["-M", gic, "-m", "256M", "-nographic", "-nic", "none"]);
    machine
        .command
        .args(["-cpu", cpu, "-smp", &cores.to_string(), "-append", bootargs, "-kernel"])
        .arg(kernel);
    machine
}
