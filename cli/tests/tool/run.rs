//! `partita run`: how a run's end becomes an exit status, and that nothing is left behind.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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
    let kill = std::process::Command::new("kill").args([name, &child.id().to_string()]).status();
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
    world.expect(0, &format!("{RUN} --cpu max --gic 3 --icount --gdb=4321 --log-dir log -- -m 2G"));
    let args = fs::read_to_string(world.path("args")).expect("the arguments").replace('\n', " ");
    for part in [
        "-M virt -smp 4 -cpu max ",
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
