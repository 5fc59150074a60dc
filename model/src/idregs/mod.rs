//! The ID registers as a guest sees them: an allow-list of feature fields, each with the greatest value that the
//! hypervisor has been made for (DDI 0487, "AArch64 System register descriptions", ID_AA64*).
//!
//! A field that is not listed reads zero, so a feature of a core newer than this list is hidden until somebody has
//! looked at what it lets a guest do. What is hidden here is also trapped or switched off, by [`controls`].

pub mod controls;

#[cfg(test)]
mod tests;

use crate::syndrome::Encoding;
use crate::weaken::{Guard, removed};

/// How a field of the core's becomes the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// An unsigned field: the core's value, at most this.
    Most(u64),
    /// A signed field (0xf is -1, "not there"): negative values as they are, others at most this.
    Signed(u64),
    /// As the core has it: it describes what cannot be hidden.
    Same,
    /// A feature of SVE: at most this when SVE is there, else zero.
    Sve(u64),
    /// The GIC system registers: 1 when the partition has a GICv3, else zero.
    Gic,
    /// Always this.
    Fixed(u64),
}

use Rule::{Fixed, Gic, Most, Same, Signed, Sve};

/// A register of the space S3_0_C0_C`crm`_`op2` and its visible fields: (lowest bit, rule).
struct Register {
    crm: u8,
    op2: u8,
    fields: &'static [(u32, Rule)],
}

/// The whole allow-list. Registers that are not here read zero: all AArch32 ones (CRm 1..3: guests are AArch64 at
/// every level), SMFR0, FPFR0, AFR0/1, DFR1/2, PFR2, MMFR4 and everything unallocated.
static VISIBLE: [Register; 12] = [
    // ID_AA64PFR0_EL1. Not: EL2, EL3, AArch32 at EL0/EL1 (value 2), RAS, SEL2, MPAM, AMU, RME. CSV2 from 2 on comes
    // with SCXTNUM, which HCR_EL2.EnSCXT gives.
    Register {
        crm: 4,
        op2: 0,
        fields: &[
            (0, Fixed(1)),   // EL0: AArch64 only
            (4, Fixed(1)),   // EL1: AArch64 only
            (16, Signed(1)), // FP
            (20, Signed(1)), // AdvSIMD
            (24, Gic),       // GIC
            (32, Sve(1)),    // SVE
            (48, Most(1)),   // DIT
            (56, Most(3)),   // CSV2
            (60, Most(1)),   // CSV3
        ],
    },
    // ID_AA64PFR1_EL1. Not: MTE, RAS_frac, MPAM_frac, SME, RNDR_trap, NMI, GCS, THE, DF2, PFAR.
    Register {
        crm: 4,
        op2: 1,
        fields: &[
            (0, Most(1)),  // BT
            (4, Most(2)),  // SSBS
            (32, Most(2)), // CSV2_frac
        ],
    },
    // ID_AA64ZFR0_EL1: without state of their own beyond SVE's.
    Register {
        crm: 4,
        op2: 4,
        fields: &[
            (0, Sve(2)),  // SVEver
            (4, Sve(2)),  // AES
            (16, Sve(1)), // BitPerm
            (20, Sve(2)), // BF16
            (32, Sve(1)), // SHA3
            (40, Sve(1)), // SM4
            (44, Sve(1)), // I8MM
            (52, Sve(1)), // F32MM
            (56, Sve(1)), // F64MM
        ],
    },
    // ID_AA64DFR0_EL1. Not: trace, PMU, SPE, TRF, TRBE, BRBE, MTPMU. Self-hosted debug is the guest's own, as its
    // core is.
    Register {
        crm: 5,
        op2: 0,
        fields: &[
            (0, Most(8)), // DebugVer: up to Armv8.2
            (12, Same),   // BRPs
            (20, Same),   // WRPs
            (28, Same),   // CTX_CMPs
            (36, Same),   // DoubleLock
        ],
    },
    // ID_AA64ISAR0_EL1. Not: TME.
    Register {
        crm: 6,
        op2: 0,
        fields: &[
            (4, Most(2)),  // AES
            (8, Most(1)),  // SHA1
            (12, Most(2)), // SHA2
            (16, Most(1)), // CRC32
            (20, Most(2)), // Atomic
            (28, Most(1)), // RDM
            (32, Most(1)), // SHA3
            (36, Most(1)), // SM3
            (40, Most(1)), // SM4
            (44, Most(1)), // DP
            (48, Most(1)), // FHM
            (52, Most(2)), // TS
            (56, Most(2)), // TLB
            (60, Most(1)), // RNDR
        ],
    },
    // ID_AA64ISAR1_EL1. Not: LS64, and of APA/API nothing above FPACCOMBINE. PAuth is the guest's: HCR_EL2.API/APK.
    Register {
        crm: 6,
        op2: 1,
        fields: &[
            (0, Most(2)),  // DPB
            (4, Most(5)),  // APA
            (8, Most(5)),  // API
            (12, Most(1)), // JSCVT
            (16, Most(1)), // FCMA
            (20, Most(3)), // LRCPC
            (24, Most(1)), // GPA
            (28, Most(1)), // GPI
            (32, Most(1)), // FRINTTS
            (36, Most(1)), // SB
            (40, Most(2)), // SPECRES
            (44, Most(2)), // BF16
            (48, Most(1)), // DGH
            (52, Most(1)), // I8MM
            (56, Most(1)), // XS
        ],
    },
    // ID_AA64ISAR2_EL1. Not: MOPS (HCRX_EL2.MSCEn stays 0), 128-bit forms, PRFMSLC, ATS1A.
    Register {
        crm: 6,
        op2: 2,
        fields: &[
            (0, Most(2)),  // WFxT
            (4, Most(1)),  // RPRES
            (8, Most(1)),  // GPA3
            (12, Most(5)), // APA3
            (20, Most(1)), // BC
            (24, Most(1)), // PAC_frac
            (28, Most(1)), // CLRBHB
            (48, Most(1)), // RPRFM
            (52, Most(1)), // CSSC
        ],
    },
    // ID_AA64MMFR0_EL1. Not: FGT, ECV, stage 2 granules, SNSMem, 52-bit addresses (PARange 6, TGran4 and TGran16
    // with LPA2).
    Register {
        crm: 7,
        op2: 0,
        fields: &[
            (0, Most(5)),    // PARange: 48 bits
            (4, Most(2)),    // ASIDBits
            (8, Most(1)),    // BigEnd
            (16, Most(1)),   // BigEndEL0
            (20, Most(1)),   // TGran16
            (24, Signed(0)), // TGran64
            (28, Signed(0)), // TGran4
            (44, Most(1)),   // ExS
        ],
    },
    // ID_AA64MMFR1_EL1. Not: VMIDBits, VH, LO, SpecSEI, XNX, TWED, HCX, hardware dirty state beyond DBM.
    Register {
        crm: 7,
        op2: 1,
        fields: &[
            (0, Most(2)),  // HAFDBS
            (12, Most(2)), // HPDS
            (20, Most(3)), // PAN
            (36, Most(2)), // ETS
            (44, Most(1)), // AFP
            (48, Most(1)), // nTLBPA
            (52, Most(1)), // TIDCP1
            (56, Most(1)), // CMOW
            (60, Most(1)), // ECBHB
        ],
    },
    // ID_AA64MMFR2_EL1. Not: NV, FWB, EVT, IESB (it goes with RAS). CCIDX describes CCSIDR_EL1, which is not trapped.
    Register {
        crm: 7,
        op2: 2,
        fields: &[
            (0, Most(1)),  // CnP
            (4, Most(1)),  // UAO
            (8, Most(1)),  // LSM
            (16, Most(1)), // VARange
            (20, Same),    // CCIDX
            (28, Most(1)), // ST
            (32, Most(1)), // AT
            (36, Most(1)), // IDS
            (48, Most(1)), // TTL
            (52, Most(2)), // BBM
            (60, Most(1)), // E0PD
        ],
    },
    // ID_AA64MMFR3_EL1. Not: TCR2, SCTLR2, permission indirection and overlays, MEC (HCRX_EL2 stays 0).
    Register {
        crm: 7,
        op2: 3,
        fields: &[(60, Most(1))], // Spec_FPACC
    },
    // ID_AA64ISAR3_EL1. Not: CPA.
    Register {
        crm: 6,
        op2: 3,
        fields: &[(4, Most(1))], // FAMINMAX
    },
];

/// Registers of CRm 4..7 with eight op2 each.
const SLOTS: usize = 32;

/// Where S3_0_C0_C`crm`_`op2` is kept, if it is in CRm 4..7.
const fn slot(crm: u8, op2: u8) -> Option<usize> {
    match (crm, op2) {
        (4..=7, 0..=7) => Some((crm as usize - 4) * 8 + op2 as usize),
        _ => None,
    }
}

/// A core's own ID registers, as EL2 reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host([u64; SLOTS]);

impl Host {
    /// Reads S3_0_C0_C`crm`_`op2` for all of CRm 4..7, op2 0..7 by the function given. All of them exist: the ones
    /// not allocated read zero (DDI 0487, "the ID space").
    #[must_use]
    pub fn read(mut register: impl FnMut(u8, u8) -> u64) -> Self {
        let mut values = [0; SLOTS];
        for (index, value) in values.iter_mut().enumerate() {
            // 32 slots: neither cast loses anything.
            *value = register(4 + (index / 8) as u8, (index % 8) as u8);
        }
        Self(values)
    }

    /// S3_0_C0_C`crm`_`op2`; zero outside CRm 4..7.
    #[must_use]
    pub fn get(&self, crm: u8, op2: u8) -> u64 {
        slot(crm, op2).and_then(|slot| self.0.get(slot)).copied().unwrap_or(0)
    }

    /// The four-bit field at `shift` of S3_0_C0_C`crm`_`op2`.
    #[must_use]
    pub fn field(&self, crm: u8, op2: u8, shift: u32) -> u64 {
        self.get(crm, op2).checked_shr(shift).unwrap_or(0) & 0xf
    }

    /// Whether the core has Arm's performance monitors (PMUVer; 0xf is somebody else's).
    #[must_use]
    pub fn has_pmu(&self) -> bool {
        !matches!(self.field(5, 0, 8), 0 | 0xf)
    }

    /// Whether the core has SVE. A partition that runs on it gets SVE whole.
    #[must_use]
    pub fn has_sve(&self) -> bool {
        self.field(4, 0, 32) != 0
    }

    /// Whether the core has pointer authentication, of whichever algorithm.
    #[must_use]
    pub fn has_pointer_authentication(&self) -> bool {
        let fields = [(1, 4), (1, 8), (1, 24), (1, 28), (2, 8), (2, 12)];
        fields.iter().any(|&(op2, shift)| self.field(6, op2, shift) != 0)
    }

    /// Whether the core has SCXTNUM_ELx (FEAT_CSV2_2, or CSV2_1p2 by CSV2_frac).
    #[must_use]
    pub fn has_software_context(&self) -> bool {
        self.field(4, 0, 56) >= 2 || self.field(4, 1, 32) == 2
    }

    /// Breakpoints of self-hosted debug; those beyond 16 are in banks that no guest can select.
    #[must_use]
    pub fn breakpoints(&self) -> u64 {
        self.field(5, 0, 12) + 1
    }

    /// Watchpoints, likewise.
    #[must_use]
    pub fn watchpoints(&self) -> u64 {
        self.field(5, 0, 20) + 1
    }
}

/// Registers of optional features that a guest of a core writes, so that its successor could read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// AP*KEY*_EL1.
    pub pointer_keys: bool,
    /// SCXTNUM_EL1 and SCXTNUM_EL0.
    pub software_context: bool,
    /// DISR_EL1 (FEAT_RAS), which no control hides.
    pub deferred_errors: bool,
    /// ZCR_EL1, P0..P15 and FFR.
    pub scalable_vectors: bool,
}

impl Kept {
    /// Of a core.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        Self {
            pointer_keys: host.has_pointer_authentication(),
            software_context: host.has_software_context(),
            deferred_errors: host.field(4, 0, 28) != 0,
            scalable_vectors: host.has_sve(),
        }
    }
}

/// The ID registers that one partition sees on one core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest([u64; SLOTS]);

impl Guest {
    /// Filters a core's registers. `gic_system_registers`: the partition has a GICv3.
    #[must_use]
    pub fn new(host: &Host, gic_system_registers: bool) -> Self {
        if removed(Guard::IdFilter) {
            return Self(host.0);
        }
        let mut values = [0; SLOTS];
        for register in &VISIBLE {
            let mut value = 0;
            for &(shift, rule) in register.fields {
                let own = host.field(register.crm, register.op2, shift);
                let shown = match rule {
                    Most(most) => own.min(most),
                    Signed(most) if own < 8 => own.min(most),
                    Signed(_) | Same => own,
                    Sve(most) if host.has_sve() => own.min(most),
                    Gic if gic_system_registers => own.min(1),
                    Sve(_) | Gic => 0,
                    Fixed(fixed) => fixed,
                };
                value |= shown << shift;
            }
            if let Some(place) = slot(register.crm, register.op2).and_then(|slot| values.get_mut(slot)) {
                *place = value;
            }
        }
        Self(values)
    }

    /// What MRS of the register reads, if it is one that HCR_EL2.TID3 traps: S3_0_C0_C1..C7_x. Unallocated and
    /// AArch32 ones read zero.
    #[must_use]
    pub fn get(&self, register: Encoding) -> Option<u64> {
        match register {
            Encoding { op0: 3, op1: 0, crn: 0, crm: 1..=3, op2: 0..=7 } => Some(0),
            Encoding { op0: 3, op1: 0, crn: 0, crm, op2 } => self.0.get(slot(crm, op2)?).copied(),
            _ => None,
        }
    }
}
