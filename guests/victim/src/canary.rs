//! Memory that nobody but the victim may change: a word of its own in every eight bytes of RAM outside the image and the
//! tree, and a sum over what of both is constant.

use partita_guest::mmio::{read64, write64};
use partita_guest::{Machine, start};

/// What is wrong: where, and what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Address of the word, or of the range whose sum has changed.
    pub at: u64,
    /// The word, or the sum.
    pub holds: u64,
}

/// The canaries, and how far the present round of looking at them has come.
pub struct Canaries {
    machine: &'static Machine,
    entry: usize,
    at: u64,
    sum: u64,
}

/// The word that belongs at an address. Other addresses have other words, so that a copy is seen as well as a change.
const fn word(at: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6361_6e61_7279_0000
}

impl Canaries {
    /// Fills memory with them.
    pub fn new(machine: &'static Machine) -> Canaries {
        start::map_memory(&machine.memory);
        let mut canaries = Canaries { machine, entry: 0, at: 0, sum: 0 };
        canaries.sum = canaries.constant_sum();
        for &(base, size) in machine.memory.iter() {
            for at in (base..base + size).step_by(8).filter(|at| !canaries.in_use(*at)) {
                write64(at, word(at));
            }
        }
        canaries
    }

    /// How many bytes are watched.
    pub fn bytes(&self) -> u64 {
        let ranges = self.machine.memory.iter();
        8 * ranges
            .flat_map(|&(base, size)| (base..base + size).step_by(8))
            .filter(|at| !self.in_use(*at))
            .count() as u64
    }

    /// Looks at the next `bytes` of RAM; at the end of all of it, at the sum too, and from the start again.
    pub fn look(&mut self, bytes: u64) -> Result<(), Broken> {
        let Some(&(base, size)) = self.machine.memory.get(self.entry) else {
            (self.entry, self.at) = (0, 0);
            let sum = self.constant_sum();
            let (at, _) = start::constant();
            return if sum == self.sum { Ok(()) } else { Err(Broken { at, holds: sum }) };
        };
        let end = size.min(self.at + bytes);
        for at in (base + self.at..base + end).step_by(8).filter(|at| !self.in_use(*at)) {
            let holds = read64(at);
            if holds != word(at) {
                return Err(Broken { at, holds });
            }
        }
        self.at = end;
        if end == size {
            (self.entry, self.at) = (self.entry + 1, 0);
        }
        Ok(())
    }

    /// Whether a word belongs to the image or the tree.
    fn in_use(&self, at: u64) -> bool {
        let (first, end) = start::image();
        let (tree, size) = self.machine.tree_at;
        (at + 8 > first && at < end) || (at + 8 > tree && at < tree + size)
    }

    /// FNV-1a, by words, over code, constants and tree.
    fn constant_sum(&self) -> u64 {
        let (tree, size) = self.machine.tree_at;
        let (first, end) = start::constant();
        let words = (first..end).step_by(8).chain((tree & !7..tree + size).step_by(8));
        words.fold(0xcbf2_9ce4_8422_2325, |sum, at| (sum ^ read64(at)).wrapping_mul(0x100_0000_01b3))
    }
}
