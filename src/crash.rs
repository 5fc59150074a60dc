//! What a core's guest was doing when its partition failed, for the partition's record (`partita_model::crash`), and the records
//! on the console, when the user asks for them (Ctrl-] c).

use core::sync::atomic::{AtomicU32, Ordering};

use aarch64_cpu::registers::{
    ELR_EL1, ELR_EL2, ESR_EL1, ESR_EL2, FAR_EL1, FAR_EL2, HPFAR_EL2, SP_EL0, SP_EL1, SPSR_EL2, VBAR_EL1,
};
use partita_model::crash::{Core as Registers, Refused, State};
use partita_model::lifecycle::{self, Cause};
use partita_model::syndrome::fault_ipa;
use tock_registers::interfaces::Readable;

use crate::core::Core;
use crate::partition;
use crate::trap::Frame;
use crate::{console, layout};

/// How often the user has asked for the records.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// Asks for every partition's record; their first cores have to be kicked.
pub fn ask() {
    ASKED.fetch_add(1, Ordering::AcqRel);
}

/// Notes what this core's guest was doing, if its partition fails. Called on the way out of an exit: what the guest had in its
/// registers is at the top of the stack, where vectors.S put it, and nobody has written EL1's since.
#[cold]
#[inline(never)]
pub fn note(core: &Core, state: &mut partition::State) {
    let (life, cause) = core.partition.life().get();
    if life != lifecycle::State::Stopping || !cause.is_failure() {
        return;
    }
    let frame = (layout::STACK_TOP - Frame::ON_STACK) as *const Frame;
    // SAFETY: every exit that comes to Rust begins by saving x0..x30 there (macros.S, `save_all`), on this core's own stack; the
    // reference is gone when this returns.
    let x = unsafe { (*frame).x };
    let own = state.record.is_by(core.vcpu);
    // Of EL2's own exception, since when these registers have not been the guest's; an interrupt leaves ESR_EL2 as it was.
    let fault = core.fault.filter(|_| own && cause == Cause::HypervisorFault);
    let exception = match fault {
        Some(fault) => Some((fault.syndrome, fault.address)),
        None => (own && cause == Cause::UnexpectedException).then(|| (ESR_EL2.get(), FAR_EL2.get())),
    };
    let registers = State {
        pc: fault.map_or_else(|| ELR_EL2.get(), |fault| fault.place),
        pstate: SPSR_EL2.get(),
        sp_el0: SP_EL0.get(),
        sp_el1: SP_EL1.get(),
        esr_el1: ESR_EL1.get(),
        elr_el1: ELR_EL1.get(),
        far_el1: FAR_EL1.get(),
        vbar_el1: VBAR_EL1.get(),
    };
    let overflow = fault.is_some_and(|fault| fault.overflow);
    let note = Registers { x, state: registers, exception, overflow, refused: core.refused };
    state.record.note(core.vcpu, note);
    core.partition.status.area.note(core.vcpu, Some(&note));
}

/// An access that is about to be refused, for the record. ESR_EL2 and HPFAR_EL2 are this exit's.
pub fn refused() -> Refused {
    Refused { esr: ESR_EL2.get(), ipa: fault_ipa(HPFAR_EL2.get(), FAR_EL2.get()).0, pc: ELR_EL2.get() }
}

/// Prints the partition's last record, if the user has asked since this core looked last.
pub fn recall(core: &mut Core) {
    let asked = ASKED.load(Ordering::Acquire);
    if core.vcpu != 0 || core.recalled == asked {
        return;
    }
    core.recalled = asked;
    let partition = core.partition;
    let mut state = partition.lock(core.vcpu);
    let partition::State { record, terminal, .. } = &mut *state;
    record.lines(&partition.status.name, true, |line| console::announce(partition, terminal, line));
}
