//! `partita crash`: what the hypervisor says of partitions that failed, with the names of the guest's own functions.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use partitactl::crash::{Failure as Record, of_log};
use serde_json::{Value, json};

use super::print;
use crate::args::CrashCommand;
use crate::failure::{Failure, Outcome};
use crate::symbols::Symbols;
use crate::ui::Ui;

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
    let records = of_log(&log);
    let wanted = |record: &&Record| args.name.as_deref().is_none_or(|name| name == record.partition);
    let records: Vec<&Record> = records.iter().filter(wanted).collect();
    if records.is_empty() {
        let of = args.name.as_deref().map_or_else(String::new, |name| format!(" of {name}"));
        let words =
            format!("{} tells of no failure{of}; it has to be the console's log, whole", args.log.display());
        return Err(Failure::input(words));
    }
    let place = |address| symbols.place(address);
    let text = if args.json {
        let all: Vec<Value> = records.iter().map(|record| record.json(&place)).collect();
        format!("{:#}\n", json!({ "schema": 1, "failures": all }))
    } else {
        records.iter().map(|record| record.words(&place)).collect::<Vec<_>>().join("\n")
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
        let records = of_log(LOG);
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
        let place = |address| symbols.place(address);
        assert_eq!(records[0].words(&place), wanted);
        let json = records[0].json(&place);
        assert_eq!(json["cores"][0]["at"], "0x1010 main+0x10");
        assert_eq!(json["cores"][0]["registers"]["x1"], "0x2");
        assert_eq!(json["life"], 2);
    }
}
