//! Partitions' consoles on one physical UART: emulated UARTs, line assembly, rings and the drain, as EL2 puts them
//! together; and a terminal that believes nothing.
//!
//! What must hold: no byte is lost while there is room, each call gives out a bounded number, input arrives in order,
//! and what reaches the terminal keeps every line under its writer's name (see [`terminal`]).

mod terminal;

use std::collections::VecDeque;

use partita_model::console::drain::Drain;
use partita_model::console::focus::{Event, Filter};
use partita_model::console::line::{Assembler, MOST, WIDTH};
use partita_model::console::ring::Ring;
use partita_model::pl011::{FIFO, Pl011};

use crate::input::Input;
use terminal::Terminal;

/// Bytes of an output ring: two calls' worth and some, so that it fills up often.
const OUT: usize = 2048;
/// Steps for which a partition that was called is waited for.
const PATIENCE: u64 = 3;
/// The partitions' names.
const NAMES: [&str; 3] = ["a", "linux", "a-name-of-thirty-one-characters"];

/// One partition's side.
struct Guest {
    uart: Pl011,
    lines: Assembler,
    focused: bool,
    /// Input that the UART took and the guest has not read.
    typed: VecDeque<u8>,
    /// What a guest that wrote nothing but plain lines, and never had the focus, must have said.
    plain: Option<String>,
    column: usize,
}

struct World {
    guests: Vec<Guest>,
    rings: Vec<Ring<OUT>>,
    drain: Drain,
    /// The counter.
    now: u64,
    /// Partitions whose cores were kicked and have not come yet.
    kicks: Vec<usize>,
    /// Whose core takes the turn while the next output is being assembled.
    between: Option<usize>,
    /// When each was called, and has not come.
    called: [Option<u64>; NAMES.len()],
    filter: Filter,
    terminal: Terminal,
}

/// First byte: how many partitions. Then what guests, keyboard and UART do.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let partitions = 1 + input.below(NAMES.len());
    let mut world = World {
        guests: NAMES[..partitions].iter().map(|name| Guest::new(name)).collect(),
        rings: (0..partitions).map(|_| Ring::new()).collect(),
        drain: Drain::new(NAMES.len(), PATIENCE),
        now: 0,
        kicks: Vec::new(),
        between: None,
        called: [None; NAMES.len()],
        filter: Filter::new(),
        terminal: Terminal::new(&NAMES[..partitions]),
    };
    while !input.is_empty() {
        world.step(&mut input);
    }
    world.end();
}

impl Guest {
    fn new(name: &str) -> Self {
        Self {
            uart: Pl011::new(),
            lines: Assembler::new(name),
            focused: false,
            typed: VecDeque::new(),
            plain: Some(format!("[{name}] ")),
            column: 0,
        }
    }

    /// Follows a guest that does nothing fancy.
    fn wrote(&mut self, byte: u8, name: &str) {
        let Some(said) = &mut self.plain else { return };
        match byte {
            b'\n' => {
                said.push_str(&format!("\n[{name}] "));
                self.column = 0;
            }
            0x20..=0x7e => {
                if self.column == WIDTH {
                    said.push_str(&format!("\n[{name}] "));
                    self.column = 0;
                }
                said.push(char::from(byte));
                self.column += 1;
            }
            _ => self.plain = None,
        }
    }
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.u8();
        let number = usize::from(what >> 6) % self.guests.len();
        if what & 0x21 == 0x21 {
            self.between = Some(usize::from(what >> 1 & 3) % self.guests.len());
        }
        match what & 0x3f {
            // Text as it is, in one go: what coverage grows from.
            0..=0x17 => {
                let length = input.below(64);
                for byte in input.take(length) {
                    self.store(number, 0, 1, u64::from(*byte));
                }
            }
            0x18..=0x1b => {
                // Something short, many times over: fills lines and rings.
                let (chunk, times) = (input.take(1 + usize::from(what & 3)), input.u8());
                for byte in std::iter::repeat_n(chunk, times.into()).flatten() {
                    self.store(number, 0, 1, u64::from(*byte));
                }
            }
            0x1c..=0x1f => {
                let (offset, width) = (u64::from(input.u16() & 0xfff), 1 << (input.u8() & 3));
                self.store(number, offset, width, input.u64());
            }
            0x20..=0x27 => {
                let (offset, width) = (u64::from(input.u16() & 0xfff), 1 << (input.u8() & 3));
                self.load(number, offset, width);
            }
            0x28..=0x2f => self.key(input.u8()),
            0x30..=0x33 => self.focus(number, input.flag()),
            0x34 => self.finish(number),
            0x35 => self.guests[number].uart = self.reset(number),
            0x36..=0x38 => {
                if !self.kicks.is_empty() {
                    let kicked = self.kicks.remove(input.below(self.kicks.len()));
                    self.pump(kicked, 1 + input.below(200));
                }
            }
            _ => self.pump(number, 1 + input.below(200)),
        }
        self.now += 1;
        self.check(number);
    }

    fn room(&self, number: usize) -> usize {
        Assembler::room(self.rings[number].free())
    }

    /// What a call on the assembler gives out goes into the ring, whole. Meanwhile another core may have the turn.
    fn assemble(&mut self, number: usize, promised: bool, action: impl FnOnce(&mut Assembler) -> &[u8]) {
        if self.drain.begin(number) {
            self.guests[number].lines.interrupted();
        }
        if let Some(other) = self.between.take().filter(|other| *other != number) {
            self.pump(other, 64);
        }
        let bytes = action(&mut self.guests[number].lines);
        assert!(bytes.len() <= MOST, "{} bytes from one call", bytes.len());
        let pushed = self.rings[number].push(bytes);
        assert!(pushed || !promised, "{} bytes are lost although there was room", bytes.len());
        if self.drain.end(number, pushed && !bytes.is_empty()) {
            self.pump(number, 64);
        }
    }

    fn store(&mut self, number: usize, offset: u64, width: u8, value: u64) {
        let room = self.room(number);
        let guest = &mut self.guests[number];
        let written = guest.uart.write(offset, width, value, room);
        let asked = offset == 0 && room > 0;
        assert_eq!(
            written,
            asked.then_some(value as u8),
            "DR takes a byte while there is room, and only then"
        );
        let Some(byte) = written else { return };
        guest.wrote(byte, NAMES[number]);
        self.assemble(number, true, |lines| lines.put(byte));
    }

    fn load(&mut self, number: usize, offset: u64, width: u8) {
        let room = self.room(number);
        let guest = &mut self.guests[number];
        let value = guest.uart.read(offset, width, room);
        if width < 8 {
            assert_eq!(value >> (8 * width), 0, "{width} bytes at {offset:#x}");
        }
        if offset & !3 == 0 {
            let next = guest.typed.pop_front().unwrap_or(0);
            let lane = if offset == 0 { u64::from(next) } else { 0 };
            assert_eq!(value, lane, "input is lost or out of order");
        }
    }

    /// The host's keyboard: one byte, by the filter, to the guest in focus or to the console itself.
    fn key(&mut self, byte: u8) {
        match self.filter.input(byte) {
            Some(Event::ToGuest(byte)) => {
                let Some(guest) = self.guests.iter_mut().find(|guest| guest.focused) else { return };
                let can = guest.uart.can_receive();
                assert_eq!(guest.uart.receive(byte), can);
                assert_eq!(can, guest.typed.len() < FIFO);
                if can {
                    guest.typed.push_back(byte);
                }
            }
            Some(Event::Focus(number)) if number < self.guests.len() => self.focus(number, true),
            _ => {}
        }
    }

    fn focus(&mut self, number: usize, focused: bool) {
        // One has the keyboard at most.
        for other in 0..self.guests.len() {
            let focused = focused && other == number;
            if self.guests[other].focused == focused {
                continue;
            }
            let promised = self.room(other) > 0;
            let guest = &mut self.guests[other];
            (guest.focused, guest.plain) = (focused, None);
            self.assemble(other, promised, |lines| lines.focus(focused));
        }
    }

    fn finish(&mut self, number: usize) {
        let promised = self.room(number) > 0;
        let guest = &mut self.guests[number];
        if let Some(said) = &mut guest.plain
            && guest.column > 0
        {
            said.push_str(&format!("\n[{}] ", NAMES[number]));
            guest.column = 0;
        }
        self.assemble(number, promised, Assembler::finish);
    }

    fn reset(&mut self, number: usize) -> Pl011 {
        self.guests[number].typed.clear();
        Pl011::new()
    }

    /// A core of this partition has the turn, and the physical UART has room for this much.
    fn pump(&mut self, number: usize, room: usize) {
        let mut out = vec![0; room];
        self.called[number] = None;
        let late = |source: usize| self.called[source].is_some_and(|at| self.now > at + PATIENCE);
        let filled = {
            let mut turn = self.drain.turn(number, self.now).expect("nobody else has it");
            assert!(self.drain.turn(number, self.now).is_none(), "two have the turn");
            turn.fill(
                |source| {
                    assert!(source == number || late(source), "it writes what another has to say");
                    self.rings.get(source)
                },
                &mut out,
            )
        };
        assert!(filled <= room);
        self.terminal.show(&out[..filled]);
        if let Some(next) = self.drain.call(number, self.now) {
            assert!(next != number && !self.rings[next].is_empty(), "a kick for nothing");
            self.kicks.push(next);
            self.called[next] = Some(self.now);
        }
        for number in 0..self.guests.len() {
            let room = self.room(number);
            self.guests[number].uart.drained(room);
        }
    }

    fn check(&mut self, number: usize) {
        let room = self.room(number);
        let guest = &mut self.guests[number];
        // RIS, MIS and IMSC agree with the line; none of these loads changes anything.
        let before = guest.uart.clone();
        let [raised, masked, mask] = [0x3c, 0x40, 0x38].map(|offset| guest.uart.read(offset, 4, room));
        assert!(masked == raised & mask && guest.uart.line() == (masked != 0));
        assert!(guest.uart == before);
        assert!(
            self.drain.is_pending() || self.rings.iter().all(Ring::is_empty),
            "output that nobody will fetch"
        );
    }

    /// Each takes what is its own out as long as it has room, and comes when it is called.
    fn pump_all(&mut self) {
        for number in 0..self.guests.len() {
            self.pump(number, 4 * OUT);
        }
        let most = self.rings.len() * OUT;
        for _ in 0..most {
            let Some(kicked) = self.kicks.pop() else { break };
            self.pump(kicked, 4 * OUT);
        }
        assert!(self.kicks.is_empty(), "calls without an end");
        assert!(self.drain.next_source().is_none(), "somebody's output waits, and nobody called him");
    }

    /// Everybody finishes, and all of it comes out.
    fn end(&mut self) {
        for number in 0..self.guests.len() {
            self.focus(number, false);
            self.pump_all();
            self.finish(number);
        }
        self.pump_all();
        assert!(!self.drain.is_pending() && self.rings.iter().all(Ring::is_empty), "output without an end");
        for (number, guest) in self.guests.iter().enumerate() {
            if let Some(said) = &guest.plain {
                let prefix = format!("[{}] ", NAMES[number]);
                let said = said.strip_suffix(prefix.as_str()).expect("it ends with a line's end");
                assert_eq!(self.terminal.lines_of(number), said, "bytes are lost, doubled or out of order");
            }
        }
    }
}
