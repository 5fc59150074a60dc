//! What code of a linked AArch64 image can come to from where: a call graph made of the instructions themselves, as they
//! will run, with nothing believed of the source or the compiler.
//!
//! Branches with a target in them are followed. An indirect jump (BR) is a `match`: it stays in its function, of which
//! all instructions then count as reached, but for a trap that nothing else comes to. That one is the arm for values that
//! the type does not have. A call through a pointer (BLR) could go anywhere, so it is a finding.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

/// What an instruction does to the program counter (DDI 0487, C4.1.93: branches, exception generating and system
/// instructions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
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

/// What an instruction does.
pub fn flow(pc: u64, word: u32) -> Flow {
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

/// By how many bytes an instruction moves the stack pointer down: SUB (immediate), STP and STR with pre-index (DDI 0487,
/// C6.2). None: by as many as a register says.
fn down(word: u32) -> Option<u64> {
    let signed = |low: u32, bits: u32| ((word >> low) << (32 - bits)) as i32 >> (32 - bits);
    let below = |offset: i32| u64::from(offset.min(0).unsigned_abs());
    match word {
        _ if word & 0xff80_03ff == 0xd100_03ff => {
            Some(u64::from(word >> 10 & 0xfff) << if word >> 22 & 1 != 0 { 12 } else { 0 })
        }
        _ if word & 0xffc0_03e0 == 0xa980_03e0 => Some(8 * below(signed(15, 7))),
        _ if word & 0xffe0_0fe0 == 0xf800_0fe0 => Some(below(signed(12, 9))),
        _ if word & 0xffe0_03ff == 0xcb20_03ff => None,
        _ => Some(0),
    }
}

/// Whether an instruction gives the stack pointer another register's value: a stack begins. (From the frame pointer it
/// gets back what it was.)
fn new_stack(word: u32) -> bool {
    word & 0xffff_fc1f == 0x9100_001f && !matches!(word >> 5 & 0x1f, 29 | 31)
}

/// Where the linker puts a load that erratum 843419 of Cortex-A53 may spoil: the load, and a jump back to behind where it was.
const VENEER: &str = "__CortexA53843419_";

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
    /// A stack frame whose size is not in the instructions.
    Frame,
    /// A function that calls itself, maybe through others: its stack has no bound.
    Recursion,
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
    /// The most that is on a stack at a time, in bytes, and the way there: frames of all its functions whole.
    pub stack: (u64, Vec<String>),
}

/// What a function does to the stack.
#[derive(Debug, Default)]
struct Frame {
    bytes: u64,
    /// It leaves the stack that it was called on.
    new: bool,
    /// Functions that it calls or goes on in.
    next: BTreeSet<u64>,
}

/// The most that a function and what it calls have on the stack; the way to itself, if there is one. `deepest` has
/// what is known, with the function that it is deepest in.
fn depth(
    frames: &BTreeMap<u64, Frame>,
    start: u64,
    deepest: &mut BTreeMap<u64, (u64, Option<u64>)>,
    way: &mut Vec<u64>,
) -> Result<u64, Vec<u64>> {
    // What is not gone into has no frame here.
    let Some(frame) = frames.get(&start) else { return Ok(0) };
    if let Some((bytes, _)) = deepest.get(&start) {
        return Ok(*bytes);
    }
    if way.contains(&start) {
        way.push(start);
        return Err(way.clone());
    }
    way.push(start);
    let mut most = (0, None);
    for next in &frame.next {
        let bytes = depth(frames, *next, deepest, way)?;
        let bytes = if frames.get(next).is_some_and(|next| next.new) { 0 } else { bytes };
        if bytes > most.0 {
            most = (bytes, Some(*next));
        }
    }
    way.pop();
    deepest.insert(start, (frame.bytes + most.0, most.1));
    Ok(frame.bytes + most.0)
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

    /// One of instructions alone.
    #[cfg(test)]
    pub fn of_words(words: impl Iterator<Item = (u64, u32)>) -> Image {
        Image { code: words.collect(), functions: Vec::new() }
    }

    /// The instruction at an address.
    pub fn word(&self, pc: u64) -> Option<u32> {
        self.code.get(&pc).copied()
    }

    /// All of them, by their addresses.
    pub fn words(&self) -> impl Iterator<Item = (u64, u32)> {
        let mut all: Vec<(u64, u32)> = self.code.iter().map(|(pc, word)| (*pc, *word)).collect();
        all.sort_unstable();
        all.into_iter()
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
        let mut frames: BTreeMap<u64, Frame> = BTreeMap::new();
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
            let frame = frames.entry(function.start).or_default();
            frame.new |= new_stack(*word);
            match down(*word) {
                Some(bytes) => frame.bytes += bytes,
                None => {
                    let way = || self.way(&from, Some(pc));
                    reached.findings.entry((Finding::Frame, name.clone())).or_insert_with(way);
                }
            }
            let flow = flow(pc, *word);
            // To its own beginning a function comes by a loop, unless it calls.
            let calls = matches!(flow, Flow::Call(_));
            let mut go = |to: u64| {
                let other = |next: &&Function| next.start != function.start || calls && to == next.start;
                if let Some(next) = self.function(to).filter(other).filter(|_| !name.starts_with(VENEER)) {
                    frame.next.insert(next.start);
                }
                // Within a function the way to it stays that of its first instruction.
                let inside = (function.start..function.end).contains(&to);
                let origin = if inside { from[&pc] } else { Some(pc) };
                from.entry(to).or_insert_with(|| {
                    waiting.push_back(to);
                    origin
                });
            };
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
        let mut deepest = BTreeMap::new();
        for entry in entries {
            let start = self.function(*entry).map_or(*entry, |function| function.start);
            match depth(&frames, start, &mut deepest, &mut Vec::new()) {
                Ok(bytes) if bytes >= reached.stack.0 => {
                    reached.stack = (bytes, self.deepest(&deepest, start))
                }
                Ok(_) => {}
                Err(way) => {
                    let way: Vec<String> = way.iter().map(|start| self.name(*start)).collect();
                    let last = way.last().cloned().unwrap_or_default();
                    reached.findings.insert((Finding::Recursion, last), way);
                }
            }
        }
        // A stack that begins on the way has its own depth.
        for (start, frame) in &frames {
            let bytes = deepest.get(start).map_or(0, |(bytes, _)| *bytes);
            if frame.new && bytes > reached.stack.0 {
                reached.stack = (bytes, self.deepest(&deepest, *start));
            }
        }
        reached
    }

    fn name(&self, start: u64) -> String {
        self.function(start).map_or_else(|| format!("{start:#x}"), |function| function.name.clone())
    }

    fn deepest(&self, deepest: &BTreeMap<u64, (u64, Option<u64>)>, start: u64) -> Vec<String> {
        let next = |at: &u64| deepest.get(at).and_then(|(_, next)| *next);
        std::iter::successors(Some(start), next).map(|start| self.name(start)).collect()
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
    fn frames_are_decoded() {
        for (word, wanted) in [
            (0xd104_03ff, Some(256)),
            (0xd140_07ff, Some(4096)),
            (0xa9ba_7bfd, Some(96)),
            (0xf81f_0ffe, Some(16)),
            (0x9104_03ff, Some(0)),
            (0xa900_7bfd, Some(0)),
            (0xd100_0400, Some(0)),
            (0xcb20_63ff, None),
        ] {
            assert_eq!(down(word), wanted, "{word:#x}");
        }
        assert!(new_stack(0x9100_003f) && !new_stack(0x9100_03bf) && !new_stack(0x9100_03ff));
    }

    #[test]
    fn names_are_readable() {
        let name = "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE";
        assert_eq!(demangled(name), "core::panicking::panic_bounds_check");
        assert_eq!(demangled("trap_sync"), "trap_sync");
    }
}
