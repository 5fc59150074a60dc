//! Trapped system registers and instructions.

use core::arch::asm;

use partita_model::gic::{SgiRegister, targets};
use partita_model::syndrome::inject::Exception;
use partita_model::syndrome::{Encoding, SysAccess};
use partita_model::sysreg::{self, Action, Interface};

use super::{Frame, inject, setway, skip};
use crate::core::Core;
use crate::gic::{self, Lrs};
use crate::sysreg::mrs;
use partita_model::lifecycle::exits::Kind;

/// ICC_DIR_EL1, which traps while an active interrupt is in no list register (ICH_HCR_EL2.TDIR).
const ICC_DIR: Encoding = Encoding::new(3, 0, 12, 11, 1);
/// ICH_VMCR_EL2.VEOIM: the guest deactivates by ICC_DIR_EL1.
const VEOIM: u64 = 1 << 9;

/// Performs a trapped access.
pub fn access(core: &mut Core, frame: &mut Frame, access: &SysAccess) {
    if core.partition.direct
        && let Some(register) = Interface::of(access)
    {
        core.count(Kind::SysReg);
        let value = interface(core, register, (!access.read).then(|| frame.get(access.rt)));
        if access.read {
            frame.set(access.rt, value);
        }
        skip();
        return;
    }
    if access.register == ICC_DIR && !access.read {
        core.count(Kind::SysReg);
        deactivate(core, frame.get(access.rt) as u32 & 0xff_ffff);
        skip();
        return;
    }
    let action = sysreg::action(access, &core.view.ids);
    core.count(if matches!(action, Action::Sgi(_)) { Kind::Sgi } else { Kind::SysReg });
    match action {
        Action::Value(value) => frame.set(access.rt, value),
        Action::Ignore => {}
        Action::Undefined => return inject::exception(core, Exception::Undefined),
        Action::Sgi(register) => send(core, frame.get(access.rt), register),
        Action::Local(instruction) => maintain(instruction, frame.get(access.rt)),
        Action::SetWay(_) => setway::operate(core, frame.get(access.rt)),
    }
    skip();
}

/// An access to the physical CPU interface of a direct partition. It may deactivate what is its own.
fn interface(core: &Core, register: Interface, write: Option<u64>) -> u64 {
    if let (Interface::Deactivate, Some(value)) = (register, write)
        && !core.partition.lock(core.vcpu).vgic.owns(core.vcpu, value as u32 & 0xff_ffff)
    {
        return 0;
    }
    gic::trapped(register, write)
}

fn deactivate(core: &mut Core, intid: u32) {
    if mrs!("ich_vmcr_el2") & VEOIM != 0 {
        let mut state = core.partition.lock(core.vcpu);
        state.vgic.deactivate(core.vcpu, intid, &mut core.physical(), &mut Lrs);
        drop(state);
        core.refresh();
    }
}

fn send(core: &mut Core, value: u64, register: sysreg::SgiRegister) {
    let register = match register {
        sysreg::SgiRegister::Sgi1 => SgiRegister::Sgi1r,
        sysreg::SgiRegister::Asgi1 => SgiRegister::Asgi1r,
        sysreg::SgiRegister::Sgi0 => SgiRegister::Sgi0r,
    };
    if core.partition.direct {
        let targets = targets(value, core.vcpu, core.partition.vcpus.len());
        return core.send_directly(targets, value >> 24 & 15, register != SgiRegister::Sgi1r);
    }
    let targets = core.partition.sgi.send(core.vcpu, value, register);
    core.notify(targets);
}

macro_rules! execute {
    ($wanted:expr, $operand:expr; $(($n:literal, $m:literal): $($op2:literal)*),*) => {
        match ($wanted.crn, $wanted.crm, $wanted.op2) {
            $($(($n, $m, $op2) => asm!(
                concat!("sys #0, C", $n, ", C", $m, ", #", $op2, ", {}"),
                in(reg) $operand, options(nostack, preserves_flags)
            ),)*)*
            _ => {}
        }
    };
}

/// Maintenance of this core's TLB for EL1, by the partition's VMID (VTTBR_EL2; DDI 0487, D8.17), or of its instruction cache.
/// What the guest does next is ordered after it by the DSB that the guest has to execute.
fn maintain(instruction: Encoding, operand: u64) {
    // SAFETY: drops translations of this core's guest, or instructions, which are made again from its tables and memory. The
    // instruction exists: its form for more cores trapped.
    unsafe {
        match (instruction.crn, instruction.op2) {
            // IC IALLU and VMALLE1, which take no operand.
            (7, _) => asm!("ic iallu", options(nostack, preserves_flags)),
            (8, 0) => asm!("sys #0, C8, C7, #0", options(nostack, preserves_flags)),
            (9, 0) => asm!("sys #0, C9, C7, #0", options(nostack, preserves_flags)),
            _ => execute!(instruction, operand;
                (8, 7): 1 2 3 5 7, (8, 6): 1 3 5 7, (9, 7): 1 2 3 5 7, (9, 6): 1 3 5 7),
        }
    }
}
