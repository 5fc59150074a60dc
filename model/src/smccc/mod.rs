//! Calls that are not PSCI's: the SMC calling convention itself (DEN 0028), its workarounds, and Partita's own
//! identity in the vendor-specific hypervisor range.
//!
//! HVC and SMC are answered alike. Nothing a guest passes reaches firmware: where a workaround is needed, EL2 makes
//! one fixed call of its own.

#[cfg(test)]
mod tests;

use partita_abi::psci::NOT_SUPPORTED;
use partita_abi::smccc as id;

use crate::psci::Psci;
use crate::weaken::{Guard, removed};

/// What to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One of PSCI's: ask [`Psci::call`].
    Psci,
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

/// Whether the core a guest runs on needs a workaround.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workaround {
    /// It is affected, or nobody knows, and firmware has no call for it.
    #[default]
    Unavailable,
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
    /// SMCCC_ARCH_WORKAROUND_3: branch history (Spectre-BHB).
    pub branch_history: Workaround,
}

/// What firmware answered to SMCCC_ARCH_FEATURES for the three workarounds, on this core; NOT_SUPPORTED where there
/// is no firmware to ask (SMCCC before 1.1 included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// For SMCCC_ARCH_WORKAROUND_1.
    pub workaround_1: i32,
    /// For SMCCC_ARCH_WORKAROUND_2.
    pub workaround_2: i32,
    /// For SMCCC_ARCH_WORKAROUND_3.
    pub workaround_3: i32,
}

impl Firmware {
    /// No firmware, or none that can be asked.
    pub const NONE: Self =
        Self { workaround_1: NOT_SUPPORTED, workaround_2: NOT_SUPPORTED, workaround_3: NOT_SUPPORTED };
}

/// In-order cores of Arm's that speculate too little for variant 2, 4 and BHB (Arm's "Speculative Processor
/// Vulnerability" list): part numbers of Cortex-A34, A53, A35, A55, A510, A520.
const IN_ORDER: [u64; 6] = [0xd02, 0xd03, 0xd04, 0xd05, 0xd46, 0xd80];

impl Mitigations {
    /// Judges a core by MIDR_EL1, ID_AA64PFR0_EL1, ID_AA64PFR1_EL1 and what firmware says.
    #[must_use]
    pub fn new(midr: u64, pfr0: u64, pfr1: u64, firmware: Firmware) -> Self {
        let in_order = midr >> 24 & 0xff == 0x41 && IN_ORDER.contains(&(midr >> 4 & 0xfff));
        let csv2 = pfr0 >> 56 & 0xf;
        // FEAT_SSBS: the guest turns the bypass off by itself, PSTATE.SSBS, and needs no call.
        let ssbs = pfr1 >> 4 & 0xf != 0;
        let judge = |immune: bool, answer: i32| match answer {
            _ if immune => Workaround::NotNeeded,
            0 => Workaround::Firmware,
            // 1: this core does not need it (DEN 0028); -2: no core does (WORKAROUND_2 only).
            1 | -2 => Workaround::NotNeeded,
            _ => Workaround::Unavailable,
        };
        let store_bypass = match judge(in_order, firmware.workaround_2) {
            Workaround::Firmware if ssbs => Workaround::Unavailable,
            other => other,
        };
        Self {
            branch_predictor: judge(in_order || csv2 >= 1, firmware.workaround_1),
            store_bypass,
            // FEAT_CSV2_3: branch history does not cross contexts.
            branch_history: judge(in_order || csv2 >= 3, firmware.workaround_3),
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
            (id::VERSION | id::ARCH_FEATURES, _) | (_, Some(Workaround::Firmware)) => 0,
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
        // No calls of our own yet; the general queries do not count.
        id::VENDOR_HYP_CALL_COUNT => answer(0),
        id::VENDOR_HYP_UID => Route::Answer(id::UID.map(u64::from)),
        id::VENDOR_HYP_REVISION => {
            Route::Answer([u64::from(id::REVISION_MAJOR), u64::from(id::REVISION_MINOR), 0, 0])
        }
        _ => match mitigations.of(function) {
            // WORKAROUND_2 takes a switch, 0 or 1; nothing else of the guest's goes to firmware.
            Some(Workaround::Firmware) if function == id::ARCH_WORKAROUND_2 => {
                Route::Firmware { function, argument: u64::from(x1 as u32 != 0) }
            }
            Some(Workaround::Firmware) => Route::Firmware { function, argument: 0 },
            Some(Workaround::NotNeeded) => answer(0),
            _ => answer(i64::from(NOT_SUPPORTED)),
        },
    }
}
