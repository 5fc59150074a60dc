//! Guests, devices and cores against the virtual interrupt controller, GICv3 and GICv2, on the model's fake machine.
//!
//! The machine fails the run when the model names an interrupt or a core that is not the partition's, puts one number
//! into two list registers, or makes them up without a physical interrupt; [`Run`] follows what must still reach the
//! guest. Here only the bytes become steps.

use partita_model::gic::Version;
use partita_model::gic::testing::{Run, Step};

use crate::input::Input;

/// More steps teach nothing new and cost time.
const STEPS: usize = 120;

/// First byte: version, EOImode and accesses anywhere; second: cores and list registers; then five bytes a step.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (flags, shape) = (input.u8(), input.u8());
    let version = if flags & 1 == 0 { Version::V3 } else { Version::V2 };
    let two_step = if version == Version::V3 { flags >> 4 } else { 0 };
    let (vcpus, lrs) = (usize::from(shape & 3) + 1, usize::from(shape >> 2 & 3) + 1);
    let mut run = Run::new(version, vcpus, lrs, two_step);
    // A guest that writes anywhere may have cleared what was pending: then it is not followed.
    let anywhere = flags & 2 != 0;
    run.check();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let (what, pick) = (input.u8(), input.u8());
        if anywhere && what & 0x10 != 0 {
            let how = input.u8();
            let (core, redists) = (usize::from(what & 3), what & 4 != 0);
            let offset = u64::from(pick) << 8 | u64::from(input.u8()) | u64::from(how >> 4) << 16;
            let write = (what & 8 != 0).then(|| u64::from(input.u32()) * 0x1_0000_0001);
            run.access(core, redists, offset, 1 << (how & 3), write);
        } else {
            let kind = what & 0x1f;
            let value = u32::from(input.u16()) | u32::from(input.u8()) << 24 | u32::from(what >> 5) << 18;
            run.step(&Step { kind, core: usize::from(what >> 5 & 3), pick: usize::from(pick), value });
        }
        run.check();
    }
    if !anywhere {
        run.drain();
    }
}
