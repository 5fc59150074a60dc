//! What a row is.

use partita_guest::gic::Version;

pub use partita_guest::rows::{End, Env, Outcome, why};

/// One check.
pub struct Row {
    /// Its name in bootargs and output.
    pub name: &'static str,
    /// The check itself.
    pub run: fn(&Env) -> Outcome,
    /// It holds under Partita only.
    pub only_here: bool,
    /// The interrupt controller that it is about, if about one of them.
    pub gic: Option<Version>,
    /// It holds with a GICv2 whose CPU interface is virtual, not with the first page of the physical one.
    pub virtual_gicv2: bool,
}

/// Rows of one subject.
pub struct Group {
    /// Its name in bootargs.
    pub name: &'static str,
    /// Its rows.
    pub rows: &'static [Row],
}
