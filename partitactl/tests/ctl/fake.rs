//! A device made of memory: areas written by the offsets of the hypervisor's own types, and registers that do what
//! docs/supervision.md says.

use std::cell::{Cell, RefCell};
use std::mem::{offset_of, size_of};
use std::rc::Rc;

use clap::Parser;
use partita_abi::supervision::{
    AREA_MAGIC, Area, CPUS_OFFSET, Command, Cpu, FLAG_DIRECT, Header, LOG_BYTES, Log, MAGIC, Outcome, Record,
    VERSION, area_bytes, code, record, records_offset, registers, request, state,
};
use partitactl::args::Cli;
use partitactl::device::{Device, Supervisor, Words};
use partitactl::{Error, Output, cmd};

/// The counter's frequency.
pub const FREQUENCY: u64 = 1_000_000;
/// What the counter says.
pub const NOW: u64 = 1000 * FREQUENCY;

/// An area: 64-bit words.
#[derive(Clone)]
pub struct Image(pub Rc<RefCell<Vec<u64>>>);

impl Image {
    /// Of a partition that has never run.
    pub fn new(name: &str, cpus: usize) -> Self {
        let image = Self(Rc::new(RefCell::new(vec![0; area_bytes(cpus) / 8])));
        let mut letters = [0; 32];
        letters[..name.len()].copy_from_slice(name.as_bytes());
        for (at, word) in letters.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            image.set(offset_of!(Header, name) + 8 * at, word);
        }
        image.set(offset_of!(Header, magic), AREA_MAGIC);
        image.set(offset_of!(Header, version), VERSION);
        image.set(offset_of!(Header, log), offset_of!(Area, log) as u64);
        image.set(offset_of!(Header, cpus), CPUS_OFFSET as u64);
        image.set(offset_of!(Header, records), records_offset(cpus) as u64);
        image.set(offset_of!(Header, cpu_count), cpus as u64);
        image.set(offset_of!(Header, record_cpu), u64::MAX);
        image
    }

    pub fn set(&self, offset: usize, value: u64) -> &Self {
        self.0.borrow_mut()[offset / 8] = value;
        self
    }

    pub fn get(&self, offset: usize) -> u64 {
        self.0.borrow()[offset / 8]
    }

    pub fn life(&self, state: u8, cause: u8, manager: u8, then: u8) -> &Self {
        let word = u32::from_le_bytes([state, cause, manager, then]);
        self.set(offset_of!(Header, life), u64::from(word))
    }

    pub fn state(&self) -> u8 {
        self.get(offset_of!(Header, life)) as u8
    }

    /// What the partition says, as the console's ring keeps it.
    pub fn say(&self, text: &str) -> &Self {
        let log = offset_of!(Area, log);
        for byte in text.bytes() {
            let head = self.get(log + offset_of!(Log, head));
            let at = log + offset_of!(Log, bytes) + (head % LOG_BYTES as u64) as usize;
            let shift = at % 8 * 8;
            let word = self.get(at - at % 8) & !(0xff << shift) | u64::from(byte) << shift;
            self.set(at - at % 8, word);
            self.set(log + offset_of!(Log, head), head + 1);
        }
        self
    }

    pub fn counts(&self, cpu: usize, exits: [u64; 7], beats: u64) -> &Self {
        let at = CPUS_OFFSET + cpu * size_of::<Cpu>();
        for (kind, count) in exits.into_iter().enumerate() {
            self.set(at + offset_of!(Cpu, exits) + 8 * kind, count);
        }
        self.set(at + offset_of!(Cpu, beats), beats)
    }

    /// A word of a virtual CPU's record.
    pub fn note(&self, cpu: usize, offset: usize, value: u64) -> &Self {
        let cpus = self.get(offset_of!(Header, cpu_count)) as usize;
        self.set(records_offset(cpus) + cpu * size_of::<Record>() + offset, value)
    }
}

impl Words for Image {
    fn bytes(&self) -> usize {
        self.0.borrow().len() * 8
    }

    fn word(&self, offset: usize) -> Option<u64> {
        self.0.borrow().get(offset / 8).copied().filter(|_| offset.is_multiple_of(8))
    }
}

/// What the device does at a partition's refresh.
type OnRefresh = Box<dyn Fn(&Image)>;

/// The device.
#[derive(Clone)]
pub struct Fake {
    pub names: Vec<String>,
    pub images: Vec<Image>,
    /// Commands that were given.
    pub commands: Rc<RefCell<Vec<Command>>>,
    /// What the next commands' code is.
    pub code: Rc<Cell<i8>>,
    /// The result register.
    pub result: Rc<Cell<u64>>,
    pub magic: u64,
    pub version: u64,
    pub count: u64,
    on_refresh: Rc<RefCell<Option<OnRefresh>>>,
    /// What is asked is done at so many refreshes from then.
    pub patience: u64,
    waits: Rc<Cell<u64>>,
    /// What the counter says.
    pub clock: Rc<Cell<u64>>,
}

impl Fake {
    pub fn new(images: &[(&str, Image)]) -> Self {
        Self {
            names: images.iter().map(|(name, _)| (*name).to_owned()).collect(),
            images: images.iter().map(|(_, image)| image.clone()).collect(),
            commands: Rc::default(),
            code: Rc::new(Cell::new(code::ASKED)),
            result: Rc::default(),
            magic: MAGIC,
            version: VERSION,
            count: images.len() as u64,
            on_refresh: Rc::default(),
            patience: 3,
            waits: Rc::default(),
            clock: Rc::new(Cell::new(NOW)),
        }
    }

    /// The usual three: one that runs, one that was stopped, one that failed.
    pub fn usual() -> Self {
        Self::new(&[("metronome", metronome()), ("gateway", gateway()), ("vault", vault())])
    }

    pub fn at_refresh(&self, what: impl Fn(&Image) + 'static) {
        *self.on_refresh.borrow_mut() = Some(Box::new(what));
    }

    pub fn supervisor(&self) -> Result<Supervisor, Error> {
        Supervisor::new(Box::new(self.clone()), self.names.clone())
    }

    /// Runs the program: exit status, standard output, standard error.
    pub fn run(&self, line: &str) -> (u8, String, String) {
        let args = Cli::try_parse_from(["partitactl"].into_iter().chain(line.split_whitespace()));
        let args = args.unwrap_or_else(|error| panic!("{line}: {error}"));
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let status = {
            let mut output = Output::plain(&mut out, &mut said);
            match cmd::run(&args, || self.supervisor(), &mut output) {
                Ok(()) => 0,
                Err(error) => {
                    output.error(&error);
                    error.status()
                }
            }
        };
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (status, text(out), text(said))
    }

    /// The end of what was asked of a partition.
    fn perform(&self, command: Command) {
        let image = &self.images[usize::from(command.index())];
        let restarts = image.get(offset_of!(Header, restarts));
        match command.request() {
            request::STOP => {
                image.life(state::OFF, 12, 1, 0);
            }
            _ => {
                image.life(state::RUNNING, 12, 1, 0);
                image.set(offset_of!(Header, restarts), restarts + 1);
                image.set(offset_of!(Header, started), NOW);
            }
        }
    }
}

impl Device for Fake {
    fn register(&self, offset: u64) -> u64 {
        match offset {
            registers::MAGIC => self.magic,
            registers::VERSION => self.version,
            registers::COUNT => self.count,
            registers::REFUSED => 5,
            registers::RESULT => self.result.get(),
            registers::REFRESH..registers::REFRESH_END => {
                let image = &self.images[((offset - registers::REFRESH) / 8) as usize];
                if let Some(what) = &*self.on_refresh.borrow() {
                    what(image);
                }
                let waits = self.waits.get();
                self.waits.set(waits.saturating_sub(1));
                if waits == 1 {
                    let last = *self.commands.borrow().last().expect("a command");
                    self.perform(last);
                }
                image.word(offset_of!(Header, life)).unwrap_or_default()
            }
            _ => panic!("no register at {offset:#x}"),
        }
    }

    fn command(&self, word: u64) {
        let command = Command(word);
        assert_eq!(command.reserved(), 0);
        self.commands.borrow_mut().push(command);
        let code = self.code.get();
        let count = self.commands.borrow().len() as u16;
        self.result.set(Outcome::new(command, code, count).0);
        if code >= 0 {
            self.images[usize::from(command.index())].life(state::STOPPING, 12, 1, 1);
            self.waits.set(self.patience);
        }
    }

    fn area(&self, index: usize) -> &dyn Words {
        &self.images[index]
    }

    fn now(&self) -> u64 {
        self.clock.get()
    }

    fn frequency(&self) -> u64 {
        FREQUENCY
    }
}

/// It runs, after a restart that a manager told.
pub fn metronome() -> Image {
    let image = Image::new("metronome", 1);
    image.life(state::RUNNING, 12, 1, 0);
    image.set(offset_of!(Header, restarts), 2).set(offset_of!(Header, started), NOW - 192 * FREQUENCY);
    image.set(offset_of!(Header, refused), 1);
    image.counts(0, [1500, 2, 30, 4, 5, 6, 7], 8);
    image.say("[metronome] tick 1\r\n[metronome] tick 2\r\n");
    image
}

/// It has powered itself off.
pub fn gateway() -> Image {
    let image = Image::new("gateway", 2);
    image.life(state::OFF, 1, 0, 0);
    image.set(offset_of!(Header, started), NOW - 900 * FREQUENCY);
    image.set(offset_of!(Header, ended), NOW - 3 * FREQUENCY - FREQUENCY / 2);
    image.set(offset_of!(Header, flags), FLAG_DIRECT);
    image
}

/// It has failed.
pub fn vault() -> Image {
    let image = Image::new("vault", 3);
    image.life(state::FAILED, 9, 0, 0);
    image.set(offset_of!(Header, restarts), 4).set(offset_of!(Header, started), NOW - 5000 * FREQUENCY / 10);
    image.set(offset_of!(Header, ended), NOW - 60 * FREQUENCY);
    image.set(offset_of!(Header, failures), 5).set(offset_of!(Header, failure), 9);
    image.set(offset_of!(Header, failed), NOW - 61 * FREQUENCY).set(offset_of!(Header, dma), 12);
    image.set(offset_of!(Header, record_sequence), 10).set(offset_of!(Header, record_life), 4);
    image.set(offset_of!(Header, record_cause), 9).set(offset_of!(Header, record_cpu), 1);
    for register in 0..31 {
        image.note(0, offset_of!(Record, x) + 8 * register, 0x1000 + register as u64);
    }
    image.note(0, offset_of!(Record, flags), record::ON | record::REFUSED);
    image.note(0, offset_of!(Record, pc), 0x4008_0010);
    image.note(0, offset_of!(Record, refused_esr), 0x9382_0046);
    image.note(0, offset_of!(Record, refused_ipa), 0x900_0000);
    image.note(0, offset_of!(Record, refused_pc), 0x4008_0004);
    image.note(0, offset_of!(Record, esr_el1), 0x9600_0050);
    image.note(0, offset_of!(Record, elr_el1), 0x4008_0004);
    image.note(0, offset_of!(Record, far_el1), 0x900_0000);
    image.note(1, offset_of!(Record, flags), record::ON | record::EXCEPTION);
    image.note(1, offset_of!(Record, pc), 0x4008_1000);
    image.note(1, offset_of!(Record, esr_el2), 0x3 << 26);
    image.say("[vault] opening\r\n[vault] about to fail\r\n");
    image.say("partita: crash: vault life=4 cause=unexpected-exception cpu=1\r\n");
    image
}
