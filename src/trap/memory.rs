//! Aborts: accesses to emulated devices, and strays.

use aarch64_cpu::registers::{ELR_EL2, FAR_EL2, HPFAR_EL2, SCTLR_EL1, SPSR_EL2};
use partita_model::addr::Ipa;
use partita_model::gic;
use partita_model::syndrome::inject::Exception;
use partita_model::syndrome::{Abort, Access, Mmio};
use partita_model::weaken::{Guard, removed};
use tock_registers::interfaces::{Readable, Writeable};

use super::{Frame, inject, skip};
use crate::core::Core;
use crate::gic::{Lrs, Version, version};
use crate::{crash, watchdog};
use partita_model::lifecycle::exits::Kind;

/// A data abort: emulated where a device is, else the guest's external abort.
pub fn data_abort(core: &mut Core, frame: &mut Frame, abort: Abort) {
    if let Access::Mmio(access) = abort.access() {
        let ipa = partita_model::syndrome::fault_ipa(HPFAR_EL2.get(), FAR_EL2.get());
        let big_endian = big_endian();
        let write = access.write.then(|| access.stored(frame.get(access.register), big_endian));
        if let Some((value, kind)) = device(core, ipa, access, write) {
            core.count(kind);
            if !access.write {
                frame.set(access.register, access.loaded(value, big_endian));
            }
            skip();
            return;
        }
    }
    core.count(Kind::Other);
    core.refused = Some(crash::refused());
    let decodable = matches!(abort.access(), Access::Mmio(_));
    if removed(if decodable { Guard::AbortData } else { Guard::AbortUndecodable }) {
        return skip();
    }
    inject::exception(core, Exception::DataAbort { cause: abort, far: FAR_EL2.get() });
}

/// An instruction abort: the guest fetched from where it has no memory.
pub fn instruction_abort(core: &mut Core, frame: &Frame, abort: Abort) {
    core.count(Kind::Other);
    core.refused = Some(crash::refused());
    if removed(Guard::AbortFetch) {
        // As if a return had been there.
        return ELR_EL2.set(frame.get(30));
    }
    inject::exception(core, Exception::InstructionAbort { cause: abort, far: FAR_EL2.get() });
}

/// Whether the guest's data accesses are big-endian: SCTLR_EL1.EE at EL1, E0E at EL0.
fn big_endian() -> bool {
    let el0 = SPSR_EL2.get() & 0xf == 0;
    SCTLR_EL1.get() >> if el0 { 24 } else { 25 } & 1 != 0
}

/// Performs an access to an emulated device, and says as what it counts. None: there is no device at this address.
fn device(core: &mut Core, ipa: Ipa, access: Mmio, write: Option<u64>) -> Option<(u64, Kind)> {
    let partition = core.partition;
    let vcpu = core.vcpu;
    let fits = |at: partita_model::addr::IpaSpan| {
        (at.contains(ipa) && at.contains(Ipa(ipa.0 + u64::from(access.width) - 1))).then(|| ipa.0 - at.base.0)
    };
    let gic_access = gic::Access { width: access.width, write };
    if let Some(offset) = fits(partition.dist) {
        if let (Version::V2, gic::SGIR, 4, Some(value)) = (version(), offset, access.width, write) {
            if partition.direct {
                let targets = gic::sgir_targets(value, vcpu, partition.vcpus.len());
                core.send_directly(targets, value & 15, false);
            } else {
                let targets = partition.sgi.send_sgir(vcpu, value);
                core.notify(targets);
            }
            return Some((0, Kind::Sgi));
        }
        let mut state = partition.lock(vcpu);
        let value = state.vgic.dist_access(vcpu, offset, gic_access, &mut core.physical(), &mut Lrs);
        drop(state);
        core.refresh();
        return Some((value, Kind::Mmio));
    }
    if let Some(offset) = fits(partition.redists) {
        let mut state = partition.lock(vcpu);
        let value = state.vgic.redist_access(vcpu, offset, gic_access, &mut core.physical(), &mut Lrs);
        drop(state);
        core.refresh();
        return Some((value, Kind::Mmio));
    }
    if let Some((place, offset)) =
        partition.windows.iter().enumerate().find_map(|(place, window)| Some((place, fits(*window)?)))
    {
        let mut state = partition.lock(vcpu);
        let bridges = state.pci.len();
        let value = if let Some(host) = state.pci.get_mut(place) {
            crate::pci::access(host, offset, access.width, write)
        } else {
            drop(state);
            let frame = if place == bridges { watchdog::Frame::Control } else { watchdog::Frame::Refresh };
            watchdog::access(core, frame, offset, access.width, write)
        };
        return Some((value, Kind::Mmio));
    }
    if let Some(offset) = partition.console.and_then(|(console, _)| fits(console)) {
        return Some((crate::console::access(core, offset, access.width, write), Kind::Mmio));
    }
    let offset = fits(partition.supervisor.as_ref()?.registers)?;
    Some((crate::supervise::access(partition, offset, access.width, write), Kind::Mmio))
}
