//! What a partition that failed was doing: a record for each of its cores, in lines that a person reads and that `partita crash`
//! understands.
//!
//! A line is `crash: NAME KEY=VALUE ...`. The first one of a record has `life`, `cause` and, where a core was the cause, `cpu`; the
//! others begin with `cpu=N` and hold registers of that core. Values are hexadecimal, but for `cause` and the numbers of lives
//! and cores.

use alloc::vec::Vec;

use crate::audit::Words;
use crate::lifecycle::Cause;

/// What every line begins with.
pub const MARK: &str = "crash: ";

/// General registers in a line: with the longest name of a partition, and a core of two digits, it is as long as [`Words`] may be.
const PER_LINE: usize = 6;

/// The registers of a core that are not general ones: where it was, its stacks, and the last exception that EL1 took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Program counter and PSTATE, of the guest.
    pub pc: u64,
    /// PSTATE.
    pub pstate: u64,
    /// SP_EL0.
    pub sp_el0: u64,
    /// SP_EL1.
    pub sp_el1: u64,
    /// ESR_EL1.
    pub esr_el1: u64,
    /// ELR_EL1.
    pub elr_el1: u64,
    /// FAR_EL1.
    pub far_el1: u64,
    /// VBAR_EL1.
    pub vbar_el1: u64,
}

/// An access of a guest's that was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// ESR_EL2.
    pub esr: u64,
    /// The guest-physical address.
    pub ipa: u64,
    /// The instruction that made it.
    pub pc: u64,
}

/// A core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Core {
    /// x0..x30.
    pub x: [u64; 31],
    /// The rest.
    pub state: State,
    /// ESR_EL2 and FAR_EL2, if an exception of this core's is the cause. Where EL2 failed, they and `pc` are of EL2.
    pub exception: Option<(u64, u64)>,
    /// EL2 came to the end of its stack.
    pub overflow: bool,
    /// The last access of its that was refused since it started.
    pub refused: Option<Refused>,
}

/// A partition's last failure.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which life of the partition it was, from 0; none yet.
    life: Option<u64>,
    cause: Cause,
    /// The virtual CPU that was the cause.
    cpu: Option<usize>,
    /// By virtual CPU; none of one that was off.
    cores: Vec<Option<Core>>,
}

impl Record {
    /// Of a partition that has not failed, with so many virtual CPUs. This is the only place that allocates.
    #[must_use]
    pub fn new(vcpus: usize) -> Self {
        Self { life: None, cause: Cause::NotStarted, cpu: None, cores: alloc::vec![None; vcpus] }
    }

    /// It fails, by one of its virtual CPUs' doing or by nobody's.
    pub fn begin(&mut self, life: u64, cause: Cause, cpu: Option<usize>) {
        (self.life, self.cause, self.cpu) = (Some(life), cause, cpu);
        self.cores.fill(None);
    }

    /// Whether it was this virtual CPU's doing.
    #[must_use]
    pub fn is_by(&self, vcpu: usize) -> bool {
        self.cpu == Some(vcpu)
    }

    /// What one of its virtual CPUs was doing.
    pub fn note(&mut self, vcpu: usize, core: Core) {
        if let Some(place) = self.cores.get_mut(vcpu) {
            *place = Some(core);
        }
    }

    /// The lines, without their ends: all, or those that tell where each core was.
    pub fn lines(&self, name: &str, all: bool, mut say: impl FnMut(&str)) {
        let Some(life) = self.life else { return };
        let mut words = begin(name);
        words.text(" life=").number(life).text(" cause=").text(self.cause.word());
        if let Some(cpu) = self.cpu {
            words.text(" cpu=").number(cpu as u64);
        }
        say(words.as_str());
        for (cpu, core) in self.cores.iter().enumerate() {
            let row = |fields: &[(&str, u64)]| {
                let mut words = begin(name);
                words.text(" cpu=").number(cpu as u64);
                for (key, value) in fields {
                    words.text(" ").text(key).text("=").hex(*value);
                }
                words
            };
            let Some(Core { x, state, exception, overflow, refused }) = core else {
                say(row(&[]).text(" off").as_str());
                continue;
            };
            let [.., lr] = x;
            let State { pc, pstate, sp_el0, sp_el1, esr_el1, elr_el1, far_el1, vbar_el1 } = *state;
            let own = self.cause == Cause::HypervisorFault && self.is_by(cpu);
            let place = if own { "el2_pc" } else { "pc" };
            say(row(&[(place, pc), ("lr", *lr), ("sp", sp_el1), ("pstate", pstate)]).as_str());
            say(row(&[("esr_el1", esr_el1), ("elr_el1", elr_el1), ("far_el1", far_el1)]).as_str());
            if let Some((esr, far)) = exception {
                let mut words = row(&[("esr_el2", *esr), ("far_el2", *far)]);
                say(words.text(if *overflow { " stack-overflow" } else { "" }).as_str());
            }
            if let Some(Refused { esr, ipa, pc }) = refused {
                say(row(&[("refused_ipa", *ipa), ("refused_pc", *pc), ("refused_esr", *esr)]).as_str());
            }
            if !all {
                continue;
            }
            say(row(&[("sp_el0", sp_el0), ("vbar_el1", vbar_el1)]).as_str());
            for (piece, values) in x.chunks(PER_LINE).enumerate() {
                let mut words = row(&[]);
                for (number, value) in (piece * PER_LINE..).zip(values) {
                    words.text(" x").number(number as u64).text("=").hex(*value);
                }
                say(words.as_str());
            }
        }
    }
}

fn begin(name: &str) -> Words {
    let mut words = Words::default();
    words.text(MARK).text(name);
    words
}

/// A line of a record, read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// The partition.
    pub name: &'a str,
    /// What it says of whom: `life`, `cause`, `cpu`, and registers.
    pub fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    /// From a line of the hypervisor's, without what all of those begin with.
    #[must_use]
    pub fn read(line: &'a str) -> Option<Self> {
        let mut words = line.strip_prefix(MARK)?.split(' ');
        let name = words.next().filter(|name| !name.is_empty())?;
        let field = |word: &'a str| Some(word.split_once('=').unwrap_or((word, "")));
        Some(Self { name, fields: words.map(field).collect::<Option<_>>()? })
    }

    /// What a key says.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The number that a key says, as it is written there.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        let text = self.get(key)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }
}

/// What a syndrome says, in words (DDI 0487, ESR_ELx): its class, and of an abort what it did and why that failed.
#[must_use]
pub fn words(esr: u64) -> Words {
    let mut words = Words::default();
    let class = esr >> 26 & 0x3f;
    words.text(match class {
        0x00 => "an undefined instruction",
        0x01 => "WFI or WFE",
        0x03..=0x06 | 0x08 | 0x0c => "an AArch32 system register",
        0x07 => "floating point or vectors, which are off",
        0x0e => "an illegal execution state",
        0x11 | 0x15 => "SVC",
        0x12 | 0x16 => "HVC",
        0x13 | 0x17 => "SMC",
        0x18 => "a system register",
        0x19 => "SVE, which is off",
        0x20 | 0x21 => "a fetch",
        0x22 => "a misaligned program counter",
        0x24 | 0x25 => "a data access",
        0x26 => "a misaligned stack pointer",
        0x2c => "a floating-point exception",
        0x2f => "an SError",
        0x30 | 0x31 => "a breakpoint",
        0x32 | 0x33 => "a software step",
        0x34 | 0x35 => "a watchpoint",
        0x38 | 0x3c => "BRK",
        _ => "an exception of class ",
    });
    if words.as_str().ends_with("class ") {
        words.hex(class);
    }
    if !matches!(class, 0x20 | 0x21 | 0x24 | 0x25) {
        return words;
    }
    // WnR.
    if matches!(class, 0x24 | 0x25) {
        words.text(if esr & 1 << 6 != 0 { " (a write)" } else { " (a read)" });
    }
    match esr & 0x3f {
        level @ 0x00..=0x03 => words.text(": address size fault, level ").number(level & 3),
        level @ 0x04..=0x07 => words.text(": translation fault, level ").number(level & 3),
        level @ 0x08..=0x0b => words.text(": access flag fault, level ").number(level & 3),
        level @ 0x0c..=0x0f => words.text(": permission fault, level ").number(level & 3),
        0x10 => words.text(": external abort"),
        0x14..=0x17 => words.text(": external abort on a table walk"),
        0x21 => words.text(": alignment fault"),
        status => words.text(": fault status ").hex(status),
    };
    words
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    fn record() -> Record {
        let mut record = Record::new(3);
        record.begin(7, Cause::UnexpectedException, Some(1));
        let mut core = Core { x: core::array::from_fn(|n| 0x1000 + n as u64), ..Core::default() };
        core.state.pc = 0x4008_0000;
        record.note(0, core);
        core.exception = Some((0x3 << 26, 0x55));
        core.refused = Some(Refused { esr: 0x24 << 26 | 0x46, ipa: 0x900_0000, pc: 0x4008_0040 });
        record.note(1, core);
        record.note(9, core);
        record
    }

    fn lines(record: &Record, name: &str, all: bool) -> Vec<String> {
        let mut lines = Vec::new();
        record.lines(name, all, |line| lines.push(line.to_string()));
        lines
    }

    #[test]
    fn in_short() {
        let wanted = "\
crash: guest life=7 cause=unexpected-exception cpu=1
crash: guest cpu=0 pc=0x40080000 lr=0x101e sp=0x0 pstate=0x0
crash: guest cpu=0 esr_el1=0x0 elr_el1=0x0 far_el1=0x0
crash: guest cpu=1 pc=0x40080000 lr=0x101e sp=0x0 pstate=0x0
crash: guest cpu=1 esr_el1=0x0 elr_el1=0x0 far_el1=0x0
crash: guest cpu=1 esr_el2=0xc000000 far_el2=0x55
crash: guest cpu=1 refused_ipa=0x9000000 refused_pc=0x40080040 refused_esr=0x90000046
crash: guest cpu=2 off";
        assert_eq!(lines(&record(), "guest", false).join("\n"), wanted);
        assert!(lines(&Record::new(1), "guest", true).is_empty());
    }

    #[test]
    fn whose_doing_it_was() {
        assert_eq!([0, 1, 2].map(|cpu| record().is_by(cpu)), [false, true, false]);
        let mut nobodys = Record::new(1);
        nobodys.begin(0, Cause::SystemReset, None);
        assert!(!nobodys.is_by(0) && !Record::new(1).is_by(0));
    }

    /// DDI 0487, ESR_ELx.EC, and IFSC and DFSC of aborts.
    #[test]
    fn syndromes_in_words() {
        let classes: [(&[u64], &str); 19] = [
            (&[0x00], "an undefined instruction"),
            (&[0x01], "WFI or WFE"),
            (&[0x03, 0x04, 0x05, 0x06, 0x08, 0x0c], "an AArch32 system register"),
            (&[0x07], "floating point or vectors, which are off"),
            (&[0x0e], "an illegal execution state"),
            (&[0x11, 0x15], "SVC"),
            (&[0x12, 0x16], "HVC"),
            (&[0x13, 0x17], "SMC"),
            (&[0x18], "a system register"),
            (&[0x19], "SVE, which is off"),
            (&[0x22], "a misaligned program counter"),
            (&[0x26], "a misaligned stack pointer"),
            (&[0x2c], "a floating-point exception"),
            (&[0x2f], "an SError"),
            (&[0x30, 0x31], "a breakpoint"),
            (&[0x32, 0x33], "a software step"),
            (&[0x34, 0x35], "a watchpoint"),
            (&[0x38, 0x3c], "BRK"),
            (&[0x3f], "an exception of class 0x3f"),
        ];
        for (numbers, said) in classes {
            for class in numbers {
                // Nothing but the class is looked at.
                for rest in [0, 0x3ff_ffff, 0xff << 56] {
                    assert_eq!(words(class << 26 | rest).as_str(), said, "{class:#x}");
                }
            }
        }
        let statuses: [(u64, &str); 11] = [
            (0x00, "address size fault, level 0"),
            (0x05, "translation fault, level 1"),
            (0x07, "translation fault, level 3"),
            (0x0a, "access flag fault, level 2"),
            (0x0f, "permission fault, level 3"),
            (0x10, "external abort"),
            (0x14, "external abort on a table walk"),
            (0x17, "external abort on a table walk"),
            (0x21, "alignment fault"),
            (0x3d, "fault status 0x3d"),
            (0x0d, "permission fault, level 1"),
        ];
        for (status, said) in statuses {
            // Bits above the status, but for WnR, say nothing.
            for rest in [0, 0x1ff_ff80] {
                for class in [0x20, 0x21] {
                    assert_eq!(words(class << 26 | rest | status).as_str(), std::format!("a fetch: {said}"));
                }
                for class in [0x24, 0x25] {
                    let read = words(class << 26 | rest | status);
                    assert_eq!(read.as_str(), std::format!("a data access (a read): {said}"));
                    let write = words(class << 26 | rest | 1 << 6 | status);
                    assert_eq!(write.as_str(), std::format!("a data access (a write): {said}"));
                }
            }
        }
    }

    #[test]
    fn every_register_is_read_back() {
        let all = lines(&record(), "guest", true);
        let read: Vec<Line<'_>> = all.iter().filter_map(|line| Line::read(line)).collect();
        assert_eq!(read.len(), all.len());
        assert!(read.iter().all(|line| line.name == "guest"));
        assert_eq!((read[0].number("life"), read[0].get("cause")), (Some(7), Some("unexpected-exception")));
        for register in 0..31 {
            let key = std::format!("x{register}");
            let of = |cpu| read.iter().filter(move |line| line.number("cpu") == Some(cpu));
            assert_eq!(of(1).find_map(|line| line.number(&key)), Some(0x1000 + register));
        }
        for not in ["crash:", "crash: ", "guest: crash: guest", ""] {
            assert_eq!(Line::read(not), None, "{not}");
        }
    }

    /// The longest name, the highest number of a core, and all ones in each register.
    #[test]
    fn no_line_is_cut() {
        let mut record = Record::new(100);
        record.begin(u64::MAX, Cause::UnexpectedException, Some(99));
        let state = State {
            pc: !0,
            pstate: !0,
            sp_el0: !0,
            sp_el1: !0,
            esr_el1: !0,
            elr_el1: !0,
            far_el1: !0,
            vbar_el1: !0,
        };
        let refused = Some(Refused { esr: !0, ipa: !0, pc: !0 });
        record.note(99, Core { x: [!0; 31], state, exception: Some((!0, !0)), overflow: true, refused });
        let lines = lines(&record, &"n".repeat(31), true);
        for key in ["pstate", "far_el1", "far_el2", "refused_esr", "vbar_el1", "x5", "x29", "x30"] {
            let whole = |line: &String| line.contains(&std::format!(" {key}=0xffffffffffffffff"));
            assert!(lines.iter().any(whole), "{key}: {lines:#?}");
        }
    }
}
