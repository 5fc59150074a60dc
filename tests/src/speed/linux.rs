//! Debian's kernel for virtual machines with busybox beside it: what a piece of work costs at EL2, and what idling does.

use std::path::PathBuf;

use super::counts::Counter;
use super::image::plan;
use super::{CPU, Figures, ICOUNT, Path};
use crate::xen::{CODE, Guest, Xen};
use crate::{Machine, On, Outcome, firmware, native_image};

const PLAN: &str = "tests/system/bench-linux.dtso";
/// How long the idle one sleeps, in seconds of the machine's time.
const SLEEP: u64 = 20;

/// What the shell is told that is /init: the work, sleep, interrupts so far, the end. In the kernel's command line a
/// word with spaces is in quotes, and what follows `--` is for init (Linux, init/main.c).
fn bootargs(sleep: u64) -> String {
    let words = [
        "export PATH=/bin",
        "/bin/busybox --install -s /bin",
        "mount -t proc proc /proc",
        "mount -t devtmpfs dev /dev",
        "dd if=/dev/zero bs=1M count=64 | md5sum",
        &format!("sleep {sleep}"),
        "cat /proc/interrupts",
        "poweroff -f",
    ];
    // The same addresses in every run.
    format!("console=ttyAMA0 quiet nokaslr rdinit=/bin/sh -- -c \"{}\"", words.join("; "))
}

/// Has the tool fetch the kernel and make the initramfs, as it does when it looks at the plan.
///
/// # Errors
/// Why they cannot be had.
pub fn linux_kit(on: On) -> Result<(), String> {
    plan(on, PLAN, &[]).map(drop)
}

fn images() -> [PathBuf; 2] {
    ["vmlinuz", "initramfs.cpio.gz"].map(|name| firmware::cache().join("images").join(name))
}

/// The sum of 64 MiB of zeros.
const SUM: &str = "7f614da9329cd3aebf59b91aadc30bf0";

/// The work without a hypervisor.
pub fn linux_alone(on: On) -> Figures {
    let counter = Counter::new();
    let [option, plugin] = counter.args();
    let [kernel, initrd] = images();
    let kernel = std::fs::read(kernel).expect("the kernel can be read");
    let machine = native_image(on, &kernel, CPU, 1, &bootargs(0)).args(&ICOUNT);
    let outcome =
        machine.args(&["-initrd", &initrd.display().to_string(), &option, &plugin]).limit(120).to_end();
    worked(&outcome, outcome.log.lines());
    share(&counter).unwrap_or_else(|why| outcome.fail(&why))
}

/// The work in a partition, and the exits of an idle one.
pub fn linux(on: On, cpu: &str, path: Path) -> Figures {
    let counter = Counter::new();
    let [option, plugin] = counter.args();
    let busy = run(on, cpu, path, 0, &["-smp", "1", &option, &plugin]);
    let mut figures = share(&counter).unwrap_or_else(|why| busy.fail(&why));
    let idle = run(on, cpu, path, SLEEP, &["-smp", "1"]);
    // All but the time asleep is the same in both.
    let [before, after] = [&busy, &idle].map(|outcome| exits(outcome).saturating_sub(interrupts(outcome)));
    figures.insert("linux-idle-exits".to_owned(), after.saturating_sub(before));
    figures
}

fn run(on: On, cpu: &str, path: Path, sleep: u64, args: &[&str]) -> Outcome {
    let words = bootargs(sleep).replace('"', "\\\"");
    let bootargs = format!("bootargs = \"{words}\"");
    let outcome = Machine::run_changed(on, PLAN, &[path.change(), ("bootargs = \"\"", &bootargs)])
        .args(&["--cpu", cpu, "--icount", "--"])
        .args(args)
        .limit(120)
        .to_end();
    worked(&outcome, outcome.lines("linux").into_iter());
    outcome
}

fn worked<'a>(outcome: &Outcome, mut lines: impl Iterator<Item = &'a str>) {
    outcome.check(lines.any(|line| line.starts_with(SUM)), "the work was done");
}

/// The exits of a partition, of all kinds.
fn exits(outcome: &Outcome) -> u64 {
    let words = outcome
        .summary("linux")
        .split(' ')
        .filter(|word| !word.starts_with("dma=") && !word.starts_with("restarts="));
    words.filter_map(|word| word.split_once('=')?.1.parse::<u64>().ok()).sum()
}

/// The guest's own count of what has to come to it: interrupts and IPIs.
fn interrupts(outcome: &Outcome) -> u64 {
    let lines = outcome.lines("linux").into_iter();
    let of_one_core = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?.strip_suffix(':')?;
        (name != "Err").then_some(words.next()?.parse::<u64>().ok()?)
    });
    of_one_core.sum()
}

/// From the kernel's first instruction at its own addresses to the end.
fn share(counter: &Counter) -> Result<Figures, String> {
    let notes = counter.notes();
    let at = |what: &str| notes.iter().find(|note| note.what == what)?.counts.first().copied();
    let (Some(kernel), Some(end)) = (at("kernel"), at("end")) else {
        return Err("no kernel was seen, or no end".to_owned());
    };
    let (el2, other) = (end.el2 - kernel.el2, end.other - kernel.other);
    Ok([("linux-el2", el2), ("linux-all", el2 + other), ("linux-share", el2 * 100_000 / (el2 + other))]
        .map(|(name, value)| (name.to_owned(), value))
        .into())
}

/// The work as the only guest of Xen.
///
/// # Errors
/// Why there are no figures.
pub fn linux_xen(on: On, xen: &Xen) -> Result<Figures, String> {
    let [kernel, initrd] = images();
    let counter = Counter::of(CODE);
    let [option, plugin] = counter.args();
    let bootargs = bootargs(0);
    let guest = Guest { kernel: &kernel, initrd: Some(&initrd), bootargs: &bootargs, cores: 1, mib: 256 };
    // Xen goes on when its guest has ended: idle, in the computer's time and not in leaps, so that this is nothing beside.
    let args = ["-icount", "shift=0", &option, &plugin];
    let lines = xen.run(on, guest, &args, 240, |line| line.ends_with("reboot: Power down"))?;
    if !lines.iter().any(|line| line.starts_with(SUM)) {
        return Err("Xen's guest did not do its work".to_owned());
    }
    share(&counter)
}
