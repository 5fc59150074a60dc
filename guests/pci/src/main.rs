//! A guest with PCI functions: it finds those that it has and nothing else, gives them addresses, and drives QEMU's `edu`
//! device, row by row. An operating system that knows PCI does no more than this; this guest also tries what none would.
//!
//! Words of its bootargs: `functions=00:02.0,00:06.0` are those that it must find, the first one an `edu`;
//! `foreign=0x60000000` an address in memory that is another's and not empty; `native`: nothing stands between it and the
//! machine. Each row ends with a line `pci: ROW ok` or `pci: ROW FAILED: why`, and the last line counts.
#![no_std]
#![no_main]

mod bus;
mod edu;
mod rows;

use partita_guest::{Machine, args, gic, println};

partita_guest::guest!(main = main, irq = edu::interrupted);

/// What rows know.
pub struct Env {
    /// The bridge, as the tree has it.
    pub bridge: bus::Bridge,
    /// The functions that must be there.
    pub functions: &'static str,
    /// An address in memory of somebody else.
    pub foreign: Option<u64>,
    /// Running without Partita.
    pub native: bool,
}

/// Why a row failed: in words, and a number that was not as it should be.
pub struct Why(pub &'static str, pub u64);

fn main(machine: &'static Machine) {
    let Some(bridge) = bus::Bridge::find(machine) else {
        println!("pci: no host bridge");
        return;
    };
    gic::init(machine);
    let word = |name| args::get(machine.bootargs, name);
    let env = Env {
        bridge,
        functions: word("functions").unwrap_or(""),
        foreign: word("foreign").and_then(args::number),
        native: word("native").is_some(),
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, row) in rows::ROWS {
        match row(&env) {
            Ok(()) => {
                println!("pci: {name} ok");
                passed += 1;
            }
            Err(Why(why, seen)) => {
                println!("pci: {name} FAILED: {why} ({seen:#x})");
                failed += 1;
            }
        }
    }
    println!("pci: done {passed} passed, {failed} failed");
}
