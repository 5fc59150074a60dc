//! Cores that get no time: QEMU's threads for them run only while another core's does not.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long they are starved, and how long not, in turn. Always, and a computer that has other work to do would never come
/// to them.
const PHASE: Duration = Duration::from_millis(100);

/// As long as it is there, all cores' threads share one core of the computer, and all but one of them starve half of the time.
pub(super) struct Starved {
    over: Arc<AtomicBool>,
    work: Option<JoinHandle<()>>,
}

impl Starved {
    /// `threads`: of the cores in their order, of which `fed` is the one that has its time always.
    pub(super) fn new(threads: &[String], fed: usize) -> Starved {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
        let allowed =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list");
        let core = allowed.trim().split([',', '-']).next().expect("the first");
        threads.iter().for_each(|thread| assert!(run("taskset", &["-pc", core, thread]), "taskset {thread}"));
        let mut hungry = threads.to_vec();
        hungry.remove(fed);
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&over);
        let work = std::thread::spawn(move || {
            while !asked.load(Ordering::Relaxed) {
                // Who may not take it back starves them throughout.
                for policy in ["--idle", "--other"] {
                    hungry.iter().for_each(|thread| _ = run("chrt", &[policy, "-p", "0", thread]));
                    std::thread::sleep(PHASE);
                }
            }
        });
        Starved { over, work: Some(work) }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.work.take().map(JoinHandle::join);
    }
}

/// A program of util-linux, which is part of every system; whether it did what it was told.
fn run(program: &str, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}")).status.success()
}
