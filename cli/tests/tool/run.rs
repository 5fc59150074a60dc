//! `partita run`: how a run's end becomes an exit status, and that nothing is left behind.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::world::World;

const RUN: &str = "run good.dtso --platform qemu-virt";
const FIRST: &str = "partita: summary: first state=off cause=system-off irq=1 sgi=0 mmio=2\r\n";
const SECOND: &str = "partita: summary: second state=off cause=system-off irq=1 sgi=0 mmio=2\r\n";

fn world(console: &str) -> World {
    let world = World::new();
    world.write("console", console.as_bytes());
    world
}

fn is_running(pid: &str) -> bool {
    // A zombie, not yet waited for by whoever adopted it, does not run any more.
    let state = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    state.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Waits until the machine runs and returns its process number.
fn pid(world: &World) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let pid = fs::read_to_string(world.path("pid")).unwrap_or_default().trim().to_owned();
        if !pid.is_empty() {
            return pid;
        }
        assert!(Instant::now() < deadline, "the machine does not start");
        thread::sleep(Duration::from_millis(20));
    }
}

fn gone(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running(pid) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    !is_running(pid)
}

fn signal(child: &Child, name: &str) {
    // The shell's own: a small system has no program of that name.
    let kill = std::process::Command::new("sh").args(["-c", &format!("kill {name} {}", child.id())]).status();
    assert!(kill.expect("kill").success());
}

#[test]
fn all_off_is_0_and_the_console_is_standard_output() {
    let console = format!("[first] hello\r\n{FIRST}{SECOND}");
    let (out, err) = world(&console).expect(0, RUN);
    assert_eq!((out, err), (console, String::new()));
}

#[test]
fn a_failed_partition_is_3() {
    let failed = "partita: summary: second state=failed cause=bad-fetch irq=1\r\n";
    let (_, err) = world(&format!("{FIRST}{failed}")).expect(3, RUN);
    assert_eq!(err, "error: partition second failed (bad fetch)\n");
    let (_, err) = world("[first] bye\r\n").expect(3, RUN);
    assert!(err.starts_with("error: the machine ended without a summary of its partitions"), "{err}");
    let (_, err) = world(FIRST).expect(3, RUN);
    assert_eq!(err, "error: the summary lacks second\n");
}

#[test]
fn a_plan_that_the_hypervisor_refuses_is_1() {
    let (_, err) = world("partita: error: /partitions/first: kernel: is bad\r\n").expect(1, RUN);
    assert_eq!(err, "error: the hypervisor refused the plan: /partitions/first: kernel: is bad\n");
}

#[test]
fn a_machine_that_does_not_start_is_1() {
    let world = World::new();
    world.write("status", b"1");
    let (_, err) = world.expect(1, RUN);
    assert!(err.starts_with("error: QEMU could not start the machine"), "{err}");
}

#[test]
fn the_time_out_is_124_and_ends_the_machine() {
    let world = world("");
    world.write("hang", b"");
    let (_, err) = world.expect(124, &format!("{RUN} --timeout 1"));
    assert_eq!(err, "error: the machine was stopped after 1 s (--timeout)\n");
    assert!(gone(&pid(&world)));
}

#[test]
fn a_signal_is_130_and_ends_the_machine() {
    for name in ["-INT", "-TERM"] {
        let world = world("");
        world.write("hang", b"");
        let mut child =
            world.command(RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the tool");
        let pid = pid(&world);
        assert!(is_running(&pid));
        signal(&child, name);
        assert_eq!(child.wait().expect("the tool").code(), Some(130));
        assert!(gone(&pid), "{name}");
    }
}

#[test]
fn a_killed_tool_leaves_no_machine() {
    let world = world("");
    world.write("hang", b"");
    let mut child = world.command(RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the tool");
    let pid = pid(&world);
    child.kill().expect("kill");
    child.wait().expect("the tool");
    assert!(gone(&pid));
}

#[test]
fn options_reach_qemu_and_the_log_is_kept() {
    let world = world(&format!("[second] tick\n{FIRST}{SECOND}"));
    world.expect(0, &format!("{RUN} --cpu max --gic 2 --icount --gdb=4321 --log-dir log -- -m 2G"));
    let args = fs::read_to_string(world.path("args")).expect("the arguments").replace('\n', " ");
    for part in [
        "-M virt,gic-version=2 -smp 4 -cpu max ",
        "-chardev stdio,id=console,signal=off",
        "-serial chardev:console -m 2G",
        "-kernel log/partita-image -initrd log/bundle.cpio",
        "-icount shift=0,sleep=off",
        "-gdb tcp:127.0.0.1:4321 -S",
    ] {
        assert!(args.contains(part), "no {part:?} in {args}");
    }
    let log = fs::read_to_string(world.path("plans/log/serial.log")).expect("the log");
    assert!(log.starts_with("[second] tick\n"), "{log}");
    for name in ["qemu.sh", "plan.txt", "good.dtso", "partita-image", "bundle.cpio"] {
        assert!(world.path(&format!("plans/log/{name}")).is_file(), "{name}");
    }
}

#[test]
fn a_terminal_s_keys_reach_the_machine_and_the_terminal_is_restored() {
    let world = world("ready\n");
    world.write("typed", b"");
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&pty).expect("a terminal");
    unlockpt(&pty).expect("a terminal");
    let name = ptsname(&pty, Vec::new()).expect("its name").into_string().expect("its name");
    let open = || File::options().read(true).write(true).open(&name).expect("the terminal");
    let before = tcgetattr(open()).expect("its modes");
    let mut command = world.command(RUN);
    let mut child = command.stdin(open()).stdout(open()).stderr(Stdio::null()).spawn().expect("the tool");
    drop(command);
    let mut keyboard = File::from(pty);
    let mut screen = Vec::new();
    while !String::from_utf8_lossy(&screen).contains("ready") {
        let mut bytes = [0; 256];
        let count = keyboard.read(&mut bytes).expect("the screen");
        screen.extend(&bytes[..count]);
    }
    // Ctrl-C, Ctrl-] and a line are the guest's; Ctrl-A Ctrl-A is one Ctrl-A; Ctrl-A x ends the machine.
    keyboard.write_all(b"\x03\x1dls\r\x01\x01").expect("the keyboard");
    let deadline = Instant::now() + Duration::from_secs(10);
    let typed = || fs::read(world.path("typed")).unwrap_or_default();
    while typed().len() < 6 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(typed(), b"\x03\x1dls\r\x01");
    keyboard.write_all(b"\x01x").expect("the keyboard");
    assert_eq!(child.wait().expect("the tool").code(), Some(130));
    assert!(gone(&pid(&world)));
    let after = tcgetattr(open()).expect("its modes");
    assert_eq!(
        (after.local_modes, after.input_modes, after.output_modes),
        (before.local_modes, before.input_modes, before.output_modes)
    );
}

/// Runs to the end on a terminal of 10 lines, which all three streams are: what it shows, byte for byte.
fn shown(world: &World, args: &str) -> String {
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&pty).expect("a terminal");
    unlockpt(&pty).expect("a terminal");
    let name = ptsname(&pty, Vec::new()).expect("its name").into_string().expect("its name");
    let open = || File::options().read(true).write(true).open(&name).expect("the terminal");
    let size = Winsize { ws_row: 10, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(open(), size).expect("a size");
    let mut command = world.command(args);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let mut child = command.stdin(open()).stdout(open()).stderr(open()).spawn().expect("the tool");
    drop(command);
    let mut screen = Vec::new();
    let mut bytes = [0; 4096];
    let mut terminal = File::from(pty);
    // A terminal whose other end is closed gives an error.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        screen.extend(&bytes[..count]);
    }
    assert_eq!(child.wait().expect("the tool").code(), Some(0));
    String::from_utf8(screen).expect("text")
}

/// What is drawn stands between a saved cursor and its return; the rest is the console's, whole and in order.
#[test]
fn the_last_line_of_a_terminal_has_the_partitions_states() {
    let console = format!(
        "[first] hello\npartita: second: failed: told; starts again, restart 7\n[second] x\n{FIRST}{SECOND}"
    );
    let world = world(&console);
    let screen = shown(&world, RUN);
    assert!(screen.contains("\x1b7\x1b[1;9r\x1b8"), "{screen:?}");
    let last = "\x1b[10;1H\x1b[7mfirst: off 0s | second: off 0s, 7 restarts\x1b[m\x1b[K\x1b8";
    assert!(screen.contains(last), "{screen:?}");
    assert!(
        screen.contains("\x1b7\x1b[r\x1b[10;1H\x1b[K\x1b8"),
        "the whole terminal scrolls again: {screen:?}"
    );
    let mut rest = screen.split("\x1b7").next().unwrap_or_default().to_owned();
    for piece in screen.split("\x1b7").skip(1) {
        rest += piece.split_once("\x1b8").expect("the cursor returns").1;
    }
    let all = console.replace("\r\n", "\n").replace('\n', "\r\n");
    assert!(rest.replace("\r\r\n", "\r\n").contains(&all), "{rest:?}");

    for without in [format!("{RUN} --no-status"), format!("{RUN} -q")] {
        assert!(!shown(&world, &without).contains("\x1b[1;9r"), "{without}");
    }
}
