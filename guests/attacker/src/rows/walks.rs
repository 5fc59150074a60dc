//! Stage-1 walks that leave the partition: tables at every level in foreign memory, in registers that EL2 emulates, in a
//! device of the partition's own. Stage 2 applies to the walk as to everything else, and a walk is no access to a device.

use partita_guest::exception::{Fault, catch};
use partita_guest::mmio::{read32, write32};
use partita_guest::rows::{Env, Outcome};
use partita_guest::{console, machine};

use super::edges::STAGE2;
use super::forms::foreign;
use crate::code::call;
use crate::owned::{DATA, FETCH};
use crate::space::{Space, TABLE};
use crate::table::Row;
use crate::{ensure, fail, mrs, msr, skip};

const MUST: &str = "external abort of the access that walked";
const EMULATED: &str = "an access that its syndrome does not describe is not emulated (S1PTW)";
const PTW: &str = "HCR_EL2.PTW: a walk of device memory faults";

pub const ROWS: &[Row] = &[
    Row::new("walk-level-1", "a table of level 1 in foreign memory", MUST, STAGE2, |env| walk(env, 0)),
    Row::new("walk-level-2", "a table of level 2 in foreign memory", MUST, STAGE2, |env| walk(env, 1)),
    Row::new("walk-level-3", "a table of level 3 in foreign memory", MUST, STAGE2, |env| walk(env, 2)),
    Row::new("walk-ttbr1", "TTBR1_EL1 in foreign memory", MUST, STAGE2, ttbr1),
    Row::new("walk-translate", "AT through tables in foreign memory", MUST, STAGE2, translate),
    Row::new("walk-distributor", "a table in the distributor's registers", MUST, EMULATED, distributor),
    Row::new("walk-console", "a table in the console's registers", MUST, EMULATED, shared_console),
    Row::new("walk-device", "a table in a device of the attacker's own", MUST, PTW, device),
];

fn check(what: &str, at: u64, class: u64, fault: Option<Fault>) -> Outcome {
    let Some(fault) = fault else { fail!("{what} with a table at {at:#x}: no abort") };
    // External abort, on the walk or not on it (DDI 0487, ESR_EL1.DFSC: 0b010000, 0b0101xx).
    let external = matches!(fault.esr & 0x3f, 0x10 | 0x14..=0x17);
    ensure!(
        fault.class() == class && external && !fault.serror,
        "{what} with a table at {at:#x}: ESR {:#x} is no external abort",
        fault.esr
    );
    Ok(())
}

/// Reads, writes and fetches through a table at `at`, of the level below `level`.
fn through(space: &Space, level: usize, at: u64) -> Outcome {
    let va = space.descriptor(level, at & !0xfff | TABLE);
    check("read", at, DATA, catch(|| read32(va)).1)?;
    check("write", at, DATA, catch(|| write32(va, 0)).1)?;
    check("fetch", at, FETCH, catch(|| call(va, 0)).1)
}

fn walk(env: &Env, level: usize) -> Outcome {
    let space = Space::new();
    foreign(env).try_for_each(|page| through(&space, level, page))
}

/// The upper half of addresses, whose tables are switched off otherwise.
fn ttbr1(env: &Env) -> Outcome {
    let _space = Space::new();
    let (tcr, root) = (mrs!("tcr_el1"), mrs!("ttbr1_el1"));
    let upper = 0xffff_0000_0000_0000;
    let mut end = Ok(());
    for page in foreign(env) {
        msr!("ttbr1_el1", page);
        // T1SZ 16 (21..16), EPD1 (23) clear, TG1 4 KiB (31..30).
        msr!("tcr_el1", tcr & !(0x3f << 16 | 1 << 23 | 3 << 30) | 16 << 16 | 2 << 30);
        let (_, read) = catch(|| read32(upper));
        let (_, fetch) = catch(|| call(upper, 0));
        msr!("tcr_el1", tcr);
        msr!("ttbr1_el1", root);
        end = end
            .and_then(|()| check("read", page, DATA, read))
            .and_then(|()| check("fetch", page, FETCH, fetch));
    }
    end
}

/// An AT whose walk faults at stage 2 is an abort, too (DDI 0487, D8.14).
fn translate(env: &Env) -> Outcome {
    let space = Space::new();
    for page in foreign(env) {
        let va = space.descriptor(1, page | TABLE);
        let (_, fault) = crate::code::run(0xd508_7800, va);
        if let Some(fault) = fault {
            check("AT", page, DATA, Some(fault))?;
        } else {
            ensure!(mrs!("par_el1") & 1 == 1, "AT with a table at {page:#x}: PAR_EL1 {:#x}", mrs!("par_el1"));
        }
    }
    Ok(())
}

fn distributor(env: &Env) -> Outcome {
    let space = Space::new();
    (0..3).try_for_each(|level| through(&space, level, env.machine.gicd))
}

fn shared_console(_: &Env) -> Outcome {
    let space = Space::new();
    (0..3).try_for_each(|level| through(&space, level, console::base()))
}

fn device(env: &Env) -> Outcome {
    let mut at = None;
    machine::each_region(&env.machine.tree, &mut |node, base, _| {
        if ["arm,pl061", "brcm,bcm2711-gpio"].iter().any(|name| machine::is(node, name)) {
            at = Some(base);
        }
    });
    let Some(at) = at else { skip!("no device of its own") };
    let space = Space::new();
    (0..3).try_for_each(|level| through(&space, level, at))
}
