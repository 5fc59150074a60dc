//! What EL2 executes between a guest's exit and its answer, or Rust, in the linked image: every path, branch by branch.

use std::collections::BTreeSet;

use crate::reach::{Flow, Image, flow};

/// Words of instructions (DDI 0487, C6.2).
const ERET: u32 = 0xd69f_03e0;
const CLRBHB: u32 = 0xd503_22df;
const DSB_NSH: u32 = 0xd503_379f;
const ISB: u32 = 0xd503_3fdf;
const CSDB: u32 = 0xd503_229f;

/// Where paths from an entry end.
#[derive(Debug, Default)]
pub struct Paths {
    /// Instructions on all of them.
    pub instructions: BTreeSet<u64>,
    /// ERET.
    pub returns: BTreeSet<u64>,
    /// The end of a guard: CLRBHB and a barrier.
    pub guards: BTreeSet<u64>,
    /// Calls, each with what is called.
    pub calls: BTreeSet<(u64, u64)>,
    /// BR, BLR, RET, and what is no code.
    pub others: BTreeSet<u64>,
}

impl Image {
    fn are_at(&self, pc: u64, words: &[u32]) -> bool {
        (pc..).step_by(4).zip(words).all(|(at, word)| self.word(at) == Some(*word))
    }

    /// Follows every path from `entry` to its first return, guard, call or indirect branch.
    pub fn paths(&self, entry: u64) -> Paths {
        let mut paths = Paths::default();
        let mut waiting = vec![entry];
        while let Some(pc) = waiting.pop() {
            if !paths.instructions.insert(pc) {
                continue;
            }
            let Some(word) = self.word(pc) else {
                paths.others.insert(pc);
                continue;
            };
            if self.are_at(pc, &[CLRBHB, DSB_NSH, ISB]) {
                paths.guards.insert(pc);
                continue;
            }
            match flow(pc, word) {
                Flow::Next => waiting.push(pc + 4),
                Flow::Jump(to) => waiting.push(to),
                Flow::Either(to) => waiting.extend([to, pc + 4]),
                Flow::Call(to) => drop(paths.calls.insert((pc, to))),
                Flow::Return if word == ERET => drop(paths.returns.insert(pc)),
                Flow::Return | Flow::Indirect | Flow::IndirectCall | Flow::Trap => {
                    paths.others.insert(pc);
                }
            }
        }
        paths
    }

    /// Every ERET, and those of them that no barrier follows.
    pub fn returns(&self) -> (Vec<u64>, Vec<u64>) {
        let all: Vec<u64> = self.words().filter(|(_, word)| *word == ERET).map(|(pc, _)| pc).collect();
        let bare = all.iter().copied().filter(|pc| !self.are_at(pc + 4, &[DSB_NSH, ISB])).collect();
        (all, bare)
    }

    /// Whether a number is clamped by data on the straight way from `start` to the first load that is exclusive: CSEL, and
    /// CSDB, behind which its result is no prediction (DDI 0487, C6.2).
    pub fn clamps(&self, start: u64) -> bool {
        // LDXR, LDAXR of any size; CSEL of 64 bits.
        let exclusive = |word: u32| word & 0x3fe0_0000 == 0x0840_0000;
        let csel = |word: u32| word & 0xffe0_0c00 == 0x9a80_0000;
        let way: Vec<u32> = (start..)
            .step_by(4)
            .map_while(|pc| self.word(pc))
            .take_while(|word| *word != ERET && !exclusive(*word))
            .collect();
        way.windows(2).any(|pair| csel(pair[0]) && pair[1] == CSDB)
    }

    /// Where the sequence of Cortex-A53's erratum 843419 may be: an ADRP in the last two words of a 4 KiB page, then a load
    /// or store, then at once or after one more instruction a load or store with an immediate offset from the ADRP's
    /// register (Arm, Cortex-A53 MPCore Software Developers Errata Notice).
    pub fn adrp_at_page_ends(&self) -> Vec<u64> {
        let memory = |word: u32| word & 0x0a00_0000 == 0x0800_0000;
        let offset_from = |word: u32, base: u32| word & 0x3b00_0000 == 0x3900_0000 && word >> 5 & 31 == base;
        let is = |pc: u64, test: &dyn Fn(u32) -> bool| self.word(pc).is_some_and(test);
        let bad = |pc: u64, word: u32| {
            let base = word & 31;
            word & 0x9f00_0000 == 0x9000_0000
                && pc & 0xfff >= 0xff8
                && is(pc + 4, &memory)
                && [8, 12].iter().any(|after| is(pc + after, &|word| offset_from(word, base)))
        };
        self.words().filter(|(pc, word)| bad(*pc, *word)).map(|(pc, _)| pc).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(at: u64, words: &[u32]) -> Image {
        Image::of_words((at..).step_by(4).zip(words.iter().copied()))
    }

    #[test]
    fn paths_end_where_they_should() {
        // CBZ over a call to an ERET; then a RET that is reached, and one that is not.
        let words = [0xb400_0060, 0x9400_0010, CLRBHB, ERET, 0xd65f_03c0];
        let paths = image(0x1000, &words).paths(0x1000);
        assert_eq!(paths.calls, [(0x1004, 0x1044)].into());
        assert_eq!(paths.returns, [0x100c].into());
        assert!(paths.others.is_empty() && paths.guards.is_empty());
        let paths = image(0x1000, &words).paths(0x1010);
        assert_eq!(paths.others, [0x1010].into());
        let paths = image(0x1000, &[CLRBHB, DSB_NSH, ISB, 0xd63f_0100]).paths(0x1000);
        assert_eq!((paths.guards, paths.others.len()), ([0x1000].into(), 0));
    }

    #[test]
    fn a_return_needs_its_barrier() {
        let (all, bare) = image(0, &[ERET, DSB_NSH, ISB, ERET, DSB_NSH]).returns();
        assert_eq!((all, bare), (vec![0, 12], vec![12]));
    }

    #[test]
    fn a_clamp_is_a_csel_and_its_barrier() {
        // csel x3, x3, xzr, lo; ldxr w3, [x2].
        let (csel, ldxr) = (0x9a9f_3063, 0x885f_7c43);
        assert!(image(0, &[csel, CSDB, ldxr]).clamps(0));
        for way in [[csel, ISB, ldxr], [ISB, CSDB, ldxr], [ldxr, csel, CSDB], [ERET, csel, CSDB]] {
            assert!(!image(0, &way).clamps(0), "{way:x?}");
        }
    }

    #[test]
    fn the_sequence_of_843419() {
        // adrp x0; str x1, [x2]; (mov;) ldr x3, [x0, #8].
        let (adrp, store, mov, load) = (0x9000_0000, 0xf900_0041, 0xaa01_03e2, 0xf940_0403);
        assert_eq!(image(0xff8, &[adrp, store, load]).adrp_at_page_ends(), [0xff8]);
        assert_eq!(image(0x1ffc, &[adrp, store, mov, load]).adrp_at_page_ends(), [0x1ffc]);
        assert!(image(0xff4, &[adrp, store, load]).adrp_at_page_ends().is_empty());
        assert!(image(0xff8, &[adrp, mov, load]).adrp_at_page_ends().is_empty());
        assert!(image(0xff8, &[adrp, store, load | 1 << 5]).adrp_at_page_ends().is_empty());
    }
}
