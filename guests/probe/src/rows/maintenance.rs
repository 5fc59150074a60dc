//! Maintenance that goes out to all cores, or would: whoever executes it, a translation that was taken away is gone after it.

use core::arch::asm;

use partita_guest::exception::catch;
use partita_guest::mmio::read32;

use crate::check::{Env, Outcome, Row};
use crate::{code, ensure, mrs, same};

pub const ROWS: &[Row] = &[Row::new("maintenance-for-all-cores", maintenance)];

/// A gigabyte of addresses that nothing else uses, mapped on and off as the gigabyte with this guest's memory.
const BLOCK: u64 = 300;

/// TLBI of EL1 by CRm: whether it takes a range, and what of ID_AA64ISAR0_EL1.TLB it needs (DDI 0487, C5.5).
const FORMS: [(u32, bool, u64); 4] = [(3, false, 0), (1, false, 1), (2, true, 2), (5, true, 2)];

/// Whatever it takes to execute `TLBI`, CRn 8 or 9, CRm, op2.
fn tlbi(crn: u32, crm: u32, op2: u32, operand: u64) -> bool {
    // x0, or none for VMALLE1.
    let register = if op2 == 0 { 31 } else { 0 };
    code::run(0xd508_0000 | crn << 12 | crm << 8 | op2 << 5 | register, operand).1.is_none()
}

/// Each form for more than one core, with nXS where that is, drops what it names.
fn maintenance(env: &Env) -> Outcome {
    let memory = env.machine.memory[0].0;
    let virtual_address = BLOCK << 30 | memory & ((1 << 30) - 1);
    let table = mrs!("ttbr0_el1") & !0xfff;
    let entry = (table + 8 * BLOCK) as *mut u64;
    let own = (table + 8 * (memory >> 30)) as *const u64;
    // SAFETY: the table is this guest's, at its own address, and only this core runs.
    let (before, block) = unsafe { (entry.read_volatile(), own.read_volatile()) };
    let map = |descriptor: u64| {
        // SAFETY: as above; nobody uses that gigabyte. Walks see the store (DSB), and no translation is kept by it.
        unsafe {
            entry.write_volatile(descriptor);
            asm!("dsb sy", "isb", options(nostack));
        }
    };
    let here = || catch(|| read32(virtual_address)).1.is_none();
    let levels = mrs!("id_aa64isar0_el1") >> 56 & 0xf;
    let nxs = mrs!("id_aa64isar1_el1") >> 56 & 0xf != 0;
    map(0);
    ensure!(tlbi(8, 7, 0, 0), "TLBI VMALLE1");
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", "isb", options(nostack)) };
    let mut done = 0;
    for crn in [8, 9].into_iter().filter(|crn| *crn == 8 || nxs) {
        for (crm, range, _) in FORMS.into_iter().filter(|form| form.2 <= levels) {
            for op2 in (0..8).filter(|op2| if range { op2 & 1 != 0 } else { ![4, 6].contains(op2) }) {
                map(block);
                ensure!(here(), "the gigabyte is mapped before C{crn} C{crm} #{op2}");
                map(0);
                let page = virtual_address >> 12;
                // A range of two pages of 4 KiB; an ASID of zero, also for ASIDE1.
                let operand = if range {
                    1 << 46 | page
                } else if op2 == 2 {
                    0
                } else {
                    page
                };
                ensure!(tlbi(crn, crm, op2, operand), "TLBI C{crn} C{crm} #{op2} is undefined");
                // SAFETY: a barrier.
                unsafe { asm!("dsb ish", "isb", options(nostack)) };
                ensure!(!here(), "the old translation is there after C{crn} C{crm} #{op2}");
                done += 1;
            }
        }
    }
    map(before);
    ensure!(tlbi(8, 7, 0, 0), "TLBI VMALLE1");
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", "isb", options(nostack)) };
    let forms = match levels {
        0 => 6,
        1 => 12,
        _ => 20,
    };
    same!(done, if nxs { 2 * forms } else { forms }, "forms");
    // IC IALLUIS.
    ensure!(code::run(0xd508_711f, 0).1.is_none(), "IC IALLUIS is undefined");
    Ok(())
}
