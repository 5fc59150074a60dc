//! The trap bits of a core with a guard removed.

use super::{Guard, removed};
use crate::idregs::controls::Controls;

/// Bits of HCR_EL2 (DDI 0487, HCR_EL2) by the guard that they are.
const HCR: [(Guard, u64); 9] = [
    (Guard::HcrImo, 3 << 3),
    (Guard::HcrTid1, 1 << 16),
    (Guard::HcrTid3, 1 << 18),
    (Guard::HcrTsc, 1 << 19),
    (Guard::HcrTidcp, 1 << 20),
    (Guard::HcrTacr, 1 << 21),
    (Guard::HcrTsw, 1 << 22),
    (Guard::HcrTlor, 1 << 35),
    (Guard::HcrTerr, 1 << 36),
];

/// The same of CPTR_EL2: TSM, TTA.
const CPTR: [(Guard, u64); 2] = [(Guard::CptrTsm, 1 << 12), (Guard::CptrTta, 1 << 20)];

/// The same of MDCR_EL2: TPM with TPMCR.
const MDCR: [(Guard, u64); 1] = [(Guard::MdcrTpm, 3 << 5)];

/// HCRX_EL2 with what it can turn on: EnALS, EnASR, MSCEn, TCR2En, SCTLR2En, GCSEn, EnFPM; and TALLINT off.
const HCRX_OPEN: u64 = 1 << 1 | 1 << 2 | 1 << 11 | 1 << 14 | 1 << 15 | 1 << 22 | 1 << 23;

/// The controls without what the guard that is removed has in them.
pub(crate) fn weakened(mut controls: Controls) -> Controls {
    let without = |bits: &mut u64, guards: &[(Guard, u64)]| {
        for (_, bit) in guards.iter().filter(|(guard, _)| removed(*guard)) {
            *bits &= !bit;
        }
    };
    without(&mut controls.hcr, &HCR);
    without(&mut controls.cptr, &CPTR);
    without(&mut controls.mdcr, &MDCR);
    if removed(Guard::Hstr) {
        controls.hstr = 0;
    }
    if removed(Guard::Hcrx) {
        controls.hcrx = controls.hcrx.map(|_| HCRX_OPEN);
    }
    controls
}
