//! Figures, by whoever reads them: a reader of the text format here, promtool, and node-exporter. scripts/prometheus finds or
//! fetches those two; where they cannot be had the tests say so and pass.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::fake::Fake;

/// A sample's name with its labels, and its value.
type Samples = BTreeMap<String, f64>;

/// Reads the text format, and refuses what is not such text.
fn read(text: &str) -> Samples {
    let (mut samples, mut helped, mut kinds) = (Samples::new(), BTreeSet::new(), BTreeMap::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("HELP has words");
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("TYPE has a type");
            assert!(["counter", "gauge"].contains(&kind) && helped.contains(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(kinds.insert(name.to_owned(), kind).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap_or_default();
            assert!(kinds.contains_key(name), "{line} has no TYPE");
            assert!(name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{line}");
            let value = value.parse().expect("a number");
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line} comes twice");
        }
    }
    samples
}

#[test]
fn every_figure_is_there() {
    let (status, text, said) = Fake::usual().run("metrics");
    assert_eq!((status, said.as_str()), (0, ""));
    let samples = read(&text);
    for (series, value) in [
        ("partita_partition_state{partition=\"metronome\",state=\"running\"}", 1.0),
        ("partita_partition_state{partition=\"metronome\",state=\"failed\"}", 0.0),
        ("partita_partition_state{partition=\"vault\",state=\"failed\"}", 1.0),
        ("partita_partition_uptime_seconds{partition=\"metronome\"}", 192.0),
        ("partita_partition_restarts_total{partition=\"vault\"}", 4.0),
        ("partita_partition_failures_total{partition=\"vault\"}", 5.0),
        ("partita_partition_last_failure_info{partition=\"vault\",cause=\"unexpected-exception\"}", 1.0),
        ("partita_partition_exits_total{partition=\"metronome\",cpu=\"0\",kind=\"irq\"}", 1500.0),
        ("partita_partition_exits_total{partition=\"metronome\",cpu=\"0\",kind=\"other\"}", 7.0),
        ("partita_partition_exits_total{partition=\"gateway\",cpu=\"1\",kind=\"sgi\"}", 0.0),
        ("partita_partition_beats_total{partition=\"metronome\",cpu=\"0\"}", 8.0),
        ("partita_partition_cpus{partition=\"vault\"}", 3.0),
        ("partita_partition_refused_total{partition=\"metronome\"}", 1.0),
        ("partita_partition_dma_refused_total{partition=\"vault\"}", 12.0),
        ("partita_partition_readable{partition=\"vault\"}", 1.0),
        ("partita_supervisor_refused_total", 5.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{text}");
    }
    // What is not so is not there.
    assert!(!text.contains("uptime_seconds{partition=\"vault\"}"), "{text}");
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs_f64();
    let failed = samples["partita_partition_last_failure_time_seconds{partition=\"vault\"}"];
    assert!((now - 61.0 - failed).abs() < 30.0, "{failed}");
    let (_, json, _) = Fake::usual().run("metrics --json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let figures: usize = json["metrics"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["samples"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!((figures, &json["schema"]), (samples.len(), &1.into()));
}

/// Written whole and for everybody to read; nothing else is left in the folder.
#[test]
fn a_file_is_replaced_at_once() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("partita.prom");
    std::fs::write(&file, "old").expect("a file");
    let before = std::fs::metadata(&file).expect("the file").ino();
    assert_eq!(Fake::usual().run(&format!("metrics --output {}", file.display())).0, 0);
    let now = std::fs::metadata(&file).expect("the file");
    assert_ne!(now.ino(), before);
    assert_eq!(now.mode() & 0o777, 0o644);
    read(&std::fs::read_to_string(&file).expect("text"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
    let (status, _, said) = Fake::usual().run("metrics --output /nowhere/x.prom");
    assert!(status == 1 && said.starts_with("partitactl: error: /nowhere/x.prom: "), "{said}");
}

/// The folder with both tools.
fn tools() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/prometheus");
    let found = Command::new(script).output().expect("scripts/prometheus runs");
    if !found.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&found.stderr).trim());
        return None;
    }
    Some(PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()))
}

#[test]
fn promtool_finds_nothing_to_say() {
    let Some(tools) = tools() else { return };
    let mut command = Command::new(tools.join("promtool"));
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool runs");
    let text = Fake::usual().run("metrics").1;
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("an end");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// node-exporter's textfile collector gives every figure on.
#[test]
fn node_exporter_passes_them_on() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("partita.prom");
    assert_eq!(Fake::usual().run(&format!("metrics --output {}", file.display())).0, 0);
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let mut command = Command::new(tools.join("prometheus-node-exporter"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.args(["--collector.disable-defaults", "--collector.textfile"]);
    command.arg(format!("--collector.textfile.directory={}", folder.path().display()));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the exporter runs");
    let end = Instant::now() + Duration::from_secs(60);
    let page = loop {
        if let Ok(page) = fetch(port) {
            break page;
        }
        if Instant::now() >= end {
            break String::new();
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    child.kill().expect("it runs");
    child.wait().expect("an end");
    let ours = |text: &str| -> Vec<(String, f64)> {
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("partita_"))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(series, value)| (sorted(series), value.trim().parse().expect("a number")))
            .collect();
        lines.sort_by(|one, other| one.0.cmp(&other.0));
        lines
    };
    let wanted = ours(&std::fs::read_to_string(&file).expect("text"));
    assert!(wanted.len() > 30);
    assert_eq!(ours(&page), wanted, "{page}");
    assert!(page.contains("node_textfile_scrape_error 0"), "{page}");
}

/// A series with its labels in order: the exporter has an order of its own.
fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.trim_end_matches('}').split_once('{') else { return series.to_owned() };
    let mut labels: Vec<&str> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

fn fetch(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nAccept: text/plain\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    if page.contains("partita_") { Ok(page) } else { Err(std::io::ErrorKind::NotFound.into()) }
}
