//! Every form of output, word by word: files of tests/expected, which BLESS=1 writes anew.

use std::path::Path;

use partitactl::device::Words;

use super::fake::{FREQUENCY, Fake, NOW, metronome};

#[track_caller]
fn expected(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, text).expect("a file");
        return;
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, wanted, "differs from {name}; BLESS=1 takes it as it is now");
}

/// What a command prints, and the exit status that it has to have.
#[track_caller]
fn printed(line: &str, status: u8) -> String {
    let (got, out, said) = Fake::usual().run(line);
    assert_eq!(got, status, "{line}: {said}");
    assert_eq!(said, "", "{line}");
    out
}

#[test]
fn text() {
    for (name, line, status) in [
        ("list.txt", "list", 0),
        ("status.txt", "status", 3),
        ("status-one.txt", "status metronome -n 1", 0),
        ("top.txt", "top -n 1 -d 0.01", 0),
        ("log.txt", "log vault", 0),
        ("crash.txt", "crash vault", 0),
    ] {
        expected(name, &printed(line, status));
    }
}

#[test]
fn json() {
    for (name, line, status) in [
        ("list.json", "list --json", 0),
        ("status.json", "status vault --json", 3),
        ("log.json", "log vault -n 1 --json", 0),
        ("crash.json", "crash vault --json", 0),
        ("is-active.json", "is-active metronome vault --json", 0),
    ] {
        let out = printed(line, status);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(value["schema"], 1, "{line}");
        expected(name, &out);
    }
    let line: serde_json::Value = serde_json::from_str(&printed("top -n 1 -d 0.01 --json", 0)).expect("JSON");
    assert_eq!((&line["schema"], &line["partitions"][0]["per-second"]["irq"]), (&1.into(), &0.0.into()));
}

/// A partition that takes 50 interrupts and gives 5 beats in half a second.
#[test]
fn rates_are_per_second() {
    let fake = Fake::usual();
    let (clock, looks) = (fake.clock.clone(), std::cell::Cell::new(0));
    fake.at_refresh(move |image| {
        if image.bytes() == metronome().bytes() && image.state() == 2 {
            let look = looks.replace(looks.get() + 1);
            image.counts(0, [1500 + 50 * look, 2, 30, 4, 5, 6, 7 + look], 8 + 5 * look);
            clock.set(NOW + look * FREQUENCY / 2);
        }
    });
    let (_, out, _) = fake.run("top -n 2 -d 0.01");
    let rows: Vec<Vec<&str>> = out
        .lines()
        .filter(|line| line.starts_with("metronome"))
        .map(|line| line.split_whitespace().skip(5).collect())
        .collect();
    let wanted = vec!["102", "100", "0", "0", "0", "0", "0", "2.0", "10.0"];
    assert_eq!(rows, [wanted.clone(), wanted], "{out}");
    assert!(out.contains("1 running; per second, over 0.5 s"), "{out}");
    let (_, out, _) = fake.run("top -n 1 -d 0.01 --json");
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["partitions"][0]["per-second"]["irq"], 100.0, "{out}");
}

/// What `partita crash` makes of the hypervisor's own lines about the same failure, but for what they have no room for.
#[test]
fn a_record_reads_as_the_hypervisor_s_lines_do() {
    use partita_model::crash::{Core, Record, Refused, State};
    use partita_model::lifecycle::Cause;
    let mut record = Record::new(3);
    record.begin(4, Cause::UnexpectedException, Some(1));
    let state = State {
        pc: 0x4008_0010,
        esr_el1: 0x9600_0050,
        elr_el1: 0x4008_0004,
        far_el1: 0x900_0000,
        ..State::default()
    };
    let refused = Some(Refused { esr: 0x9382_0046, ipa: 0x900_0000, pc: 0x4008_0004 });
    let x = std::array::from_fn(|number| 0x1000 + number as u64);
    record.note(0, Core { x, state, refused, ..Core::default() });
    let state = State { pc: 0x4008_1000, ..State::default() };
    record.note(1, Core { state, exception: Some((0x3 << 26, 0)), ..Core::default() });
    let mut log = String::new();
    record.lines("vault", true, |line| log += &format!("partita: {line}\n"));
    let failures = partitactl::crash::of_log(&log);
    let place = |address| format!("{address:#x}");
    let mut ours = printed("crash vault", 0);
    ours.truncate(ours.find("  its last lines\n").expect("they are there"));
    assert_eq!(failures.len(), 1);
    assert_eq!(ours, failures[0].words(&place));
}
