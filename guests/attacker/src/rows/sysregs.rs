//! Every encoding of a system instruction, named or not. What it may do to this core it may do; afterwards the core, the
//! hypervisor and the victim have to be as they were.

use partita_abi::psci as id;
use partita_guest::exception::Fault;
use partita_guest::rows::{Env, Outcome};
use partita_guest::{gic, psci};

use crate::code::{self, Register};
use crate::owned::DATA;
use crate::sweeper::{BARE, Form, READ, READ_PAIR, WRITE, WRITE_PAIR, each};
use crate::table::Row;
use crate::{ensure, fail, mrs, same};

const MUST: &str = "harmless, trapped or undefined, and the hypervisor goes on";
const TRAPS: &str = "the traps of HCR_EL2, MDCR_EL2 and CPTR_EL2, and what EL1 lacks";

pub const ROWS: &[Row] = &[
    Row::new("read-registers", "MRS of every register", MUST, TRAPS, |_| read(3)),
    Row::new("read-debug", "MRS of every debug register", MUST, TRAPS, |_| read(2)),
    Row::new("read-instructions", "SYSL of every encoding", MUST, TRAPS, |_| read(1)),
    Row::new("read-unallocated", "what would read with op0 = 0", MUST, TRAPS, |_| read(0)),
    Row::new(
        "write-registers",
        "MSR of every register, with nothing and everything",
        MUST,
        TRAPS,
        write_registers,
    ),
    Row::new(
        "write-debug",
        "MSR of every debug register, with nothing and everything",
        MUST,
        TRAPS,
        write_debug,
    ),
    Row::new("instructions", "SYS of every encoding, with foreign addresses", MUST, TRAPS, instructions),
    Row::new("hints", "every encoding with op0 = 0, with and without an operand", MUST, TRAPS, hints),
    Row::new("pairs", "MRRS, MSRR and SYSP of every encoding", "undefined", "HCRX_EL2.D128En clear", pairs),
];

/// Exceptions that EL1 may get for an instruction of its own: undefined, trapped by what it has set itself for FP (0x07),
/// SVE (0x19), SME (0x1d) or pointer authentication (0x09), and the ID space of FEAT_IDST (0x18).
fn harmless(fault: Option<Fault>) -> bool {
    fault
        .is_none_or(|fault| !fault.serror && matches!(fault.class(), 0x00 | 0x07 | 0x09 | 0x18 | 0x19 | 0x1d))
}

/// Whether a register belongs to a higher level by its op1 (DDI 0487, C5.1.3: 4 and 5 EL2, 6 EL3, 7 secure EL1).
fn above((op0, op1, ..): Register) -> bool {
    op0 >= 2 && op1 >= 4
}

/// A register that this core would not survive to be written without knowing: why.
fn survives(register: Register) -> Result<(), &'static str> {
    match register {
        (3, 0, 1, 0, 0) => Err("SCTLR_EL1: row state/controls has it"),
        (3, 0, 2, 0, 0 | 2) => Err("TTBR0_EL1 and TCR_EL1: the attacker's own map"),
        (3, 0, 10, 2, 0) => Err("MAIR_EL1: the attacker's own map"),
        (3, 0, 12, 0, 0) => Err("VBAR_EL1: where the verdict comes from; rows loops/vector-* have it"),
        (3, 0, 13, 0, 4) => Err("TPIDR_EL1: the run time's number of this core"),
        (3, 0, 4, 2, 0) => Err("SPSel: the stack that the sweep itself is on"),
        _ => Ok(()),
    }
}

/// The hypervisor answers, and this core is where it was.
fn alive(register: Register) -> Outcome {
    same!(psci::call32(id::VERSION, [0; 3])[0], id::VERSION_1_1, "PSCI_VERSION after {register:?}");
    same!(mrs!("currentel"), 4, "CurrentEL after {register:?}");
    Ok(())
}

fn read(op0: u32) -> Outcome {
    let mut last = (op0, 0, 0, 0, 0);
    each(READ, op0, |one| {
        last = one.register;
        let (value, fault) = one.run(0);
        ensure!(harmless(fault), "reading {:?}: {fault:x?}", one.register);
        if above(one.register) && fault.is_none() {
            fail!("{:?} reads {value:#x}", one.register);
        }
        Ok(())
    })?;
    alive(last)
}

/// Writes nothing and everything to each register, and gives back what could be read before.
fn write(op0: u32) -> Outcome {
    each(WRITE, op0, |one| {
        if survives(one.register).is_err() {
            return Ok(());
        }
        let (before, unreadable) = code::read(one.register);
        for value in [0, !0] {
            let (_, fault) = one.run(value);
            ensure!(harmless(fault), "writing {value:#x} to {:?}: {fault:x?}", one.register);
            if above(one.register) && fault.is_none() {
                fail!("{:?} takes {value:#x}", one.register);
            }
        }
        if unreadable.is_none() {
            one.run(before);
        }
        Ok(())
    })
}

fn write_registers(env: &Env) -> Outcome {
    let end = write(3);
    gic::init(env.machine);
    end.and_then(|()| alive((3, 7, 15, 15, 7)))
}

fn write_debug(_: &Env) -> Outcome {
    let end = write(2);
    // OSLAR_EL1 cannot be read: the lock is open when a partition starts.
    for register in [(2, 0, 1, 0, 4), (2, 0, 1, 3, 4), (2, 0, 0, 2, 2)] {
        code::write(register, 0);
    }
    end.and_then(|()| alive((2, 7, 15, 15, 7)))
}

/// Addresses: the first page there is, and the first byte after RAM. What touches memory there aborts.
fn instructions(env: &Env) -> Outcome {
    let after = env.machine.memory.iter().map(|(base, size)| base + size).max().unwrap_or(0);
    each(WRITE, 1, |one| {
        for value in [0, after, !0] {
            let (_, fault) = one.run(value);
            // An address that stage 1 does not map is this core's own fault.
            let abort = fault.is_some_and(|fault| fault.class() == DATA && !fault.serror);
            ensure!(abort || harmless(fault), "SYS {:?} with {value:#x}: {fault:x?}", one.register);
        }
        Ok(())
    })?;
    alive((1, 7, 15, 15, 7))
}

/// An encoding that this row must not run by itself: why.
fn comes_back(register: Register) -> Result<(), &'static str> {
    match register {
        (0, 3, 2, 0, 2 | 3) => Err("WFE and WFI: rows of storms have them"),
        (0, 3, 1, 0, 0 | 1) => Err("WFET and WFIT: the same, and a time-out of half the count's range"),
        (0, 3, 2, 15, 7) => Err("HINT #127: who counts from outside takes it for the mark of a row"),
        (0, 0, 4, _, 5) => Err("SPSel: the stack that the sweep itself is on"),
        (0, 3, 4, _, 7) => Err("DAIFClr: lets interrupts in, and does nothing else"),
        _ => Ok(()),
    }
}

fn hints(_: &Env) -> Outcome {
    for form in [BARE, WRITE] {
        each(form, 0, |one| {
            if comes_back(one.register).is_ok() {
                let (_, fault) = one.run(0);
                ensure!(harmless(fault), "{:?}: {fault:x?}", one.register);
            }
            Ok(())
        })?;
    }
    // What these leave in PSTATE ends here: PAN, UAO, SSBS, DIT, TCO (where there are such).
    for pstate in [(0, 0, 4, 0, 3), (0, 0, 4, 0, 4), (0, 3, 4, 0, 2), (0, 3, 4, 0, 4)] {
        let (op0, op1, crn, crm, op2) = pstate;
        code::run(0xd500_001f | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5, 0);
    }
    alive((0, 7, 15, 15, 7))
}

fn pairs(_: &Env) -> Outcome {
    let undefined = |form: Form, op0| {
        each(form, op0, |one| {
            let (_, fault) = one.run(0);
            ensure!(fault.is_some_and(|fault| fault.is_undefined()), "{:?}: {fault:x?}", one.register);
            Ok(())
        })
    };
    undefined(READ_PAIR, 3)?;
    undefined(WRITE_PAIR, 3)?;
    undefined(WRITE_PAIR, 1)?;
    alive((3, 7, 15, 15, 7))
}
