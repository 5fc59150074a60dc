//! The generic watchdog of Arm's SBSA, as a guest drives it (DEN 0029, appendix "Generic Watchdog").

use core::sync::atomic::{AtomicU64, Ordering};

use crate::Machine;
use crate::machine::interrupt;
use crate::mmio::{read32, write32};
use crate::timer;

/// Offset in the control frame: control and status.
pub const WCS: u64 = 0x0;
/// Offset, two words.
pub const WOR: u64 = 0x8;
/// Compare value, two words.
pub const WCV: u64 = 0x10;
/// WCS: it is on.
pub const ENABLED: u32 = 1 << 0;
/// The first stage has come.
pub const WS0: u32 = 1 << 1;

/// Where it is.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    /// The control frame.
    pub control: u64,
    /// The refresh frame.
    pub refresh: u64,
    /// The interrupt of its first stage.
    pub intid: u32,
}

static INTID: AtomicU64 = AtomicU64::new(0);

impl Watchdog {
    /// The machine's, if it has one.
    pub fn find(machine: &Machine) -> Option<Self> {
        let node = machine.tree.find_compatible(&["arm,sbsa-gwdt"])?;
        let mut frames = node.reg()?.map(|region| region.starting_address as u64);
        let (control, refresh) = (frames.next()?, frames.next()?);
        let intid = interrupt(&node, 0)?;
        INTID.store(intid.into(), Ordering::Relaxed);
        Some(Self { control, refresh, intid })
    }

    /// The control and status register.
    pub fn status(self) -> u32 {
        read32(self.control + WCS)
    }

    /// Starts it, with two stages of so many milliseconds.
    pub fn start(self, milliseconds: u64) {
        let ticks = timer::frequency() * milliseconds / 1000;
        write32(self.control + WOR, ticks as u32);
        write32(self.control + WOR + 4, (ticks >> 32) as u32);
        write32(self.control + WCS, ENABLED);
    }

    /// Starts both of its stages anew.
    pub fn refresh(self) {
        write32(self.refresh, 0);
    }

    /// Stops it.
    pub fn stop(self) {
        write32(self.control + WCS, 0);
    }
}

/// Whether an interrupt is that of the watchdog that was found last.
pub fn is_its(intid: u32) -> bool {
    INTID.load(Ordering::Relaxed) == u64::from(intid)
}
