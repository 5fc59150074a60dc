//! The table. Order matters once: `memory-zero` looks before any other row writes.

mod console;
mod faults;
mod features;
mod flight;
mod gic;
mod gicv2;
mod gicv3;
mod hog;
mod interrupts;
mod lossless;
mod maintenance;
mod memory;
mod operands;
mod processor;
mod psci;
mod reset;
mod residue;
mod sgi;
mod sgir;

use crate::check::Group;

/// All rows by subject. Those of group `alone` run only when named: they end the run, last long, or need a partner outside.
pub const GROUPS: &[Group] = &[
    Group { name: "memory", rows: memory::ROWS },
    Group { name: "faults", rows: faults::ROWS },
    Group { name: "gic", rows: gic::ROWS },
    Group { name: "gic", rows: gicv2::ROWS },
    Group { name: "gic", rows: gicv3::ROWS },
    Group { name: "interrupts", rows: interrupts::ROWS },
    Group { name: "flight", rows: flight::ROWS },
    Group { name: "sgi", rows: sgi::ROWS },
    Group { name: "sgi", rows: sgir::ROWS },
    Group { name: "operands", rows: operands::ROWS },
    Group { name: "psci", rows: psci::ROWS },
    Group { name: "features", rows: features::ROWS },
    Group { name: "processor", rows: processor::ROWS },
    Group { name: "maintenance", rows: maintenance::ROWS },
    Group { name: "console", rows: console::ROWS },
    Group { name: "alone", rows: console::ALONE },
    Group { name: "alone", rows: hog::ALONE },
    Group { name: "alone", rows: lossless::ALONE },
    Group { name: "alone", rows: reset::ALONE },
    Group { name: "alone", rows: residue::ALONE },
];
