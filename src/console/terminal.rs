//! One partition's end of the shared console: its emulated UART, and the lines that it is writing.

use core::sync::atomic::Ordering;

use partita_model::console::line::Assembler;
use partita_model::pl011::{FIFO, Pl011};

use super::{CONSOLE, Console, INPUT};

/// A partition's emulated UART and what it is writing. It lies behind the partition's lock.
#[derive(Debug)]
pub struct Terminal {
    number: usize,
    pub(super) uart: Pl011,
    lines: Assembler,
    focused: bool,
}

impl Terminal {
    /// After reset.
    pub fn new(name: &str, number: usize) -> Self {
        Self { number, uart: Pl011::new(), lines: Assembler::new(name), focused: false }
    }

    /// Ends an unfinished line, and resets the UART.
    pub fn reset(&mut self) {
        self.uart = Pl011::new();
        if let Some(console) = CONSOLE.get() {
            let _ = self.assemble(console, Assembler::finish);
            let mut rest = [0; 64];
            // What comes meanwhile is for the next guest.
            if let Some(channel) = console.channel(self.number) {
                let rounds = INPUT.div_ceil(rest.len());
                (0..rounds).for_each(|_| _ = channel.input.pop(&mut rest));
            }
            let focused = console.focus.load(Ordering::Acquire) == self.number;
            self.set_focus(console, focused);
        }
    }

    /// Adds to the partition's output. Whether somebody waits who wanted to cut its line: then the caller pumps.
    fn assemble(&mut self, console: &Console, action: impl FnOnce(&mut Assembler) -> &[u8]) -> bool {
        if console.drain.begin(self.number) {
            self.lines.interrupted();
        }
        let bytes = action(&mut self.lines);
        // There is room: the guest's byte was taken only because there was (`Assembler::MOST`).
        let pushed = !bytes.is_empty() && console.ring(self.number).is_some_and(|out| out.push(bytes));
        console.drain.end(self.number, pushed)
    }

    /// Adds a line of EL2's own. The guest's is at its end.
    pub(super) fn say(&mut self, console: &Console, line: &str) {
        if console.drain.begin(self.number) {
            self.lines.interrupted();
        }
        let pushed = console.ring(self.number).is_some_and(|out| super::say(out, line.as_bytes()));
        let _ = console.drain.end(self.number, pushed);
    }

    /// What is read, and whether the caller has to pump.
    pub(super) fn access(
        &mut self,
        console: &Console,
        offset: u64,
        width: u8,
        write: Option<u64>,
    ) -> (u64, bool) {
        let Some(channel) = console.channel(self.number) else { return (0, false) };
        let room = Assembler::room(channel.out.free());
        if room == 0 {
            channel.full.store(true, Ordering::Release);
        }
        let Some(value) = write else {
            let value = self.uart.read(offset, width, room);
            self.receive(console);
            return (value, false);
        };
        let byte = self.uart.write(offset, width, value, room);
        (0, byte.is_some_and(|byte| self.assemble(console, |lines| lines.put(byte))))
    }

    /// The caller pumps.
    pub(super) fn set_focus(&mut self, console: &Console, focused: bool) {
        if self.focused != focused {
            self.focused = focused;
            let _ = self.assemble(console, |lines| lines.focus(focused));
        }
    }

    /// Takes input into the UART's FIFO while there is room.
    pub(super) fn receive(&mut self, console: &Console) {
        let Some(channel) = console.channel(self.number) else { return };
        let mut byte = [0];
        while self.uart.can_receive() && channel.input.pop(&mut byte) == 1 {
            let _ = self.uart.receive(byte[0]);
        }
    }

    pub(super) fn drained(&mut self, console: &Console) {
        let room = console.ring(self.number).map_or(0, |out| Assembler::room(out.free()));
        if room >= FIFO {
            self.uart.drained(room);
        }
    }
}
