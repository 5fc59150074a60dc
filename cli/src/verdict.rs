//! What the hypervisor's closing lines say of a run. Only lines that begin `partita: ` are its own: a guest's are
//! printed behind the partition's name.

use std::ops::ControlFlow;

use partita_model::lifecycle::PARKED;

use crate::failure::{Failure, Outcome};
use crate::lines::Lines;

/// Reads the console as it comes.
#[derive(Debug, Default)]
pub struct Verdict {
    lines: Lines,
    said_anything: bool,
    parked: bool,
    error: Option<String>,
    summaries: Vec<Summary>,
}

#[derive(Debug)]
struct Summary {
    name: String,
    failed: bool,
    cause: String,
}

impl Verdict {
    /// Takes what the machine has printed. `Break`: nothing more will come, and it cannot end by itself.
    pub fn see(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.said_anything |= !bytes.is_empty();
        let mut lines = std::mem::take(&mut self.lines);
        lines.take(bytes, |line| self.line(line));
        self.lines = lines;
        if self.parked { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn line(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("partita: summary: ") {
            self.summaries.extend(Summary::parse(summary));
        } else if let Some(error) = line.strip_prefix("partita: error: ") {
            self.error.get_or_insert_with(|| error.to_owned());
        } else if line.strip_prefix("partita: ") == Some(PARKED) {
            self.parked = true;
        }
    }

    /// The end of the run: the machine has ended with `status`, or was stopped because it is parked. `partitions` are
    /// those of the plan.
    pub fn end(mut self, partitions: &[&str], status: Option<std::process::ExitStatus>) -> Outcome<()> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.end(|line| self.line(line));
        if let Some(error) = self.error {
            return Err(Failure::input(format!("the hypervisor refused the plan: {error}")));
        }
        let failed: Vec<_> = self.summaries.iter().filter(|summary| summary.failed).collect();
        if !failed.is_empty() {
            let words: Vec<_> =
                failed.iter().map(|s| format!("partition {} failed ({})", s.name, s.cause)).collect();
            return Err(Failure::Partition(words.join("; ")));
        }
        let failed = status.is_some_and(|status| !status.success());
        let status = status.map_or_else(|| "it is parked".to_owned(), |status| status.to_string());
        let missing = |name: &&&str| self.summaries.iter().all(|summary| summary.name != ***name);
        let silent: Vec<_> = partitions.iter().filter(missing).copied().collect();
        match silent.as_slice() {
            [] => Ok(()),
            _ if failed && !self.said_anything => {
                Err(Failure::input(format!("QEMU could not start the machine ({status})")))
            }
            _ if self.summaries.is_empty() => Err(Failure::Partition(format!(
                "the machine ended without a summary of its partitions ({status})"
            ))),
            silent => Err(Failure::Partition(format!("the summary lacks {}", silent.join(", ")))),
        }
    }
}

impl Summary {
    fn parse(words: &str) -> Option<Self> {
        let (name, rest) = words.split_once(' ')?;
        let value = |key: &str| {
            rest.split_whitespace()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let state = value("state")?;
        let cause = value("cause").unwrap_or_else(|| "no cause given".to_owned()).replace('-', " ");
        Some(Self { name: name.to_owned(), failed: state != "off", cause })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn status_of(console: &str, partitions: &[&str], code: i32) -> u8 {
        let mut verdict = Verdict::default();
        // Byte by byte, as a slow console gives it.
        let mut parked = false;
        console.bytes().for_each(|byte| parked = verdict.see(&[byte]).is_break());
        verdict
            .end(partitions, (!parked).then(|| ExitStatus::from_raw(code << 8)))
            .map_or_else(|failure| failure.status(), |()| 0)
    }

    const LINUX_OFF: &str = "partita: summary: linux state=off cause=system-off irq=1 sgi=2 mmio=3\r\n";

    #[test]
    fn all_off_is_well() {
        let tick = "partita: summary: tick state=off cause=system-off irq=0\r\n";
        assert_eq!(status_of(&format!("hello\r\n{LINUX_OFF}{tick}"), &["linux", "tick"], 0), 0);
    }

    #[test]
    fn a_failed_or_unheard_partition_is_3() {
        let tick = "partita: summary: tick state=failed cause=no-memory irq=0";
        assert_eq!(status_of(&format!("{LINUX_OFF}{tick}"), &["linux", "tick"], 0), 3);
        assert_eq!(status_of(LINUX_OFF, &["linux", "tick"], 0), 3);
        assert_eq!(status_of("Booting\n", &["linux"], 0), 3);
    }

    #[test]
    fn a_parked_machine_is_at_its_end() {
        let seen = |console: String| Verdict::default().see(console.as_bytes()).is_break();
        assert!(seen(format!("{LINUX_OFF}partita: {PARKED}\r\n")));
        assert!(!seen(format!("{LINUX_OFF}[linux] partita: {PARKED}\r\n")));
        assert!(!seen(format!("partita: error: {PARKED}\r\npartita: {PARKED}, too\r\n")));
        assert_eq!(status_of(&format!("{LINUX_OFF}partita: {PARKED}\r\n"), &["linux"], 0), 0);
        assert_eq!(status_of(&format!("partita: error: no\r\npartita: {PARKED}\r\n"), &["linux"], 0), 1);
        assert_eq!(status_of(&format!("partita: {PARKED}\r\n"), &["linux"], 0), 3);
    }

    #[test]
    fn a_guest_cannot_speak_for_the_hypervisor() {
        let forged = "[linux] partita: summary: linux state=off cause=system-off\n";
        assert_eq!(status_of(forged, &["linux"], 0), 3);
        assert_eq!(status_of(&format!("[linux] partita: error: x\n{LINUX_OFF}"), &["linux"], 0), 0);
    }

    #[test]
    fn a_refused_plan_and_a_machine_that_does_not_start_are_1() {
        assert_eq!(status_of("partita: error: /partitions/a: kernel: x\n", &["a"], 0), 1);
        assert_eq!(status_of("", &["a"], 1), 1);
    }
}
