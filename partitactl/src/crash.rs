//! How a failure reads: the same for `partitactl crash`, which has it from the area, and for `partita crash`, which has it from
//! the console's lines (`partita_model::crash`).

use std::mem::offset_of;

use partita_abi::supervision::{Record, record};
use partita_model::crash::{self, Line};
use serde_json::{Value, json};

use crate::area::{self, Registers};

/// What the hypervisor's own lines begin with on a console. A guest's have its partition's name in front.
const LINE: &str = "partita: ";
/// How many of the partition's last lines are shown.
pub const SAID: usize = 10;
/// The cause that makes the registers of the CPU that it is about the hypervisor's.
const OWN: &str = "hypervisor-fault";

/// A partition's failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The partition.
    pub partition: String,
    /// Which of its lives it was, from 0.
    pub life: Option<u64>,
    /// Why.
    pub cause: Option<String>,
    /// The virtual CPU that was the cause.
    pub cpu: Option<u64>,
    /// What each was doing.
    pub cores: Vec<Core>,
    /// The partition's last lines.
    pub said: Vec<String>,
}

/// What a virtual CPU was doing: registers as the console's lines name them, with their values as they write them. One that was
/// off has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Core {
    /// Which one.
    pub cpu: u64,
    /// Its registers.
    pub registers: Vec<(String, String)>,
}

impl Core {
    /// A register.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        let (_, text) = self.registers.iter().find(|(name, _)| name == key)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// From an area; `own`: the registers are the hypervisor's.
    fn read(cpu: u64, from: &Registers, own: bool) -> Self {
        let flags = from.at(offset_of!(Record, flags));
        let mut registers = Vec::new();
        let mut say =
            |name: &str, offset| registers.push((name.to_owned(), format!("{:#x}", from.at(offset))));
        if flags & record::ON == 0 {
            return Self { cpu, registers };
        }
        say(if own { "el2_pc" } else { "pc" }, offset_of!(Record, pc));
        say("lr", offset_of!(Record, x) + 8 * 30);
        say("sp", offset_of!(Record, sp_el1));
        say("pstate", offset_of!(Record, pstate));
        say("esr_el1", offset_of!(Record, esr_el1));
        say("elr_el1", offset_of!(Record, elr_el1));
        say("far_el1", offset_of!(Record, far_el1));
        if flags & record::EXCEPTION != 0 {
            say("esr_el2", offset_of!(Record, esr_el2));
            say("far_el2", offset_of!(Record, far_el2));
        }
        if flags & record::REFUSED != 0 {
            say("refused_ipa", offset_of!(Record, refused_ipa));
            say("refused_pc", offset_of!(Record, refused_pc));
            say("refused_esr", offset_of!(Record, refused_esr));
        }
        say("sp_el0", offset_of!(Record, sp_el0));
        say("vbar_el1", offset_of!(Record, vbar_el1));
        for number in 0..31 {
            say(&format!("x{number}"), offset_of!(Record, x) + 8 * number);
        }
        if flags & record::OVERFLOW != 0 {
            registers.push(("stack-overflow".to_owned(), String::new()));
        }
        Self { cpu, registers }
    }
}

impl Failure {
    /// From an area's record; `said` are the partition's last lines.
    #[must_use]
    pub fn of_area(partition: &str, record: &area::Failure, said: Vec<String>) -> Self {
        let cause = area::cause(record.cause);
        let own = |cpu| cause == OWN && record.cpu == Some(cpu);
        let cores = (0..).zip(&record.records).map(|(cpu, registers)| Core::read(cpu, registers, own(cpu)));
        Self {
            partition: partition.to_owned(),
            life: Some(record.life),
            cores: cores.collect(),
            cause: Some(cause),
            cpu: record.cpu,
            said,
        }
    }

    /// In words. `place` shows an address, with a function's name where one is known.
    #[must_use]
    pub fn words(&self, place: &dyn Fn(u64) -> String) -> String {
        let life = self.life.map_or_else(|| "?".to_owned(), |life| life.to_string());
        let cause = self.cause.as_deref().unwrap_or("?");
        let mut text = format!("{}: life {life}: {cause}", self.partition);
        if let Some(cpu) = self.cpu {
            text += &format!(", by its CPU {cpu}");
        }
        text.push('\n');
        self.cores.iter().for_each(|core| core.words(place, &mut text));
        if !self.said.is_empty() {
            text += "  its last lines\n";
            self.said.iter().for_each(|line| text += &format!("    {line}\n"));
        }
        text
    }

    /// As JSON, without what stands around it.
    #[must_use]
    pub fn json(&self, place: &dyn Fn(u64) -> String) -> Value {
        let cores = self.cores.iter().map(|core| {
            let registers: serde_json::Map<String, Value> =
                core.registers.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            json!({ "cpu": core.cpu, "registers": registers, "at": core.number("pc").map(place) })
        });
        json!({
            "partition": self.partition,
            "life": self.life,
            "cause": self.cause,
            "cpu": self.cpu,
            "cores": cores.collect::<Vec<_>>(),
            "said": self.said,
        })
    }
}

impl Core {
    fn words(&self, place: &dyn Fn(u64) -> String, text: &mut String) {
        let (cpu, number) = (self.cpu, |key| self.number(key));
        if let (Some(pc), Some(esr)) = (number("el2_pc"), number("esr_el2")) {
            let what = crash::words(esr);
            *text += &format!("  CPU {cpu}: the hypervisor itself failed at {pc:#x}: {}\n", what.as_str());
            return;
        }
        let Some(pc) = number("pc") else {
            *text += &format!("  CPU {cpu} was off\n");
            return;
        };
        *text += &format!("  CPU {cpu} at {}\n", place(pc));
        if let Some(lr) = number("lr") {
            *text += &format!("    called from {}\n", place(lr));
        }
        if let Some(esr) = number("esr_el2") {
            *text += &format!("    the hypervisor had no answer to {}\n", crash::words(esr).as_str());
        }
        if let (Some(ipa), Some(at), Some(esr)) =
            (number("refused_ipa"), number("refused_pc"), number("refused_esr"))
        {
            let what = crash::words(esr);
            *text += &format!("    refused last: {} of guest-physical {ipa:#x}, ", what.as_str());
            *text += &format!("stage 2, at {}\n", place(at));
        }
        if let (Some(esr), Some(elr), Some(far)) = (number("esr_el1"), number("elr_el1"), number("far_el1"))
            && (esr, elr) != (0, 0)
        {
            let what = crash::words(esr);
            *text += &format!("    its own last exception: {}, address {far:#x}, ", what.as_str());
            *text += &format!("at {}\n", place(elr));
        }
        let general: Vec<_> = self.registers.iter().filter(|(key, _)| is_general(key)).collect();
        for row in general.chunks(6) {
            let row: Vec<String> = row.iter().map(|(key, value)| format!("{key}={value}")).collect();
            *text += &format!("    {}\n", row.join(" "));
        }
    }
}

/// The failures that a console's log tells of, in its order.
#[must_use]
pub fn of_log(log: &str) -> Vec<Failure> {
    let mut all: Vec<Failure> = Vec::new();
    let lines: Vec<&str> = log.lines().map(|line| line.trim_end_matches('\r')).collect();
    for (at, text) in lines.iter().enumerate() {
        let Some(line) = text.strip_prefix(LINE).and_then(Line::read) else { continue };
        if line.get("life").is_some() {
            all.push(Failure {
                partition: line.name.to_owned(),
                life: line.number("life"),
                cause: line.get("cause").map(str::to_owned),
                cpu: line.number("cpu"),
                cores: Vec::new(),
                said: said(&lines[..at], line.name),
            });
        } else if let Some(failure) = all.iter_mut().rev().find(|failure| failure.partition == line.name)
            && let Some(cpu) = line.number("cpu")
        {
            failure.note(cpu, &line);
        }
    }
    all
}

/// The last ones among these lines that a partition said.
#[must_use]
pub fn said(lines: &[&str], partition: &str) -> Vec<String> {
    let mark = format!("[{partition}] ");
    let said = lines.iter().rev().filter_map(|line| line.strip_prefix(mark.as_str())).take(SAID);
    let mut said: Vec<String> = said.map(str::to_owned).collect();
    said.reverse();
    said
}

impl Failure {
    /// Takes a line about a virtual CPU.
    fn note(&mut self, cpu: u64, line: &Line<'_>) {
        let fields = line.fields.iter().filter(|(key, _)| !matches!(*key, "cpu" | "off"));
        let fields = fields.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        match self.cores.iter_mut().find(|core| core.cpu == cpu) {
            Some(core) => core.registers.extend(fields),
            None => self.cores.push(Core { cpu, registers: fields.collect() }),
        }
    }
}

fn is_general(key: &str) -> bool {
    key.strip_prefix('x').is_some_and(|digits| digits.parse::<u8>().is_ok())
}
