//! The shared console: the partitions' emulated UARTs on one side, the physical one on the other.
//!
//! No core waits for the UART or for another partition. Output goes into the partition's ring; a full ring slows down
//! the guest whose ring it is. A ring is drained by the cores of its partition and by no other, in steps of a FIFO's
//! size: when something is put in, when it is called after another's line, and at the UART's interrupt, which is routed
//! to the partition whose output is next. So a flood costs the one who makes it.
//!
//! To a direct partition's cores (`interrupt-path = "direct"`) no interrupt of EL2's comes. What it writes goes out before its
//! store ends, or stays until its next one when the UART is busy for longer than [`FLUSH`]; input for it is told by its
//! own console's SPI. Where every partition is direct, the keyboard is looked at when one of them uses its UART.

mod terminal;

use aarch64_cpu::asm::barrier;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};

use partita_abi::supervision::LOG_BYTES;
use partita_model::console::drain::{Drain, PATIENCE, Turn};
use partita_model::console::focus::{self, Event, Filter, HELP};
use partita_model::console::line::Assembler;
use partita_model::console::ring::Ring;
use partita_model::pl011::FIFO;
use partita_model::plan::{self, Plan, own};
use spin::Once;
use spin::mutex::{SpinMutex, TicketMutex};

use crate::clock::{self, Deadline};
use crate::core::Core;
use crate::gic::{self, Found, Seat};
use crate::layout::PAGE;
use crate::partition::Partition;
use crate::{audit, board, crash, status, uart};

pub use terminal::Terminal;

/// How often a core takes the turn again for output that came meanwhile.
const ROUNDS: usize = 4;

/// Milliseconds that a direct partition's store to its UART may take: longer than a line of others' and its own ring at
/// 921,600 baud, and its own time.
const FLUSH: u64 = 50;

/// Milliseconds for which a line of EL2's own about a partition waits for room in that one's ring: twice as long as the whole
/// ring takes at 115,200 baud.
const ANNOUNCE: u64 = 750;

/// What every line of EL2's own begins with.
const OWN: &[u8] = b"partita: ";

/// Bytes of a partition's output ring.
const OUT: usize = LOG_BYTES;

/// Bytes of a partition's input ring.
const INPUT: usize = 256;

/// What a partition's consoles need of shared memory.
pub const SHARED_BYTES: usize = size_of::<Channel>();
const _: () = assert!(SHARED_BYTES <= own::CONSOLE_PAGES as usize * PAGE);
/// What EL2's own output needs of it; a partition's is in its area.
pub const OWN_BYTES: usize = size_of::<Ring<OUT>>();
const _: () = assert!(OWN_BYTES <= own::OWN_OUTPUT_PAGES as usize * PAGE);

/// What all cores share of one partition's console.
#[derive(Debug)]
struct Channel {
    /// Output: the partition's cores push, under its lock; the holder of the turn pops.
    out: &'static Ring<OUT>,
    /// Input: the core that reads the UART pushes, under [`Console::filter`]; the partition's cores pop, under its lock.
    input: Ring<INPUT>,
    /// The guest was told that there is no room, and waits to hear that there is.
    full: AtomicBool,
    /// The core that takes interrupts for this console.
    seat: Seat,
    /// Whether the partition has one.
    shared: bool,
    /// Of a direct partition: the SPI by which EL2 reaches it,
    bell: Option<u32>,
    /// and how many of its cores write it out.
    flushing: AtomicUsize,
}

#[derive(Debug)]
struct Console {
    drain: Drain,
    /// One per partition; the last is EL2's own, for what it says while partitions run.
    channels: Vec<Channel>,
    /// The keyboard's state, and the right to push input. Held while one FIFO of input is read.
    filter: SpinMutex<Filter>,
    /// The right to push into EL2's own channel. Held for one line.
    own: TicketMutex<()>,
    focus: AtomicUsize,
    quit: AtomicBool,
    /// A byte that goes out before anything else, with the turn: the LF after its CR.
    carry: AtomicU8,
    /// Where the UART's interrupt goes: index of a channel.
    routed: AtomicUsize,
    /// Where it goes instead of to a direct partition, if there is another.
    mediated: Option<usize>,
    /// A core that could not serve it has disabled it, until the one who has the UART or the keyboard gives it back.
    silenced: AtomicBool,
}

static CONSOLE: Once<Console> = Once::new();

/// Makes the rings. Called once, before any partition runs, with the shared arena open.
pub fn init(plan: &Plan, gic: &Found) {
    let channel = |out, seat, shared, bell| Channel {
        out,
        input: Ring::new(),
        full: AtomicBool::new(false),
        seat,
        shared,
        bell,
        flushing: AtomicUsize::new(0),
    };
    let mut channels: Vec<Channel> = Vec::with_capacity(plan.partitions.len() + 1);
    for (partition, status) in plan.partitions.iter().zip(status::all()) {
        channels.push(channel(
            status.area.ring(),
            gic.seat(partition.cpus[0]),
            matches!(partition.console, plan::Console::Shared { .. }),
            partition.bell,
        ));
    }
    let mediated = channels.iter().position(|channel| channel.bell.is_none());
    let uncalled = channels.iter().enumerate().filter(|(_, channel)| channel.bell.is_some());
    let uncalled = uncalled.fold(0, |all, (number, _)| all | 1 << number);
    let focus = channels.iter().position(|channel| channel.shared).unwrap_or(0);
    let seat = channels[mediated.unwrap_or(focus)].seat;
    channels.push(channel(Box::leak(Box::new(Ring::new())), seat, false, None));
    let own = channels.len() - 1;
    CONSOLE.call_once(|| Console {
        drain: Drain::new(own, clock::milliseconds(PATIENCE)).with_uncalled(uncalled),
        channels,
        filter: SpinMutex::new(Filter::new()),
        own: TicketMutex::new(()),
        focus: AtomicUsize::new(focus),
        quit: AtomicBool::new(false),
        carry: AtomicU8::new(0),
        routed: AtomicUsize::new(usize::MAX),
        mediated,
        silenced: AtomicBool::new(false),
    });
}

/// Turns the UART's interrupt on. Called once, when every partition is prepared.
pub fn start() {
    if board::uart_intid() != 0
        && let Some(console) = CONSOLE.get()
        && console.mediated.is_some()
    {
        // Both kinds of UART hold their line until they are served; firmware may have left anything here.
        gic::claim(board::uart_intid(), false);
        console.route();
        uart::interrupts(true, false);
        gic::enable(board::uart_intid());
    }
}

impl Console {
    fn channel(&self, source: usize) -> Option<&Channel> {
        self.channels.get(source)
    }

    fn ring(&self, source: usize) -> Option<&Ring<OUT>> {
        self.channel(source).map(|channel| channel.out)
    }

    /// Has a partition's first core look at what is here for it: by a kick, or, where that would be a direct guest's own
    /// SGI, by the interrupt of its console, whose driver then uses its UART.
    fn kick(&self, source: usize) {
        let Some(channel) = self.channel(source) else { return };
        match channel.bell {
            None => gic::controller().kick(channel.seat),
            Some(intid) => {
                let kicked = status::all().get(source).is_some_and(|status| status.kick(0, channel.seat));
                if !kicked {
                    gic::pend(intid);
                }
            }
        }
    }

    fn kick_all(&self) {
        (0..self.own()).for_each(|partition| self.kick(partition));
    }

    /// EL2's own channel: the last.
    fn own(&self) -> usize {
        self.channels.len().saturating_sub(1)
    }

    /// Writes at most one FIFO's worth of what the partition `me` has to say, if the turn is free, and sees to it that the
    /// rest follows: by the UART's interrupt, or by a kick to the one who is next.
    fn pump(&self, me: usize) {
        // Again only when this core's output was marked while it had the turn; who marked it found it taken.
        for _ in 0..ROUNDS {
            let Some(mut turn) = self.drain.turn(me, clock::now()) else { break };
            let all = self.step(&mut turn);
            self.route();
            self.arm();
            drop(turn);
            self.unsilence();
            // With a full FIFO the interrupt comes when it has drained; with an empty one it would not.
            if !all || !self.drain.is_for(me, clock::now()) {
                break;
            }
        }
        if let Some(next) = self.drain.call(me, clock::now()) {
            self.kick(next);
        }
        for (source, channel) in self.channels.iter().enumerate() {
            if channel.full.load(Ordering::Acquire) && Assembler::room(channel.out.free()) >= FIFO {
                channel.full.store(false, Ordering::Release);
                self.kick(source);
            }
        }
    }

    /// Chooses the UART's interrupts, with the turn: the transmit interrupt while somebody waits to whom it can go.
    fn arm(&self) {
        let awaited = self.drain.is_awaited() || self.carry.load(Ordering::Relaxed) != 0;
        uart::interrupts(self.mediated.is_some(), self.mediated.is_some() && awaited);
    }

    /// Writes out what a direct partition has said, on its own core and in its own time.
    fn flush(&self, me: usize) {
        let Some(channel) = self.channel(me).filter(|channel| !channel.out.is_empty()) else { return };
        let deadline = Deadline::after_milliseconds(FLUSH);
        channel.flushing.fetch_add(1, Ordering::SeqCst);
        self.drain.present(me, true);
        self.pump(me);
        while !channel.out.is_empty() && !deadline.passed() {
            // Not the turn before it is this one's: whoever was called would find it taken, and be called again.
            if self.drain.is_for(me, clock::now()) {
                self.pump(me);
            }
            core::hint::spin_loop();
        }
        if channel.flushing.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.drain.present(me, false);
            // Another core of the partition may have come between.
            self.drain.present(me, channel.flushing.load(Ordering::SeqCst) != 0);
        }
        // Nobody else looked after the UART meanwhile.
        if let Some(next) = self.drain.next_called() {
            self.kick(next);
        }
    }

    /// Takes at most one FIFO of what was typed.
    fn take_input(&self) {
        if let Some(mut filter) = self.filter.try_lock() {
            for _ in 0..uart::STEP {
                let Some(byte) = uart::get() else { break };
                if let Some(event) = filter.input(byte) {
                    self.input(event);
                }
            }
            drop(filter);
            self.unsilence();
        }
    }

    /// Another core has the UART or the keyboard.
    fn is_held(&self) -> bool {
        self.drain.is_taken() || self.filter.is_locked()
    }

    /// Disables the UART's interrupt while another core has what it is about. Levels stay until they are served, so it would
    /// come again and again until then: to a core that has nothing to do with how long the other one takes.
    fn silence(&self) {
        gic::disable(board::uart_intid());
        // Before he enables it.
        barrier::dsb(barrier::SY);
        self.silenced.store(true, Ordering::SeqCst);
        // He may have gone meanwhile.
        self.unsilence();
    }

    /// Enables it again, unless somebody else will. To be called after the UART or the keyboard was given back.
    fn unsilence(&self) {
        // Of two who give back one of them each, one sees that both are free; and he sees what was silenced before that, or
        // who silences sees it.
        fence(Ordering::SeqCst);
        if self.silenced.load(Ordering::SeqCst)
            && !self.is_held()
            && self.silenced.swap(false, Ordering::SeqCst)
        {
            gic::enable(board::uart_intid());
        }
    }

    /// Writes the LF that is owed to a CR.
    fn pay(&self) -> bool {
        let carry = self.carry.swap(0, Ordering::Relaxed);
        if carry != 0 {
            uart::put(carry);
        }
        carry != 0
    }

    fn waits(&self) -> bool {
        self.drain.is_pending() || self.carry.load(Ordering::Relaxed) != 0
    }

    /// Writes at most one FIFO's worth; whether that was all that waited.
    fn step(&self, turn: &mut Turn<'_>) -> bool {
        for _ in 0..uart::STEP {
            if !uart::has_room() {
                return false;
            }
            if self.pay() {
                continue;
            }
            let mut byte = [0];
            if turn.fill(|source| self.ring(source), &mut byte) == 0 {
                return true;
            }
            if byte[0] == b'\n' {
                self.carry.store(b'\n', Ordering::Relaxed);
                byte[0] = b'\r';
            }
            uart::put(byte[0]);
        }
        false
    }

    /// Routes the UART's interrupt: while output waits to a core of the partition that it is from, else to one of the
    /// partition that has the keyboard.
    fn route(&self) {
        let mut wanted = self.drain.next_source().unwrap_or(self.focus.load(Ordering::Relaxed));
        if self.channel(wanted).is_some_and(|channel| channel.bell.is_some()) {
            let Some(mediated) = self.mediated else { return };
            wanted = mediated;
        }
        let intid = board::uart_intid();
        if let Some(channel) = self.channel(wanted)
            && intid != 0
            && self.routed.swap(wanted, Ordering::AcqRel) != wanted
        {
            gic::controller().route(intid, channel.seat);
        }
    }

    /// Says something of EL2's own.
    fn say(&self, line: &[u8]) {
        let own = self.own();
        let Some(ring) = self.ring(own) else { return };
        {
            let _guard = self.own.lock();
            // Nothing is cut in the middle of it. What does not fit is left out: nobody may wait here.
            let _ = self.drain.begin(own);
            let pushed = say(ring, line);
            let _ = self.drain.end(own, pushed);
        }
        self.pump(own);
    }

    fn input(&self, event: Event) {
        let focus = self.focus.load(Ordering::Relaxed);
        let partitions = self.own();
        let can = |partition: usize| self.channel(partition).is_some_and(|channel| channel.shared);
        match event {
            Event::ToGuest(byte) => {
                // A guest that does not read loses what does not fit, as on a real line.
                if self.channel(focus).is_some_and(|channel| channel.input.push(&[byte])) {
                    self.kick(focus);
                }
            }
            Event::Focus(partition) if can(partition) => self.give_focus(focus, partition),
            Event::Focus(_) => self.say(b"no such console"),
            Event::Next => {
                if let Some(partition) = focus::next(focus, partitions, can) {
                    self.give_focus(focus, partition);
                }
            }
            Event::Help => self.say(HELP.as_bytes()),
            Event::Audit => {
                audit::ask();
                self.kick_all();
            }
            Event::Crash => {
                crash::ask();
                self.kick_all();
            }
            Event::Quit => {
                self.quit.store(true, Ordering::Release);
                self.kick_all();
            }
        }
    }

    /// Nobody else gets the turn from now on; the line that somebody began ends here.
    fn keep(&self, turn: Option<Turn<'_>>) {
        uart::interrupts(false, false);
        if turn.as_ref().is_none_or(Turn::is_within_a_line) {
            [b'\r', b'\n'].into_iter().for_each(uart::put);
        }
        core::mem::forget(turn);
    }

    fn give_focus(&self, from: usize, to: usize) {
        self.focus.store(to, Ordering::Release);
        self.kick(from);
        self.kick(to);
    }
}

/// Puts a line of EL2's own into a ring, if there is room for all of it. Its caller alone pushes there.
fn say(ring: &Ring<OUT>, line: &[u8]) -> bool {
    line.len() + OWN.len() < ring.free() && ring.push(OWN) && ring.push(line) && ring.push(b"\n")
}

/// Says something of EL2's own while partitions run: a line, and nothing where there is no room for it.
pub fn tell(line: &[u8]) {
    if let Some(console) = CONSOLE.get() {
        console.say(line);
    }
}

/// Says something of EL2's own about a partition, under whose lock the terminal is and which no core of its runs: in its own
/// ring, behind what the guest has said, so that it costs nobody else anything. A line that finds no room for that long is left
/// out.
pub fn announce(partition: &Partition, terminal: &mut Terminal, line: &str) {
    let (me, Some(console)) = (partition.number, CONSOLE.get()) else { return };
    let Some(ring) = console.ring(me) else { return };
    let deadline = Deadline::after_milliseconds(ANNOUNCE);
    while ring.free() < line.len() + OWN.len() + 1 && !deadline.passed() {
        if console.drain.is_for(me, clock::now()) {
            console.pump(me);
        }
        core::hint::spin_loop();
    }
    terminal.say(console, line);
    if partition.direct {
        console.flush(me);
    } else {
        console.pump(me);
    }
}

/// The UART's interrupt on a core of the partition `me`: takes at most one FIFO of input, and goes on with the output.
pub fn interrupt(me: usize) {
    let Some(console) = CONSOLE.get() else { return };
    uart::acknowledge();
    if console.is_held() {
        console.silence();
    }
    console.take_input();
    console.pump(me);
}

/// Has a partition's first core look at what is here for it, if it can.
pub fn knock(partition: usize) {
    if let Some(console) = CONSOLE.get() {
        console.kick(partition);
    }
}

/// Goes on with a partition's output, if its turn has come.
pub fn go_on(me: usize) {
    if let Some(console) = CONSOLE.get()
        && console.drain.is_for(me, clock::now())
    {
        console.pump(me);
    }
}

/// Whether nobody has the turn, the keyboard or EL2's own ring now. Who would have been called when the turn was given back is.
pub fn can_be_had() -> bool {
    let Some(console) = CONSOLE.get() else { return true };
    if console.filter.try_lock().is_none() || console.own.try_lock().is_none() {
        return false;
    }
    let Some(turn) = console.drain.turn_of_all() else { return false };
    drop(turn);
    if let Some(next) = console.drain.call(usize::MAX, clock::now()) {
        console.kick(next);
    }
    console.unsilence();
    true
}

/// Whether the user said that everything is to stop.
pub fn quitting() -> bool {
    CONSOLE.get().is_some_and(|console| console.quit.load(Ordering::Acquire))
}

/// After a kick: input, focus and room for output, for this core's partition.
pub fn receive(core: &Core) {
    let Some(console) = CONSOLE.get() else { return };
    if !console.channel(core.partition.number).is_some_and(|channel| channel.shared) {
        return;
    }
    let mut state = core.partition.lock(core.vcpu);
    let focused = console.focus.load(Ordering::Acquire) == core.partition.number;
    state.terminal.set_focus(console, focused);
    state.terminal.receive(console);
    state.terminal.drained(console);
    update_line(core, &mut state);
    drop(state);
    if console.drain.is_pending() {
        console.pump(core.partition.number);
    }
}

/// Raises or lowers the emulated UART's interrupt.
fn update_line(core: &Core, state: &mut crate::partition::State) {
    let Some((_, intid)) = core.partition.console else { return };
    let level = state.terminal.uart.line();
    if core.partition.direct {
        return state.vgic.drive(intid, level, &mut core.physical());
    }
    core.set_line(state, intid, level);
}

/// A guest's load or store in its emulated UART's page.
pub fn access(core: &mut Core, offset: u64, width: u8, write: Option<u64>) -> u64 {
    let Some(console) = CONSOLE.get() else { return 0 };
    let direct = core.partition.direct;
    if direct {
        if console.mediated.is_none() {
            console.take_input();
        }
        // What others learn by a kick.
        receive(core);
    }
    let mut state = core.partition.lock(core.vcpu);
    let (value, wanted) = state.terminal.access(console, offset, width, write);
    update_line(core, &mut state);
    drop(state);
    core.refresh();
    if direct {
        console.flush(core.partition.number);
    } else if wanted {
        console.pump(core.partition.number);
    } else {
        go_on(core.partition.number);
    }
    value
}

/// Writes out everything that still waits, at the machine's end, and keeps the turn for good: what another core has to say
/// after that comes neither within the closing summary nor behind it.
pub fn settle() {
    let Some(console) = CONSOLE.get() else { return };
    loop {
        let Some(mut turn) = console.drain.turn_of_all() else {
            core::hint::spin_loop();
            continue;
        };
        console.pay();
        let mut bytes = [0; uart::STEP];
        let count = turn.fill(|source| console.ring(source), &mut bytes);
        for &byte in bytes.iter().take(count) {
            if byte == b'\n' {
                uart::put(b'\r');
            }
            uart::put(byte);
        }
        if !console.waits() {
            return console.keep(Some(turn));
        }
    }
}

/// Takes the turn for good, for the last words of a machine: nobody's line comes within them. Whoever has it gives it back
/// within a FIFO's time, unless it was he who failed.
pub fn last_words() {
    let Some(console) = CONSOLE.get() else { return };
    let deadline = Deadline::after_milliseconds(100);
    let turn = loop {
        match console.drain.turn_of_all() {
            None if !deadline.passed() => core::hint::spin_loop(),
            turn => break turn,
        }
    };
    console.pay();
    console.keep(turn);
}
