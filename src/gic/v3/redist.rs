//! A core's redistributor: its SGIs and PPIs.

use crate::gic::{
    Frame, ICACTIVER, ICENABLER, ICPENDR, IGROUPR, IPRIORITYR, ISENABLER, KICK_PRIORITY, Own, PRIORITY,
};

/// Offset of the SGI frame (IHI 0069, 12.10).
const SGI: usize = 0x1_0000;
/// Bytes of a GICv3 redistributor: two 64 KiB frames.
pub const SIZE: u64 = 0x2_0000;

const CTLR: usize = 0x00;
const TYPER: usize = 0x08;
const WAKER: usize = 0x14;
const CTLR_ENABLE_LPIS: u32 = 1 << 0;
const CTLR_RWP: u32 = 1 << 3;
const TYPER_VLPIS: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;
const WAKER_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u32 = 1 << 2;

/// A physical redistributor.
#[derive(Clone, Copy, Debug)]
pub struct Redistributor {
    control: Frame,
    private: Frame,
}

impl Redistributor {
    /// From its mapped address.
    pub fn new(base: usize) -> Self {
        Self { control: Frame(base), private: Frame(base + SGI) }
    }

    /// The affinity of its core as in MPIDR (Aff3 in bits 39..32), whether it is the region's last, and its size.
    pub fn identity(self) -> (u64, bool, u64) {
        let typer = self.control.read64(TYPER);
        let affinity = (typer >> 32 & 0xff_ffff) | (typer >> 56) << 32;
        (affinity, typer & TYPER_LAST != 0, if typer & TYPER_VLPIS != 0 { 2 * SIZE } else { SIZE })
    }

    /// Whether firmware left LPIs on: their tables are in memory that nobody told us of.
    pub fn lpis_on(self) -> bool {
        self.control.read(CTLR) & CTLR_ENABLE_LPIS != 0
    }

    /// Brings it to a known state, on its own core: awake, everything disabled, idle and in Group 1, only EL2's own
    /// interrupts enabled.
    pub fn init(self, own: Own) {
        self.control.write(WAKER, self.control.read(WAKER) & !WAKER_SLEEP);
        while self.control.read(WAKER) & WAKER_ASLEEP != 0 {
            core::hint::spin_loop();
        }
        self.private.write(ICENABLER, !0);
        self.wait();
        self.private.write(ICPENDR, !0);
        self.private.write(ICACTIVER, !0);
        self.private.write(IGROUPR, !0);
        for word in 0..8 {
            self.private.write(IPRIORITYR + 4 * word, u32::from_ne_bytes([PRIORITY; 4]));
        }
        own.urgent().for_each(|intid| self.private.write_byte(IPRIORITYR + intid, KICK_PRIORITY));
        self.private.write(ISENABLER, own.enabled);
        self.wait();
    }

    /// Waits until earlier writes have taken effect; bounded by the hardware.
    pub fn wait(self) {
        while self.control.read(CTLR) & CTLR_RWP != 0 {
            core::hint::spin_loop();
        }
    }

    /// The frame of SGIs and PPIs.
    pub fn private(self) -> Frame {
        self.private
    }
}
