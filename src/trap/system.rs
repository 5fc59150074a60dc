//! Trapped system registers and instructions.

use partita_model::gic::SgiRegister;
use partita_model::syndrome::inject::Exception;
use partita_model::syndrome::{Encoding, SysAccess};
use partita_model::sysreg::{self, Action};

use super::{Frame, inject, setway, skip};
use crate::core::Core;
use crate::gic::Lrs;
use crate::sysreg::mrs;
use partita_model::lifecycle::exits::Kind;

/// ICC_DIR_EL1, which traps while an active interrupt is in no list register (ICH_HCR_EL2.TDIR).
const ICC_DIR: Encoding = Encoding::new(3, 0, 12, 11, 1);
/// ICH_VMCR_EL2.VEOIM: the guest deactivates by ICC_DIR_EL1.
const VEOIM: u64 = 1 << 9;

/// Performs a trapped access.
pub fn access(core: &mut Core, frame: &mut Frame, access: &SysAccess) {
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
        Action::SetWay(_) => setway::operate(core, frame.get(access.rt)),
    }
    skip();
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
    let targets = core.partition.sgi.send(core.vcpu, value, register);
    core.notify(targets);
}
