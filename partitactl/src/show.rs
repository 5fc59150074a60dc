//! The forms in which partitions are shown: a list, a status, rates, and the same as JSON.

use partita_abi::supervision::{CAUSES, KINDS, TOLD, state};
use serde_json::{Value, json};

use crate::area::{self, Snapshot};
use crate::device::Supervisor;
use crate::io::Output;
use crate::table::Table;
use crate::text::{count, rate, span};

/// The moment at which everything is shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    now: u64,
    frequency: u64,
}

/// Partitions at a moment.
pub struct Look {
    /// The counter then.
    pub at: u64,
    /// All that could be read.
    pub partitions: Vec<Snapshot>,
}

impl View {
    /// As of now.
    pub fn now(from: &Supervisor) -> Self {
        Self { now: from.device.now(), frequency: from.device.frequency().max(1) }
    }

    /// Seconds between two values of the counter; none of a time that is yet to come.
    fn between(&self, from: u64, to: u64) -> f64 {
        to.saturating_sub(from) as f64 / self.frequency as f64
    }

    /// Seconds since then, if it ever was.
    pub fn since(&self, then: u64) -> Option<f64> {
        (then != 0).then(|| self.between(then, self.now))
    }

    /// How long it has been running, if it is.
    pub fn uptime(&self, partition: &Snapshot) -> Option<f64> {
        self.since(partition.started).filter(|_| partition.is_running())
    }

    /// A table.
    pub fn list(&self, all: &[Snapshot], output: &Output<'_>) -> String {
        let mut table = Table::new(&["NAME", "STATE", "UPTIME", "RESTARTS", "CAUSE"], usize::MAX);
        for partition in all {
            table.row(vec![
                partition.name.clone(),
                output.state(&partition.state()),
                self.uptime(partition).map_or_else(|| "-".to_owned(), span),
                partition.restarts.to_string(),
                cause(partition).unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        table.text()
    }

    /// All of one partition.
    pub fn status(&self, partition: &Snapshot, lines: &[String], output: &Output<'_>) -> String {
        let state = output.state(&partition.state());
        let ago = |then| self.since(then).map(|seconds| format!(" since {}", span(seconds)));
        let since = match partition.life.state() {
            state::RUNNING => ago(partition.started),
            state::OFF | state::FAILED => ago(partition.ended),
            _ => None,
        };
        let mut text = format!("{}\n", partition.name);
        let mut row = |name: &str, value: String| text += &format!("{name:>12}: {value}\n");
        row("State", format!("{state}{}", since.unwrap_or_default()));
        if let Some(cause) = cause(partition) {
            row(if partition.is_running() { "Ended last" } else { "Cause" }, cause);
        }
        match partition.life.0 >> 24 {
            1 if partition.life.state() == state::STOPPING => row("Next", "it is started again".to_owned()),
            2 if partition.life.state() == state::STOPPING => row("Next", "it stays off".to_owned()),
            _ => {}
        }
        row("Restarts", partition.restarts.to_string());
        row(
            "Failures",
            match (partition.failures, self.since(partition.failed)) {
                (0, _) | (_, None) => partition.failures.to_string(),
                (failures, Some(seconds)) => {
                    format!(
                        "{failures}, the last one {} ago: {}",
                        span(seconds),
                        area::cause(partition.failure)
                    )
                }
            },
        );
        let refused = count(partition.refused, "request");
        row("Refused", format!("{refused} of its own; DMA of its devices {} times", partition.dma));
        row("Interrupts", (if partition.direct { "direct" } else { "mediated" }).to_owned());
        for (number, cpu) in partition.cpus.iter().enumerate() {
            let exits: Vec<String> =
                KINDS.iter().zip(cpu.exits).map(|(kind, exits)| format!("{kind} {exits}")).collect();
            row(&format!("CPU {number}"), format!("exits {}; beats {}", exits.join(", "), cpu.beats));
        }
        if !lines.is_empty() {
            text.push('\n');
            lines.iter().for_each(|line| text += &format!("{line}\n"));
        }
        text
    }

    /// The same as JSON.
    pub fn json(&self, partition: &Snapshot) -> Value {
        let exits = |counts: &area::Counts| {
            let pairs = KINDS.iter().zip(counts.exits);
            pairs.map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect::<serde_json::Map<_, _>>()
        };
        let cpus: Vec<Value> =
            partition.cpus.iter().map(|cpu| json!({ "exits": exits(cpu), "beats": cpu.beats })).collect();
        let last = (partition.failures != 0)
            .then(|| json!({ "cause": area::cause(partition.failure), "ago": self.since(partition.failed) }));
        json!({
            "name": partition.name,
            "state": partition.state(),
            "cause": partition.cause(),
            "by": manager(partition),
            "uptime": self.uptime(partition),
            "restarts": partition.restarts,
            "failures": partition.failures,
            "last-failure": last,
            "direct": partition.direct,
            "refused": partition.refused,
            "dma-refused": partition.dma,
            "exits": exits(&partition.total()),
            "beats": partition.total().beats,
            "cpus": cpus,
        })
    }

    /// What each did per second between two looks: exits by kind, then beats.
    fn per_second<'a>(&self, before: &Look, now: &'a Look) -> Vec<(&'a Snapshot, Vec<f64>)> {
        let seconds = self.between(before.at, now.at).max(1e-9);
        let of = |partition: &'a Snapshot| {
            let earlier = before.partitions.iter().find(|other| other.name == partition.name);
            let (from, to) = (earlier.unwrap_or(partition).total(), partition.total());
            let pairs = from.exits.iter().zip(to.exits).chain([(&from.beats, to.beats)]);
            (partition, pairs.map(|(from, to)| to.saturating_sub(*from) as f64 / seconds).collect())
        };
        now.partitions.iter().map(of).collect()
    }

    /// Rates as a table.
    pub fn top(&self, before: &Look, now: &Look, output: &Output<'_>) -> String {
        let running = now.partitions.iter().filter(|partition| partition.is_running()).count();
        let of = count(now.partitions.len() as u64, "partition");
        let seconds = self.between(before.at, now.at);
        let mut table = Table::new(
            &[
                "NAME", "STATE", "UPTIME", "RESTARTS", "EXITS/S", "IRQ", "SGI", "MMIO", "SYSREG", "PSCI",
                "HVC", "OTHER", "BEATS",
            ],
            2,
        );
        for (partition, rates) in self.per_second(before, now) {
            let all: f64 = rates.iter().take(KINDS.len()).sum();
            let mut cells = vec![
                partition.name.clone(),
                output.state(&partition.state()),
                self.uptime(partition).map_or_else(|| "-".to_owned(), span),
                partition.restarts.to_string(),
                rate(all),
            ];
            cells.extend(rates.into_iter().map(rate));
            table.row(cells);
        }
        format!("{of}, {running} running; per second, over {seconds:.1} s\n\n{}", table.text())
    }

    /// Rates as JSON.
    pub fn rates(&self, before: &Look, now: &Look) -> Vec<Value> {
        let of = |(partition, rates): (&Snapshot, Vec<f64>)| {
            let names = KINDS.iter().copied().chain(["beats"]);
            let rates: serde_json::Map<String, Value> =
                names.zip(rates).map(|(name, rate)| (name.to_owned(), json!(rate))).collect();
            let mut value = self.json(partition);
            value["per-second"] = Value::Object(rates);
            value
        };
        self.per_second(before, now).into_iter().map(of).collect()
    }
}

/// Which of those who manage it said so, where somebody did: a number, in the overlay's order from 1.
fn manager(partition: &Snapshot) -> Option<u32> {
    (partition.life.cause() == TOLD).then_some(partition.life.0 >> 16 & 0xff)
}

/// The cause in words.
fn cause(partition: &Snapshot) -> Option<String> {
    let cause = partition.cause()?;
    debug_assert!(CAUSES.len() > usize::from(TOLD));
    Some(match manager(partition) {
        Some(number) => format!("{cause} by its manager {number}"),
        None => cause,
    })
}
