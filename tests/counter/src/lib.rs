//! A QEMU plugin that counts instructions, for each core: those of EL2, told by their virtual addresses, and all others.
//!
//! `-plugin libpartita_counter.so,log=FILE`. A line is written to FILE at the first instruction of a kernel (an address in
//! the upper half), at each HINT #127 that a guest executes, and at the end:
//! `WHAT CORE: EL2/OTHER/APART EL2/OTHER/APART ...`, one triple for each core. Counting is exact whichever way QEMU runs, with
//! several cores too, where -icount is not.
//!
//! `at=ADDRESS` (as often as wanted, in hexadecimal) has a line `at-ADDRESS CORE: ...` written whenever the instruction there is about to
//! be executed. `el2=FIRST-END` says where a hypervisor has its addresses that is not Partita, and `apart=FIRST-END` (as often as wanted) which
//! part of EL2's instructions is counted once more, all in hexadecimal.
//!
//! It may not: change anything about the machine it watches.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// QEMU's plugin interface, as far as it is used here (QEMU, docs/devel/tcg-plugins.rst; version 3 of it, QEMU 9.1).
mod api {
    use super::*;

    #[repr(C)]
    pub struct Block(c_void);
    #[repr(C)]
    pub struct Instruction(c_void);
    #[repr(C)]
    pub struct Scoreboard(c_void);

    /// A field of a scoreboard's entries.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Field {
        pub score: *mut Scoreboard,
        pub offset: usize,
    }

    /// QEMU_PLUGIN_INLINE_ADD_U64.
    pub const ADD: c_int = 0;
    /// QEMU_PLUGIN_CB_NO_REGS.
    pub const NO_REGISTERS: c_int = 0;

    unsafe extern "C" {
        pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: extern "C" fn(u64, *mut Block));
        pub fn qemu_plugin_register_atexit_cb(
            id: u64,
            callback: extern "C" fn(u64, *mut c_void),
            data: *mut c_void,
        );
        pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
        pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
        pub fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
        pub fn qemu_plugin_insn_data(instruction: *const Instruction, to: *mut c_void, size: usize) -> usize;
        pub fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            instruction: *mut Instruction,
            operation: c_int,
            field: Field,
            value: u64,
        );
        pub fn qemu_plugin_register_vcpu_insn_exec_cb(
            instruction: *mut Instruction,
            callback: extern "C" fn(c_uint, *mut c_void),
            flags: c_int,
            data: *mut c_void,
        );
        pub fn qemu_plugin_scoreboard_new(size: usize) -> *mut Scoreboard;
        pub fn qemu_plugin_u64_get(field: Field, core: c_uint) -> u64;
        pub fn qemu_plugin_num_vcpus() -> c_int;
    }
}

/// EL2's addresses (src/layout.rs): 2^47 to 2^47 + 2^40, which neither a kernel's nor a program's usual ones touch.
const EL2: Range<u64> = 0x8000_0000_0000..0x8100_0000_0000;
/// Kernels' addresses.
const KERNEL: u64 = 1 << 63;
/// HINT #127 (DDI 0487, C6.2: hints that have no meaning are NOPs).
const MARK: u32 = 0xd503_2fff;

/// What is counted for each core.
#[repr(C)]
struct Counts {
    el2: u64,
    other: u64,
    apart: u64,
}

struct Counter {
    el2: api::Field,
    other: api::Field,
    apart: api::Field,
    words: Words,
    log: File,
}

/// What the plugin was told.
struct Words {
    log: String,
    el2: Range<u64>,
    apart: Vec<Range<u64>>,
    at: Vec<u64>,
}

impl Words {
    fn read(words: impl Iterator<Item = String>) -> Result<Words, String> {
        let mut read = Words { log: String::new(), el2: EL2, apart: Vec::new(), at: Vec::new() };
        for word in words {
            let number = |text: &str| u64::from_str_radix(text, 16).ok();
            let range = |text: &str| {
                let (first, end) = text.split_once('-')?;
                Some(number(first)?..number(end)?)
            };
            match word.split_once('=') {
                Some(("log", path)) => path.clone_into(&mut read.log),
                Some(("el2", text)) => read.el2 = range(text).ok_or(word)?,
                Some(("apart", text)) => read.apart.push(range(text).ok_or(word)?),
                Some(("at", text)) => read.at.push(number(text).ok_or(word)?),
                _ => return Err(word),
            }
        }
        if read.log.is_empty() { Err("say where to: log=FILE".to_owned()) } else { Ok(read) }
    }
}

// SAFETY: the scoreboard is QEMU's, which lets any thread read it; files may be written from any thread.
unsafe impl Send for Counter {}
// SAFETY: as above.
unsafe impl Sync for Counter {}

static COUNTER: OnceLock<Counter> = OnceLock::new();
static KERNEL_SEEN: AtomicBool = AtomicBool::new(false);

/// The version of the interface that this is written for.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "QEMU's name")]
pub static qemu_plugin_version: c_int = 3;

fn note(what: &str, core: c_uint) {
    let Some(counter) = COUNTER.get() else { return };
    let mut line = format!("{what} {core}:");
    // SAFETY: the fields are of a scoreboard that lives as long as QEMU, and the core exists.
    unsafe {
        for core in 0..api::qemu_plugin_num_vcpus().max(0) as c_uint {
            let [el2, other, apart] = [counter.el2, counter.other, counter.apart]
                .map(|field| api::qemu_plugin_u64_get(field, core));
            let _ = write!(line, " {el2}/{other}/{apart}");
        }
    }
    line.push('\n');
    // One write, so that lines of several cores do not mix. Nobody can be told here that it failed.
    let _ = (&counter.log).write_all(line.as_bytes());
}

extern "C" fn on_mark(core: c_uint, _: *mut c_void) {
    note("mark", core);
}

extern "C" fn on_place(core: c_uint, address: *mut c_void) {
    note(&format!("at-{:x}", address as usize), core);
}

extern "C" fn on_kernel(core: c_uint, _: *mut c_void) {
    if !KERNEL_SEEN.swap(true, Ordering::Relaxed) {
        note("kernel", core);
    }
}

extern "C" fn on_block(_: u64, block: *mut api::Block) {
    let Some(counter) = COUNTER.get() else { return };
    // SAFETY: the block and its instructions are valid during this call, by QEMU's contract; counts are its own.
    unsafe {
        for index in 0..api::qemu_plugin_tb_n_insns(block) {
            let instruction = api::qemu_plugin_tb_get_insn(block, index);
            let address = api::qemu_plugin_insn_vaddr(instruction);
            let count = |field| {
                api::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(instruction, api::ADD, field, 1);
            };
            count(if counter.words.el2.contains(&address) { counter.el2 } else { counter.other });
            if counter.words.apart.iter().any(|range| range.contains(&address)) {
                count(counter.apart);
            }
            let mut word = [0_u8; 4];
            api::qemu_plugin_insn_data(instruction, word.as_mut_ptr().cast(), word.len());
            let on_with = |callback, data| {
                api::qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, api::NO_REGISTERS, data);
            };
            let on = |callback| on_with(callback, std::ptr::null_mut());
            if counter.words.at.contains(&address) {
                on_with(on_place, address as usize as *mut c_void);
            }
            if u32::from_le_bytes(word) == MARK {
                on(on_mark);
            } else if address >= KERNEL && index == 0 && !KERNEL_SEEN.load(Ordering::Relaxed) {
                on(on_kernel);
            }
        }
    }
}

extern "C" fn on_exit(_: u64, _: *mut c_void) {
    note("end", 0);
}

/// QEMU's call when it loads the plugin; 0 is success.
///
/// # Safety
/// `words` are `count` strings of QEMU's, valid during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _: *const c_void,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: by this function's contract.
    let words = (0..count.max(0) as usize).map(|index| unsafe { CStr::from_ptr(*words.add(index)) });
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let words = match Words::read(words) {
        Ok(words) => words,
        Err(word) => {
            eprintln!("partita-counter: {word}");
            return 1;
        }
    };
    let log = match File::create(&words.log) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("partita-counter: {}: {error}", words.log);
            return 1;
        }
    };
    // SAFETY: QEMU's own functions with what they ask for: this plugin's number, and callbacks that never unwind.
    unsafe {
        let score = api::qemu_plugin_scoreboard_new(size_of::<Counts>());
        let field = |offset| api::Field { score, offset };
        let counter = Counter {
            el2: field(std::mem::offset_of!(Counts, el2)),
            other: field(std::mem::offset_of!(Counts, other)),
            apart: field(std::mem::offset_of!(Counts, apart)),
            words,
            log,
        };
        if COUNTER.set(counter).is_err() {
            return 1;
        }
        api::qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
        api::qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    0
}
