//! EL1 exceptions. Interrupts go to the guest's handler. A synchronous exception or an SError is fatal unless the guest is
//! in `catch`, which counts and steps over what it provoked on purpose.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};

use crate::cpu::MAX_CORES;
use crate::{console, cpu, println, psci};

/// Registers at an exception, as start.S lays them out.
#[repr(C)]
pub struct Frame {
    x: [u64; 31],
    elr: u64,
    spsr: u64,
}

/// An exception that `catch` saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1; means something for aborts only.
    pub far: u64,
    /// Taken as an SError, not synchronously.
    pub serror: bool,
}

impl Fault {
    /// Exception class (ESR_EL1.EC).
    pub fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }

    /// Data or instruction abort from this level, for an address that the stage-1 map allows but nothing answers:
    /// synchronous external abort, not on a table walk (DDI 0487, D24.2.40, DFSC and IFSC 0b010000).
    pub fn is_external_abort(&self) -> bool {
        matches!(self.class(), 0x21 | 0x25) && self.esr & 0x3f == 0x10 && !self.serror
    }

    /// Undefined instruction (EC 0: unknown reason).
    pub fn is_undefined(&self) -> bool {
        self.class() == 0 && !self.serror
    }
}

struct Slot {
    armed: AtomicBool,
    count: AtomicU64,
    esr: AtomicU64,
    far: AtomicU64,
    serror: AtomicBool,
}

static SLOTS: [Slot; MAX_CORES] = [const {
    Slot {
        armed: AtomicBool::new(false),
        count: AtomicU64::new(0),
        esr: AtomicU64::new(0),
        far: AtomicU64::new(0),
        serror: AtomicBool::new(false),
    }
}; MAX_CORES];

unsafe extern "Rust" {
    fn guest_irq();
}

/// Runs `work`, in which an exception skips the instruction that caused it (a fetch abort returns to the caller by x30).
/// Answers with `work`'s value and the last exception there was.
pub fn catch<T>(work: impl FnOnce() -> T) -> (T, Option<Fault>) {
    let slot = &SLOTS[cpu::index()];
    slot.count.store(0, Ordering::Relaxed);
    slot.armed.store(true, Ordering::SeqCst);
    let value = work();
    slot.armed.store(false, Ordering::SeqCst);
    let fault = (slot.count.load(Ordering::Relaxed) > 0).then(|| Fault {
        esr: slot.esr.load(Ordering::Relaxed),
        far: slot.far.load(Ordering::Relaxed),
        serror: slot.serror.load(Ordering::Relaxed),
    });
    (value, fault)
}

/// Somebody is already saying the last words.
static DYING: AtomicBool = AtomicBool::new(false);

const SYNC: u64 = 4;
const IRQ: u64 = 5;
const SERROR: u64 = 7;
/// Instruction abort from the same level.
const FETCH_ABORT: u64 = 0x21;

#[unsafe(no_mangle)]
extern "C" fn guest_exception(frame: &mut Frame, vector: u64) {
    if vector == IRQ {
        // SAFETY: the guest defines it by the `guest!` macro, with this signature.
        unsafe { guest_irq() };
        return;
    }
    let (esr, far) = (ESR_EL1.get(), FAR_EL1.get());
    let slot = &SLOTS[cpu::index()];
    if matches!(vector, SYNC | SERROR) && slot.armed.load(Ordering::SeqCst) {
        slot.esr.store(esr, Ordering::Relaxed);
        slot.far.store(far, Ordering::Relaxed);
        slot.serror.store(vector == SERROR, Ordering::Relaxed);
        slot.count.fetch_add(1, Ordering::Relaxed);
        if vector == SYNC {
            frame.elr = if esr >> 26 & 0x3f == FETCH_ABORT { frame.x[30] } else { frame.elr + 4 };
        }
        return;
    }
    if DYING.swap(true, Ordering::SeqCst) {
        // Even the power-off did not work: silence is better than the same words for ever.
        loop {
            cpu::wait();
        }
    }
    console::force();
    println!(
        "guest: unexpected exception, vector {vector} on core {}: esr {esr:#x} far {far:#x} elr {:#x} spsr {:#x} x30 {:#x}",
        cpu::index(),
        frame.elr,
        frame.spsr,
        frame.x[30]
    );
    psci::system_off()
}
