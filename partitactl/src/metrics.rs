//! All figures as Prometheus reads them: its text format, version 0.0.4. Names follow its conventions: base units, `_total` for
//! what only grows.

use std::time::SystemTime;

use partita_abi::supervision::{KINDS, state};
use serde_json::{Value, json};

use crate::area::{self, Snapshot};
use crate::show::View;

/// A figure of one kind, of everybody.
pub struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// A partition by its name, and what could be read of it.
type Read<'a> = (&'a str, Option<Snapshot>);

/// All figures. `refused` is what this partition was refused, `clock` the time of day of the view.
pub fn families(view: &View, refused: u64, all: &[Read<'_>], clock: SystemTime) -> Vec<Family> {
    let clock = clock.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let read: Vec<&Snapshot> = all.iter().filter_map(|(_, partition)| partition.as_ref()).collect();
    let each = |name, kind, help, value: &dyn Fn(&Snapshot) -> Option<f64>| {
        let sample = |partition: &&Snapshot| Some((vec![label(&partition.name)], value(partition)?));
        Family { name, kind, help, samples: read.iter().filter_map(sample).collect() }
    };
    let ago = |then| view.since(then).map(|seconds| clock - seconds);
    let readable = all.iter().map(|(name, read)| (vec![label(name)], f64::from(u8::from(read.is_some()))));
    let states = read.iter().flat_map(|partition| {
        state::WORDS.iter().map(|word| {
            let is = partition.state() == *word;
            (vec![label(&partition.name), ("state", (*word).to_owned())], f64::from(u8::from(is)))
        })
    });
    let cpus = || {
        let numbered = |partition: &&Snapshot| {
            let name = partition.name.clone();
            partition
                .cpus
                .clone()
                .into_iter()
                .enumerate()
                .map(move |(cpu, counts)| (name.clone(), cpu, counts))
        };
        read.iter().flat_map(numbered).collect::<Vec<_>>()
    };
    let exits = cpus().into_iter().flat_map(|(name, cpu, counts)| {
        KINDS
            .iter()
            .zip(counts.exits)
            .map(move |(kind, count)| {
                let labels = vec![label(&name), ("cpu", cpu.to_string()), ("kind", (*kind).to_owned())];
                (labels, count as f64)
            })
            .collect::<Vec<_>>()
    });
    let beats = cpus()
        .into_iter()
        .map(|(name, cpu, counts)| (vec![label(&name), ("cpu", cpu.to_string())], counts.beats as f64));
    let causes = read
        .iter()
        .filter(|partition| partition.failures != 0)
        .map(|partition| (vec![label(&partition.name), ("cause", area::cause(partition.failure))], 1.0));
    let family = |name, kind, help, samples| Family { name, kind, help, samples };
    let all = vec![
        family(
            "partita_partition_readable",
            "gauge",
            "Whether the partition's status page could be read.",
            readable.collect(),
        ),
        family(
            "partita_partition_state",
            "gauge",
            "The state that the partition is in has 1, the others 0.",
            states.collect(),
        ),
        each(
            "partita_partition_uptime_seconds",
            "gauge",
            "Time since it was started, while it runs.",
            &|p| view.uptime(p),
        ),
        each(
            "partita_partition_start_time_seconds",
            "gauge",
            "When it was started last, since the epoch.",
            &|p| ago(p.started),
        ),
        each("partita_partition_restarts_total", "counter", "How often it was started again.", &|p| {
            Some(p.restarts as f64)
        }),
        each("partita_partition_failures_total", "counter", "How often it failed.", &|p| {
            Some(p.failures as f64)
        }),
        each(
            "partita_partition_last_failure_time_seconds",
            "gauge",
            "When it failed last, since the epoch.",
            &|p| ago(p.failed),
        ),
        family("partita_partition_last_failure_info", "gauge", "Why it failed last.", causes.collect()),
        family(
            "partita_partition_exits_total",
            "counter",
            "How often a virtual CPU came to the hypervisor, by kind; irq is interrupts that it took.",
            exits.collect(),
        ),
        family(
            "partita_partition_beats_total",
            "counter",
            "Signs of life of a virtual CPU.",
            beats.collect(),
        ),
        each("partita_partition_cpus", "gauge", "Virtual CPUs.", &|p| Some(p.cpus.len() as f64)),
        each(
            "partita_partition_refused_total",
            "counter",
            "What it was refused of what it asked of others.",
            &|p| Some(p.refused as f64),
        ),
        each(
            "partita_partition_dma_refused_total",
            "counter",
            "Accesses of its devices that an SMMU refused.",
            &|p| Some(p.dma as f64),
        ),
        each(
            "partita_partition_console_bytes_total",
            "counter",
            "Bytes that it put out on its console.",
            &|p| Some(p.output as f64),
        ),
        family(
            "partita_supervisor_refused_total",
            "counter",
            "What this partition was refused of what it asked of others.",
            vec![(Vec::new(), refused as f64)],
        ),
    ];
    all.into_iter().filter(|family| !family.samples.is_empty()).collect()
}

fn label(partition: &str) -> (&'static str, String) {
    ("partition", partition.to_owned())
}

/// In the text format.
pub fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { name, kind, help, samples } in families {
        text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            text += &format!("{name}{labels} {value}\n");
        }
    }
    text
}

/// A label's value as the format has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The same as JSON.
pub fn json(families: &[Family]) -> String {
    let all = families.iter().map(|Family { name, kind, help, samples }| {
        let samples = samples.iter().map(|(labels, value)| {
            let labels: serde_json::Map<String, Value> =
                labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
            json!({ "labels": labels, "value": value })
        });
        json!({ "name": name, "type": kind, "help": help, "samples": samples.collect::<Vec<_>>() })
    });
    format!("{:#}\n", json!({ "schema": 1, "metrics": all.collect::<Vec<_>>() }))
}
