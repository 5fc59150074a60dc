//! Hypercalls: HVC and SMC alike. Firmware is never called with what a guest said.

use partita_abi::psci;
use partita_model::psci::Outcome;
use partita_model::smccc::{self, Route};

use super::Frame;
use crate::core::Core;
use crate::{life, power, supervise, weaken};
use partita_model::lifecycle::Cause;
use partita_model::lifecycle::exits::Kind;
use partita_model::weaken::{Guard, removed};

/// Answers a call; ELR_EL2 is past the instruction.
pub fn call(core: &mut Core, frame: &mut Frame, immediate: u16) {
    weaken::fail(core, frame.x[0], frame.x[1]);
    match smccc::route(immediate, frame.x[0], frame.x[1], &core.view.mitigations) {
        Route::Psci => psci(core, frame),
        Route::Supervision => {
            core.count(Kind::Hvc);
            supervise::call(core, frame);
        }
        Route::Answer(values) => {
            core.count(Kind::Hvc);
            frame.x[..4].copy_from_slice(&values);
        }
        Route::Firmware { function, argument } => {
            core.count(Kind::Hvc);
            let answer = power::firmware(function, [argument, 0, 0]).unwrap_or(psci::NOT_SUPPORTED);
            frame.x[0] = answer as i64 as u64;
        }
    }
}

fn psci(core: &mut Core, frame: &mut Frame) {
    core.count(Kind::Psci);
    let (partition, vcpu) = (core.partition, core.vcpu);
    let arguments = [frame.x[0], frame.x[1], frame.x[2], frame.x[3]];
    let outcome = {
        let mut state = partition.lock(vcpu);
        state.psci.call(vcpu, arguments, |ipa| partition.is_ram(ipa))
    };
    match outcome {
        Outcome::Return(value) => frame.x[0] = value,
        Outcome::CpuOn(target) => {
            frame.x[0] = 0;
            partition.kick(target);
        }
        Outcome::CpuOff { last: false } => core.leave(),
        Outcome::CpuOff { last: true } => life::stop(core, Cause::AllCpusOff),
        Outcome::Standby => {
            core.standby();
            frame.x[0] = 0;
        }
        Outcome::Suspend => {
            core.standby();
            let start = partition.lock(vcpu).psci.resumed(vcpu);
            match start {
                Some(start) => core.restart(start),
                None => frame.x[0] = 0,
            }
        }
        Outcome::SystemOff if removed(Guard::PsciSystemOff) => power::off(),
        Outcome::SystemOff => life::stop(core, Cause::SystemOff),
        Outcome::SystemReset => life::stop(core, Cause::SystemReset),
    }
}
