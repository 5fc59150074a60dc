//! The trap and enable bits that go with the guest's view: each feature that [`super::Guest`] hides is trapped or off,
//! each that it shows works.
//!
//! Values are for a core with HCR_EL2.E2H = 0. EL2 writes a register of a feature only when [`Controls`] has one
//! (`Some`), because it does not exist otherwise.

use super::Host;
use crate::weaken::weakened;

/// What EL2 writes on a core before its guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controls {
    /// HCR_EL2, whole.
    pub hcr: u64,
    /// HCRX_EL2 (FEAT_HCX).
    pub hcrx: Option<u64>,
    /// CPTR_EL2, whole.
    pub cptr: u64,
    /// MDCR_EL2, whole.
    pub mdcr: u64,
    /// CNTHCTL_EL2, whole: physical counter and timer are the guest's own.
    pub cnthctl: u64,
    /// HSTR_EL2, whole: every AArch32 CP15 access from EL0 traps.
    pub hstr: u64,
    /// ZCR_EL2 (SVE): the greatest length the core has.
    pub zcr: Option<u64>,
    /// Whether HFGRTR_EL2, HFGWTR_EL2, HFGITR_EL2, HDFGRTR_EL2 and HDFGWTR_EL2 exist (FEAT_FGT); zero in all of them
    /// traps what has an enable bit there (TPIDR2, permission overlays, ...) and leaves the rest to the controls here.
    pub fine_grained: bool,
    /// The same for the second set of them (FEAT_FGT2): HFGRTR2_EL2, HFGWTR2_EL2, HFGITR2_EL2, HDFGRTR2_EL2, HDFGWTR2_EL2.
    pub fine_grained_2: bool,
    /// What could go on recording while a guest runs, and is turned off.
    pub recorders: Recorders,
    /// MPAM2_EL2 (FEAT_MPAM): both MPAM registers of EL1 trap, and EL2 keeps the default partition.
    pub mpam2: Option<u64>,
}

/// What records what a core does, where there is such: firmware may have left it on, and nobody may use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorders {
    /// Performance monitors (FEAT_PMUv3), whose counters could overflow into an interrupt.
    pub counters: bool,
    /// Statistical profiling (FEAT_SPE), which writes to memory by EL2's translation (MDCR_EL2.E2PB = 00).
    pub profiling: bool,
    /// The trace buffer (FEAT_TRBE), likewise (E2TB = 00).
    pub trace_buffer: bool,
    /// The trace filter (FEAT_TRF): what is traced at all.
    pub trace_filter: bool,
    /// Branch records (FEAT_BRBE).
    pub branches: bool,
    /// Streaming mode and ZA (FEAT_SME), which change what vector instructions do.
    pub matrices: bool,
}

/// MDCR_EL2 bits, set on every core that has what they are about.
mod mdcr {
    /// The PMU's PMCR_EL0, and with the next the whole PMU.
    pub const TPMCR: u64 = 1 << 5;
    /// See [`TPMCR`].
    pub const TPM: u64 = 1 << 6;
    /// OS lock, double lock, DBGPRCR_EL1. A guest that sets the OS lock could write OSECCR_EL1, and have a debugger's
    /// exception catch halt the core in EL2; DBGPRCR_EL1 asks the power controller not to power the core down.
    pub const TDOSA: u64 = 1 << 10;
    /// MDRAR_EL1: where the debug ROM is.
    pub const TDRA: u64 = 1 << 11;
    /// Statistical profiling.
    pub const TPMS: u64 = 1 << 14;
    /// Events are not counted at EL2 (FEAT_PMUv3p1),
    pub const HPMD: u64 = 1 << 17;
    /// nor cycles (FEAT_PMUv3p5).
    pub const HCCD: u64 = 1 << 23;
    /// Trace filter.
    pub const TTRF: u64 = 1 << 19;
    /// The debugger's communication channel (FEAT_FGT).
    pub const TDCC: u64 = 1 << 27;
}

/// HCR_EL2 bits, set on every core.
mod hcr {
    /// Stage 2 on.
    pub const VM: u64 = 1 << 0;
    /// DC ISW acts as DC CISW, should one slip through.
    pub const SWIO: u64 = 1 << 1;
    /// A stage 1 walk of device memory faults.
    pub const PTW: u64 = 1 << 2;
    /// FIQ, IRQ and SError are EL2's.
    pub const FMO: u64 = 1 << 3;
    /// See [`FMO`].
    pub const IMO: u64 = 1 << 4;
    /// See [`FMO`].
    pub const AMO: u64 = 1 << 5;
    /// REVIDR_EL1, AIDR_EL1 and, with FEAT_SME, SMIDR_EL1.
    pub const TID1: u64 = 1 << 16;
    /// ID registers of group 3.
    pub const TID3: u64 = 1 << 18;
    /// SMC.
    pub const TSC: u64 = 1 << 19;
    /// Implementation-defined registers and instructions.
    pub const TIDCP: u64 = 1 << 20;
    /// ACTLR_EL1.
    pub const TACR: u64 = 1 << 21;
    /// Set/way cache maintenance.
    pub const TSW: u64 = 1 << 22;
    /// EL1 is AArch64.
    pub const RW: u64 = 1 << 31;
    /// LORegion registers (FEAT_LOR).
    pub const TLOR: u64 = 1 << 35;
    /// RAS error records (FEAT_RAS).
    pub const TERR: u64 = 1 << 36;
    /// Pointer authentication keys and instructions work.
    pub const APK_API: u64 = 3 << 40;
    /// SCXTNUM works (FEAT_CSV2_2).
    pub const EN_SCXT: u64 = 1 << 53;
    /// IC IALLUIS (FEAT_EVT, ID_AA64MMFR2_EL1.EVT from 1 on).
    pub const TICAB: u64 = 1 << 50;
    /// TLB maintenance for the inner and the outer shareable domain (EVT = 2).
    pub const TTLB: u64 = 1 << 54 | 1 << 55;
    /// GMID_EL1 (FEAT_MTE2).
    pub const TID5: u64 = 1 << 58;
}

impl Controls {
    /// The controls for a core. `pmu_counters` is PMCR_EL0.N, or 0 where [`Host::has_pmu`] says there is none.
    ///
    /// No FB and no BSU in HCR_EL2: a virtual CPU never moves to another core, so the guest's local maintenance may
    /// stay local and disturbs nobody.
    #[must_use]
    pub fn new(host: &Host, pmu_counters: u8) -> Self {
        let has = |crm, op2, shift| host.field(crm, op2, shift) != 0;
        let when = |condition: bool, bits: u64| if condition { bits } else { 0 };
        let sve = host.has_sve();
        let pmu = if host.has_pmu() { host.field(5, 0, 8) } else { 0 };
        weakened(Self {
            hcr: hcr::VM
                | hcr::SWIO
                | hcr::PTW
                | hcr::FMO
                | hcr::IMO
                | hcr::AMO
                | hcr::TID3
                | hcr::TSC
                | hcr::TIDCP
                | hcr::TACR
                | hcr::TSW
                | hcr::RW
                | when(has(7, 1, 16), hcr::TLOR)
                | when(has(4, 0, 28), hcr::TERR)
                | when(host.has_pointer_authentication(), hcr::APK_API)
                | when(host.has_software_context(), hcr::EN_SCXT)
                // SME is hidden, and CPTR_EL2 does not cover its ID register.
                | when(has(4, 1, 24), hcr::TID1)
                | when(host.field(4, 1, 8) >= 2, hcr::TID5),
            // TALLINT (bit 6) traps PSTATE.ALLINT where there is FEAT_NMI. All else is zero, which makes MOPS, LS64,
            // TCR2, SCTLR2, GCS, 128-bit and FPMR accesses undefined or trapped.
            hcrx: has(7, 1, 40).then(|| when(has(4, 1, 36), 1 << 6)),
            // RES1: 13, 12, 9, 8 and 7..0. TZ (8) is clear where SVE is given; TSM (12) set hides SME. TFP (10) clear
            // gives FP. TTA (20) hides trace, TAM (30) the activity monitors.
            cptr: 0x32ff | when(!sve, 1 << 8) | 1 << 20 | when(has(4, 0, 44), 1 << 30),
            // HPMN (4..0) must not be less than there are: a lower number is CONSTRAINED UNPREDICTABLE at zero.
            // With TPMS, E2PB = 00 hides SPE; with TTRF, E2TB = 00 (25..24) trace. MTPME (28) is clear. Breakpoints,
            // watchpoints and single step are the guest's (TDA and TDE clear): they are of EL1, and EL2 is above it.
            mdcr: u64::from(pmu_counters & 0x1f)
                | mdcr::TPM
                | mdcr::TPMCR
                | mdcr::TDOSA
                | mdcr::TDRA
                | when(pmu >= 4, mdcr::HPMD)
                | when(pmu >= 6, mdcr::HCCD)
                | when(has(5, 0, 32), mdcr::TPMS)
                | when(has(5, 0, 40), mdcr::TTRF)
                | when(has(7, 0, 56), mdcr::TDCC),
            // EL1PCTEN, EL1PCEN.
            cnthctl: 3,
            // T0..T15 without T4 and T14, which are RES0.
            hstr: 0xbfef,
            // LEN: as great as can be asked; the core takes what it has.
            zcr: sve.then_some(0xf),
            fine_grained: has(7, 0, 56),
            fine_grained_2: host.field(7, 0, 56) >= 2,
            recorders: Recorders {
                counters: host.has_pmu(),
                profiling: has(5, 0, 32),
                trace_buffer: has(5, 0, 44),
                trace_filter: has(5, 0, 40),
                branches: has(5, 0, 52),
                matrices: has(4, 1, 24),
            },
            // TRAPMPAM0EL1 and TRAPMPAM1EL1 (49, 48).
            mpam2: (has(4, 0, 40) || has(4, 1, 16)).then_some(3 << 48),
        })
    }

    /// The same for a partition of one core: no other core has translations or instructions of its guest's, so maintenance
    /// need not go out to all of them, where each would have to stop for it and, at IC IALLUIS, lose what it has fetched. It
    /// traps where that can be had (FEAT_EVT), and is done here ([`crate::sysreg::Action::Local`]).
    #[must_use]
    pub fn alone(mut self, host: &Host) -> Self {
        self.hcr |= match host.field(7, 2, 56) {
            0 => 0,
            1 => hcr::TICAB,
            _ => hcr::TICAB | hcr::TTLB,
        };
        self
    }
}
