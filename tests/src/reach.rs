//! What code of a linked AArch64 image can come to from where: a call graph made of the instructions themselves, as they
//! will run, with nothing believed of the source or the compiler.
//!
//! Branches with a target in them are followed. An indirect jump (BR) is a `match`: it stays in its function, of which
//! all instructions then count as reached, but for a trap that nothing else comes to. That one is the arm for values that
//! the type does not have. A call through a pointer (BLR) could go anywhere, so it is a finding.

use std::collections::{BTreeMap, HashMap, VecDeque};

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

/// What an instruction does to the program counter (DDI 0487, C4.1.93: branches, exception generating and system
/// instructions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Goes on with the next one.
    Next,
    /// Goes there.
    Jump(u64),
    /// Goes there or on.
    Either(u64),
    /// Calls what is there, and goes on when that returns.
    Call(u64),
    /// RET, ERET.
    Return,
    /// BR.
    Indirect,
    /// BLR.
    IndirectCall,
    /// BRK, HLT, UDF: the compiler's way to say that this is never reached, or to stop.
    Trap,
}

fn flow(pc: u64, word: u32) -> Flow {
    let offset = |low: u32, bits: u32| {
        let field = (word >> low) & ((1 << bits) - 1);
        let signed = i64::from((field << (32 - bits)) as i32 >> (32 - bits));
        pc.wrapping_add_signed(4 * signed)
    };
    match word {
        _ if word >> 26 == 0b000101 => Flow::Jump(offset(0, 26)),
        _ if word >> 26 == 0b100101 => Flow::Call(offset(0, 26)),
        // B.cond, BC.cond.
        _ if word >> 24 == 0b0101_0100 => Flow::Either(offset(5, 19)),
        // CBZ, CBNZ; TBZ, TBNZ.
        _ if word >> 25 & 0x3f == 0b011010 => Flow::Either(offset(5, 19)),
        _ if word >> 25 & 0x3f == 0b011011 => Flow::Either(offset(5, 14)),
        // Bits 22..21: BR, BLR, RET, and ERET beside RET; bit 24 is set in those with a pointer's authentication.
        _ if word >> 25 == 0b1101011 => match word >> 21 & 3 {
            0 if word >> 23 & 1 == 0 => Flow::Indirect,
            1 => Flow::IndirectCall,
            _ => Flow::Return,
        },
        _ if word >> 16 == 0 => Flow::Trap,
        // Exception generation: BRK is opc 1, HLT 2; HVC, SVC and SMC return.
        _ if word >> 24 == 0b1101_0100 && matches!(word >> 21 & 7, 1 | 2) => Flow::Trap,
        _ => Flow::Next,
    }
}

/// A place where what is reached goes beyond what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// One of the names that must not be reached.
    Forbidden,
    /// BLR: a call of nobody knows what.
    IndirectCall,
    /// A trap instruction.
    Trap,
    /// A jump to where there is no code.
    Outside,
}

/// What is reached from some entries.
#[derive(Debug, Default)]
pub struct Reached {
    /// What was found, each with the way there: functions from the entry on.
    pub findings: BTreeMap<(Finding, String), Vec<String>>,
    /// Functions that were reached, by their names.
    pub functions: Vec<String>,
    /// Instructions that were reached.
    pub instructions: usize,
}

struct Function {
    start: u64,
    end: u64,
    name: String,
}

/// A linked image.
pub struct Image {
    code: HashMap<u64, u32>,
    /// By rising address; labels of assembly, which have no size, end where the next begins.
    functions: Vec<Function>,
}

impl Image {
    /// From an ELF file with its symbols.
    pub fn new(elf: &[u8]) -> Image {
        let elf = ElfFile64::<Endianness>::parse(elf).expect("an ELF file");
        let mut code = HashMap::new();
        let mut end = 0;
        for section in elf.sections().filter(|section| section.kind() == SectionKind::Text) {
            let words = section.data().expect("a section's bytes are in the file").as_chunks().0;
            let at = (section.address()..).step_by(4);
            code.extend(at.zip(words.iter().map(|word| u32::from_le_bytes(*word))));
            end = end.max(section.address() + section.size());
        }
        // A mapping symbol ($x, $d) is no name.
        let named = |name: &str| !name.is_empty() && !name.starts_with('$');
        let mut functions: Vec<Function> = elf
            .symbols()
            .filter(|symbol| {
                matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label)
            })
            .filter(|symbol| code.contains_key(&symbol.address()))
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?)))
            .filter(|(_, _, name)| named(name))
            .map(|(start, size, name)| Function { start, end: start + size, name: demangled(name) })
            .collect();
        functions.sort_by_key(|function| (function.start, std::cmp::Reverse(function.end)));
        functions.dedup_by_key(|function| function.start);
        let next: Vec<u64> = functions.iter().skip(1).map(|next| next.start).chain([end]).collect();
        for (function, next) in functions.iter_mut().zip(next) {
            if function.end == function.start {
                function.end = next;
            }
        }
        Image { code, functions }
    }

    fn is_trap(&self, pc: u64) -> bool {
        self.code.get(&pc).is_some_and(|word| flow(pc, *word) == Flow::Trap)
    }

    fn function(&self, pc: u64) -> Option<&Function> {
        let after = self.functions.partition_point(|function| function.start <= pc);
        self.functions[..after].last().filter(|function| pc < function.end)
    }

    /// The address of a symbol.
    #[track_caller]
    pub fn symbol(&self, name: &str) -> u64 {
        let found = self.functions.iter().find(|function| function.name == name);
        found.unwrap_or_else(|| panic!("the image has no {name}")).start
    }

    /// Everything that is reached from `entries`. What begins with one of `ends` is not gone into; what has one of
    /// `forbidden` in its name is a finding.
    pub fn reach(&self, entries: &[u64], ends: &[&str], forbidden: &[&str]) -> Reached {
        let mut reached = Reached::default();
        // Each instruction, by the function from which it was come to.
        let mut from: HashMap<u64, Option<u64>> = entries.iter().map(|entry| (*entry, None)).collect();
        let mut waiting: VecDeque<u64> = entries.iter().copied().collect();
        let mut seen = BTreeMap::new();
        while let Some(pc) = waiting.pop_front() {
            let (Some(function), Some(word)) = (self.function(pc), self.code.get(&pc)) else {
                let place = (Finding::Outside, format!("{pc:#x}"));
                reached.findings.insert(place, self.way(&from, from[&pc]));
                continue;
            };
            let name = &function.name;
            let ended = ends.iter().any(|end| name.starts_with(end));
            seen.entry(function.start).or_insert(name);
            if forbidden.iter().any(|part| name.contains(part)) {
                reached
                    .findings
                    .entry((Finding::Forbidden, name.clone()))
                    .or_insert_with(|| self.way(&from, Some(pc)));
                continue;
            }
            if ended {
                continue;
            }
            reached.instructions += 1;
            let mut go = |to: u64| {
                // Within a function the way to it stays that of its first instruction.
                let inside = (function.start..function.end).contains(&to);
                let origin = if inside { from[&pc] } else { Some(pc) };
                from.entry(to).or_insert_with(|| {
                    waiting.push_back(to);
                    origin
                });
            };
            let flow = flow(pc, *word);
            match flow {
                Flow::Jump(to) => go(to),
                Flow::Either(to) | Flow::Call(to) => go(to),
                Flow::Indirect => {
                    let arms = (function.start..function.end).step_by(4);
                    arms.filter(|to| !self.is_trap(*to)).for_each(&mut go);
                }
                _ => {}
            }
            let goes_on = matches!(flow, Flow::Next | Flow::Either(_) | Flow::Call(_) | Flow::IndirectCall);
            // What never returns may be called by a function's last instruction.
            if goes_on && (pc + 4 < function.end || !matches!(flow, Flow::Call(_) | Flow::IndirectCall)) {
                go(pc + 4);
            }
            let finding = match flow {
                Flow::IndirectCall => Finding::IndirectCall,
                Flow::Trap => Finding::Trap,
                _ => continue,
            };
            reached.findings.entry((finding, name.clone())).or_insert_with(|| self.way(&from, Some(pc)));
        }
        reached.functions = seen.into_values().cloned().collect();
        reached
    }

    /// The functions on the way to an instruction, the entry first.
    fn way(&self, from: &HashMap<u64, Option<u64>>, to: Option<u64>) -> Vec<String> {
        let mut way = Vec::new();
        let mut at = to;
        while let Some(pc) = at {
            way.push(self.function(pc).map_or_else(|| format!("{pc:#x}"), |function| function.name.clone()));
            at = from[&pc];
        }
        way.reverse();
        way
    }
}

/// A name as a person reads it, if it is mangled in the older way (`_ZN`, each part with its length, a hash at the end).
fn demangled(name: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = name.strip_prefix("_ZN").unwrap_or_default();
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0) {
        let length: usize = rest[..digits].parse().expect("digits");
        let Some(part) = rest.get(digits..digits + length) else { break };
        parts.push(part);
        rest = &rest[digits + length..];
    }
    // The last is the hash.
    parts.pop();
    if parts.is_empty() {
        return name.to_owned();
    }
    let escapes = [("$LT$", "<"), ("$GT$", ">"), ("$u20$", " "), ("$C$", ","), ("..", "::")];
    escapes.iter().fold(parts.join("::"), |name, (from, to)| name.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as an assembler makes them.
    #[test]
    fn branches_are_decoded() {
        let at = 0x1000;
        for (word, wanted) in [
            (0x1400_0002, Flow::Jump(0x1008)),
            (0x17ff_ffff, Flow::Jump(0xffc)),
            (0x9400_0010, Flow::Call(0x1040)),
            (0x5400_0041, Flow::Either(0x1008)),
            (0xb5ff_ffe0, Flow::Either(0xffc)),
            (0x3400_0020, Flow::Either(0x1004)),
            (0x3707_ffe0, Flow::Either(0xffc)),
            (0xb6f8_0040, Flow::Either(0x1008)),
            (0xd61f_0160, Flow::Indirect),
            (0xd63f_0100, Flow::IndirectCall),
            (0xd73f_0900, Flow::IndirectCall),
            (0xd65f_03c0, Flow::Return),
            (0xd69f_03e0, Flow::Return),
            (0xd420_0020, Flow::Trap),
            (0x0000_0000, Flow::Trap),
            (0xd400_0002, Flow::Next),
            (0xd400_0003, Flow::Next),
            (0xd503_201f, Flow::Next),
            (0xf940_0000, Flow::Next),
        ] {
            assert_eq!(flow(at, word), wanted, "{word:#x}");
        }
    }

    #[test]
    fn names_are_readable() {
        let name = "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE";
        assert_eq!(demangled(name), "core::panicking::panic_bounds_check");
        assert_eq!(demangled("trap_sync"), "trap_sync");
    }
}
