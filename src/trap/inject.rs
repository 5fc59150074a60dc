//! Gives the guest the architectural exception for what it did.

use partita_model::syndrome::inject::{Context, Exception, enter};

use crate::core::Core;
use crate::sysreg::{mrs, msr};

/// Makes the guest take a synchronous exception at EL1 instead of the instruction that trapped.
pub fn exception(core: &Core, exception: Exception) {
    let context = Context {
        pc: mrs!("elr_el2"),
        pstate: mrs!("spsr_el2"),
        vbar: mrs!("vbar_el1"),
        sctlr: mrs!("sctlr_el1"),
    };
    let entry = enter(&context, core.features, exception);
    // SAFETY: the guest's own registers, as the core would have written them at this exception.
    unsafe {
        msr!("elr_el2", entry.pc);
        msr!("spsr_el2", entry.pstate);
        msr!("elr_el1", entry.elr_el1);
        msr!("spsr_el1", entry.spsr_el1);
        msr!("esr_el1", entry.esr_el1);
        if let Some(far) = entry.far_el1 {
            msr!("far_el1", far);
        }
    }
}
