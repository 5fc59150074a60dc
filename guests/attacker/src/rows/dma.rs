//! DMA: the attacker's own device reads and writes for it what the attacker's cores cannot reach. The device does not say
//! whether it was let; the buffer that it reads into says so, and who looks at the machine from outside.
//!
//! `victim=ADDRESS` and `hypervisor=ADDRESS` in the bootargs are physical addresses of what is another's, which no guest
//! could know.

use core::cell::UnsafeCell;

use partita_guest::args;
use partita_guest::edu::{BUFFER_SIZE, Edu};
use partita_guest::machine::first_reg;
use partita_guest::rows::{End, Env, Outcome};

use crate::table::Row;
use crate::{ensure, fail, same};

const GUARD: &str = "the stage 2 of the SMMU";

pub const ROWS: &[Row] = &[
    Row::new("own", "copying its own memory", "it is copied", "none: it is what DMA is for", own).dma(),
    Row::new("victim", "another partition's memory", "nothing is read or written", GUARD, victim).dma(),
    Row::new("hypervisor", "the hypervisor's memory", "nothing is read or written", GUARD, hypervisor).dma(),
    Row::new(
        "devices",
        "registers: of the interrupt controller, of the console, of the bridge, of itself, and MSI frames",
        "nothing is read or written",
        "device registers are in no table for DMA",
        devices,
    )
    .dma(),
    Row::new("beyond", "addresses that nobody has, up to the highest", "nothing is read", GUARD, beyond)
        .dma(),
    Row::new(
        "straddle",
        "a copy that begins in its own memory and ends behind it",
        "only its own part is read",
        GUARD,
        straddle,
    )
    .dma(),
    Row::new(
        "flood",
        "refused accesses one after the other",
        "nothing is read",
        "a partition's faults are counted",
        flood,
    )
    .dma(),
];

const WORDS: usize = BUFFER_SIZE as usize / 8;
/// What the attacker writes where it should not, and has in the buffer before it reads.
const PATTERN: u64 = 0xa77a_c4ed_0000_0000;
/// Bytes of an access that is expected to be refused: a word, so that few events tell of it.
const FEW: u64 = 8;
/// Refused copies of a flood, each of which a device does in many accesses.
const FLOOD: usize = 8;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u64; WORDS]>);
// SAFETY: only the core that runs the rows uses it, by volatile accesses; the device's are ordered by barriers.
unsafe impl Sync for Page {}

static SOURCE: Page = Page(UnsafeCell::new([0; WORDS]));
static TARGET: Page = Page(UnsafeCell::new([0; WORDS]));

impl Page {
    /// Its address: memory is where the tree says, also for the core.
    fn at(&self) -> u64 {
        self.0.get() as u64
    }

    fn set(&self, word: impl Fn(u64) -> u64) {
        for at in 0..WORDS {
            // SAFETY: within the page, which nothing else refers to.
            unsafe { (self.0.get() as *mut u64).add(at).write_volatile(word(at as u64)) };
        }
    }

    fn word(&self, at: usize) -> u64 {
        // SAFETY: within the page, which nothing else refers to.
        unsafe { (self.0.get() as *const u64).add(at % WORDS).read_volatile() }
    }
}

fn device(env: &Env) -> Result<Edu, End> {
    Edu::find(env.machine).ok_or(End::Skipped("no device of its own that does DMA"))
}

/// Fills the device's buffer with the pattern.
fn arm(edu: &Edu) {
    SOURCE.set(|at| PATTERN | at);
    edu.load(SOURCE.at(), BUFFER_SIZE);
}

/// Fetches the device's buffer into [`TARGET`]. How many of its words came from elsewhere: they are neither the pattern
/// nor zero, which is what a refused read may leave.
fn leaked(edu: &Edu) -> usize {
    TARGET.set(|_| 0);
    edu.store(TARGET.at(), BUFFER_SIZE);
    let own = |at: usize| TARGET.word(at) == PATTERN | at as u64 || TARGET.word(at) == 0;
    (0..WORDS).filter(|at| !own(*at)).count()
}

/// A read is refused.
fn unread(edu: &Edu, at: u64, bytes: u64) -> Outcome {
    arm(edu);
    edu.load(at, bytes);
    same!(leaked(edu), 0, "words that were read at {at:#x}");
    Ok(())
}

/// A write is tried; that nothing came of it others have to see.
fn write(edu: &Edu, at: u64, bytes: u64) {
    arm(edu);
    edu.store(at, bytes);
}

fn address(env: &Env, name: &str) -> Result<u64, End> {
    args::get(env.machine.bootargs, name)
        .and_then(args::number)
        .ok_or(End::Skipped("no address in the bootargs"))
}

fn own(env: &Env) -> Outcome {
    let edu = device(env)?;
    SOURCE.set(|at| !at);
    TARGET.set(|_| 0);
    edu.load(SOURCE.at(), BUFFER_SIZE);
    edu.store(TARGET.at(), BUFFER_SIZE);
    for at in 0..WORDS {
        same!(TARGET.word(at), !(at as u64), "word {at} of the copy");
    }
    // The first word of the first piece of memory is this program's, and not zero.
    let Some(&(base, _)) = env.machine.memory.first() else { fail!("no memory") };
    arm(&edu);
    edu.load(base, FEW);
    same!(leaked(&edu), 1, "words that were read at {base:#x}");
    Ok(())
}

fn foreign(env: &Env, name: &str) -> Outcome {
    let (edu, at) = (device(env)?, address(env, name)?);
    write(&edu, at, FEW);
    // Behind what the write would have left there.
    unread(&edu, at + FEW, FEW)
}

fn victim(env: &Env) -> Outcome {
    foreign(env, "victim")
}

fn hypervisor(env: &Env) -> Outcome {
    foreign(env, "hypervisor")
}

fn devices(env: &Env) -> Outcome {
    let edu = device(env)?;
    // GITS_TRANSLATER and a v2m frame take messages, which are writes; neither is this partition's.
    let (its, v2m) = (0x809_0040, 0x802_0040);
    let console =
        env.machine.tree.chosen().stdout().and_then(|node| first_reg(&node)).map_or(0, |(base, _)| base);
    for at in [env.machine.gicd, console, edu.registers(), its & !0xfff, v2m & !0xfff] {
        unread(&edu, at, FEW)?;
    }
    // GICD_TYPER, which is not zero and takes no wider read.
    unread(&edu, env.machine.gicd + 4, 4)?;
    for at in [env.machine.gicd, its, v2m] {
        write(&edu, at, 4);
    }
    Ok(())
}

fn beyond(env: &Env) -> Outcome {
    let edu = device(env)?;
    for &(base, size) in env.machine.memory.iter() {
        unread(&edu, base - BUFFER_SIZE, FEW)?;
        unread(&edu, base + size, FEW)?;
    }
    // As far as the device can reach: 40 bits.
    for at in [0, 1 << 36, 1 << 39, (1 << 40) - BUFFER_SIZE] {
        unread(&edu, at, FEW)?;
    }
    Ok(())
}

fn straddle(env: &Env) -> Outcome {
    let edu = device(env)?;
    let Some(&(base, size)) = env.machine.memory.first() else { fail!("no memory") };
    arm(&edu);
    edu.load(base + size - FEW, 2 * FEW);
    same!(leaked(&edu), 0, "words that were read behind its memory, which ends in zeroes");
    // The same the other way round: it ends where it may.
    let last = (base + size - FEW) as *mut u64;
    // SAFETY: the last word of memory, which is neither this program's nor its stacks'.
    unsafe { last.write_volatile(!PATTERN) };
    arm(&edu);
    edu.load(base + size - FEW, 2 * FEW);
    same!(leaked(&edu), 1, "words of its own memory that were read");
    same!(TARGET.word(0), !PATTERN, "the last word of its memory");
    ensure!(
        TARGET.word(1) & PATTERN == PATTERN || TARGET.word(1) == 0,
        "the word behind its memory was read"
    );
    Ok(())
}

fn flood(env: &Env) -> Outcome {
    let edu = device(env)?;
    arm(&edu);
    for _ in 0..FLOOD {
        edu.load(0, BUFFER_SIZE);
    }
    same!(leaked(&edu), 0, "words that were read");
    Ok(())
}
