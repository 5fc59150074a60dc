//! The supervisor's device, as the tree has it, and what it shows (`partita_abi::supervision`).

use core::mem::offset_of;

use crate::mmio::{read8, read64, write64};
use crate::{Machine, timer};
use partita_abi::supervision::{
    COMPATIBLE, Command, Header, LOG_BYTES, LOG_MARGIN, Life, Log, MANAGES, Outcome, registers,
};

/// The most partitions that this guest looks at.
const MOST: usize = 4;

/// The device.
#[derive(Clone, Copy)]
pub struct Device {
    /// Its page of registers.
    pub base: u64,
    /// Areas: base and size.
    pub areas: [(u64, u64); MOST],
    /// How many there are.
    pub count: usize,
}

impl Device {
    /// If the tree has one.
    pub fn find(machine: &'static Machine) -> Option<Self> {
        let node = machine.tree.find_compatible(&[COMPATIBLE])?;
        let mut reg =
            node.reg()?.map(|region| (region.starting_address as u64, region.size.unwrap_or(0) as u64));
        let (base, _) = reg.next()?;
        let (mut areas, mut count) = ([(0, 0); MOST], 0);
        for (place, area) in areas.iter_mut().zip(reg) {
            *place = area;
            count += 1;
        }
        Some(Self { base, areas, count })
    }

    /// The name that the tree has for an index.
    pub fn name(machine: &'static Machine, index: usize) -> &'static str {
        let node = machine.tree.find_compatible(&[COMPATIBLE]);
        let names = node.and_then(|node| node.property(MANAGES)).map_or(&[][..], |names| names.value);
        let name = names.split(|byte| *byte == 0).nth(index).unwrap_or_default();
        core::str::from_utf8(name).unwrap_or("?")
    }

    /// A register.
    pub fn get(&self, register: u64) -> u64 {
        read64(self.base + register)
    }

    /// Gives a command, and says what became of it.
    pub fn command(&self, command: Command) -> Outcome {
        write64(self.base + registers::COMMAND, command.0);
        Outcome(self.get(registers::RESULT))
    }

    /// A word of an area's header, by its offset.
    pub fn word(&self, index: usize, offset: usize) -> u64 {
        read64(self.areas[index].0 + offset as u64)
    }

    /// Where it is in its life.
    pub fn life(&self, index: usize) -> Life {
        Life(self.word(index, offset_of!(Header, life)) as u32)
    }

    /// A word of what begins where another word of the header says.
    pub fn behind(&self, index: usize, place: usize, offset: usize) -> u64 {
        self.word(index, self.word(index, place) as usize + offset)
    }

    /// Waits until a partition is in this state, for ten seconds at most.
    pub fn wait(&self, index: usize, state: u8) -> bool {
        within_time(|| self.life(index).state() == state)
    }

    /// Whether the last output has these words.
    pub fn has_said(&self, index: usize, words: &str) -> bool {
        let log = self.areas[index].0 + self.word(index, offset_of!(Header, log));
        let mut bytes = [0; LOG_BYTES - LOG_MARGIN];
        let head = read64(log + offset_of!(Log, head) as u64);
        let first = head.saturating_sub(bytes.len() as u64);
        let bytes = &mut bytes[..(head - first) as usize];
        for (byte, number) in bytes.iter_mut().zip(first..) {
            *byte = read8(log + offset_of!(Log, bytes) as u64 + number % LOG_BYTES as u64);
        }
        bytes.windows(words.len()).any(|part| part == words.as_bytes())
    }
}

/// Waits for something, for ten seconds at most.
pub fn within_time(mut is_so: impl FnMut() -> bool) -> bool {
    let start = timer::now();
    while !is_so() {
        if timer::now() - start > 10 * timer::frequency() {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}
