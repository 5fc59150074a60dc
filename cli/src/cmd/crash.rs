//! `partita crash`: what the hypervisor says of partitions that failed, with the names of the guest's own functions.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use partita_model::crash::{self, Line};
use serde_json::{Value, json};

use super::print;
use crate::args::CrashCommand;
use crate::failure::{Failure, Outcome};
use crate::symbols::Symbols;
use crate::ui::Ui;

/// What the hypervisor's own lines begin with. A guest's have its partition's name in front.
const OWN: &str = "partita: ";

/// The lines of one failure.
struct Record<'a> {
    head: Line<'a>,
    cores: Vec<Line<'a>>,
    /// The partition's last lines before it.
    said: Vec<&'a str>,
}

/// How many lines of the partition's are shown.
const SAID: usize = 10;

/// Prints each failure that a console's log tells of.
pub fn crash(args: &CrashCommand, _: Ui) -> Outcome<()> {
    let log = read(&args.log)?;
    let symbols = match &args.elf {
        None => Symbols::default(),
        Some(path) => {
            let bytes = fs::read(path).map_err(|error| Failure::file(path, &error))?;
            Symbols::read(&bytes, args.base)
                .map_err(|why| Failure::input(format!("{}: {why}", path.display())))?
        }
    };
    let records = records(&log);
    let wanted = |record: &&Record<'_>| args.name.as_deref().is_none_or(|name| name == record.head.name);
    let records: Vec<&Record<'_>> = records.iter().filter(wanted).collect();
    if records.is_empty() {
        let of = args.name.as_deref().map_or_else(String::new, |name| format!(" of {name}"));
        let words =
            format!("{} tells of no failure{of}; it has to be the console's log, whole", args.log.display());
        return Err(Failure::input(words));
    }
    let text = if args.json {
        let all: Vec<Value> = records.iter().map(|record| to_json(record, &symbols)).collect();
        format!("{:#}\n", json!({ "schema": 1, "failures": all }))
    } else {
        records.iter().map(|record| words(record, &symbols)).collect::<Vec<_>>().join("\n")
    };
    print(text.as_bytes())
}

/// A log, or standard input for `-`. What is no UTF-8 in it is a guest's.
fn read(path: &Path) -> Outcome<String> {
    let mut bytes = Vec::new();
    let outcome = if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(path).map(|all| bytes = all)
    };
    outcome.map_err(|error| Failure::file(path, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The records of a log, in its order.
fn records(log: &str) -> Vec<Record<'_>> {
    let mut all: Vec<Record<'_>> = Vec::new();
    let lines: Vec<&str> = log.lines().map(|line| line.trim_end_matches('\r')).collect();
    for (at, text) in lines.iter().enumerate() {
        let Some(line) = text.strip_prefix(OWN).and_then(Line::read) else { continue };
        if line.get("life").is_some() {
            let mark = format!("[{}] ", line.name);
            let said =
                lines[..at].iter().rev().filter_map(|line| line.strip_prefix(mark.as_str())).take(SAID);
            let mut said: Vec<&str> = said.collect();
            said.reverse();
            all.push(Record { head: line, cores: Vec::new(), said });
        } else if let Some(record) = all.iter_mut().rev().find(|record| record.head.name == line.name) {
            record.cores.push(line);
        }
    }
    all
}

/// What a record says of a virtual CPU, line after line.
fn cores<'a>(record: &'a Record<'_>) -> Vec<(u64, Vec<&'a Line<'a>>)> {
    let mut all: Vec<(u64, Vec<&Line<'_>>)> = Vec::new();
    for line in &record.cores {
        let Some(cpu) = line.number("cpu") else { continue };
        match all.iter_mut().find(|(number, _)| *number == cpu) {
            Some((_, lines)) => lines.push(line),
            None => all.push((cpu, vec![line])),
        }
    }
    all
}

fn words(record: &Record<'_>, symbols: &Symbols) -> String {
    let head = &record.head;
    let field = |key| head.get(key).unwrap_or("?");
    let mut text = format!("{}: life {}: {}", head.name, field("life"), field("cause"));
    if let Some(cpu) = head.get("cpu") {
        text += &format!(", by its CPU {cpu}");
    }
    text.push('\n');
    for (cpu, lines) in cores(record) {
        let number = |key| lines.iter().find_map(|line| line.number(key));
        if let (Some(pc), Some(esr)) = (number("el2_pc"), number("esr_el2")) {
            let what = crash::words(esr);
            text += &format!("  CPU {cpu}: the hypervisor itself failed at {pc:#x}: {}\n", what.as_str());
            continue;
        }
        let Some(pc) = number("pc") else {
            text += &format!("  CPU {cpu} was off\n");
            continue;
        };
        text += &format!("  CPU {cpu} at {}\n", symbols.place(pc));
        if let Some(lr) = number("lr") {
            text += &format!("    called from {}\n", symbols.place(lr));
        }
        if let Some(esr) = number("esr_el2") {
            text += &format!("    the hypervisor had no answer to {}\n", crash::words(esr).as_str());
        }
        if let (Some(ipa), Some(at), Some(esr)) =
            (number("refused_ipa"), number("refused_pc"), number("refused_esr"))
        {
            let what = crash::words(esr);
            text += &format!("    refused last: {} of guest-physical {ipa:#x}, ", what.as_str());
            text += &format!("stage 2, at {}\n", symbols.place(at));
        }
        if let (Some(esr), Some(elr), Some(far)) = (number("esr_el1"), number("elr_el1"), number("far_el1"))
            && (esr, elr) != (0, 0)
        {
            let what = crash::words(esr);
            text += &format!("    its own last exception: {}, address {far:#x}, ", what.as_str());
            text += &format!("at {}\n", symbols.place(elr));
        }
        for line in lines.iter().filter(|line| line.fields.iter().any(|(key, _)| is_general(key))) {
            let fields = line.fields.iter().filter(|(key, _)| *key != "cpu");
            let row: Vec<String> = fields.map(|(key, value)| format!("{key}={value}")).collect();
            text += &format!("    {}\n", row.join(" "));
        }
    }
    if !record.said.is_empty() {
        text += "  its last lines\n";
        record.said.iter().for_each(|line| text += &format!("    {line}\n"));
    }
    text
}

fn is_general(key: &str) -> bool {
    key.strip_prefix('x').is_some_and(|digits| digits.parse::<u8>().is_ok())
}

fn to_json(record: &Record<'_>, symbols: &Symbols) -> Value {
    let cores = cores(record).into_iter().map(|(cpu, lines)| {
        let fields = lines.iter().flat_map(|line| &line.fields).filter(|(key, _)| *key != "cpu");
        let registers: serde_json::Map<String, Value> =
            fields.map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let pc = lines.iter().find_map(|line| line.number("pc"));
        json!({ "cpu": cpu, "registers": registers, "at": pc.map(|pc| symbols.place(pc)) })
    });
    json!({
        "partition": record.head.name,
        "life": record.head.number("life"),
        "cause": record.head.get("cause"),
        "cpu": record.head.number("cpu"),
        "cores": cores.collect::<Vec<_>>(),
        "said": record.said,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
[guest] hello\r
[guest] partita: crash: guest life=9 cause=forged cpu=0\r
[other] not the guest's\r
partita: guest: failed: unexpected-exception; starts again, restart 3\r
partita: crash: guest life=2 cause=unexpected-exception cpu=1\r
partita: crash: guest cpu=0 pc=0x1010 lr=0x1000 sp=0x0 pstate=0x3c5\r
[other] comes between\r
partita: crash: guest cpu=0 esr_el1=0x96000050 elr_el1=0x2004 far_el1=0x9000000\r
partita: crash: guest cpu=0 refused_ipa=0x9000000 refused_pc=0x2004 refused_esr=0x93820046\r
partita: crash: guest cpu=0 x0=0x1 x1=0x2\r
partita: crash: guest cpu=1 off\r
";

    #[test]
    fn a_record_in_words() {
        let records = records(LOG);
        assert_eq!(records.len(), 1);
        let symbols = Symbols::of(&[(0x1000, 0x20, "main"), (0x2000, 0x10, "poke")]);
        let wanted = "\
guest: life 2: unexpected-exception, by its CPU 1
  CPU 0 at 0x1010 main+0x10
    called from 0x1000 main+0x0
    refused last: a data access (a write): translation fault, level 2 of guest-physical 0x9000000, stage 2, at 0x2004 poke+0x4
    its own last exception: a data access (a write): external abort, address 0x9000000, at 0x2004 poke+0x4
    x0=0x1 x1=0x2
  CPU 1 was off
  its last lines
    hello
    partita: crash: guest life=9 cause=forged cpu=0
";
        assert_eq!(words(&records[0], &symbols), wanted);
        let json = to_json(&records[0], &symbols);
        assert_eq!(json["cores"][0]["at"], "0x1010 main+0x10");
        assert_eq!(json["cores"][0]["registers"]["x1"], "0x2");
        assert_eq!(json["life"], 2);
    }
}
