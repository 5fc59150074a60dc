//! A machine seen from outside: QEMU's debugger stub, by GDB's remote serial protocol. The machine stands still from
//! the connection on, so what is read belongs together, until it is let go on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the stub may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the machine may run to where it is to stop.
const RUN: Duration = Duration::from_secs(180);
/// Bytes of memory asked for at once; twice as many digits fit into one of QEMU's packets.
const PIECE: usize = 1024;
/// Numbers of the core registers in QEMU's aarch64-core.xml.
const SP: usize = 31;
const PC: usize = 32;
const CPSR: usize = 33;

/// A stopped machine.
pub struct Debugger {
    stream: UnixStream,
    registers: String,
    threads: Vec<String>,
}

impl Debugger {
    /// Connects to the stub's socket, which stops the machine.
    pub(crate) fn connect(socket: &Path) -> Debugger {
        let end = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "{}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a time limit");
        let mut debugger = Debugger { stream, registers: String::new(), threads: Vec::new() };
        debugger.ask("qSupported:multiprocess+;xmlRegisters=arm");
        debugger.ask("?");
        debugger.registers = debugger.document("system-registers.xml");
        let mut answer = debugger.ask("qfThreadInfo");
        while let Some(list) = answer.strip_prefix('m') {
            debugger.threads.extend(list.split(',').map(str::to_owned));
            answer = debugger.ask("qsThreadInfo");
        }
        // By its documentation: memory by physical addresses from here on.
        assert_eq!(debugger.ask("Qqemu.PhyMemMode:1"), "OK", "QEMU's stub reads physical memory");
        debugger
    }

    /// How many cores the machine has; they are numbered as QEMU made them.
    pub fn cores(&self) -> usize {
        self.threads.len()
    }

    /// A system register of a core, by the manual's name.
    #[track_caller]
    pub fn system(&mut self, core: usize, name: &str) -> u64 {
        let mark = format!("name=\"{name}\" ");
        let element = self.registers.split('<').find(|element| element.contains(&mark));
        let number = element.and_then(|element| element.split_once("regnum=\"")?.1.split_once('"'));
        let Some((number, _)) = number else { panic!("QEMU's stub does not show {name}") };
        self.register(core, number.parse().expect("regnum is a number"))
    }

    /// The stack pointer that EL2 uses on a core, now or at its next exception.
    pub fn el2_stack(&mut self, core: usize) -> u64 {
        let level = self.register(core, CPSR) >> 2 & 3;
        if level == 2 { self.register(core, SP) } else { self.system(core, "SP_EL2") }
    }

    /// Where a core is: its exception level and program counter.
    pub fn place(&mut self, core: usize) -> (u64, u64) {
        (self.register(core, CPSR) >> 2 & 3, self.register(core, PC))
    }

    fn register(&mut self, core: usize, number: usize) -> u64 {
        let thread = self.threads[core].clone();
        assert_eq!(self.ask(&format!("Hg{thread}")), "OK", "thread {thread}");
        let answer = bytes(&self.ask(&format!("p{number:x}")));
        answer.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// Lets the machine run until a core comes to this instruction, and says which one.
    #[track_caller]
    pub fn run_to(&mut self, address: u64) -> usize {
        assert_eq!(self.ask(&format!("Z0,{address:x},4")), "OK", "a breakpoint at {address:#x}");
        self.stream.set_read_timeout(Some(RUN)).expect("a socket has a time limit");
        let stop = self.ask("c");
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a time limit");
        assert_eq!(self.ask(&format!("z0,{address:x},4")), "OK", "no breakpoint at {address:#x}");
        let thread = stop.split(';').find_map(|word| word.split_once("thread:")).map(|(_, thread)| thread);
        let core = self.threads.iter().position(|known| Some(known.as_str()) == thread);
        core.unwrap_or_else(|| panic!("stopped by {stop}"))
    }

    /// Sets a core's stack pointer.
    #[track_caller]
    pub fn set_stack(&mut self, core: usize, value: u64) {
        let thread = self.threads[core].clone();
        assert_eq!(self.ask(&format!("Hg{thread}")), "OK", "thread {thread}");
        assert_eq!(self.ask(&format!("P{SP:x}={}", digits(value))), "OK", "SP of core {core}");
    }

    /// Writes a word of physical memory.
    #[track_caller]
    pub fn write(&mut self, pa: u64, value: u64) {
        assert_eq!(self.ask(&format!("M{pa:x},8:{}", digits(value))), "OK", "physical memory at {pa:#x}");
    }

    /// Lets the machine go on, for good. It may come to its end before its answer is acknowledged, so nothing is.
    pub fn leave(mut self) {
        // The process that all cores are of, in QEMU's stub.
        self.send("D;1");
        let mut answer = [0; 64];
        let count = self.stream.read(&mut answer).unwrap_or(0);
        let refused = String::from_utf8_lossy(&answer[..count]).contains("$E");
        assert!(!refused, "the machine goes on");
    }

    /// A device's register of 32 bits at a physical address.
    #[track_caller]
    pub fn register32(&mut self, pa: u64) -> u32 {
        let bytes = bytes(&self.ask(&format!("m{pa:x},4")));
        u32::from_le_bytes(bytes.try_into().unwrap_or_else(|_| panic!("no register at {pa:#x}")))
    }

    /// Writes one.
    #[track_caller]
    pub fn set_register32(&mut self, pa: u64, value: u32) {
        let digits: String = value.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(self.ask(&format!("M{pa:x},4:{digits}")), "OK", "a register at {pa:#x}");
    }

    /// One translation table: 512 descriptors at a physical address.
    pub fn table(&mut self, pa: u64) -> Vec<u64> {
        let mut page = Vec::with_capacity(4096);
        while page.len() < 4096 {
            let at = pa + page.len() as u64;
            let piece = bytes(&self.ask(&format!("m{at:x},{PIECE:x}")));
            assert_eq!(piece.len(), PIECE, "physical memory at {at:#x}");
            page.extend(piece);
        }
        page.chunks_exact(8).map(|one| u64::from_le_bytes(one.try_into().expect("eight bytes"))).collect()
    }

    fn document(&mut self, name: &str) -> String {
        let mut text = String::new();
        loop {
            let answer = self.ask(&format!("qXfer:features:read:{name}:{:x},ff0", text.len()));
            assert!(answer.starts_with(['m', 'l']), "{name}: {answer}");
            text.push_str(&answer[1..]);
            if answer.starts_with('l') {
                return text;
            }
        }
    }

    fn send(&mut self, request: &str) {
        let sum = request.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.write_all(format!("${request}#{sum:02x}").as_bytes()).expect("the stub takes requests");
    }

    /// One request and its answer. Nothing that is asked for here needs the protocol's escapes.
    fn ask(&mut self, request: &str) -> String {
        self.send(request);
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).unwrap_or_else(|error| panic!("{request}: {error}"));
            assert!(count > 0, "{request}: the stub has gone");
            answer.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((body, sum)) = text.split_once('$').and_then(|(_, packet)| packet.split_once('#'))
                && sum.len() >= 2
            {
                self.stream.write_all(b"+").expect("the stub takes acknowledgements");
                return body.to_owned();
            }
        }
    }
}

/// A word as the protocol has it: in the machine's own order of bytes.
fn digits(word: u64) -> String {
    word.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let pair = |at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..digits.len()).step_by(2).map(|at| pair(at).unwrap_or_else(|| panic!("not bytes: {digits}"))).collect()
}
