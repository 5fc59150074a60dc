//! EL0: what it may not do, and a page of code to do it from.

use core::cell::UnsafeCell;

use partita_guest::rows::code::publish;
use partita_guest::rows::{Env, Outcome};

use crate::space::{PAGE, Space};
use crate::table::Row;
use crate::{ensure, provoke, same};

pub const ROWS: &[Row] = &[
    Row::new("el0-calls", "HVC and SMC from EL0", "undefined", "HVC and SMC are undefined at EL0", el0_calls),
    Row::new(
        "el0-registers",
        "system registers of EL1, EL2 and EL3 from EL0",
        "undefined or trapped to EL1",
        "EL0 is below EL1",
        el0_registers,
    ),
];

#[repr(C, align(4096))]
struct Code(UnsafeCell<[u32; 1024]>);
// SAFETY: used by the boot core's rows only, and by its address only.
unsafe impl Sync for Code {}
static CODE: Code = Code(UnsafeCell::new([0; 1024]));

/// A page of code at EL0.
pub struct El0(Space);

impl El0 {
    /// Switches to a map that has one.
    pub fn new() -> El0 {
        El0(Space::new())
    }

    /// Runs instructions in the state `spsr`, whose level is EL0, and answers with the syndrome that ended it.
    pub fn run(&self, spsr: u64, words: &[u32]) -> u64 {
        let code = CODE.0.get() as u64;
        publish(code, words);
        // AP[1] (bit 6): EL0 may. PXN (53): EL1 may not execute what EL0 may write anyway.
        let at = self.0.low(code & !0xfff | PAGE | 1 << 6 | 1 << 53);
        let (_, syndrome) = provoke!(1u64, spsr, at, "msr spsr_el1, x0", "msr elr_el1, x1", "eret");
        syndrome
    }
}

/// SPSR_EL1 for EL0, everything masked.
const EL0T: u64 = 0x3c0;
const SVC: u32 = 0xd400_0001;

fn el0_calls(_: &Env) -> Outcome {
    let el0 = El0::new();
    same!(el0.run(EL0T, &[SVC]) >> 26, 0x15, "class of SVC, which shows that this is EL0");
    for (name, form) in
        [("HVC", 0xd400_0002), ("HVC #1", 0xd400_0022), ("SMC", 0xd400_0003), ("ERET", 0xd69f_03e0)]
    {
        let syndrome = el0.run(EL0T, &[form, SVC]);
        same!(syndrome >> 26, 0x00, "class of {name} at EL0");
    }
    Ok(())
}

/// CRn 0 to 15 of op1 0, 4 and 6, but what EL0 may read there: nothing.
fn el0_registers(_: &Env) -> Outcome {
    let el0 = El0::new();
    for (op1, crn) in [0, 4, 6].into_iter().flat_map(|op1| (0..16u32).map(move |crn| (op1, crn))) {
        for (crm, op2) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (12, 0)] {
            let form = 0xd538_0000 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5;
            let class = el0.run(EL0T, &[form, SVC]) >> 26;
            ensure!(matches!(class, 0x00 | 0x18), "3, {op1}, {crn}, {crm}, {op2} at EL0: class {class:#x}");
        }
    }
    Ok(())
}
