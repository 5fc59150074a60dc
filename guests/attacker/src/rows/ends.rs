//! Ends of interrupts that are others'. With priorities that only seem to be active, a CPU interface takes an end of any number
//! (IHI 0069, 4.8; IHI 0048, 3.2.1), and where that is the physical one, what is active on another core is ended. What the
//! victim makes of it, it counts itself.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use partita_guest::gic;
use partita_guest::mmio::read32;
use partita_guest::rows::irq::{gicd, is_ours, total};
use partita_guest::rows::{Env, Outcome, cores};
use partita_guest::timer;

use crate::same;
use crate::table::Row;

const NOTHING: &str = "others lose none of theirs, and none comes twice at a time";
const ACTIVE: &str =
    "what is active is virtual; a direct partition's neighbours do not rely on what it can end";

pub const ROWS: &[Row] =
    &[Row::new("foreign", "ends of every SPI that is not ours, from all cores", NOTHING, ACTIVE, foreign)];

/// GICD_TYPER: the number of lines in its lowest bits (IHI 0069, 12.9.38; IHI 0048, 4.3.2).
const TYPER: u64 = 0x4;
/// Milliseconds for each number: the victim's come every ten.
const EACH: u64 = 35;

/// Which one is ended now; none when it is over.
static NUMBER: AtomicU32 = AtomicU32::new(0);
static UNTIL: AtomicU64 = AtomicU64::new(0);

fn hammer() {
    while timer::now() < UNTIL.load(Ordering::SeqCst) {
        gic::forge_active();
        gic::end(NUMBER.load(Ordering::SeqCst));
    }
    gic::forget_active();
}

/// The other cores take each number up as it is named, until the last one's time is over.
fn foreign(env: &Env) -> Outcome {
    let lines = ((read32(gicd() + TYPER) & 0x1f) + 1) * 32;
    let numbers = || (32..lines.min(1020)).filter(|spi| !is_ours(env.machine, *spi));
    let each = timer::frequency() / 1000 * EACH;
    NUMBER.store(32, Ordering::SeqCst);
    UNTIL.store(u64::MAX, Ordering::SeqCst);
    cores::start_others(env, hammer)?;
    for number in numbers() {
        NUMBER.store(number, Ordering::SeqCst);
        let end = timer::now() + each;
        while timer::now() < end {
            gic::forge_active();
            gic::end(number);
        }
    }
    gic::forget_active();
    UNTIL.store(0, Ordering::SeqCst);
    cores::join(env)?;
    same!(total(0), 0, "interrupts that came here");
    Ok(())
}
