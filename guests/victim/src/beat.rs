//! The victim's interrupts: a periodic timer on the first core and, at each of its ticks, an SGI, to itself or, where there is
//! a second core, there and back, and the device's. Nothing else may come, and nothing twice.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use partita_guest::{Machine, cpu, gic, timer};

use crate::line;

/// Goes to the partner.
const PING: u32 = 1;
/// Comes back from it.
const PONG: u32 = 2;
/// Ticks after which one that did not come is lost.
const PATIENCE: u64 = 200;

static INTERRUPT: AtomicU32 = AtomicU32::new(0);
static PERIOD: AtomicU64 = AtomicU64::new(0);
static DUE: AtomicU64 = AtomicU64::new(0);
static PARTNER: AtomicBool = AtomicBool::new(false);
static UP: AtomicBool = AtomicBool::new(false);

static TICKS: AtomicU64 = AtomicU64::new(0);
static MISSED: AtomicU64 = AtomicU64::new(0);
static WORST: AtomicU64 = AtomicU64::new(0);
static STRAYS: AtomicU64 = AtomicU64::new(0);
static AGAIN: AtomicU64 = AtomicU64::new(0);

/// Interrupts that are asked for one after another.
struct Asked {
    asked: AtomicU64,
    at: AtomicU64,
    came: AtomicU64,
    lost: AtomicU64,
}

static SGIS: Asked = Asked::new();
static LINES: Asked = Asked::new();

impl Asked {
    const fn new() -> Asked {
        Asked {
            asked: AtomicU64::new(0),
            at: AtomicU64::new(0),
            came: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    fn is_open(&self) -> bool {
        self.came.load(SeqCst) + self.lost.load(SeqCst) < self.asked.load(SeqCst)
    }

    /// Asks for the next, if the one before has come. One that has not come after some time counts as lost.
    fn ask(&self, how: impl FnOnce()) {
        let ticks = TICKS.load(SeqCst);
        if self.is_open() {
            if ticks - self.at.load(SeqCst) < PATIENCE {
                return;
            }
            self.lost.fetch_add(1, SeqCst);
        }
        self.asked.fetch_add(1, SeqCst);
        self.at.store(ticks, SeqCst);
        how();
    }

    /// Whether one was asked for and comes now.
    fn comes(&self) -> bool {
        let open = self.is_open();
        if open {
            self.came.fetch_add(1, SeqCst);
        }
        open
    }
}

/// What has been counted.
pub struct Figures {
    /// Timer interrupts taken.
    pub ticks: u64,
    /// Periods that passed while an interrupt was late.
    pub missed: u64,
    /// SGIs taken on the first core.
    pub sgis: u64,
    /// Interrupts of the device.
    pub lines: u64,
    /// SGIs sent, and the device's, that did not come.
    pub lost: u64,
    /// Interrupts that nobody had asked for, among them timer interrupts before their time.
    pub strays: u64,
    /// Interrupts of the device while its line was down.
    pub again: u64,
    /// Greatest lateness since these figures were last asked for.
    pub worst: u64,
}

impl Figures {
    /// Whether all came that were due, and nothing else.
    pub fn exact(&self) -> bool {
        self.lost == 0 && self.strays == 0 && self.again == 0
    }
}

/// Takes the figures.
pub fn figures() -> Figures {
    Figures {
        ticks: TICKS.load(SeqCst),
        missed: MISSED.load(SeqCst),
        sgis: SGIS.came.load(SeqCst),
        lines: LINES.came.load(SeqCst),
        lost: SGIS.lost.load(SeqCst) + LINES.lost.load(SeqCst),
        strays: STRAYS.load(SeqCst),
        again: AGAIN.load(SeqCst),
        worst: WORST.swap(0, SeqCst),
    }
}

/// Starts the partner, if there is one, and the timer.
pub fn start(machine: &'static Machine, period: u64) {
    INTERRUPT.store(machine.virtual_timer, SeqCst);
    PERIOD.store(period, SeqCst);
    if let Some(affinity) = machine.cores.get(1) {
        PARTNER.store(true, SeqCst);
        cpu::start(1, *affinity, partner);
        while !UP.load(SeqCst) {
            core::hint::spin_loop();
        }
    }
    gic::enable(if PARTNER.load(SeqCst) { PONG } else { PING }, true);
    gic::enable(machine.virtual_timer, true);
    let due = timer::now() + period;
    DUE.store(due, SeqCst);
    timer::set_virtual(due);
}

fn partner() {
    gic::init_secondary();
    gic::enable(PING, true);
    cpu::unmask_interrupts();
    UP.store(true, SeqCst);
    loop {
        cpu::wait();
    }
}

/// Sleeps until there has been another tick since the last call.
pub fn wait() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    loop {
        // Looked at and slept on with interrupts masked: one that comes in between still ends the sleep.
        cpu::mask_interrupts();
        if TICKS.load(SeqCst) > SEEN.load(SeqCst) {
            SEEN.fetch_add(1, SeqCst);
            cpu::unmask_interrupts();
            return;
        }
        cpu::wait();
        cpu::unmask_interrupts();
    }
}

/// Sends an SGI and has the device raise its line, each if the one before has come.
pub fn send() {
    SGIS.ask(|| gic::send(PING, if PARTNER.load(SeqCst) { 1 << 1 } else { 1 << 0 }));
    if line::exists() {
        cpu::with_interrupts_masked(|| LINES.ask(line::raise));
    }
}

/// The interrupt handler of both cores.
pub fn irq() {
    let now = timer::now();
    let Some(taken) = gic::acknowledge() else { return };
    let intid = taken.intid();
    if intid == INTERRUPT.load(SeqCst) && cpu::index() == 0 {
        // Once for each tick that is over, also where the computer under the emulator let several pass: who counts from outside
        // divides by them.
        (0..=skipped(now).min(1000)).for_each(|_| cpu::mark());
        // The line falls before the end of interrupt: QEMU's GICv2 forgets to look at a line that is up when a list
        // register's interrupt ends, until something else happens at the distributor.
        timer::stop_virtual();
        gic::end(taken);
        tick(now);
        return;
    }
    if intid == line::intid() && cpu::index() == 0 {
        let up = line::is_up();
        line::lower();
        gic::end(taken);
        if !up {
            AGAIN.fetch_add(1, SeqCst);
        } else if !LINES.comes() {
            STRAYS.fetch_add(1, SeqCst);
        }
        return;
    }
    gic::end(taken);
    match (intid, cpu::index(), PARTNER.load(SeqCst)) {
        (PING, 1, true) => gic::send(PONG, 1 << 0),
        (PONG, 0, true) | (PING, 0, false) if SGIS.comes() => {}
        _ => {
            STRAYS.fetch_add(1, SeqCst);
        }
    }
}

/// How many ticks have passed without an interrupt.
fn skipped(now: u64) -> u64 {
    now.saturating_sub(DUE.load(SeqCst)) / PERIOD.load(SeqCst).max(1)
}

fn tick(now: u64) {
    let (due, period) = (DUE.load(SeqCst), PERIOD.load(SeqCst));
    if now < due {
        STRAYS.fetch_add(1, SeqCst);
        timer::set_virtual(due);
        return;
    }
    let late = now - due;
    WORST.fetch_max(late, SeqCst);
    let skipped = skipped(now);
    MISSED.fetch_add(skipped, SeqCst);
    TICKS.fetch_add(1, SeqCst);
    let due = due + period * (1 + skipped);
    DUE.store(due, SeqCst);
    timer::set_virtual(due);
}
