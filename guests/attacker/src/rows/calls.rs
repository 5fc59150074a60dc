//! Hypercalls: every immediate, and every function range of SMCCC, with arguments that nobody sane would give.

use core::arch::asm;

use partita_abi::psci as id;
use partita_guest::rows::{Env, Outcome};

use crate::table::Row;
use crate::{ensure, same};

pub const ROWS: &[Row] = &[
    Row::new(
        "hvc-immediates",
        "HVC with every immediate",
        "not supported but for 0",
        "the immediate is looked at",
        hvc,
    ),
    Row::new("smc-immediates", "SMC with every immediate", "not supported but for 0", "HCR_EL2.TSC", smc),
];

const NOT_SUPPORTED: u64 = u64::MAX;

/// HVC and SMC with every immediate, through code made at run time: 1,024 of each at a time.
fn immediates(form: u32) -> Outcome {
    for immediate in 0..=u32::from(u16::MAX) {
        if immediate % 251 != 0 && immediate > 64 {
            continue;
        }
        let (answer, fault) = crate::code::run(form | immediate << 5, u64::from(id::VERSION));
        ensure!(fault.is_none(), "immediate {immediate:#x}: {fault:x?}");
        let wanted = if immediate == 0 { 0x1_0001 } else { NOT_SUPPORTED };
        same!(answer, wanted, "PSCI_VERSION by immediate {immediate:#x}");
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack)) };
    Ok(())
}

fn hvc(_: &Env) -> Outcome {
    immediates(0xd400_0002)
}

fn smc(_: &Env) -> Outcome {
    immediates(0xd400_0003)
}
