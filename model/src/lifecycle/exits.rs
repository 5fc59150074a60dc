//! Exit counters: one block per virtual CPU, written by its core alone and read by anybody.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// Why a guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Kind {
    /// A physical interrupt.
    Irq = 0,
    /// The guest generated an SGI.
    Sgi = 1,
    /// An emulated load or store.
    Mmio = 2,
    /// A trapped system register or instruction.
    SysReg = 3,
    /// A PSCI call.
    Psci = 4,
    /// Any other HVC or SMC.
    Hvc = 5,
    /// Anything else.
    Other = 6,
}

/// How many kinds there are.
pub const KINDS: usize = 7;

/// The kinds in the order of the summary, with their names there.
pub const NAMES: [(Kind, &str); KINDS] = [
    (Kind::Irq, "irq"),
    (Kind::Sgi, "sgi"),
    (Kind::Mmio, "mmio"),
    (Kind::SysReg, "sysreg"),
    (Kind::Psci, "psci"),
    (Kind::Hvc, "hvc"),
    (Kind::Other, "other"),
];

/// One virtual CPU's counters, in the order of [`Kind`]: assembly counts interrupts in the first word.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Exits([AtomicU64; KINDS]);

impl Exits {
    /// Counters at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; KINDS])
    }

    /// Counts one. Only the virtual CPU's own core calls this, so a load and a store do, without a locked addition.
    pub fn count(&self, kind: Kind) {
        if let Some(counter) = self.0.get(kind as usize) {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// The counters as they are now.
    #[must_use]
    pub fn get(&self) -> Count {
        Count(core::array::from_fn(|kind| {
            self.0.get(kind).map_or(0, |counter| counter.load(Ordering::Relaxed))
        }))
    }
}

/// Counts by kind, in the order of [`Kind`]. Printed as the summary has them: `irq=1 sgi=2 ...`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub [u64; KINDS]);

impl core::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.wrapping_add(more);
        }
    }
}

impl core::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, count| {
            sum += count;
            sum
        })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ((_, name), count)) in NAMES.iter().zip(self.0).enumerate() {
            write!(f, "{}{name}={count}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
