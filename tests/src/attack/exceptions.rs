//! QEMU's own log of exceptions (`-d int`), counted as it is written: it goes through a pipe, so that a storm of them
//! fills no disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What was taken. Cores write at the same time, so the three parts of an exception are counted by themselves.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// By kind (QEMU's words) and core.
    pub kinds: BTreeMap<(String, usize), u64>,
    /// By the levels from which and to which they were taken.
    pub levels: BTreeMap<(u8, u8), u64>,
    /// Trapped system registers and instructions, by the syndrome without the general register (EC 0x18).
    pub registers: BTreeMap<u64, u64>,
}

/// Rt, bits 9..5 of the syndrome of a trapped MSR, MRS or system instruction (DDI 0487, ESR_EL2).
const RT: u64 = 0x1f << 5;

impl Exceptions {
    /// From one level to another.
    pub fn between(&self, from: u8, to: u8) -> u64 {
        self.levels.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Traps of one system register or instruction, read or written (`SysAccess` of the model has the fields).
    pub fn trapped(&self, op: [u64; 5]) -> u64 {
        let [op0, op1, crn, crm, op2] = op;
        let wanted = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1;
        self.registers
            .iter()
            .filter(|(iss, _)| **iss & 0x3f_fffe & !RT == wanted)
            .map(|(_, count)| count)
            .sum()
    }

    /// All of a kind.
    pub fn of_kind(&self, kind: &str) -> u64 {
        self.kinds.iter().filter(|((name, _), _)| name == kind).map(|(_, count)| count).sum()
    }

    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Taking exception ") {
            let kind = rest.split_once('[').and_then(|(_, rest)| rest.split_once("] on CPU "));
            if let Some((kind, core)) = kind
                && let Ok(core) = core.trim().parse()
            {
                *self.kinds.entry((kind.to_owned(), core)).or_default() += 1;
            }
        } else if let Some(rest) = line.strip_prefix("...from EL") {
            if let Some((from, to)) = rest.split_once(" to EL")
                && let (Ok(from), Ok(to)) = (from.parse(), to.trim().parse())
            {
                *self.levels.entry((from, to)).or_default() += 1;
            }
        } else if let Some(iss) = line.strip_prefix("...with ESR 0x18/0x")
            && let Ok(esr) = u64::from_str_radix(iss.trim(), 16)
        {
            *self.registers.entry(esr & 0x1ff_ffff & !RT).or_default() += 1;
        }
    }
}

/// The end of the pipe that reads.
pub(crate) struct Listener {
    path: PathBuf,
    /// Keeps the pipe open as long as QEMU may come.
    open: File,
    thread: JoinHandle<Exceptions>,
}

impl Listener {
    /// Makes the pipe in a folder and listens.
    pub(crate) fn new(folder: &Path) -> Listener {
        let path = folder.join("exceptions");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .expect("the test's folder takes a pipe");
        let open = OpenOptions::new().read(true).write(true).open(&path).expect("the pipe opens");
        let pipe = File::open(&path).expect("the pipe opens");
        let thread = std::thread::spawn(move || {
            let mut seen = Exceptions::default();
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                seen.line(&String::from_utf8_lossy(&line));
            }
            seen
        });
        Listener { path, open, thread }
    }

    /// QEMU's arguments.
    pub(crate) fn args(&self) -> [String; 4] {
        ["-d".to_owned(), "int".to_owned(), "-D".to_owned(), self.path.display().to_string()]
    }

    /// What was seen by the end of the machine.
    pub(crate) fn end(self) -> Exceptions {
        drop(self.open);
        self.thread.join().expect("the reader ends")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_counted() {
        let log = "Taking exception 11 [Hypervisor Call] on CPU 0
Taking exception 1 [Undefined Instruction] on CPU 3
...from EL1 to EL2
...with ESR 0x16/0x5a000000
...with ESR 0x18/0x622bfce6
...with ELR 0x40002a10
...from EL1 to EL2
...to EL2 PC 0x800000010400 PSTATE 0x3c9
";
        let mut seen = Exceptions::default();
        log.lines().for_each(|line| seen.line(line));
        assert_eq!(seen.between(1, 2), 2);
        assert_eq!(seen.between(2, 2), 0);
        assert_eq!(seen.of_kind("Hypervisor Call"), 1);
        assert_eq!(seen.kinds[&("Undefined Instruction".to_owned(), 3)], 1);
        // 0x622bfce6: op0 2, op2 5, op1 7, CRn 15, Rt 7, CRm 3.
        assert_eq!(seen.trapped([2, 7, 15, 3, 5]), 1);
        assert_eq!(seen.trapped([2, 7, 15, 3, 4]), 0);
    }

    #[test]
    fn an_unused_pipe_ends() {
        let folder = tempfile::TempDir::new().expect("a folder");
        assert!(Listener::new(folder.path()).end().levels.is_empty());
    }
}
