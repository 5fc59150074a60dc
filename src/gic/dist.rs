//! The distributor: shared by all cores, so each operation is a single write of set or clear bits, or short and under
//! [`CONFIG`].

use spin::mutex::SpinMutex;

use super::{
    Frame, ICACTIVER, ICENABLER, ICFGR, ICPENDR, IGROUPR, IPRIORITYR, ISENABLER, KICK_PRIORITY, PRIORITY,
};

const CTLR: usize = 0x000;
const TYPER: usize = 0x004;
const IROUTER: usize = 0x6000;
/// GICD_CTLR.ARE_NS (bit 4; ARE where there is one security state).
const CTLR_ARE: u32 = 1 << 4;
/// GICD_CTLR.EnableGrp1A (EnableGrp1 where there is one security state).
const CTLR_ENABLE: u32 = 1 << 1;
/// GICD_CTLR.RWP.
const CTLR_RWP: u32 = 1 << 31;

/// Held for one read, change and write of ICFGR, whose fields of 16 interrupts share a register: some 20 instructions.
static CONFIG: SpinMutex<()> = SpinMutex::new(());

/// The physical distributor.
#[derive(Clone, Copy, Debug)]
pub struct Distributor(Frame);

impl Distributor {
    /// From its mapped address.
    pub fn new(base: usize) -> Self {
        Self(Frame(base))
    }

    /// Number of INTIDs below 1020 that it has (GICD_TYPER.ITLinesNumber).
    pub fn lines(self) -> u32 {
        (((self.0.read(TYPER) & 0x1f) + 1) * 32).min(super::SPECIAL)
    }

    /// Brings it to a known state: every SPI disabled, idle, in Group 1, with EL2's priority; forwarding on.
    pub fn init(self) {
        // ARE stays if it is set: to clear it is UNPREDICTABLE (IHI 0069, 12.9.4).
        self.0.write(CTLR, self.0.read(CTLR) & CTLR_ARE);
        self.wait();
        for word in 1..(self.lines() as usize).div_ceil(32) {
            self.0.write(ICENABLER + 4 * word, !0);
            self.0.write(ICPENDR + 4 * word, !0);
            self.0.write(ICACTIVER + 4 * word, !0);
            self.0.write(IGROUPR + 4 * word, !0);
        }
        for word in 8..self.lines() as usize / 4 {
            self.0.write(IPRIORITYR + 4 * word, u32::from_ne_bytes([PRIORITY; 4]));
        }
        self.wait();
        // ARE first: writing it with an enable bit set is UNPREDICTABLE (IHI 0069, 12.9.4).
        self.0.write(CTLR, CTLR_ARE);
        self.wait();
        self.0.write(CTLR, CTLR_ARE | CTLR_ENABLE);
        self.wait();
    }

    /// Waits until earlier writes have taken effect; bounded by the hardware.
    pub fn wait(self) {
        while self.0.read(CTLR) & CTLR_RWP != 0 {
            core::hint::spin_loop();
        }
    }

    /// Reads a word of bits at one of the shared register offsets.
    pub fn read(self, register: usize, word: usize) -> u32 {
        self.0.read(register + 4 * word)
    }

    /// Writes a word of set or clear bits.
    pub fn write(self, register: usize, word: usize, mask: u32) {
        self.0.write(register + 4 * word, mask);
    }

    /// Gives one of EL2's own SPIs the kick's priority, so that a core whose guest does not run takes it too.
    pub fn claim(self, intid: u32) {
        self.0.write_byte(IPRIORITYR + intid as usize, KICK_PRIORITY);
    }

    /// Enables one of EL2's own SPIs.
    pub fn enable(self, intid: u32) {
        self.0.write(ISENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
    }

    /// Routes an SPI to the core with this MPIDR.
    pub fn route(self, intid: u32, mpidr: u64) {
        self.0.write64(IROUTER + 8 * intid as usize, mpidr & 0xff_00ff_ffff);
    }

    /// Makes an SPI edge-triggered or level-sensitive, and tells what it now is.
    pub fn set_edge(self, intid: u32, edge: bool) -> bool {
        let (offset, bit) = (ICFGR + 4 * (intid as usize / 16), 2 << (2 * (intid % 16)));
        let _guard = CONFIG.lock();
        let old = self.0.read(offset);
        self.0.write(offset, if edge { old | bit } else { old & !bit });
        self.0.read(offset) & bit != 0
    }
}
