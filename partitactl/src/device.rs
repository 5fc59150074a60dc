//! What the device can be asked, and what is asked of it: docs/supervision.md in code.

use std::thread;
use std::time::Duration;

use partita_abi::supervision::{Command, Life, MAGIC, Outcome, VERSION, registers};

use crate::area::{self, Snapshot};
use crate::error::Error;

/// Memory that is read word by word, in any way that the other side likes.
pub trait Words {
    /// How many bytes there are.
    fn bytes(&self) -> usize;
    /// The 64-bit word at an offset that is a multiple of 8; none outside.
    fn word(&self, offset: usize) -> Option<u64>;
}

/// The registers, the areas and the counter.
pub trait Device {
    /// Reads a register.
    fn register(&self, offset: u64) -> u64;
    /// Writes the command register.
    fn command(&self, word: u64);
    /// The area of a partition.
    fn area(&self, index: usize) -> &dyn Words;
    /// CNTVCT_EL0.
    fn now(&self) -> u64;
    /// CNTFRQ_EL0.
    fn frequency(&self) -> u64;
    /// Keeps other processes that ask first from the command register,
    fn lock(&self) {}
    /// until this.
    fn unlock(&self) {}
}

/// The device, as it belongs to this partition.
pub struct Supervisor {
    /// How it is reached.
    pub device: Box<dyn Device>,
    names: Vec<String>,
}

/// How often the result register is read in vain before the command is given again, and how often it is given.
const LOOKS: usize = 10;
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(2);

impl Supervisor {
    /// The device, if it is one; the names are the tree's.
    ///
    /// # Errors
    /// When it is none, or one of another version.
    pub fn new(device: Box<dyn Device>, names: Vec<String>) -> Result<Self, Error> {
        let magic = device.register(registers::MAGIC);
        if magic != MAGIC {
            return Err(Error::NotTheDevice("first register", magic));
        }
        let version = device.register(registers::VERSION);
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let count = device.register(registers::COUNT);
        if count != names.len() as u64 {
            return Err(Error::NotTheDevice("count of partitions", count));
        }
        Ok(Self { device, names })
    }

    /// Who is managed, by index.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The index of a partition.
    ///
    /// # Errors
    /// When it is not managed.
    pub fn index(&self, name: &str) -> Result<usize, Error> {
        let found = self.names.iter().position(|known| known == name);
        found.ok_or_else(|| Error::Unknown { name: name.to_owned(), known: self.names.clone() })
    }

    /// The indices of partitions; of all, if none is named.
    ///
    /// # Errors
    /// When one is not managed.
    pub fn indices(&self, names: &[String]) -> Result<Vec<usize>, Error> {
        if names.is_empty() {
            return Ok((0..self.names.len()).collect());
        }
        names.iter().map(|name| self.index(name)).collect()
    }

    /// What this partition was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.device.register(registers::REFUSED)
    }

    /// Has the caches cleaned of a partition's area: what is read there afterwards is as of now or later.
    pub fn refresh(&self, index: usize) -> Life {
        Life(self.device.register(registers::REFRESH + 8 * index as u64) as u32)
    }

    /// A partition's area, and how it is made current.
    #[must_use]
    pub fn area(&self, index: usize) -> Area<'_> {
        Area { supervisor: self, index, words: self.device.area(index) }
    }

    /// What a partition is and does now.
    ///
    /// # Errors
    /// When its area cannot be believed.
    pub fn snapshot(&self, index: usize) -> Result<Snapshot, Error> {
        self.refresh(index);
        let name = &self.names[index];
        area::read(self.device.area(index), name).map_err(|error| self.wrong(index, error))
    }

    /// An error about an area.
    #[must_use]
    pub fn wrong(&self, index: usize, error: area::AreaError) -> Error {
        Error::Area { partition: self.names[index].clone(), error }
    }

    /// A span of the counter in seconds; none of one that ends before it begins.
    #[must_use]
    pub fn seconds(&self, from: u64, to: u64) -> f64 {
        to.saturating_sub(from) as f64 / self.device.frequency().max(1) as f64
    }

    /// Gives a command: the hypervisor's code.
    ///
    /// # Errors
    /// When the result register has others' commands only.
    pub fn ask(&self, request: u8, index: usize) -> Result<i8, Error> {
        self.device.lock();
        let code = self.ask_alone(request, index);
        self.device.unlock();
        code.ok_or(Error::Busy)
    }

    fn ask_alone(&self, request: u8, index: usize) -> Option<i8> {
        // Never the tag of a register that has seen no command yet.
        let tag = (std::process::id() as u16 ^ self.device.now() as u16) | 1;
        let command = Command::new(request, index as u16, tag);
        for _ in 0..ATTEMPTS {
            let before = Outcome(self.device.register(registers::RESULT));
            self.device.command(command.0);
            for _ in 0..LOOKS {
                let outcome = Outcome(self.device.register(registers::RESULT));
                if outcome.is_of(command) && outcome.count() != before.count() {
                    return Some(outcome.code());
                }
                thread::sleep(PAUSE);
            }
        }
        None
    }
}

/// One partition's area.
#[derive(Clone, Copy)]
pub struct Area<'a> {
    supervisor: &'a Supervisor,
    index: usize,
    /// Its memory.
    pub words: &'a dyn Words,
}

impl Area<'_> {
    /// Makes it current.
    pub fn refresh(&self) {
        self.supervisor.refresh(self.index);
    }
}
