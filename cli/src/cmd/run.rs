//! `partita run`: boots a plan on QEMU, as a board's boot loader would.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::Path;

use super::build::{BUNDLE, IMAGE};
use super::{folder, write};
use crate::args::RunCommand;
use crate::bar::Bar;
use crate::bare;
use crate::failure::{Failure, Outcome};
use crate::machine::{Options, QEMU};
use crate::report;
use crate::session::Session;
use crate::ui::Ui;
use crate::verdict::Verdict;
use crate::vm::{self, Start, Watch};

/// The console on our standard streams. Ctrl-C must reach the guest, so QEMU may not take it for a signal.
const CONSOLE: [&str; 2] = ["-chardev", "stdio,id=console,signal=off"];

/// Runs a plan until every partition is off.
pub fn run(args: &RunCommand, ui: Ui) -> Outcome<()> {
    let options = Options { cpu: args.cpu.clone(), extra: args.qemu.clone() };
    let image = bare::hypervisor(ui)?;
    let session = Session::open(&args.plan, &options, Some(&image), ui)?;
    let Some(machine) = &session.board.machine else {
        let message =
            "QEMU does not play this platform (its folder has no qemu.args); use build or image instead";
        return Err(Failure::Usage(message.to_owned()));
    };
    // Gone at the end, unless the user wants to keep it.
    let scratch =
        tempfile::tempdir().map_err(|error| Failure::input(format!("a scratch folder: {error}")))?;
    let place = args.log_dir.as_deref().unwrap_or(scratch.path());
    folder(place)?;
    write(&place.join(IMAGE), &image)?;
    write(&place.join(BUNDLE), &session.bundle()?)?;

    let mut qemu: Vec<String> = CONSOLE.map(str::to_owned).to_vec();
    qemu.extend(machine.args("chardev:console", ui)?);
    for (option, file) in [("-kernel", place.join(IMAGE)), ("-initrd", place.join(BUNDLE))] {
        qemu.extend([option.to_owned(), file.display().to_string()]);
    }
    if let Some(tree) = &session.board.foreign_tree {
        qemu.extend(["-dtb".to_owned(), tree.display().to_string()]);
    }
    if args.icount {
        qemu.extend(["-icount", "shift=0,sleep=off"].map(str::to_owned));
    }
    if let Some(port) = args.gdb {
        qemu.extend(["-gdb".to_owned(), format!("tcp:127.0.0.1:{port}"), "-S".to_owned()]);
        ui.note(&format!("waiting for a debugger: target remote 127.0.0.1:{port}"));
    }
    let log = args.log_dir.as_deref().map(|folder| keep(folder, &session, &qemu)).transpose()?;
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        ui.note("Ctrl-] then ? tells the console's keys; Ctrl-A x stops the machine");
    }
    let names: Vec<_> = session.plan.partitions.iter().map(|partition| partition.name.as_str()).collect();
    // A partition that owns the board's UART may do anything to the terminal, and the hypervisor says nothing on it.
    let wanted = !args.no_status && session.plan.uart_owner().is_none();
    let bar = if wanted { Bar::new(names.iter().copied(), ui) } else { None };
    let mut watch = Watcher { verdict: Verdict::default(), bar };
    let status = vm::run(Start { args: &qemu, timeout: args.timeout, log, ui }, &mut watch);
    let Watcher { verdict, bar } = watch;
    // Before anything else is said.
    drop(bar);
    let status = status?;
    // A partition that owns the board's UART leaves the hypervisor without a place for its summary.
    let expected: &[&str] = if session.plan.uart_owner().is_some() { &[] } else { &names };
    verdict.end(expected, status)
}

/// What looks on: for the exit status, and for the user.
struct Watcher {
    verdict: Verdict,
    bar: Option<Bar>,
}

impl Watch for Watcher {
    fn see(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        if let Some(bar) = &mut self.bar {
            bar.see(bytes);
        }
        self.verdict.see(bytes)
    }

    fn tick(&mut self) {
        if let Some(bar) = &mut self.bar {
            bar.tick();
        }
    }
}

/// What a person needs who looks at the run later; the console's log is returned open.
fn keep(folder: &Path, session: &Session, qemu: &[String]) -> Outcome<File> {
    let quoted: Vec<_> = qemu.iter().map(|word| quote(word)).collect();
    write(&folder.join("qemu.sh"), format!("exec {QEMU} {}\n", quoted.join(" ")).as_bytes())?;
    write(&folder.join("plan.txt"), report::text(session).as_bytes())?;
    let name = session.source.path.file_name().map_or_else(|| "plan".into(), |name| name.to_owned());
    let copy = folder.join(name);
    // The log folder may be the plan's own: then the plan is there already.
    if copy.canonicalize().ok() != session.source.path.canonicalize().ok() || !copy.exists() {
        fs::copy(&session.source.path, &copy).map_err(|error| Failure::file(&copy, &error))?;
    }
    let path = folder.join("serial.log");
    File::create(&path).map_err(|error| Failure::file(&path, &error))
}

/// A word as a shell reads it.
fn quote(word: &str) -> String {
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=+.,:/@".contains(c)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(super::quote("virt,gic-version=3"), "virt,gic-version=3");
        assert_eq!(super::quote("it's here"), r"'it'\''s here'");
        assert_eq!(super::quote(""), "''");
    }
}
