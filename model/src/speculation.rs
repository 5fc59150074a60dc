//! What a core does with branch predictions and bypassed stores of another context, and what EL2 does about it: how a
//! core's entry from its guest is guarded ([`Guard`], performed by vectors.S), and what the guest is told (smccc).
//!
//! The question is whether what a guest has trained may steer EL2's speculation. EL2 has little to leak: a core maps the
//! hypervisor, what its own partition shares with it, the partitions' states and the console's rings, no memory of a
//! guest. Sources: Arm, "Spectre-BHB: Speculative Target Reuse Attacks" and "Cache Speculation Side-channels"
//! (whitepapers, with the table of loops by core); DEN 0028, 7.5; DDI 0487, ID_AA64PFR0_EL1.CSV2, ID_AA64MMFR1_EL1.ECBHB,
//! ID_AA64ISAR2_EL1.CLRBHB, ID_AA64PFR1_EL1.SSBS; Linux, `arch/arm64/kernel/proton-pack.c`.

use core::fmt::{self, Display, Formatter};

use partita_abi::psci::NOT_SUPPORTED;
use partita_abi::smccc as id;

use crate::idregs::Host;
use crate::midr::{self, Kind, Midr};

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

/// In-order cores, which speculate too little for variants 2 and 4 and for branch history.
const IN_ORDER: &[Kind] = &[
    midr::CORTEX_A34,
    midr::CORTEX_A35,
    midr::CORTEX_A53,
    midr::CORTEX_A55,
    midr::CORTEX_A510,
    midr::CORTEX_A520,
    midr::BRAHMA_B53,
];

/// How many taken branches overwrite a core's branch history.
const HISTORY: &[(u32, &[Kind])] = &[
    (8, &[midr::CORTEX_A57, midr::CORTEX_A72]),
    (11, &[midr::AMPERE1]),
    (24, &[midr::CORTEX_A76, midr::CORTEX_A76AE, midr::CORTEX_A77, midr::NEOVERSE_N1]),
    (
        32,
        &[
            midr::CORTEX_A78,
            midr::CORTEX_A78AE,
            midr::CORTEX_A78C,
            midr::CORTEX_X1,
            midr::CORTEX_X1C,
            midr::CORTEX_A710,
            midr::CORTEX_X2,
            midr::NEOVERSE_N2,
            midr::NEOVERSE_V1,
        ],
    ),
    (38, &[midr::CORTEX_A715, midr::CORTEX_A720]),
    (132, &[midr::CORTEX_X3, midr::NEOVERSE_V2]),
];

/// A core's answer to one kind of attack, or EL2's for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cure {
    /// Affected, or nobody knows, and there is no cure.
    #[default]
    None,
    /// Not affected.
    NotNeeded,
    /// A call of firmware's.
    Firmware,
    /// A loop of so many taken branches.
    Loop(u32),
    /// CLRBHB (FEAT_CLRBHB).
    Clear,
    /// PSTATE.SSBS (FEAT_SSBS), which every exception to EL2 clears by SCTLR_EL2.DSSBS = 0.
    Ssbs,
}

/// What there is to say of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speculation {
    /// Branch targets of another context (Spectre variant 2).
    pub targets: Cure,
    /// Branch history of another context (Spectre-BHB).
    pub history: Cure,
    /// Loads that bypass stores (variant 4).
    pub stores: Cure,
}

impl Speculation {
    /// Judges a core.
    #[must_use]
    pub fn of(midr: Midr, host: &Host, firmware: Firmware) -> Self {
        let in_order = midr.is_one_of(IN_ORDER);
        let csv2 = host.field(4, 0, 56);
        let told = |immune: bool, answer: i32| match answer {
            _ if immune => Cure::NotNeeded,
            0 => Cure::Firmware,
            // 1: this core does not need it (DEN 0028); -2: no core does (WORKAROUND_2 only).
            1 | -2 => Cure::NotNeeded,
            _ => Cure::None,
        };
        let rounds = HISTORY.iter().find(|(_, kinds)| midr.is_one_of(kinds)).map(|(rounds, _)| *rounds);
        let history = match rounds {
            // FEAT_CSV2_3 and FEAT_ECBHB: what was branched to in one context is no history in another.
            _ if in_order || csv2 >= 3 || host.field(7, 1, 60) != 0 => Cure::NotNeeded,
            _ if host.field(6, 2, 28) != 0 => Cure::Clear,
            Some(rounds) => Cure::Loop(rounds),
            None => told(false, firmware.workaround_3),
        };
        let stores = match told(in_order, firmware.workaround_2) {
            Cure::NotNeeded => Cure::NotNeeded,
            _ if host.field(4, 1, 4) != 0 => Cure::Ssbs,
            other => other,
        };
        Self { targets: told(in_order || csv2 >= 1, firmware.workaround_1), history, stores }
    }

    /// How an entry from the guest is guarded on this core. One call of firmware's does both (DEN 0028, 7.5.4:
    /// SMCCC_ARCH_WORKAROUND_3 includes what SMCCC_ARCH_WORKAROUND_1 does).
    #[must_use]
    pub fn guard(&self) -> Guard {
        let firmware = match (self.targets, self.history) {
            (_, Cure::Firmware) => id::ARCH_WORKAROUND_3,
            (Cure::Firmware, _) => id::ARCH_WORKAROUND_1,
            _ => 0,
        };
        let rounds = if let Cure::Loop(rounds) = self.history { rounds } else { 0 };
        Guard { firmware, rounds, clear: self.history == Cure::Clear }
    }
}

/// `branch targets by firmware, history by 8 branches, stores by SSBS`.
impl Display for Speculation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "branch targets {}, history {}, stores {}", self.targets, self.history, self.stores)
    }
}

impl Display for Cure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Cure::None => f.write_str("UNGUARDED"),
            Cure::NotNeeded => f.write_str("unaffected"),
            Cure::Firmware => f.write_str("by firmware"),
            Cure::Loop(rounds) => write!(f, "by {rounds} branches"),
            Cure::Clear => f.write_str("by CLRBHB"),
            Cure::Ssbs => f.write_str("by SSBS"),
        }
    }
}

/// What vectors.S does between an exit that needs Rust and Rust, so before the first indirect branch: the call, the
/// branches, CLRBHB (a no-op where it is not), a barrier. A core that needs none of it has vectors without it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// The call to firmware; 0: none.
    pub firmware: u32,
    /// Taken branches; 0: none.
    pub rounds: u32,
    /// CLRBHB.
    pub clear: bool,
}

impl Guard {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        *self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRMWARE: Firmware = Firmware { workaround_1: 0, workaround_2: 0, workaround_3: 0 };
    const A53: Midr = Midr(0x410f_d034);
    const A72: Midr = Midr(0x410f_d083);
    const A73: Midr = Midr(0x411f_d090);
    const N1: Midr = Midr(0x413f_d0c1);
    const X3: Midr = Midr(0x411f_d4e0);

    /// A host with one field set in each of ID_AA64PFR0 (CSV2), PFR1 (SSBS), MMFR1 (ECBHB), ISAR2 (CLRBHB).
    fn host(csv2: u64, ssbs: u64, ecbhb: u64, clrbhb: u64) -> Host {
        Host::read(|crm, op2| match (crm, op2) {
            (4, 0) => csv2 << 56,
            (4, 1) => ssbs << 4,
            (7, 1) => ecbhb << 60,
            (6, 2) => clrbhb << 28,
            _ => 0,
        })
    }

    fn guard(midr: Midr, host: &Host, firmware: Firmware) -> (u32, u32, bool) {
        let guard = Speculation::of(midr, host, firmware).guard();
        assert_eq!(guard.is_needed(), guard != Guard { firmware: 0, rounds: 0, clear: false });
        (guard.firmware, guard.rounds, guard.clear)
    }

    #[test]
    fn cores_as_they_are() {
        let plain = host(0, 0, 0, 0);
        // Raspberry Pi 4: nobody to call, so branch targets stay unguarded, and history is overwritten.
        assert_eq!(guard(A72, &plain, Firmware::NONE), (0, 8, false));
        let pi = Speculation::of(A72, &plain, Firmware::NONE);
        assert_eq!(pi.to_string(), "branch targets UNGUARDED, history by 8 branches, stores UNGUARDED");
        // The same core under firmware that has the calls; and a later one with CSV2.
        assert_eq!(guard(A72, &plain, FIRMWARE), (id::ARCH_WORKAROUND_1, 8, false));
        assert_eq!(guard(A72, &host(1, 0, 0, 0), FIRMWARE), (0, 8, false));
        // In-order: nothing.
        assert_eq!(guard(A53, &plain, Firmware::NONE), (0, 0, false));
        // No loop is known for Cortex-A73: firmware's call does both.
        assert_eq!(guard(A73, &plain, FIRMWARE), (id::ARCH_WORKAROUND_3, 0, false));
        assert_eq!(Speculation::of(A73, &plain, Firmware::NONE).history, Cure::None);
        assert_eq!(guard(N1, &host(1, 1, 0, 0), FIRMWARE), (0, 24, false));
        assert_eq!(guard(X3, &host(2, 1, 0, 0), Firmware::NONE), (0, 132, false));
    }

    #[test]
    fn features_settle_it() {
        // CSV2_3 and ECBHB make it needless, CLRBHB takes the loop's place.
        assert_eq!(guard(N1, &host(3, 0, 0, 0), FIRMWARE), (0, 0, false));
        assert_eq!(guard(N1, &host(1, 0, 1, 1), FIRMWARE), (0, 0, false));
        assert_eq!(guard(X3, &host(2, 0, 0, 1), FIRMWARE), (0, 0, true));
        // A core that nobody knows: by its features, else by firmware's word.
        let unknown = Midr(0x000f_0510);
        assert_eq!(guard(unknown, &host(3, 0, 0, 0), Firmware::NONE), (0, 0, false));
        let told = Firmware { workaround_1: 1, workaround_2: -2, workaround_3: 1 };
        let settled =
            Speculation { targets: Cure::NotNeeded, history: Cure::NotNeeded, stores: Cure::NotNeeded };
        assert_eq!(Speculation::of(unknown, &host(0, 0, 0, 0), told), settled);
        assert_eq!(Speculation::of(unknown, &host(0, 0, 0, 0), Firmware::NONE), Speculation::default());
    }

    #[test]
    fn stores() {
        let of = |midr, ssbs, firmware| Speculation::of(midr, &host(0, ssbs, 0, 0), firmware).stores;
        assert_eq!(of(A72, 0, FIRMWARE), Cure::Firmware);
        assert_eq!(of(A72, 0, Firmware::NONE), Cure::None);
        assert_eq!(of(N1, 1, FIRMWARE), Cure::Ssbs);
        assert_eq!(of(N1, 2, Firmware::NONE), Cure::Ssbs);
        assert_eq!(of(A53, 0, Firmware::NONE), Cure::NotNeeded);
    }
}
