//! The probe: a table of named checks of everything that a partition may see, do, or must be kept from doing.
//!
//! Words of its bootargs: `test=NAME,...` picks rows or groups (default: all but those of group `alone`), `skip=NAME,...` leaves
//! some out, `native` leaves out the rows that hold under Partita only. It prints `probe: NAME ok`, `probe: NAME skipped: WHY` or
//! `probe: NAME FAILED: WHY` for each row, then `probe: done N passed, M failed, K skipped`, and powers off.
#![no_std]
#![no_main]

mod check;
mod rows;

use check::{End, Env, Row};
use partita_guest::gic::Version;
use partita_guest::rows::{code, cores, irq};
use partita_guest::{Machine, args, cpu, gic, println};
use partita_guest::{ensure, fail, mrs, msr, same, skip};

partita_guest::guest!(main = main, irq = irq::handle);

fn main(machine: &'static Machine) {
    let env = Env { machine, native: args::get(machine.bootargs, "native").is_some() };
    println!(
        "probe: {} cores, {} KiB of memory, bootargs \"{}\"",
        machine.cores.len(),
        machine.memory.iter().map(|(_, size)| size >> 10).sum::<u64>(),
        machine.bootargs
    );
    gic::init(machine);
    irq::init(machine);

    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for group in rows::GROUPS {
        for row in group.rows {
            if !env.selects(group.name, row.name) {
                continue;
            }
            irq::quiet();
            let end = reason(&env, row).map_or_else(|| (row.run)(&env), |why| Err(End::Skipped(why)));
            cpu::mask_interrupts();
            match end {
                Ok(()) => {
                    println!("probe: {} ok", row.name);
                    passed += 1;
                }
                Err(End::Skipped(why)) => {
                    println!("probe: {} skipped: {why}", row.name);
                    skipped += 1;
                }
                Err(End::Failed) => {
                    println!("probe: {} FAILED: {}", row.name, check::why());
                    cores::give_up(&env);
                    failed += 1;
                }
            }
        }
    }
    println!("probe: done {passed} passed, {failed} failed, {skipped} skipped");
    // Another core is busy while this one powers the machine off: it must go down too.
    cores::leave_one_spinning(&env);
}

/// Why a row makes no sense on this machine, if so.
fn reason(env: &Env, row: &Row) -> Option<&'static str> {
    match row.gic {
        Some(Version::V2) if gic::version() != Version::V2 => Some("about GICv2"),
        Some(Version::V3) if gic::version() != Version::V3 => Some("about GICv3"),
        _ if row.virtual_gicv2 && !gic::is_whole() => Some("about a virtual CPU interface of a GICv2"),
        _ => (env.native && row.only_here).then_some("not natively"),
    }
}

impl Row {
    /// A row that also holds natively.
    pub const fn new(name: &'static str, run: fn(&Env) -> check::Outcome) -> Row {
        Row { name, run, only_here: false, gic: None, virtual_gicv2: false }
    }

    /// A row that holds under Partita only.
    pub const fn here(name: &'static str, run: fn(&Env) -> check::Outcome) -> Row {
        Row { name, run, only_here: true, gic: None, virtual_gicv2: false }
    }

    /// With a GICv2 the row is about what a direct partition has not: GICC_DIR, and sources of SGIs and their pending states as the
    /// guest numbers its cores.
    pub const fn virtual_gicv2(mut self) -> Row {
        self.virtual_gicv2 = true;
        self
    }

    /// The row is about a GICv2.
    pub const fn v2(mut self) -> Row {
        self.gic = Some(Version::V2);
        self
    }

    /// The row is about a GICv3.
    pub const fn v3(mut self) -> Row {
        self.gic = Some(Version::V3);
        self
    }
}
