//! The attacker: a table of attacks of a partition on everything that is not its own.
//!
//! Words of its bootargs: `test=NAME,...` picks rows or surfaces (default: all but the rows that need a boot of their own),
//! `skip=NAME,...` leaves some out, `wait=SECONDS` lets the others be calm first, `list` prints the table and attacks
//! nothing. It prints `attacker: SURFACE/ROW held`, `attacker: SURFACE/ROW skipped: WHY` or `attacker: SURFACE/ROW ESCAPED:
//! WHY` for each row, then `attacker: done N held, M escaped, K skipped`, and powers off. Before a row that needs a boot of its
//! own it prints `attacker: SURFACE/ROW tried`, as such a row may not come back. The table is printed as
//! `attacker: row SURFACE/ROW [alone] [dma] guard GUARD: TRIED; MUST`.
//!
//! What a row sees is one half of the verdict. The other is what others see meanwhile: the victim, and who looks at the
//! machine from outside.
#![no_std]
#![no_main]

mod counting;
mod owned;
mod rows;
mod space;
mod sweeper;
mod table;

use core::sync::atomic::{AtomicUsize, Ordering};

use partita_abi::psci as id;
use partita_guest::gic::Version;
use partita_guest::rows::{End, Env, code, cores, irq, why};
use partita_guest::{Machine, args, cpu, gic, println, psci, timer};
use partita_guest::{ensure, fail, mrs, msr, same, skip};
use table::Row;

/// The row that is running: its surface and itself, by their places in the table.
static RUNNING: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

partita_guest::guest!(main = main, irq = irq::handle);

fn main(machine: &'static Machine) {
    let env = Env { machine, native: false };
    if args::get(machine.bootargs, "list").is_some() {
        return list();
    }
    println!("attacker: {} cores, bootargs \"{}\"", machine.cores.len(), machine.bootargs);
    let seconds = args::get(machine.bootargs, "wait").and_then(args::number).unwrap_or(0);
    timer::spin(seconds * timer::frequency());
    gic::init(machine);
    irq::init(machine);

    let (mut held, mut escaped, mut skipped) = (0, 0, 0);
    for (at, surface) in rows::SURFACES.iter().enumerate() {
        for (number, row) in surface.rows.iter().enumerate() {
            let unasked = (row.alone && !named(&env, row.name))
                || (row.dma && !named(&env, row.name) && !named(&env, surface.name));
            if unasked || !env.selects(surface.name, row.name) {
                continue;
            }
            RUNNING.0.store(at, Ordering::SeqCst);
            RUNNING.1.store(number, Ordering::SeqCst);
            if row.alone {
                println!("attacker: {}/{} tried", surface.name, row.name);
            }
            let name = format_args!("attacker: {}/{}", surface.name, row.name);
            irq::quiet();
            // For whom counts from outside: here a row begins.
            cpu::mark();
            let end = reason(row)
                .map_or_else(|| (row.run)(&env).and_then(|()| alive()), |why| Err(End::Skipped(why)));
            cpu::mask_interrupts();
            match end {
                Ok(()) => {
                    println!("{name} held");
                    held += 1;
                }
                Err(End::Skipped(why)) => {
                    println!("{name} skipped: {why}");
                    skipped += 1;
                }
                Err(End::Failed) => {
                    println!("{name} ESCAPED: {}", why());
                    cores::give_up(&env);
                    escaped += 1;
                }
            }
        }
    }
    println!("attacker: done {held} held, {escaped} escaped, {skipped} skipped");
}

/// Whether the bootargs name a row itself, or a surface: rows that need a boot of their own do not come with their surface,
/// those that need a device that does DMA come with nothing else.
fn named(env: &Env, row: &str) -> bool {
    let list = args::get(env.machine.bootargs, "test").unwrap_or("");
    list.split(',').any(|name| name.rsplit('/').next() == Some(row))
}

/// Why a row makes no sense on this machine, if so.
fn reason(row: &Row) -> Option<&'static str> {
    match row.gic {
        Some(Version::V2) if gic::version() != Version::V2 => Some("about GICv2"),
        Some(Version::V3) if gic::version() != Version::V3 => Some("about GICv3"),
        _ => None,
    }
}

/// The last words of a row that does not come back, by the core that watched it.
fn endured() {
    let surface = &rows::SURFACES[RUNNING.0.load(Ordering::SeqCst)];
    let row = &surface.rows[RUNNING.1.load(Ordering::SeqCst)];
    println!("attacker: {}/{} held", surface.name, row.name);
    println!("attacker: done 1 held, 0 escaped, 0 skipped");
}

/// After each row: the hypervisor answers this core, and the core is where it was.
fn alive() -> partita_guest::rows::Outcome {
    same!(psci::call32(id::VERSION, [0; 3])[0], 0x1_0001, "PSCI_VERSION after the row");
    same!(mrs!("currentel"), 1 << 2, "CurrentEL after the row");
    Ok(())
}

fn list() {
    for surface in rows::SURFACES {
        for Row { name, tried, must, guard, alone, dma, .. } in surface.rows {
            let alone = if *alone { " alone" } else { "" };
            let dma = if *dma { " dma" } else { "" };
            println!("attacker: row {}/{name}{alone}{dma} guard {guard}: {tried}; {must}", surface.name);
        }
    }
}
