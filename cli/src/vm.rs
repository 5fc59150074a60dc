//! One QEMU process: its console to our standard output and to a log, our terminal to its console, and an end in
//! every case. The emulator dies with us: by its own end, by the time-out, by a signal, or by our death.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::console::{Escape, Key, RawTerminal};
use crate::failure::{Failure, Outcome};
use crate::machine::QEMU;
use crate::tool;
use crate::ui::Ui;

/// How often signals and the clock are looked at while the console is silent.
const TICK: Duration = Duration::from_millis(50);

/// What a machine is started with.
pub struct Start<'a> {
    /// QEMU's arguments.
    pub args: &'a [String],
    /// Seconds until it is stopped.
    pub timeout: Option<u64>,
    /// Where its console is kept.
    pub log: Option<File>,
    /// Who tells what is run.
    pub ui: Ui,
}

/// Who looks on.
pub trait Watch {
    /// The machine has printed this. `Break`: it is to be stopped.
    fn see(&mut self, bytes: &[u8]) -> ControlFlow<()>;
    /// What it has printed is on standard output by now, or it has printed nothing for a moment.
    fn tick(&mut self);
}

/// Runs a machine to its end, and returns its status. Everything it prints goes to standard output and to `watch`; when that
/// says `Break` the machine is stopped, and there is no status.
pub fn run(start: Start<'_>, watch: &mut impl Watch) -> Outcome<Option<ExitStatus>> {
    let signals = signals()?;
    let terminal = RawTerminal::enter();
    let mut command = command();
    command.args(start.args).stdout(Stdio::piped());
    command.stdin(if terminal.is_some() { Stdio::piped() } else { Stdio::null() });
    // Its own process group: a Ctrl-C in the shell reaches us alone, and we end all of it at once.
    command.process_group(0);
    start.ui.command(&command);
    let mut child = command.spawn().map_err(|error| tool::cannot_start(QEMU, &error))?;
    let quit = Arc::new(AtomicBool::new(false));
    if let Some(input) = child.stdin.take() {
        let quit = Arc::clone(&quit);
        thread::spawn(move || type_in(input, &quit));
    }
    let output = read(&mut child);
    let mut machine = Running { child };
    let deadline = start.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut log = start.log;
    let mut stdout = io::stdout();
    loop {
        match output.recv_timeout(TICK) {
            Ok(bytes) => {
                let seen = watch.see(&bytes);
                if let Some(log) = &mut log {
                    log.write_all(&bytes).map_err(|error| Failure::input(format!("the log: {error}")))?;
                }
                // Nobody reads us any more: there is no one to run for.
                stdout.write_all(&bytes).and_then(|()| stdout.flush()).map_err(|_| Failure::Interrupted)?;
                watch.tick();
                if seen.is_break() {
                    return Ok(None);
                }
            }
            Err(RecvTimeoutError::Timeout) => watch.tick(),
            // Its output is closed: most often it has ended, but it need not have.
            Err(RecvTimeoutError::Disconnected) => match machine.child.try_wait() {
                Ok(Some(status)) => {
                    // The keyboard's end may have ended the machine before its wish was read.
                    return if quit.load(Ordering::Relaxed) {
                        Err(Failure::Interrupted)
                    } else {
                        Ok(Some(status))
                    };
                }
                Ok(None) => thread::sleep(TICK),
                Err(error) => return Err(tool::cannot_start(QEMU, &error)),
            },
        }
        if signals.load(Ordering::Relaxed) || quit.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        if let (Some(deadline), Some(seconds)) = (deadline, start.timeout)
            && Instant::now() >= deadline
        {
            return Err(Failure::TimedOut(seconds));
        }
    }
}

/// A flag that the signals to stop us set, instead of ending us at once.
fn signals() -> Outcome<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(|error| Failure::Missing(format!("signal {signal} cannot be handled: {error}")))?;
    }
    Ok(flag)
}

/// QEMU, by way of setpriv where there is one, so that it dies with us even when we are killed.
fn command() -> Command {
    if !tool::is_installed("setpriv") {
        return Command::new(QEMU);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", QEMU]);
    command
}

fn read(child: &mut Child) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::sync_channel(64);
    if let Some(mut pipe) = child.stdout.take() {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    receive
}

/// The terminal's keys to the machine, until either end closes.
fn type_in(mut machine: ChildStdin, quit: &AtomicBool) {
    let mut escape = Escape::default();
    let mut byte = [0; 1];
    while let Ok(1) = io::stdin().read(&mut byte) {
        match escape.press(byte[0]) {
            Key::Send(byte) => {
                if machine.write_all(&[byte]).is_err() {
                    return;
                }
            }
            Key::Wait => {}
            Key::Quit => {
                quit.store(true, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// A process that does not outlive this value.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // An error means that it has ended in this moment.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
