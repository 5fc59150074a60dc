//! Exits that need more than the fast path: decode, ask the model, act, return. One function per exception kind,
//! called by vectors.S with the guest's general registers.

mod call;
mod fault;
mod inject;
mod memory;
pub mod setway;
mod system;

pub use fault::{Fault, within_patience};

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, SPSR_EL2};
use partita_model::syndrome::{Trap, inject::Exception};
use partita_model::weaken::{Guard, removed};
use tock_registers::interfaces::{Readable, Writeable};

use crate::core::Core;
use crate::gic::{DOORBELL, KICK, Lrs, Taken, controller};
use crate::{board, console, life, smmu, traps, watchdog};
use partita_model::lifecycle::Cause;
use partita_model::lifecycle::exits::Kind;

use partita_model::gic::Irq;

/// The guest's general registers, as vectors.S saved them.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// x0..x30.
    pub x: [u64; 31],
}

impl Frame {
    /// What it takes at the top of the stack (macros.S, `FRAME`).
    pub const ON_STACK: usize = (31 * 8usize).next_multiple_of(16);

    /// A register by its number in a syndrome; 31 is the zero register.
    pub fn get(&self, register: u8) -> u64 {
        self.x.get(usize::from(register)).copied().unwrap_or(0)
    }

    /// Sets a register by its number in a syndrome.
    pub fn set(&mut self, register: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(register)) {
            *x = value;
        }
    }
}

/// Moves the guest past the instruction that trapped.
fn skip() {
    let (pc, pstate) = partita_model::syndrome::skip(ELR_EL2.get(), SPSR_EL2.get());
    ELR_EL2.set(pc);
    SPSR_EL2.set(pstate);
}

#[unsafe(no_mangle)]
extern "C" fn trap_sync(frame: &mut Frame) {
    // SAFETY: once per exit, here.
    let core = unsafe { Core::current() };
    if core.partition.direct {
        core.glance();
    }
    match Trap::decode(ESR_EL2.get()) {
        Trap::Hvc(immediate) => call::call(core, frame, immediate),
        Trap::Smc(immediate) => {
            skip();
            call::call(core, frame, immediate);
        }
        Trap::DataAbort(abort) => memory::data_abort(core, frame, abort),
        Trap::InstructionAbort(abort) => memory::instruction_abort(core, frame, abort),
        Trap::SysReg(access) => system::access(core, frame, &access),
        Trap::Wfx { .. } => skip(),
        Trap::SError(_) => serror(core),
        Trap::Hidden(_) | Trap::Other(_) => {
            // EL0 in AArch32 comes by the vectors for AArch64, as that is what EL1 is (DDI 0487, D1.3.1): M[4] tells.
            if SPSR_EL2.get() & 1 << 4 != 0 && !removed(Guard::Aarch32Stop) {
                life::stop(core, Cause::UnexpectedException);
            }
            core.count(Kind::Other);
            inject::exception(core, Exception::Undefined);
        }
    }
}

/// An interrupt that is not simply the guest's, or found no list register. It is acknowledged.
#[unsafe(no_mangle)]
extern "C" fn trap_irq(_frame: &mut Frame, taken: u64) {
    // SAFETY: once per exit, here.
    let core = unsafe { Core::current() };
    core.count(Kind::Irq);
    let (gic, taken) = (controller(), Taken::new(taken));
    // The acknowledge has to be complete before the model looks at active bits through the distributor (IHI 0069, 4.1).
    barrier::dsb(barrier::SY);
    match taken.intid() {
        _ if taken.is_special() => {}
        KICK => {
            gic.drop_priority(taken);
            gic.deactivate(taken);
            core.look();
        }
        DOORBELL => {
            gic.drop_priority(taken);
            gic.deactivate(taken);
            core.drain();
        }
        intid if intid == board::maintenance_intid() => {
            {
                let mut state = core.partition.lock(core.vcpu);
                state.vgic.maintenance(core.vcpu, &mut core.physical(), &mut Lrs);
            }
            core.refresh();
            gic.drop_priority(taken);
            gic.deactivate(taken);
        }
        intid if intid == board::uart_intid() => {
            console::interrupt(core.partition.number);
            gic.drop_priority(taken);
            gic.deactivate(taken);
            console::receive(core);
            core.refresh();
        }
        intid if core.partition.streams && smmu::interrupt(intid) => {
            gic.drop_priority(taken);
            gic.deactivate(taken);
        }
        intid => {
            let irq = {
                let mut state = core.partition.lock(core.vcpu);
                state.vgic.slow_irq(core.vcpu, intid, &mut core.physical(), &mut Lrs)
            };
            core.refresh();
            gic.drop_priority(taken);
            if irq == Irq::NotOurs {
                // Last, where nobody else's interrupts come by.
                let timer = watchdog::silence(core.partition, intid);
                gic.deactivate(taken);
                if timer && watchdog::look(core) {
                    life::stop(core, Cause::Watchdog);
                }
            }
        }
    }
    if core.auditor.is_busy() {
        core.audit();
    }
}

/// An SError taken while the guest ran: it is this partition's doing, so its guest gets it (HCR_EL2.VSE).
fn serror(core: &mut Core) {
    core.count(Kind::Other);
    traps::pend_serror();
}

#[unsafe(no_mangle)]
extern "C" fn trap_serror(_frame: &mut Frame) {
    // SAFETY: once per exit, here.
    serror(unsafe { Core::current() });
}

/// AArch32 is hidden and EL1 is AArch64 (HCR_EL2.RW), but EL1 may have entered AArch32 at EL0 on a core that has it,
/// by an exception return that the architecture does not let EL2 refuse. Such a partition is stopped.
#[unsafe(no_mangle)]
extern "C" fn trap_aarch32(frame: &mut Frame) {
    if removed(Guard::Aarch32Stop) {
        return as_from_aarch64(frame);
    }
    // SAFETY: once per exit, here.
    let core = unsafe { Core::current() };
    life::stop(core, Cause::UnexpectedException)
}

/// What a test build without the guard does: the exception counts as any other.
fn as_from_aarch64(frame: &mut Frame) {
    let taken = controller().acknowledge();
    if taken.is_special() { trap_sync(frame) } else { trap_irq(frame, taken.raw()) }
}
