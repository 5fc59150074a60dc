//! The table.

mod calls;
mod dma;
mod edges;
mod loops;
mod sgi;

use crate::table::Surface;

/// All rows by surface.
pub const SURFACES: &[Surface] = &[
    Surface { name: "memory", rows: edges::ROWS },
    Surface { name: "calls", rows: calls::ROWS },
    Surface { name: "sgi", rows: sgi::ROWS },
    Surface { name: "loops", rows: loops::ROWS },
    Surface { name: "dma", rows: dma::ROWS },
];
