//! State that reaches beyond a partition: registers of higher levels, and features whose effect is not one partition's alone.
//! All of them are undefined, for reading and for writing.

use partita_guest::gic::{Version, version};
use partita_guest::rows::{Env, Outcome};

use crate::code::{self, Register};
use crate::table::Row;
use crate::{ensure, fail, mrs, msr};

const MUST: &str = "undefined, whichever way and whatever value";

/// Encodings: op0, op1, CRn, and the first and last of CRm and of op2.
type Block = (u32, u32, u32, (u32, u32), (u32, u32));

const ALL: (u32, u32) = (0, 15);
const OP2: (u32, u32) = (0, 7);

pub const ROWS: &[Row] = &[
    Row::new("el2", "registers of EL2", MUST, "EL1 is below EL2: no HCR_EL2.NV", |_| level(4)),
    Row::new(
        "el12",
        "EL2's names of EL1's registers",
        MUST,
        "EL1 is below EL2: no HCR_EL2.E2H at EL1",
        |_| level(5),
    ),
    Row::new("el3", "registers of EL3", MUST, "EL1 is below EL3", |_| level(6)),
    Row::new(
        "secure-timer",
        "the secure timer, and what else has op1 = 7",
        MUST,
        "EL1 is not secure",
        |_| level(7),
    ),
    Row::new("pmu", "the performance monitors", MUST, "MDCR_EL2.TPM, TPMCR", |_| blocks(&PMU)),
    Row::new("spe", "statistical profiling", MUST, "MDCR_EL2.TPMS, E2PB", |_| blocks(&SPE)),
    Row::new("trace-buffer", "the trace buffer", MUST, "MDCR_EL2.E2TB", |_| blocks(&TRBE)),
    Row::new("trace-filter", "the trace filter", MUST, "MDCR_EL2.TTRF", |_| blocks(&FILTER)),
    Row::new("trace", "the trace unit and branch records", MUST, "CPTR_EL2.TTA", trace),
    Row::new("amu", "the activity monitors", MUST, "CPTR_EL2.TAM", |_| blocks(&AMU)),
    Row::new(
        "mpam",
        "memory partitioning and monitoring",
        MUST,
        "MPAM2_EL2.TRAPMPAM0EL1, TRAPMPAM1EL1",
        |_| blocks(&MPAM),
    ),
    Row::new("ras", "records of errors", MUST, "HCR_EL2.TERR", |_| blocks(&RAS)),
    Row::new("lor", "limited ordering regions", MUST, "HCR_EL2.TLOR", |_| blocks(&LOR)),
    Row::new("sme", "streaming SVE", MUST, "CPTR_EL2.TSM", sme),
    Row::new("mte", "memory tagging", MUST, "HCR_EL2.ATA clear", |_| blocks(&MTE)),
    Row::new(
        "later-features",
        "second control registers, guarded control stacks, permission overlays",
        MUST,
        "HCRX_EL2 and the HFG registers",
        |_| blocks(&LATER),
    ),
    Row::new(
        "implementation-defined",
        "what an implementation defines",
        "undefined, or empty",
        "HCR_EL2.TIDCP",
        implementation_defined,
    ),
    Row::new("actlr", "ACTLR_EL1", "reads zero, and keeps nothing", "HCR_EL2.TACR", actlr),
    Row::new("identity", "writes to ID registers", MUST, "ID registers cannot be written", identity),
    Row::new(
        "gicv3-registers",
        "GICv3's system registers where the tree has a GICv2",
        MUST,
        "ICC_SRE_EL2.Enable clear",
        gicv3,
    )
    .v2(),
];

const PMU: [Block; 6] = [
    (3, 0, 9, (14, 14), (1, 2)),
    (3, 0, 9, (14, 14), (6, 6)),
    (3, 3, 9, (12, 12), OP2),
    (3, 3, 9, (13, 13), OP2),
    (3, 3, 9, (14, 14), OP2),
    (3, 3, 14, (8, 15), OP2),
];
const SPE: [Block; 1] = [(3, 0, 9, (9, 10), OP2)];
const TRBE: [Block; 1] = [(3, 0, 9, (11, 11), OP2)];
const FILTER: [Block; 1] = [(3, 0, 1, (2, 2), (1, 1))];
const AMU: [Block; 1] = [(3, 3, 13, (2, 15), OP2)];
const MPAM: [Block; 2] = [(3, 0, 10, (5, 5), OP2), (3, 0, 10, (4, 4), (4, 4))];
const RAS: [Block; 1] = [(3, 0, 5, (3, 5), OP2)];
const LOR: [Block; 1] = [(3, 0, 10, (4, 4), OP2)];
const SME: [Block; 4] = [
    (3, 0, 1, (2, 2), (4, 4)),
    (3, 0, 1, (2, 2), (6, 6)),
    (3, 3, 4, (2, 2), (2, 2)),
    (3, 3, 13, (0, 0), (5, 5)),
];
const MTE: [Block; 2] = [(3, 0, 1, (0, 0), (5, 6)), (3, 0, 5, (6, 6), (0, 1))];
const LATER: [Block; 4] = [
    (3, 0, 1, (0, 0), (3, 3)),
    (3, 0, 2, (0, 0), (3, 3)),
    (3, 0, 2, (5, 5), OP2),
    (3, 0, 10, (2, 2), (2, 5)),
];

/// Values that are written: nothing, everything, and one that enables without more.
const VALUES: [u64; 3] = [0, !0, 1];

fn undefined(register: Register) -> Outcome {
    let (value, fault) = code::read(register);
    let Some(fault) = fault else { fail!("{register:?} reads {value:#x}") };
    ensure!(fault.is_undefined() || fault.class() == 0x18, "reading {register:?}: {fault:x?}");
    for value in VALUES {
        let Some(fault) = code::write(register, value) else { fail!("{register:?} takes {value:#x}") };
        ensure!(
            fault.is_undefined() || fault.class() == 0x18,
            "writing {value:#x} to {register:?}: {fault:x?}"
        );
    }
    Ok(())
}

fn blocks(blocks: &[Block]) -> Outcome {
    for &(op0, op1, crn, crm, op2) in blocks {
        for crm in crm.0..=crm.1 {
            for op2 in op2.0..=op2.1 {
                undefined((op0, op1, crn, crm, op2))?;
            }
        }
    }
    Ok(())
}

/// Without traps of EL1's own (CPACR_EL1.SMEN), which would come first.
fn sme(_: &Env) -> Outcome {
    let cpacr = mrs!("cpacr_el1");
    msr!("cpacr_el1", cpacr | 3 << 24);
    let end = blocks(&SME);
    msr!("cpacr_el1", cpacr);
    end
}

/// Every register of an op1 that belongs to a higher level.
fn level(op1: u32) -> Outcome {
    (0..16).try_for_each(|crn| blocks(&[(3, op1, crn, ALL, OP2)]))
}

/// Trace registers have op0 2, op1 1 (DDI 0487, D24.4).
fn trace(_: &Env) -> Outcome {
    (0..16).try_for_each(|crn| blocks(&[(2, 1, crn, ALL, OP2)]))
}

/// Op0 3, CRn 11 and 15 (DDI 0487, C5.1.3). Boot loaders set errata bits in a few, which read as zero and keep nothing.
fn implementation_defined(_: &Env) -> Outcome {
    for (op1, crn) in (0..4).flat_map(|op1| [(op1, 11), (op1, 15)]) {
        for (crm, op2) in (0..16).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
            let register = (3, op1, crn, crm, op2);
            for value in VALUES {
                let fault = code::write(register, value);
                ensure!(fault.is_none_or(|fault| fault.is_undefined()), "writing {register:?}: {fault:x?}");
                let (kept, fault) = code::read(register);
                let nothing = fault.map_or(kept == 0, |fault| fault.is_undefined());
                ensure!(nothing, "{register:?} reads {kept:#x} after {value:#x}, {fault:x?}");
            }
        }
    }
    Ok(())
}

fn actlr(_: &Env) -> Outcome {
    for value in VALUES {
        let fault = code::write((3, 0, 1, 0, 1), value);
        ensure!(fault.is_none_or(|fault| fault.is_undefined()), "writing ACTLR_EL1: {fault:x?}");
        let (kept, _) = code::read((3, 0, 1, 0, 1));
        ensure!(kept == 0, "ACTLR_EL1 reads {kept:#x} after {value:#x}");
    }
    Ok(())
}

/// CRn 0, CRm 1 to 7: the ID registers proper.
fn identity(_: &Env) -> Outcome {
    for (crm, op2) in (1..8).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
        let register = (3, 0, 0, crm, op2);
        let (before, _) = code::read(register);
        for value in VALUES {
            let Some(fault) = code::write(register, value) else { fail!("{register:?} takes {value:#x}") };
            ensure!(fault.is_undefined() || fault.class() == 0x18, "writing {register:?}: {fault:x?}");
        }
        let (after, _) = code::read(register);
        ensure!(before == after, "{register:?} reads {after:#x}, and read {before:#x} before");
    }
    Ok(())
}

fn gicv3(_: &Env) -> Outcome {
    ensure!(version() == Version::V2, "the tree has a GICv3");
    // Priority mask, then what is grouped by CRm: 8, 9 (active priorities), 11, 12 (but SRE, which may read).
    for crm in [8, 9, 11] {
        blocks(&[(3, 0, 12, (crm, crm), OP2)])?;
    }
    blocks(&[(3, 0, 4, (6, 6), (0, 0)), (3, 0, 12, (12, 12), (0, 4)), (3, 0, 12, (12, 12), (6, 7))])
}
