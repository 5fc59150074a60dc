//! `list`, `status`, `is-active`, `crash` and `metrics`: one look, and what it shows.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::Several;
use crate::area::{self, Snapshot};
use crate::args;
use crate::crash::{self, Failure};
use crate::device::Supervisor;
use crate::error::Error;
use crate::io::Output;
use crate::log::{self, Follower};
use crate::metrics;
use crate::show::View;

pub fn list(from: &Supervisor, json: bool, output: &mut Output<'_>) -> Result<(), Error> {
    let mut several = Several::default();
    let mut all = Vec::new();
    for index in 0..from.names().len() {
        all.extend(several.take(from.snapshot(index), output)?);
    }
    let view = View::now(from);
    if json {
        let partitions: Vec<Value> = all.iter().map(|partition| view.json(partition)).collect();
        output.json(&json!({ "schema": 1, "partitions": partitions }))?;
    } else {
        let table = view.list(&all, output);
        output.print(&table)?;
    }
    several.end()
}

pub fn status(
    from: &Supervisor,
    args: &args::Status,
    json: bool,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let mut several = Several::default();
    let (mut all, mut idle, mut text) = (Vec::new(), false, Vec::new());
    for index in from.indices(&args.names)? {
        let Some(partition) = several.take(from.snapshot(index), output)? else { continue };
        let Some(mut lines) = several.take(last_lines(from, index, &partition), output)? else { continue };
        lines.drain(..lines.len().saturating_sub(args.lines));
        idle |= !partition.is_running();
        let view = View::now(from);
        if json {
            let mut value = view.json(&partition);
            value["log"] = json!(lines);
            all.push(value);
        } else {
            text.push(view.status(&partition, &lines, output));
        }
    }
    if json {
        output.json(&json!({ "schema": 1, "partitions": all }))?;
    } else {
        output.print(&text.join("\n"))?;
    }
    several.end()?;
    if idle { Err(Error::NotRunning) } else { Ok(()) }
}

/// All whole lines that are kept of a partition's output.
pub fn last_lines(from: &Supervisor, index: usize, partition: &Snapshot) -> Result<Vec<String>, Error> {
    let news = Follower::default().look(from.area(index)).map_err(|error| from.wrong(index, error))?;
    Ok(log::lines(&news, partition.output))
}

pub fn is_active(
    from: &Supervisor,
    names: &[String],
    quiet: bool,
    json: bool,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let mut all = Vec::new();
    for index in from.indices(names)? {
        all.push(from.snapshot(index)?);
    }
    if json {
        let states: serde_json::Map<String, Value> =
            all.iter().map(|partition| (partition.name.clone(), json!(partition.state()))).collect();
        output.json(&json!({ "schema": 1, "states": states }))?;
    } else if !quiet {
        let states: String = all.iter().map(|partition| format!("{}\n", partition.state())).collect();
        output.print(&states)?;
    }
    if all.iter().any(Snapshot::is_running) { Ok(()) } else { Err(Error::NotRunning) }
}

pub fn crash(from: &Supervisor, name: &str, json: bool, output: &mut Output<'_>) -> Result<(), Error> {
    let index = from.index(name)?;
    let partition = from.snapshot(index)?;
    let wrong = |error| from.wrong(index, error);
    let record = area::failure(from.area(index)).map_err(wrong)?;
    let record = record.ok_or_else(|| Error::NoRecord(name.to_owned()))?;
    let lines = last_lines(from, index, &partition)?;
    let failure = Failure::of_area(name, &record, said(&lines, name, record.life));
    let place = |address| format!("{address:#x}");
    if json {
        output.json(&json!({ "schema": 1, "failures": [failure.json(&place)] }))
    } else {
        output.print(&failure.words(&place))
    }
}

/// The partition's last lines before the hypervisor's about this failure, if those are still there; else its last ones.
fn said(lines: &[String], name: &str, life: u64) -> Vec<String> {
    let (mark, own) = (format!("partita: crash: {name} "), format!(" life={life} "));
    let told = |line: &String| line.starts_with(&mark) && line.contains(&own);
    let end = lines.iter().rposition(told).unwrap_or(lines.len());
    let lines: Vec<&str> = lines[..end].iter().map(String::as_str).collect();
    crash::said(&lines, name)
}

pub fn metrics(
    from: &Supervisor,
    args: &args::Metrics,
    json: bool,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    loop {
        let mut several = Several::default();
        let mut all = Vec::new();
        for (index, name) in from.names().iter().enumerate() {
            all.push((name.as_str(), several.take(from.snapshot(index), output)?));
        }
        let families = metrics::families(&View::now(from), from.refused(), &all, SystemTime::now());
        let text = if json { metrics::json(&families) } else { metrics::text(&families) };
        match &args.output {
            Some(path) => whole(path, text.as_bytes()).map_err(|error| Error::File(path.clone(), error))?,
            None => output.print(&text)?,
        }
        let Some(seconds) = args.every else { return several.end() };
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
}

/// Writes a file so that a reader sees the old one or the new one: beside it, and renamed. Everybody may read it, as the collector
/// runs as somebody else.
fn whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".partitactl").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
