//! Calls that are not PSCI's: the SMC calling convention itself (DEN 0028), its workarounds, and Partita's own identity and calls
//! in the vendor-specific hypervisor range.
//!
//! HVC and SMC are answered alike. Nothing a guest passes reaches firmware: where a workaround is needed, EL2 makes
//! one fixed call of its own.

#[cfg(test)]
mod tests;

use partita_abi::psci::NOT_SUPPORTED;
use partita_abi::smccc as id;
use partita_abi::supervision::call::CALLS;

use crate::psci::Psci;
use crate::speculation::{Cure, Speculation};
use crate::supervision::Call;
use crate::weaken::{Guard, removed};

/// What to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One of PSCI's: ask [`Psci::call`].
    Psci,
    /// One of supervision's: ask [`Call::read`].
    Supervision,
    /// Put these into x0..x3 and go on.
    Answer([u64; 4]),
    /// Make this call to firmware with x1 as given and x2.. zero, drop its results, answer x0 = 0.
    Firmware {
        /// x0.
        function: u32,
        /// x1.
        argument: u64,
    },
}

/// Whether the core a guest runs on needs a workaround, and who performs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workaround {
    /// It is affected, or nobody knows, and there is none.
    #[default]
    Unavailable,
    /// EL2 does it at every entry that comes as far as this one (speculation.rs, [`Guard`]), so it is done by now.
    ///
    /// [`Guard`]: crate::speculation::Guard
    AtEntry,
    /// It needs the call, and firmware has it.
    Firmware,
    /// It does not need it; the call does nothing.
    NotNeeded,
}

/// What a core (each its own: cores of one partition may differ) says of the workarounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mitigations {
    /// SMCCC_ARCH_WORKAROUND_1: branch predictor (Spectre variant 2).
    pub branch_predictor: Workaround,
    /// SMCCC_ARCH_WORKAROUND_2: store bypass (variant 4).
    pub store_bypass: Workaround,
    /// SMCCC_ARCH_WORKAROUND_3: branch history (Spectre-BHB), and the branch predictor with it.
    pub branch_history: Workaround,
}

impl Mitigations {
    /// What a guest on a core like this is told.
    #[must_use]
    pub fn new(core: &Speculation) -> Self {
        let at_entry = |cure| match cure {
            Cure::NotNeeded => Workaround::NotNeeded,
            Cure::Firmware | Cure::Loop(_) | Cure::Clear => Workaround::AtEntry,
            Cure::None | Cure::Ssbs => Workaround::Unavailable,
        };
        Self {
            branch_predictor: at_entry(core.targets),
            store_bypass: match core.stores {
                Cure::NotNeeded => Workaround::NotNeeded,
                Cure::Firmware => Workaround::Firmware,
                // FEAT_SSBS: the guest turns the bypass off by itself, PSTATE.SSBS, and needs no call.
                _ => Workaround::Unavailable,
            },
            branch_history: match (at_entry(core.targets), at_entry(core.history)) {
                // It is made in WORKAROUND_1's place and does what both do (DEN 0028): it promises no more than both.
                (Workaround::Unavailable, _) => Workaround::Unavailable,
                (Workaround::AtEntry, Workaround::NotNeeded) => Workaround::AtEntry,
                (_, history) => history,
            },
        }
    }

    fn of(&self, function: u32) -> Option<Workaround> {
        match function {
            id::ARCH_WORKAROUND_1 => Some(self.branch_predictor),
            id::ARCH_WORKAROUND_2 => Some(self.store_bypass),
            id::ARCH_WORKAROUND_3 => Some(self.branch_history),
            _ => None,
        }
    }

    /// SMCCC_ARCH_FEATURES (DEN 0028).
    fn features(&self, function: u32) -> i64 {
        match (function, self.of(function)) {
            (id::VERSION | id::ARCH_FEATURES, _) | (_, Some(Workaround::Firmware | Workaround::AtEntry)) => 0,
            // WORKAROUND_2 says NOT_REQUIRED by another number than 1 and 3 do.
            (id::ARCH_WORKAROUND_2, Some(Workaround::NotNeeded)) => -2,
            (_, Some(Workaround::NotNeeded)) => 1,
            _ => i64::from(NOT_SUPPORTED),
        }
    }
}

const fn answer(x0: i64) -> Route {
    Route::Answer([x0 as u64, 0, 0, 0])
}

/// Decides a call: the instruction's immediate, x0 and x1. An immediate other than 0 belongs to no calling convention
/// (DEN 0028) and is answered like an unknown function.
#[must_use]
pub fn route(immediate: u16, x0: u64, x1: u64, mitigations: &Mitigations) -> Route {
    if immediate != 0 && !removed(Guard::CallImmediate) {
        return answer(i64::from(NOT_SUPPORTED));
    }
    // The identifier is W0.
    let function = x0 as u32;
    if removed(Guard::CallFirmware) {
        return Route::Firmware { function, argument: x1 };
    }
    if Psci::owns(function) {
        return Route::Psci;
    }
    match function {
        id::VERSION => answer(i64::from(id::VERSION_1_2)),
        id::ARCH_FEATURES => answer(mitigations.features(x1 as u32)),
        // The general queries do not count.
        id::VENDOR_HYP_CALL_COUNT => answer(i64::from(CALLS)),
        id::VENDOR_HYP_UID => Route::Answer(id::UID.map(u64::from)),
        id::VENDOR_HYP_REVISION => {
            Route::Answer([u64::from(id::REVISION_MAJOR), u64::from(id::REVISION_MINOR), 0, 0])
        }
        _ => match mitigations.of(function) {
            // WORKAROUND_2 takes a switch, 0 or 1; nothing else of the guest's goes to firmware.
            Some(Workaround::Firmware) => Route::Firmware { function, argument: u64::from(x1 as u32 != 0) },
            Some(Workaround::NotNeeded | Workaround::AtEntry) => answer(0),
            // Last, as it is asked least.
            _ if Call::owns(function) => Route::Supervision,
            _ => answer(i64::from(NOT_SUPPORTED)),
        },
    }
}
