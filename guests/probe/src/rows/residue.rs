//! What an earlier life of the partition leaves in registers: nothing. The first life looks, writes a pattern into every
//! register that EL1 can write, and resets the partition; the second one must find what the first one found.

use core::arch::global_asm;
use core::cell::UnsafeCell;

use crate::check::{Env, Outcome, Row};
use crate::code::{self, Register};
use crate::rows::reset;
use crate::{ensure, same};

pub const ALONE: &[Row] = &[Row::here("residue", residue)];

/// What must be there at the first instruction, in the order in which residue.S looks.
const SEEN: [(&str, Wanted); 46] = [
    ("x1..x29", Wanted::Is(0)),
    ("SP_EL1", Wanted::Is(0)),
    // The RES1 bits, and EIS and EOS, which are among them without FEAT_ExS.
    ("SCTLR_EL1", Wanted::Is(0x30d0_0800)),
    ("CPACR_EL1", Wanted::Is(0)),
    ("TCR_EL1", Wanted::Is(0)),
    ("TTBR0_EL1", Wanted::Is(0)),
    ("TTBR1_EL1", Wanted::Is(0)),
    ("MAIR_EL1", Wanted::Is(0)),
    ("AMAIR_EL1", Wanted::Is(0)),
    ("VBAR_EL1", Wanted::Is(0)),
    ("CONTEXTIDR_EL1", Wanted::Is(0)),
    ("TPIDR_EL0", Wanted::Is(0)),
    ("TPIDRRO_EL0", Wanted::Is(0)),
    ("TPIDR_EL1", Wanted::Is(0)),
    ("SP_EL0", Wanted::Is(0)),
    ("ELR_EL1", Wanted::Is(0)),
    ("SPSR_EL1", Wanted::Is(0)),
    ("ESR_EL1", Wanted::Is(0)),
    ("FAR_EL1", Wanted::Is(0)),
    ("AFSR0_EL1", Wanted::Is(0)),
    ("AFSR1_EL1", Wanted::Is(0)),
    ("PAR_EL1", Wanted::Is(0)),
    ("CSSELR_EL1", Wanted::Is(0)),
    ("CNTKCTL_EL1", Wanted::Is(0)),
    ("CNTV_CTL_EL0", Wanted::Is(0)),
    ("CNTV_CVAL_EL0", Wanted::Is(0)),
    ("CNTP_CTL_EL0", Wanted::Is(0)),
    ("CNTP_CVAL_EL0", Wanted::Is(0)),
    ("MDSCR_EL1", Wanted::Is(0)),
    ("NZCV", Wanted::Is(0)),
    ("DAIF", Wanted::Is(0x3c0)),
    ("CurrentEL", Wanted::Is(1 << 2)),
    ("SPSel", Wanted::Is(1)),
    ("FPCR", Wanted::Is(0)),
    ("FPSR", Wanted::Is(0)),
    ("ZCR_EL1", Wanted::Is(0)),
    ("bits of P0..P15 and FFR", Wanted::Is(0)),
    ("vector registers", Wanted::Is(0)),
    ("ICC_PMR_EL1", Wanted::Is(0)),
    // The least that the interface has.
    ("ICC_BPR0_EL1", Wanted::Below(7)),
    ("ICC_BPR1_EL1", Wanted::Below(7)),
    // EOImode and CBPR; the rest says what there is.
    ("ICC_CTLR_EL1", Wanted::Clear(3)),
    ("ICC_IGRPEN0_EL1", Wanted::Is(0)),
    ("ICC_IGRPEN1_EL1", Wanted::Is(0)),
    ("ICC_AP0R0_EL1", Wanted::Is(0)),
    ("ICC_AP1R0_EL1", Wanted::Is(0)),
];

enum Wanted {
    Is(u64),
    Below(u64),
    Clear(u64),
}

/// Not zero, so that it is in the image: it is written before bss is cleared. Not at a place of Rust's choosing either:
/// it has cache lines to itself.
#[repr(C, align(2048))]
struct Seen(UnsafeCell<[u64; 64]>, [u8; 1536]);
// SAFETY: written by the first instructions of the boot core, read by its row.
unsafe impl Sync for Seen {}
#[unsafe(link_section = ".data.seen")]
static AT_START: Seen = Seen(UnsafeCell::new([!0; 64]), [0; 1536]);

global_asm!(include_str!("../residue.S"), seen = sym AT_START);

unsafe extern "C" {
    fn stain(function: u64) -> !;
}

/// Registers that only some cores have, and those that the first instructions need not read.
fn optional() -> impl Iterator<Item = (&'static str, Register)> {
    let keys = (0..10).map(|n| ("a key of pointer authentication", (3, 0, 2, 1 + n / 4, n % 4)));
    let debug = (0..16).flat_map(|n| {
        [
            ("a breakpoint's control", (2, 0, 0, n, 5)),
            ("a breakpoint's value", (2, 0, 0, n, 4)),
            ("a watchpoint's control", (2, 0, 0, n, 7)),
            ("a watchpoint's value", (2, 0, 0, n, 6)),
        ]
    });
    let others = [
        ("SCXTNUM_EL1", (3, 0, 13, 0, 7)),
        ("SCXTNUM_EL0", (3, 3, 13, 0, 7)),
        ("DISR_EL1", (3, 0, 12, 1, 1)),
        ("MDCCINT_EL1", (2, 0, 0, 2, 0)),
        ("OSDTRTX_EL1", (2, 0, 0, 3, 2)),
        ("OSDTRRX_EL1", (2, 0, 0, 0, 2)),
        ("DBGPRCR_EL1", (2, 0, 1, 4, 4)),
        ("OSDLR_EL1", (2, 0, 1, 3, 4)),
        ("DBGCLAIMCLR_EL1", (2, 0, 7, 9, 6)),
        ("TPIDR2_EL0", (3, 3, 13, 0, 5)),
        ("GCR_EL1", (3, 0, 1, 0, 6)),
        ("RGSR_EL1", (3, 0, 1, 0, 5)),
        ("TFSR_EL1", (3, 0, 5, 6, 0)),
        ("TFSRE0_EL1", (3, 0, 5, 6, 1)),
        ("SMCR_EL1", (3, 0, 1, 2, 6)),
        ("TCR2_EL1", (3, 0, 2, 0, 3)),
        ("SCTLR2_EL1", (3, 0, 1, 0, 3)),
        ("PIR_EL1", (3, 0, 10, 2, 3)),
        ("PIRE0_EL1", (3, 0, 10, 2, 2)),
        ("POR_EL1", (3, 0, 10, 2, 4)),
        ("PMCCNTR_EL0", (3, 3, 9, 13, 0)),
        ("PMUSERENR_EL0", (3, 3, 9, 14, 0)),
        ("LORC_EL1", (3, 0, 10, 4, 3)),
        ("MPAM1_EL1", (3, 0, 10, 5, 0)),
    ];
    keys.chain(debug).chain(others)
}

/// DBGCLAIMSET_EL1 sets what DBGCLAIMCLR_EL1 reads and clears.
const CLAIM_SET: Register = (2, 0, 7, 8, 6);
/// OSLSR_EL1: bit 1 says that the OS lock is locked.
const OS_LOCK: Register = (2, 0, 1, 1, 4);
/// A write of 1 locks it.
const OS_LOCK_ACCESS: Register = (2, 0, 1, 0, 4);

fn clean() -> Outcome {
    // SAFETY: written by the first instructions only, which are over.
    let seen = unsafe { AT_START.0.get().read_volatile() };
    let gicv3 = crate::mrs!("id_aa64pfr0_el1") >> 24 & 0xf != 0;
    for ((name, wanted), value) in SEEN.iter().zip(seen) {
        if name.starts_with("ICC_") && !gicv3 {
            continue;
        }
        match *wanted {
            Wanted::Is(wanted) => same!(value, wanted, "{name} at the first instruction"),
            Wanted::Below(most) => ensure!(value < most, "{name} at the first instruction: {value:#x}"),
            Wanted::Clear(bits) => {
                ensure!(value & bits == 0, "{name} at the first instruction: {value:#x}")
            }
        }
    }
    for (name, register) in optional() {
        let (value, fault) = code::read(register);
        if fault.is_none() {
            same!(value, 0, "{name} {register:?}");
        }
    }
    same!(code::read(OS_LOCK).0 & 2, 0, "OSLSR_EL1.OSLK");
    Ok(())
}

/// Writes all ones into what there is; what could act at once stays off by MDSCR_EL1, which `stain` sets.
fn write_optional() -> usize {
    let write = |register| usize::from(code::write(register, !0).is_none());
    let written = optional().map(|(_, register)| write(register)).sum::<usize>();
    written + write(CLAIM_SET) + write(OS_LOCK_ACCESS)
}

/// The virtual CPU interface, with nothing pending in it.
fn write_interface() {
    let registers: [(Register, u64); 8] = [
        ((3, 0, 4, 6, 0), 0x50),
        ((3, 0, 12, 8, 3), 7),
        ((3, 0, 12, 12, 3), 7),
        ((3, 0, 12, 12, 4), 3),
        ((3, 0, 12, 12, 6), 1),
        ((3, 0, 12, 12, 7), 1),
        ((3, 0, 12, 8, 4), 1),
        ((3, 0, 12, 9, 0), 1),
    ];
    for (register, value) in registers {
        code::write(register, value);
    }
}

fn residue(env: &Env) -> Outcome {
    let note = reset::note(env)?;
    let second = note.taken();
    clean()?;
    if second {
        return Ok(());
    }
    note.leave();
    let written = write_optional();
    ensure!(written >= 8, "only {written} of the optional registers could be written");
    write_interface();
    // SAFETY: nothing of this life is needed any more.
    unsafe { stain(0x8400_0009) } // SYSTEM_RESET
}
