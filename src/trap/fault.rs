//! An exception taken from EL2 itself: a defect of the hypervisor's own. It costs the partition on whose core it was, and nobody
//! else: that one is taken down, with a record, and stays off. Only where the core may have been in the midst of something that all
//! cores share, or where it fails again, does the machine stop.

use core::sync::atomic::{AtomicBool, Ordering};

use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, MPIDR_EL1, TPIDR_EL2};
use tock_registers::interfaces::Readable;

use crate::clock::Deadline;
use crate::core::Core;
use crate::{console, gic, layout, life, muster, power, smmu};

/// How long a lock may be held by somebody else, in milliseconds: a thousand times as long as the longest of them is (docs/locks.md).
/// One that is not to be had by then is this core's own.
const PATIENCE: u64 = 100;

/// Where EL2 failed.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// It came to the end of its stack.
    pub overflow: bool,
    /// ESR_EL2.
    pub syndrome: u64,
    /// FAR_EL2.
    pub address: u64,
    /// ELR_EL2: of EL2's own code.
    pub place: u64,
}

impl Fault {
    /// This exception.
    fn read() -> Self {
        let (syndrome, address) = (ESR_EL2.get(), FAR_EL2.get());
        // A data abort without a change of level (DDI 0487, ESR_EL2.EC), for which FAR_EL2 is valid.
        let overflow = syndrome >> 26 & 0x3f == 0x25 && layout::STACK_GUARD.contains(&(address as usize));
        Self { overflow, syndrome, address, place: ELR_EL2.get() }
    }
}

/// The stack may be what is broken: this runs on the emergency stack (vectors.S).
#[unsafe(no_mangle)]
extern "C" fn el2_fault() -> ! {
    let fault = Fault::read();
    // Before all have come no partition runs, and this core may not even have a block.
    if TPIDR_EL2.get() == 0 || !muster::is_over() {
        machine_fails(fault, "");
    }
    // SAFETY: what this core was doing is over, and its stack with the reference that it had there is never used again.
    let core = unsafe { Core::current() };
    if core.fault.is_some() {
        machine_fails(fault, " again");
    }
    core.fault = Some(fault);
    if !nothing_shared_is_held(core) {
        machine_fails(fault, " with a lock that all cores share");
    }
    life::give_up(core)
}

/// Whether everything that cores of several partitions take turns at can be had: then this one did not hold it.
fn nothing_shared_is_held(core: &Core) -> bool {
    within_patience(gic::can_be_alone)
        && within_patience(console::can_be_had)
        && (!core.partition.streams || within_patience(smmu::can_be_had))
}

/// Whether something holds before [`PATIENCE`] is over.
pub fn within_patience(holds: impl Fn() -> bool) -> bool {
    let deadline = Deadline::after_milliseconds(PATIENCE);
    loop {
        if holds() {
            return true;
        }
        if deadline.passed() {
            return false;
        }
        core::hint::spin_loop();
    }
}

/// The end of the machine.
#[inline(never)]
fn machine_fails(fault: Fault, how: &str) -> ! {
    static DYING: AtomicBool = AtomicBool::new(false);
    if DYING.swap(true, Ordering::AcqRel) {
        // Saying it failed too.
        power::park();
    }
    console::last_words();
    let Fault { overflow, syndrome, address, place } = fault;
    log::error!(
        "the hypervisor itself failed{how}: {} core {:#x}: ESR {syndrome:#x}, ELR {place:#x}, FAR {address:#x}",
        if overflow { "stack overflow of" } else { "an exception on" },
        MPIDR_EL1.get() & 0xff_00ff_ffff,
    );
    power::off()
}
