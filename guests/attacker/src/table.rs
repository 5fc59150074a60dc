//! What a row of the attack table is.

use partita_guest::gic::Version;
use partita_guest::rows::{Env, Outcome};

/// One attack.
pub struct Row {
    /// Its name in bootargs and output, unique in its surface.
    pub name: &'static str,
    /// What is tried.
    pub tried: &'static str,
    /// What must happen; anything else is an escape.
    pub must: &'static str,
    /// The guard that it is about: without it, the row escapes, or the victim is hurt.
    pub guard: &'static str,
    /// The attack itself. It fails by what `must` does not say.
    pub run: fn(&Env) -> Outcome,
    /// The interrupt controller that it is about, if about one of them.
    pub gic: Option<Version>,
    /// It runs only when named, in a boot of its own: it ends the attacker, or leaves it unfit for other rows.
    pub alone: bool,
    /// It runs only when named: it needs a device of the attacker's that does DMA.
    pub dma: bool,
}

/// Rows against one part of the machine.
pub struct Surface {
    /// Its name in bootargs and output.
    pub name: &'static str,
    /// Its rows.
    pub rows: &'static [Row],
}

impl Row {
    /// A row for every machine.
    pub const fn new(
        name: &'static str,
        tried: &'static str,
        must: &'static str,
        guard: &'static str,
        run: fn(&Env) -> Outcome,
    ) -> Row {
        Row { name, tried, must, guard, run, gic: None, alone: false, dma: false }
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

    /// The row needs a device that does DMA.
    pub const fn dma(mut self) -> Row {
        self.dma = true;
        self
    }

    /// The row needs a boot of its own.
    pub const fn alone(mut self) -> Row {
        self.alone = true;
        self
    }
}
