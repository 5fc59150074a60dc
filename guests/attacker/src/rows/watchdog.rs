//! The partition's watchdog: its registers are a model's, and what is made of its timer costs this partition only. That it ends
//! its partition when it is let expire is the crasher's to show.

use core::sync::atomic::{AtomicU64, Ordering};

use partita_guest::exception::catch;
use partita_guest::mmio::{read32, read64, write32, write64};
use partita_guest::rows::{End, Env, Outcome, cores};
use partita_guest::timer;
use partita_guest::watchdog::{ENABLED, WCS, WCV, WOR, WS0, Watchdog};

use crate::owned::{DATA, Owned, PAGE, aborted, read_whole, write_whole};
use crate::table::Row;
use crate::{ensure, same};

const MODEL: &str = "the watchdog's registers are a model's, and it has no others";
const TIMER: &str =
    "EL2's timer is set for this partition on its own cores, and comes once for each time it is set";

pub const ROWS: &[Row] = &[
    Row::new(
        "read-every-offset",
        "reads of every width at every offset of both frames",
        "an answer",
        MODEL,
        read_all,
    ),
    Row::new(
        "write-every-offset",
        "wild writes of every width at every offset of both frames",
        "an answer",
        MODEL,
        write_all,
    ),
    Row::new(
        "registers",
        "offsets and compare values at both ends of what they can be",
        "what was written, as far as there are bits",
        MODEL,
        registers,
    ),
    Row::new(
        "beyond",
        "the pages before and behind each frame",
        "external abort",
        super::edges::STAGE2,
        beyond,
    ),
    Row::new(
        "storm",
        "first stages as fast as they go, and refreshes from the other cores",
        "each is there, and others notice nothing",
        TIMER,
        storm,
    ),
];

/// No time at all, in which no second stage ends.
const LONG: u64 = !0 >> 16;

fn watchdog(env: &Env) -> Result<Watchdog, End> {
    Watchdog::find(env.machine).ok_or(End::Skipped("no watchdog"))
}

/// As after reset, but for what it was told last.
fn quiet(watchdog: Watchdog) -> Outcome {
    watchdog.stop();
    same!(watchdog.status(), 0, "WCS of a watchdog that is off");
    Ok(())
}

fn read_all(env: &Env) -> Outcome {
    let watchdog = watchdog(env)?;
    for base in [watchdog.control, watchdog.refresh] {
        let fault = read_whole(base, PAGE);
        ensure!(fault.is_none(), "{base:#x}: {fault:x?}");
    }
    quiet(watchdog)
}

/// The offset is as long as may be before it is turned on, and so is the compare value while it is on: or it would do what it
/// is there for.
fn write_all(env: &Env) -> Outcome {
    let watchdog = watchdog(env)?;
    for value in [!0, 0x5555_5555_5555_5555, 0] {
        watchdog.stop();
        write64(watchdog.control + WOR, value);
        for base in [watchdog.control, watchdog.refresh] {
            let fault = write_whole(base, value);
            ensure!(fault.is_none(), "{base:#x} {value:#x}: {fault:x?}");
        }
        same!(read64(watchdog.control + WOR), value & LONG, "WOR");
    }
    quiet(watchdog)
}

fn registers(env: &Env) -> Outcome {
    let watchdog = watchdog(env)?;
    let at = |register| watchdog.control + register;
    for value in [0, 1, 0xffff_ffff, 1 << 32, LONG, 1 << 48, 1 << 63, !0] {
        write64(at(WOR), value);
        same!(read64(at(WOR)), value & LONG, "WOR after {value:#x}");
        write32(at(WCV), value as u32);
        write32(at(WCV + 4), (value >> 32) as u32);
        same!(read64(at(WCV)), value, "WCV after {value:#x}");
    }
    // On, with all of that at once: the sum has as many bits as there are.
    write64(at(WOR), !0);
    write32(at(WCS), !0);
    same!(watchdog.status(), ENABLED, "WCS with signals written");
    ensure!(read64(at(WCV)) > timer::now(), "the compare value is not ahead");
    write64(at(WCV), !0);
    same!(watchdog.status(), ENABLED, "WCS with the last compare value");
    quiet(watchdog)
}

fn beyond(env: &Env) -> Outcome {
    let (watchdog, owned) = (watchdog(env)?, Owned::new(env));
    for base in [watchdog.control, watchdog.refresh] {
        for at in [base - 8, base + PAGE].into_iter().filter(|at| !owned.has(*at)) {
            aborted("read", at, DATA, catch(|| read32(at)).1)?;
            aborted("write", at, DATA, catch(|| write32(at, 0)).1)?;
        }
    }
    Ok(())
}

static REFRESH: AtomicU64 = AtomicU64::new(0);
static UNTIL: AtomicU64 = AtomicU64::new(0);

/// A compare value of the past is the first stage at once; refreshing ends it. Only one core may do so: where two have a past
/// before it is refreshed, the second stage comes.
fn stages(watchdog: Watchdog) {
    while timer::now() < UNTIL.load(Ordering::SeqCst) {
        write64(watchdog.control + WCV, 0);
        watchdog.refresh();
    }
}

/// Each refresh makes its core the one whose timer is set.
fn refreshes() {
    let at = REFRESH.load(Ordering::SeqCst);
    while timer::now() < UNTIL.load(Ordering::SeqCst) {
        write32(at, 0);
    }
}

fn storm(env: &Env) -> Outcome {
    let watchdog = watchdog(env)?;
    write64(watchdog.control + WOR, LONG);
    write32(watchdog.control + WCS, ENABLED);
    write64(watchdog.control + WCV, 0);
    let end = timer::now() + timer::frequency();
    while watchdog.status() != ENABLED | WS0 {
        ensure!(timer::now() < end, "the first stage did not come");
    }
    watchdog.refresh();
    REFRESH.store(watchdog.refresh, Ordering::SeqCst);
    UNTIL.store(timer::now() + timer::frequency() / 2, Ordering::SeqCst);
    cores::start_others(env, refreshes)?;
    stages(watchdog);
    cores::join(env)?;
    quiet(watchdog)
}
