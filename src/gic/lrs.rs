//! The list registers of the calling core, whichever controller it has.

use partita_model::gic::{Control, Drained, ListRegisters, Shared, Version};

use super::{v2, v3, version};

/// Moves a virtual CPU's pending SGIs into this core's list registers; which controller it is is asked once.
pub fn drain(sgi: &Shared, vcpu: usize) -> Drained {
    match version() {
        Version::V2 => sgi.drain(vcpu, &mut v2::Lrs),
        Version::V3 => sgi.drain(vcpu, &mut v3::Lrs),
    }
}

/// The list registers of this core.
#[derive(Debug)]
pub struct Lrs;

impl ListRegisters for Lrs {
    fn count(&self) -> usize {
        match version() {
            Version::V2 => v2::Lrs.count(),
            Version::V3 => v3::Lrs.count(),
        }
    }

    fn read(&self, index: usize) -> u64 {
        match version() {
            Version::V2 => v2::Lrs.read(index),
            Version::V3 => v3::Lrs.read(index),
        }
    }

    fn write(&mut self, index: usize, image: u64) {
        match version() {
            Version::V2 => v2::Lrs.write(index, image),
            Version::V3 => v3::Lrs.write(index, image),
        }
    }

    fn ended(&self) -> u32 {
        match version() {
            Version::V2 => v2::Lrs.ended(),
            Version::V3 => v3::Lrs.ended(),
        }
    }

    fn take_eoi_count(&mut self) -> u32 {
        match version() {
            Version::V2 => v2::Lrs.take_eoi_count(),
            Version::V3 => v3::Lrs.take_eoi_count(),
        }
    }

    fn set_control(&mut self, control: Control) {
        match version() {
            Version::V2 => v2::Lrs.set_control(control),
            Version::V3 => v3::Lrs.set_control(control),
        }
    }

    fn enabled_groups(&self) -> u32 {
        match version() {
            Version::V2 => v2::Lrs.enabled_groups(),
            Version::V3 => v3::Lrs.enabled_groups(),
        }
    }
}
