//! Gives the guest the architectural exception for what it did.

use aarch64_cpu::registers::{ELR_EL1, ELR_EL2, ESR_EL1, FAR_EL1, SCTLR_EL1, SPSR_EL1, SPSR_EL2, VBAR_EL1};
use partita_model::syndrome::inject::{Context, Exception, enter};
use tock_registers::interfaces::{Readable, Writeable};

use crate::core::Core;

/// Makes the guest take a synchronous exception at EL1 instead of the instruction that trapped.
pub fn exception(core: &Core, exception: Exception) {
    let context =
        Context { pc: ELR_EL2.get(), pstate: SPSR_EL2.get(), vbar: VBAR_EL1.get(), sctlr: SCTLR_EL1.get() };
    let entry = enter(&context, core.features, exception);
    // The guest's own registers, as the core would have written them at this exception.
    ELR_EL2.set(entry.pc);
    SPSR_EL2.set(entry.pstate);
    ELR_EL1.set(entry.elr_el1);
    SPSR_EL1.set(entry.spsr_el1);
    ESR_EL1.set(entry.esr_el1);
    if let Some(far) = entry.far_el1 {
        FAR_EL1.set(far);
    }
}
