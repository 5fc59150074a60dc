//! Loops that a core never leaves by itself. The second core says what became of the machine, and powers the partition off:
//! EL2 has to get the first core out of its loop for that.

use core::arch::asm;

use partita_guest::rows::{Env, Outcome, cores};
use partita_guest::{psci, timer};

use crate::table::Row;
use crate::{mrs, same, skip};

const KICK: &str = "a physical interrupt that EL2 takes (HCR_EL2.IMO, FMO) leaves no loop of a guest's alone";
const STOPPED: &str = "the partition can be powered off, and nobody else notices";

pub const ROWS: &[Row] = &[Row::new(
    "vector-unmappable",
    "exceptions to a VBAR_EL1 that no table can map",
    STOPPED,
    KICK,
    unmappable,
)
.alone()];

/// Seconds that a loop lasts.
const LASTS: u64 = 5;

/// What the second core does.
fn keeper() {
    timer::spin(LASTS * timer::frequency());
    if psci::call32(crate::id::VERSION, [0; 3])[0] == 0x1_0001 {
        crate::endured();
    }
    psci::system_off();
}

/// Starts the keeper, and says that nothing comes after this.
fn endless(env: &Env) -> Outcome {
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    same!(mrs!("currentel"), 1 << 2, "CurrentEL");
    cores::start_others(env, keeper)
}

fn unmappable(env: &Env) -> Outcome {
    endless(env)?;
    // SAFETY: does not come back.
    unsafe {
        asm!("msr vbar_el1, {}", "isb", "udf #0", "b .", in(reg) 0x0008_0000_0000_0000u64, options(noreturn))
    }
}
