//! ID registers and what they promise: a feature that is shown works, one that is hidden is undefined.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::check::{Env, Outcome, Row};
use crate::code::{self, Register};
use crate::{ensure, mrs, same};

pub const ROWS: &[Row] = &[
    Row::new("features-shown-or-undefined", shown_or_undefined),
    Row::here("features-hidden", hidden),
    Row::here("features-aarch64-only", aarch64_only),
    Row::new("features-every-core", every_core),
    Row::here("mpidr", mpidr),
    Row::new("midr", midr),
    Row::new("actlr", actlr),
    Row::here("implementation-defined", implementation_defined),
    Row::new("registers-of-el2-and-el3", upper_levels),
    Row::new("registers-sweep", sweep),
    Row::new("debug-registers", debug),
];

const PFR0: Register = (3, 0, 0, 4, 0);
const PFR1: Register = (3, 0, 0, 4, 1);
const ZFR0: Register = (3, 0, 0, 4, 4);
const DFR0: Register = (3, 0, 0, 5, 0);
const MMFR1: Register = (3, 0, 0, 7, 1);
const MMFR2: Register = (3, 0, 0, 7, 2);
const ISAR1: Register = (3, 0, 0, 6, 1);

/// A feature: its ID field, the least value of it that has the register, a register that exists with it only, and whether a
/// partition must not have it.
struct Feature {
    name: &'static str,
    id: Register,
    shift: u32,
    least: u64,
    register: Register,
    hidden: bool,
}

const fn feature(name: &'static str, id: Register, shift: u32, least: u64, register: Register) -> Feature {
    Feature { name, id, shift, least, register, hidden: false }
}

const fn never(name: &'static str, id: Register, shift: u32, least: u64, register: Register) -> Feature {
    Feature { name, id, shift, least, register, hidden: true }
}

/// Fields by DDI 0487, D24.2. Not here is what no hypervisor can hide, such as RAS's DISR_EL1 (VDISR_EL2 with AMO set).
const FEATURES: &[Feature] = &[
    feature("SVE (ZCR_EL1)", PFR0, 32, 1, (3, 0, 1, 2, 0)),
    feature("SME (SVCR)", PFR1, 24, 1, (3, 3, 4, 2, 2)),
    feature("SME (SMIDR_EL1)", PFR1, 24, 1, (3, 1, 0, 0, 6)),
    never("MTE (GCR_EL1)", PFR1, 8, 2, (3, 0, 1, 0, 6)),
    never("MTE (TFSR_EL1)", PFR1, 8, 2, (3, 0, 5, 6, 0)),
    never("PMU (PMCR_EL0)", DFR0, 8, 1, (3, 3, 9, 12, 0)),
    never("PMU (PMCCNTR_EL0)", DFR0, 8, 1, (3, 3, 9, 13, 0)),
    never("SPE (PMSCR_EL1)", DFR0, 32, 1, (3, 0, 9, 9, 0)),
    never("trace filter (TRFCR_EL1)", DFR0, 40, 1, (3, 0, 1, 2, 1)),
    never("trace buffer (TRBLIMITR_EL1)", DFR0, 44, 1, (3, 0, 9, 11, 0)),
    never("AMU (AMCR_EL0)", PFR0, 44, 1, (3, 3, 13, 2, 0)),
    never("RAS (ERRIDR_EL1)", PFR0, 28, 1, (3, 0, 5, 3, 0)),
    never("MPAM (MPAM1_EL1)", PFR0, 40, 1, (3, 0, 10, 5, 0)),
    never("limited ordering (LORC_EL1)", MMFR1, 16, 1, (3, 0, 10, 4, 3)),
    feature("pointer authentication (APIAKEYLO_EL1)", ISAR1, 4, 1, (3, 0, 2, 1, 0)),
];

fn field(feature: &Feature) -> u64 {
    code::read(feature.id).0 >> feature.shift & 0xf
}

/// Lets EL1 use SVE, SME and floating point: what is still undefined then is not there.
fn open_traps() {
    crate::msr!("cpacr_el1", 3 << 24 | 3 << 20 | 3 << 16);
}

/// Each feature's register can be read exactly when its ID field shows the feature.
fn shown_or_undefined(env: &Env) -> Outcome {
    open_traps();
    for feature in FEATURES {
        // QEMU's models have PMUs, RAS and trace stubs that their ID fields do not always show.
        if env.native && feature.hidden {
            continue;
        }
        // Pointer authentication shows in one of three fields.
        let shown = if feature.shift == 4 && feature.id == ISAR1 {
            let isar1 = code::read(ISAR1).0;
            isar1 & 0xff0 != 0 || code::read((3, 0, 0, 6, 2)).0 >> 12 & 0xf != 0
        } else {
            field(feature) >= feature.least
        };
        let (_, fault) = code::read(feature.register);
        if shown {
            ensure!(fault.is_none(), "{} is shown, but its register: {fault:x?}", feature.name);
        } else {
            ensure!(
                fault.is_some_and(|fault| fault.is_undefined()),
                "{} is hidden, but: {fault:x?}",
                feature.name
            );
        }
    }
    let (_, fault) = code::run(0x04bf_5020, 0); // RDVL x0, #1
    let sve = code::read(PFR0).0 >> 32 & 0xf != 0;
    same!(fault.is_none(), sve, "RDVL works as ID_AA64PFR0_EL1.SVE shows; {fault:x?}");
    Ok(())
}

/// What no partition gets is hidden.
fn hidden(_: &Env) -> Outcome {
    for feature in FEATURES.iter().filter(|feature| feature.hidden) {
        ensure!(field(feature) < feature.least, "{} is shown: {}", feature.name, field(feature));
    }
    same!(code::read(MMFR2).0 >> 24 & 0xf, 0, "ID_AA64MMFR2_EL1.NV");
    if code::read(PFR0).0 >> 32 & 0xf == 0 {
        same!(code::read(ZFR0).0, 0, "ID_AA64ZFR0_EL1 without SVE");
    }
    same!(code::read(DFR0).0 >> 4 & 0xf, 0, "ID_AA64DFR0_EL1.TraceVer");
    Ok(())
}

/// EL0 and EL1 are AArch64 only, and the AArch32 ID registers read without a fault.
fn aarch64_only(_: &Env) -> Outcome {
    same!(mrs!("id_aa64pfr0_el1") & 0xff, 0x11, "ID_AA64PFR0_EL1.EL1 and EL0");
    for (crm, op2) in [(1, 0), (1, 1), (1, 2), (1, 4), (2, 0), (2, 7), (3, 0)] {
        let (_, fault) = code::read((3, 0, 0, crm, op2));
        ensure!(fault.is_none(), "ID register 3,0,0,{crm},{op2}: {fault:x?}");
    }
    Ok(())
}

static FIRST: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static DIFFERENT: AtomicU64 = AtomicU64::new(0);

fn identity() -> [u64; 4] {
    [mrs!("id_aa64pfr0_el1"), mrs!("id_aa64isar1_el1"), mrs!("id_aa64mmfr0_el1"), mrs!("midr_el1")]
}

fn compare() {
    for (first, mine) in FIRST.iter().zip(identity()) {
        if first.load(Ordering::SeqCst) != mine {
            DIFFERENT.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// All cores show the same.
fn every_core(env: &Env) -> Outcome {
    for (first, mine) in FIRST.iter().zip(identity()) {
        first.store(mine, Ordering::SeqCst);
    }
    DIFFERENT.store(0, Ordering::SeqCst);
    crate::cores::start_others(env, compare)?;
    crate::cores::join(env)?;
    same!(DIFFERENT.load(Ordering::SeqCst), 0, "registers that differ");
    Ok(())
}

/// Virtual numbering: bit 31, no U, no MT, Aff0 counts from 0.
fn mpidr(env: &Env) -> Outcome {
    same!(mrs!("mpidr_el1"), 0x8000_0000, "MPIDR_EL1 of core 0");
    for (core, affinity) in env.machine.cores.iter().enumerate() {
        same!(*affinity, core as u64, "reg of cpu {core} in the tree");
    }
    Ok(())
}

/// The processor's own identity.
fn midr(_: &Env) -> Outcome {
    let midr = mrs!("midr_el1");
    ensure!(midr != 0 && midr >> 32 == 0, "MIDR_EL1 {midr:#x}");
    let (_, fault) = code::read((3, 0, 0, 0, 6));
    ensure!(fault.is_none(), "REVIDR_EL1: {fault:x?}");
    let frequency = mrs!("cntfrq_el0");
    ensure!(frequency > 1_000_000, "CNTFRQ_EL0 {frequency}");
    Ok(())
}

/// ACTLR_EL1 reads; writing it changes nothing and does no harm.
fn actlr(env: &Env) -> Outcome {
    let (before, fault) = code::read((3, 0, 1, 0, 1));
    ensure!(fault.is_none(), "reading ACTLR_EL1: {fault:x?}");
    if env.native {
        return Ok(());
    }
    let fault = code::write((3, 0, 1, 0, 1), !before);
    ensure!(fault.is_none_or(|fault| fault.is_undefined()), "writing ACTLR_EL1: {fault:x?}");
    same!(code::read((3, 0, 1, 0, 1)).0, before, "ACTLR_EL1 after a write");
    Ok(())
}

/// Implementation-defined registers (op0 3, CRn 11 and 15) are out of reach: undefined, or empty for those that boot loaders set.
fn implementation_defined(_: &Env) -> Outcome {
    for (op1, crn) in (0..8).flat_map(|op1| [(op1, 11), (op1, 15)]) {
        for (crm, op2) in (0..16).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
            let register = (3, op1, crn, crm, op2);
            let (value, fault) = code::read(register);
            let out_of_reach = fault.map_or(value == 0, |fault| fault.is_undefined());
            ensure!(out_of_reach, "{register:?} reads {value:#x}, {fault:x?}");
        }
    }
    Ok(())
}

/// Registers of higher levels are undefined at EL1.
fn upper_levels(_: &Env) -> Outcome {
    let registers: [(&str, Register); 8] = [
        ("HCR_EL2", (3, 4, 1, 1, 0)),
        ("VTTBR_EL2", (3, 4, 2, 1, 0)),
        ("SCTLR_EL2", (3, 4, 1, 0, 0)),
        ("ICH_HCR_EL2", (3, 4, 12, 11, 0)),
        ("ICH_LR0_EL2", (3, 4, 12, 12, 0)),
        ("CNTHP_CTL_EL2", (3, 4, 14, 2, 1)),
        ("ICC_SRE_EL2", (3, 4, 12, 9, 5)),
        ("SCR_EL3", (3, 6, 1, 1, 0)),
    ];
    for (name, register) in registers {
        let (_, fault) = code::read(register);
        ensure!(fault.is_some_and(|fault| fault.is_undefined()), "reading {name}: {fault:x?}");
        let fault = code::write(register, 0);
        ensure!(fault.is_some_and(|fault| fault.is_undefined()), "writing {name}: {fault:x?}");
    }
    Ok(())
}

/// Reads every system register encoding but those whose reading acts (ICC_IAR). Each answers or is undefined; nothing hangs.
fn sweep(_: &Env) -> Outcome {
    for op1 in 0..8 {
        for crn in 0..16 {
            for crm in 0..16 {
                for op2 in 0..8 {
                    if crn == 12 && matches!((crm, op2), (8 | 12, 0)) {
                        continue;
                    }
                    let (_, fault) = code::read((3, op1, crn, crm, op2));
                    // A core with FEAT_IDST reports holes in the ID space as EC 0x18, not 0 (DDI 0487, D1.3.6).
                    let fine = fault.is_none_or(|fault| fault.is_undefined() || fault.class() == 0x18);
                    ensure!(fine, "3,{op1},{crn},{crm},{op2}: {fault:x?}");
                }
            }
        }
    }
    Ok(())
}

/// What every operating system touches at start: the OS lock, breakpoint registers, MDSCR.
fn debug(_: &Env) -> Outcome {
    let registers: [(&str, Register); 6] = [
        ("MDSCR_EL1", (2, 0, 0, 2, 2)),
        ("OSDLR_EL1", (2, 0, 1, 3, 4)),
        ("OSLSR_EL1", (2, 0, 1, 1, 4)),
        ("DBGBCR0_EL1", (2, 0, 0, 0, 5)),
        ("DBGWCR0_EL1", (2, 0, 0, 0, 7)),
        ("MDRAR_EL1", (2, 0, 1, 0, 0)),
    ];
    for (name, register) in registers {
        let (_, fault) = code::read(register);
        ensure!(fault.is_none(), "reading {name}: {fault:x?}");
    }
    for (name, register) in
        [("MDSCR_EL1", (2, 0, 0, 2, 2)), ("OSLAR_EL1", (2, 0, 1, 0, 4)), ("OSDLR_EL1", (2, 0, 1, 3, 4))]
    {
        let fault = code::write(register, 0);
        ensure!(fault.is_none(), "writing {name}: {fault:x?}");
    }
    Ok(())
}
