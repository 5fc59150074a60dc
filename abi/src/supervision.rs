//! Supervision: the device by which a partition that `manages` others stops, starts and watches them, and the same as hypercalls.
//!
//! The device's node is `supervisor@ADDRESS`, `compatible = "partita,supervisor"`. Its `reg` has first the page of [`registers`], then
//! one [`Area`] for each managed partition; its `manages` has their names in the same order, which is the overlay's. A managed
//! partition's *index*, here and in hypercalls, is its place in that order, from 0: nobody else's can be said.
//!
//! docs/supervision.md tells how all this is used, and what can be relied on.

use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// `compatible` of the device's node.
pub const COMPATIBLE: &str = "partita,supervisor";
/// The property of that node with the managed partitions' names.
pub const MANAGES: &str = "manages";

/// The first page of the device: EL2 answers every access. A register is 64 bits wide and is accessed whole. Whatever else is
/// tried there reads zero, changes nothing, and is counted in [`registers::REFUSED`].
pub mod registers {
    /// Bytes of the page.
    pub const SIZE: u64 = 0x1000;
    /// Read: [`super::MAGIC`].
    pub const MAGIC: u64 = 0x00;
    /// Read: [`super::VERSION`].
    pub const VERSION: u64 = 0x08;
    /// Read: how many partitions are managed.
    pub const COUNT: u64 = 0x10;
    /// Read: what of this partition was refused since power-on, by its registers and by its hypercalls.
    pub const REFUSED: u64 = 0x18;
    /// Write: a [`super::Command`]. It is carried out when the store is done.
    pub const COMMAND: u64 = 0x20;
    /// Read: what became of the last command of this partition's, a [`super::Outcome`].
    pub const RESULT: u64 = 0x28;
    /// Read, 8 bytes for each index: first cleans the area of that partition out of the caches (to the point of coherency), and
    /// then gives its [`super::Life`]. Who has the area mapped as cacheable memory has no need of it.
    pub const REFRESH: u64 = 0x400;
    /// Where those end.
    pub const REFRESH_END: u64 = 0x1000;
}

/// The most partitions that one can manage.
pub const MOST_MANAGED: usize = ((registers::REFRESH_END - registers::REFRESH) / 8) as usize;

/// What [`registers::MAGIC`] reads: `PTSUPERV`, as bytes in memory.
pub const MAGIC: u64 = u64::from_le_bytes(*b"PTSUPERV");

/// Version of all this.
pub const VERSION: u64 = 1;

/// What is asked of a partition, in bits 7..0 of a [`Command`].
pub mod request {
    /// To be off, and to stay so.
    pub const STOP: u8 = 1;
    /// To run: from the start if it is off or failed.
    pub const START: u8 = 2;
    /// To be off if it runs, and then to run from the start.
    pub const RESTART: u8 = 3;
}

/// A word of [`registers::COMMAND`]: the request in bits 7..0, zero in bits 31..8, the index in bits 47..32, and in bits 63..48 what
/// the caller likes, which comes back in the [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub u64);

impl Command {
    /// A request to the partition with this index.
    #[must_use]
    pub const fn new(request: u8, index: u16, tag: u16) -> Self {
        Self(request as u64 | (index as u64) << 32 | (tag as u64) << 48)
    }

    /// The request.
    #[must_use]
    pub const fn request(self) -> u8 {
        self.0 as u8
    }

    /// The index.
    #[must_use]
    pub const fn index(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Bits 31..8, which are zero.
    #[must_use]
    pub const fn reserved(self) -> u32 {
        self.0 as u32 >> 8
    }
}

/// A word of [`registers::RESULT`]: the command's request in bits 7..0, the code in bits 15..8 (signed), how many commands this
/// partition has given in bits 31..16 (modulo 2^16), the command's index and tag in bits 47..32 and 63..48. Zero before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(pub u64);

impl Outcome {
    /// Of a command; it is the `count`th.
    #[must_use]
    pub const fn new(command: Command, code: i8, count: u16) -> Self {
        Self(command.0 & 0xffff_ffff_0000_00ff | (code as u8 as u64) << 8 | (count as u64) << 16)
    }

    /// The code, one of [`code`].
    #[must_use]
    pub const fn code(self) -> i8 {
        (self.0 >> 8) as i8
    }

    /// How many commands were given.
    #[must_use]
    pub const fn count(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Whether this is about that command: request, index and tag are the same.
    #[must_use]
    pub const fn is_of(self, command: Command) -> bool {
        (self.0 ^ command.0) & 0xffff_ffff_0000_00ff == 0
    }
}

/// What becomes of a request. Not negative: it will be as was asked, and the partition's [`Life`] says when it is. Negative: refused,
/// and counted.
pub mod code {
    /// It was asked for, and is on its way.
    pub const ASKED: i8 = 0;
    /// It is so already, or on its way.
    pub const ALREADY: i8 = 1;
    /// It was asked for, but the partition's interrupts are direct: it stops when its guest comes to the hypervisor, and until then
    /// its state is "stopping".
    pub const BEST_EFFORT: i8 = 2;
    /// There is no such request, or no such call.
    pub const UNKNOWN: i8 = -1;
    /// There is no such index. Of a partition that manages nobody this is the answer to each.
    pub const NO_SUCH: i8 = -2;
    /// Bits that are zero are not, or the register is accessed in a way that it cannot be.
    pub const MALFORMED: i8 = -3;
    /// It cannot be started any more: the hypervisor failed on a core of its, or the user ends everything.
    pub const FINAL: i8 = -4;
}

/// Hypercalls: SMC64 fast calls of the vendor-specific hypervisor range (DEN 0028, table 6-1), by HVC and SMC alike. w0 is the
/// function, x1 the index. x0 is a [`code`], sign-extended; x1 and on what was asked for. Registers that are not named keep what
/// they had. Every refusal has the code of [`code`], and zero in the registers that would have an answer.
pub mod call {
    /// x1: how many partitions are managed. Of a partition that manages nobody it is none, and that is no refusal.
    pub const COUNT: u32 = 0xc600_0000;
    /// x1..x4: the name, 32 bytes in little-endian order, zero behind its end.
    pub const NAME: u32 = 0xc600_0001;
    /// x1: [`super::Life`]; x2: restarts; x3: the counter's value (CNTVCT_EL0) when it was started last.
    pub const STATE: u32 = 0xc600_0002;
    /// As [`super::request::STOP`].
    pub const STOP: u32 = 0xc600_0003;
    /// As [`super::request::START`].
    pub const START: u32 = 0xc600_0004;
    /// As [`super::request::RESTART`].
    pub const RESTART: u32 = 0xc600_0005;
    /// A sign of life of the caller's own: counted in [`super::Cpu::beats`] of the virtual CPU that calls, for who watches. Any
    /// partition may call it; x1 is not looked at, and the code is [`super::code::ASKED`].
    pub const BEAT: u32 = 0xc600_0006;
    /// How many there are (VENDOR_HYP_CALL_COUNT).
    pub const CALLS: u32 = 7;
}

/// A partition's state, in bits 7..0 of a [`Life`].
pub mod state {
    /// Not started, or ended in order.
    pub const OFF: u8 = 0;
    /// Its memory is being filled.
    pub const LOADING: u8 = 1;
    /// It runs.
    pub const RUNNING: u8 = 2;
    /// It has ended; its cores are on their way out.
    pub const STOPPING: u8 = 3;
    /// It ended by a fault, or could not be started.
    pub const FAILED: u8 = 4;
    /// In words, by number.
    pub const WORDS: [&str; 5] = ["off", "loading", "running", "stopping", "failed"];
}

/// Why a partition ended, in words: those of the closing summary. By bits 15..8 of a [`Life`], and of [`Header::failure`]. New ones
/// come behind these; a reader says the number of one that it does not know.
pub const CAUSES: [&str; 14] = [
    "not-started",
    "system-off",
    "system-reset",
    "all-cpus-off",
    "stopped-by-user",
    "bad-image",
    "bad-device-tree",
    "core-did-not-start",
    "serror",
    "unexpected-exception",
    "hypervisor-fault",
    "audit-failed",
    "told",
    "watchdog",
];

/// The cause that is a word of a manager's.
pub const TOLD: u8 = 12;

/// Where a partition is in its life: the state in bits 7..0; in bits 15..8 why it is not running, or why it did not run last; where
/// that is "told", in bits 23..16 by which of those who manage it, in the overlay's order from 1; in bits 31..24 what follows when it
/// has stopped (0 what its `restart` says, 1 it is started again, 2 it stays off).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(pub u32);

impl Life {
    /// The state.
    #[must_use]
    pub const fn state(self) -> u8 {
        self.0 as u8
    }

    /// The cause.
    #[must_use]
    pub const fn cause(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

/// Exits by kind, in the order of [`Cpu::exits`]: the names that the closing summary has.
pub const KINDS: [&str; 7] = ["irq", "sgi", "mmio", "sysreg", "psci", "hvc", "other"];

/// Bytes of a partition's console output that are kept.
pub const LOG_BYTES: usize = 4096;
/// How many of them may be overwritten while a reader copies: only the `LOG_BYTES - LOG_MARGIN` bytes before [`Log::head`], as it is
/// after the copy, are whole.
pub const LOG_MARGIN: usize = 512;

/// An area: what a managed partition is and does, kept up to date by EL2's cores as they run. It can be read and not written, and
/// nothing is executed there. Everything is little-endian. Each word is written at once: one load of its size sees a value that it
/// had. It begins with this; [`Log`], [`Cpu`] and [`Record`] are where this says.
#[repr(C)]
#[derive(Debug)]
pub struct Area {
    /// What it is.
    pub header: Header,
    /// Its console's output.
    pub log: Log,
}

/// What stands at the beginning of an area.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Header {
    /// [`AREA_MAGIC`].
    pub magic: AtomicU64,
    /// [`VERSION`].
    pub version: AtomicU64,
    /// The partition's name, zero behind its end. It never changes.
    pub name: [AtomicU64; 4],
    /// Bytes from here to its log ([`Log`]),
    pub log: AtomicU64,
    /// to the first of its virtual CPUs ([`Cpu`]), which lie one behind the other,
    pub cpus: AtomicU64,
    /// and to the first [`Record`] of a virtual CPU.
    pub records: AtomicU64,
    /// How many virtual CPUs it has.
    pub cpu_count: AtomicU64,
    /// Bit 0: its interrupts are direct, so it stops at best effort. Other bits are zero.
    pub flags: AtomicU64,
    /// The rest of these two lines, which never change.
    pub reserved: [AtomicU64; 5],
    /// Where it is in its life: a [`Life`].
    pub life: AtomicU32,
    /// Zero.
    pub life_upper: AtomicU32,
    /// How often it was started again since power-on.
    pub restarts: AtomicU64,
    /// The counter's value (CNTVCT_EL0, the same on every core and in every partition) when it was started last; zero: never.
    pub started: AtomicU64,
    /// The same when it was off last; zero: never.
    pub ended: AtomicU64,
    /// How often it failed since power-on.
    pub failures: AtomicU64,
    /// Why it failed last: a cause as in [`Life`]; zero: it has not failed.
    pub failure: AtomicU64,
    /// The counter's value then.
    pub failed: AtomicU64,
    /// Accesses of its devices that an SMMU refused.
    pub dma: AtomicU64,
    /// What it was refused of what it asked of others ([`registers::REFUSED`], by registers and hypercalls).
    pub refused: AtomicU64,
    /// The record of its last failure is written while this is odd: who reads it reads this before and after, and has read one
    /// record if both are the same, and even. Zero: there is none.
    pub record_sequence: AtomicU64,
    /// In which of its lives that was: so many restarts came before.
    pub record_life: AtomicU64,
    /// Why it failed.
    pub record_cause: AtomicU64,
    /// The virtual CPU that was the cause; all ones: none was.
    pub record_cpu: AtomicU64,
    /// Zero.
    pub rest: [AtomicU64; 3],
}

/// What [`Header::magic`] is: `PTSTATUS`, as bytes in memory.
pub const AREA_MAGIC: u64 = u64::from_le_bytes(*b"PTSTATUS");

/// [`Header::flags`]: interrupts are direct.
pub const FLAG_DIRECT: u64 = 1;

/// The partition's console output as it goes to the console: lines with the partition's name in front, unless it has the keyboard.
///
/// Byte number `n` of all that it ever put out is `bytes[n % LOG_BYTES]`. Who follows it keeps the number of the next byte that it
/// has not read: it reads `head`, copies up to there, and reads `head` again. What it copied is whole from byte number
/// `head - (LOG_BYTES - LOG_MARGIN)` on; before that, bytes were missed.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Log {
    /// How many bytes it ever put out. It does not go back when the partition is started again.
    pub head: AtomicU64,
    /// How many of them went out to the board's console.
    pub tail: AtomicU64,
    /// The last ones.
    pub bytes: [AtomicU8; LOG_BYTES],
}

/// What one virtual CPU did, since power-on.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Cpu {
    /// How often it came to the hypervisor, by kind ([`KINDS`]). Interrupts that it took are the first; those of a partition whose
    /// interrupts are direct are not counted.
    pub exits: [AtomicU64; 7],
    /// Signs of life: [`call::BEAT`], and refreshes of its watchdog.
    pub beats: AtomicU64,
}

/// What a virtual CPU was doing when its partition failed last.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Record {
    /// What is known: [`record`].
    pub flags: AtomicU64,
    /// x0..x30.
    pub x: [AtomicU64; 31],
    /// Program counter; of the virtual CPU that was the cause of a "hypervisor-fault", EL2's.
    pub pc: AtomicU64,
    /// PSTATE.
    pub pstate: AtomicU64,
    /// SP_EL0.
    pub sp_el0: AtomicU64,
    /// SP_EL1.
    pub sp_el1: AtomicU64,
    /// ESR_EL1.
    pub esr_el1: AtomicU64,
    /// ELR_EL1.
    pub elr_el1: AtomicU64,
    /// FAR_EL1.
    pub far_el1: AtomicU64,
    /// VBAR_EL1.
    pub vbar_el1: AtomicU64,
    /// ESR_EL2 and FAR_EL2 of the exception that was the cause.
    pub esr_el2: AtomicU64,
    /// See there.
    pub far_el2: AtomicU64,
    /// The last access that was refused since it started: ESR_EL2,
    pub refused_esr: AtomicU64,
    /// the guest-physical address,
    pub refused_ipa: AtomicU64,
    /// and the instruction.
    pub refused_pc: AtomicU64,
    /// Zero.
    pub rest: [AtomicU64; 3],
}

/// Bits of [`Record::flags`].
pub mod record {
    /// It was on; without this bit everything else is zero.
    pub const ON: u64 = 1;
    /// `esr_el2` and `far_el2` are there.
    pub const EXCEPTION: u64 = 1 << 1;
    /// EL2 came to the end of its stack.
    pub const OVERFLOW: u64 = 1 << 2;
    /// `refused_esr`, `refused_ipa` and `refused_pc` are there.
    pub const REFUSED: u64 = 1 << 3;
}

/// Bytes of an area of a partition with so many virtual CPUs, in whole pages.
#[must_use]
pub const fn area_bytes(cpus: usize) -> usize {
    (records_offset(cpus) + cpus * size_of::<Record>()).next_multiple_of(0x1000)
}

/// Where [`Cpu`]s begin ([`Header::cpus`]).
pub const CPUS_OFFSET: usize = size_of::<Area>();

/// Where [`Record`]s begin ([`Header::records`]).
#[must_use]
pub const fn records_offset(cpus: usize) -> usize {
    CPUS_OFFSET + cpus * size_of::<Cpu>()
}

const _: () = assert!(size_of::<Header>() == 0x100 && offset_of!(Header, life) == 0x80);
const _: () = assert!(offset_of!(Header, started) == 0x90 && offset_of!(Header, record_sequence) == 0xc8);
const _: () = assert!(offset_of!(Area, log) == 0x100 && offset_of!(Log, bytes) == 0x10);
const _: () = assert!(size_of::<Log>() == 0x1040 && size_of::<Area>() == 0x1140);
const _: () = assert!(size_of::<Cpu>() == 64 && offset_of!(Cpu, beats) == 56);
const _: () = assert!(size_of::<Record>() == 384 && offset_of!(Record, refused_pc) == 44 * 8);
