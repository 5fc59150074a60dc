//! The table.

mod calls;
mod console;
mod debug;
mod dma;
mod edges;
mod el0;
mod endless;
mod ends;
mod forms;
mod gicd;
mod gicr;
mod hidden;
mod loops;
mod maintenance;
mod psci;
mod sgi;
mod state;
mod storms;
mod supervision;
mod sweep;
mod sysregs;
mod timers;
mod walks;
mod watchdog;

use crate::table::Surface;

/// All rows by surface.
pub const SURFACES: &[Surface] = &[
    Surface { name: "memory", rows: edges::ROWS },
    Surface { name: "memory", rows: sweep::ROWS },
    Surface { name: "memory", rows: forms::ROWS },
    Surface { name: "memory", rows: walks::ROWS },
    Surface { name: "hidden", rows: hidden::ROWS },
    Surface { name: "sysregs", rows: sysregs::ROWS },
    Surface { name: "state", rows: state::ROWS },
    Surface { name: "state", rows: el0::ROWS },
    Surface { name: "calls", rows: calls::ROWS },
    Surface { name: "psci", rows: psci::ROWS },
    Surface { name: "gicd", rows: gicd::ROWS },
    Surface { name: "gicr", rows: gicr::ROWS },
    Surface { name: "sgi", rows: sgi::ROWS },
    Surface { name: "ends", rows: ends::ROWS },
    Surface { name: "timers", rows: timers::ROWS },
    Surface { name: "debug", rows: debug::ROWS },
    Surface { name: "loops", rows: loops::ROWS },
    Surface { name: "storms", rows: storms::ROWS },
    Surface { name: "storms", rows: maintenance::ROWS },
    Surface { name: "console", rows: console::ROWS },
    Surface { name: "watchdog", rows: watchdog::ROWS },
    Surface { name: "supervision", rows: supervision::ROWS },
    Surface { name: "dma", rows: dma::ROWS },
    Surface { name: "endless", rows: endless::ROWS },
];
