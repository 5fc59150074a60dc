//! Reads an area. Every offset in it is an allegation: it is used when it lies in the area, and told otherwise.

use std::fmt;
use std::mem::{offset_of, size_of};

use partita_abi::supervision::{
    AREA_MAGIC, CAUSES, Cpu, FLAG_DIRECT, Header, KINDS, Life, Log, Record, VERSION, state,
};

use crate::device::{Area, Words};

/// How often a record is read that changes meanwhile.
const ATTEMPTS: usize = 8;
/// Words of a [`Record`].
const RECORD_WORDS: usize = size_of::<Record>() / 8;

/// Why an area cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AreaError {
    /// It does not begin as one.
    Magic(u64),
    /// Another version.
    Version(u64),
    /// It is somebody else's.
    Name(String),
    /// A part of it would lie outside.
    Outside(&'static str, u64),
    /// A part of it changed whenever it was read.
    Torn(&'static str),
}

impl fmt::Display for AreaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(value) => write!(f, "does not begin with PTSTATUS but with {value:#018x}"),
            Self::Version(value) => write!(f, "has version {value}; this program knows version {VERSION}"),
            Self::Name(name) => write!(f, "is that of {name:?}"),
            Self::Outside(what, value) => write!(f, "has its {what} ({value:#x}) outside of itself"),
            Self::Torn(what) => write!(f, "has a {what} that changes all the time; try again"),
        }
    }
}

/// A partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub life: Life,
    /// How often it was started again.
    pub restarts: u64,
    /// The counter when it was started last; 0: never.
    pub started: u64,
    /// When it was off last; 0: never.
    pub ended: u64,
    /// How often it failed.
    pub failures: u64,
    /// Why it failed last; 0: it has not.
    pub failure: u64,
    /// When.
    pub failed: u64,
    /// Accesses of its devices that an SMMU refused.
    pub dma: u64,
    /// What it was refused of what it asked.
    pub refused: u64,
    /// Its interrupts are direct.
    pub direct: bool,
    /// Its virtual CPUs: exits by kind, and beats.
    pub cpus: Vec<Counts>,
    /// Sequence of its record; 0: there is none.
    pub record: u64,
    /// How many bytes it ever put out on its console.
    pub output: u64,
}

/// What a virtual CPU did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exits by kind.
    pub exits: [u64; KINDS.len()],
    /// Signs of life.
    pub beats: u64,
}

impl Snapshot {
    /// Its state in a word.
    #[must_use]
    pub fn state(&self) -> String {
        word(&state::WORDS, u64::from(self.life.state()))
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.life.state() == state::RUNNING
    }

    /// Why it is not running, or did not run last; none if it ran from the first.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        (self.life.cause() != 0 || !self.is_running()).then(|| cause(u64::from(self.life.cause())))
    }

    /// All its virtual CPUs together.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for cpu in &self.cpus {
            for (sum, exits) in total.exits.iter_mut().zip(cpu.exits) {
                *sum = sum.wrapping_add(exits);
            }
            total.beats = total.beats.wrapping_add(cpu.beats);
        }
        total
    }
}

/// A cause in words.
#[must_use]
pub fn cause(number: u64) -> String {
    word(&CAUSES, number)
}

/// A number in a word, or itself where a later hypervisor has more of them.
fn word(words: &[&str], number: u64) -> String {
    let known = usize::try_from(number).ok().and_then(|at| words.get(at));
    known.map_or_else(|| format!("number-{number}"), |&word| word.to_owned())
}

/// Where the parts lie.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The log.
    pub log: usize,
    cpus: usize,
    records: usize,
    count: usize,
}

fn header(area: &dyn Words, offset: usize) -> Result<u64, AreaError> {
    area.word(offset).ok_or(AreaError::Outside("header", size_of::<Header>() as u64))
}

/// Where the parts of an area lie, all of them inside.
///
/// # Errors
/// When it is not an area, or not such a one.
pub fn layout(area: &dyn Words) -> Result<Layout, AreaError> {
    let magic = header(area, offset_of!(Header, magic))?;
    if magic != AREA_MAGIC {
        return Err(AreaError::Magic(magic));
    }
    let version = header(area, offset_of!(Header, version))?;
    if version != VERSION {
        return Err(AreaError::Version(version));
    }
    let count = header(area, offset_of!(Header, cpu_count))?;
    let part = |what, at: usize, each: usize, times: u64| {
        let begin = header(area, at)?;
        let end = times.checked_mul(each as u64).and_then(|bytes| begin.checked_add(bytes));
        let inside = end.is_some_and(|end| end <= area.bytes() as u64) && begin % 8 == 0;
        // It lies in memory, so it is no larger than an address here.
        if inside { Ok(begin as usize) } else { Err(AreaError::Outside(what, begin)) }
    };
    Ok(Layout {
        log: part("log", offset_of!(Header, log), size_of::<Log>(), 1)?,
        cpus: part("virtual CPUs", offset_of!(Header, cpus), size_of::<Cpu>(), count)?,
        records: part("records", offset_of!(Header, records), size_of::<Record>(), count)?,
        count: count as usize,
    })
}

/// Reads what an area says now; it is to be that of `name`.
///
/// # Errors
/// When it cannot be believed.
pub fn read(area: &dyn Words, name: &str) -> Result<Snapshot, AreaError> {
    let layout = layout(area)?;
    let word = |at: usize| header(area, at);
    let mut letters = Vec::new();
    for piece in 0..4 {
        letters.extend(word(offset_of!(Header, name) + 8 * piece)?.to_le_bytes());
    }
    let letters: Vec<u8> = letters.into_iter().take_while(|byte| *byte != 0).collect();
    if letters != name.as_bytes() {
        return Err(AreaError::Name(String::from_utf8_lossy(&letters).into_owned()));
    }
    let inside = |at: usize| area.word(at).unwrap_or_default();
    let cpus = (0..layout.count).map(|cpu| layout.cpus + cpu * size_of::<Cpu>()).map(|at| Counts {
        exits: std::array::from_fn(|kind| inside(at + offset_of!(Cpu, exits) + 8 * kind)),
        beats: inside(at + offset_of!(Cpu, beats)),
    });
    Ok(Snapshot {
        name: name.to_owned(),
        // The upper half of the word is zero.
        life: Life(word(offset_of!(Header, life))? as u32),
        restarts: word(offset_of!(Header, restarts))?,
        started: word(offset_of!(Header, started))?,
        ended: word(offset_of!(Header, ended))?,
        failures: word(offset_of!(Header, failures))?,
        failure: word(offset_of!(Header, failure))?,
        failed: word(offset_of!(Header, failed))?,
        dma: word(offset_of!(Header, dma))?,
        refused: word(offset_of!(Header, refused))?,
        direct: word(offset_of!(Header, flags))? & FLAG_DIRECT != 0,
        cpus: cpus.collect(),
        record: word(offset_of!(Header, record_sequence))?,
        output: inside(layout.log + offset_of!(Log, head)),
    })
}

/// The record of a partition's last failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In which of its lives, from 0.
    pub life: u64,
    /// Why.
    pub cause: u64,
    /// The virtual CPU that was the cause.
    pub cpu: Option<u64>,
    /// Each virtual CPU.
    pub records: Vec<Registers>,
}

/// A virtual CPU's part of a record, by the offsets of [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers([u64; RECORD_WORDS]);

impl Registers {
    /// The word at an offset of [`Record`]'s.
    #[must_use]
    pub fn at(&self, offset: usize) -> u64 {
        self.0.get(offset / 8).copied().unwrap_or_default()
    }
}

/// Reads the record of a partition's last failure; none if it has not failed.
///
/// # Errors
/// When the area cannot be believed, or is written whenever it is read.
pub fn failure(area: Area<'_>) -> Result<Option<Failure>, AreaError> {
    let (words, sequence) = (area.words, offset_of!(Header, record_sequence));
    for _ in 0..ATTEMPTS {
        area.refresh();
        let layout = layout(words)?;
        let before = header(words, sequence)?;
        if before == 0 {
            return Ok(None);
        }
        let cpu = header(words, offset_of!(Header, record_cpu))?;
        let records = (0..layout.count).map(|number| {
            let at = layout.records + number * size_of::<Record>();
            Registers(std::array::from_fn(|word| words.word(at + 8 * word).unwrap_or_default()))
        });
        let read = Failure {
            life: header(words, offset_of!(Header, record_life))?,
            cause: header(words, offset_of!(Header, record_cause))?,
            cpu: Some(cpu).filter(|cpu| *cpu != u64::MAX),
            records: records.collect(),
        };
        // What was written meanwhile may still be in the caches.
        area.refresh();
        if before % 2 == 0 && header(words, sequence)? == before {
            return Ok(Some(read));
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(AreaError::Torn("record"))
}
