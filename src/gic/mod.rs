//! The physical GICv3 (IHI 0069): distributor, redistributors, CPU interface and list registers. It decides nothing:
//! what a guest's access means is `partita-model`'s business; this performs it.

pub mod cpu;
pub mod dist;
pub mod hw;
pub mod redist;

/// EL2's kick: a physical SGI that makes a core look at its orders. No guest can send, mask or see it.
pub const KICK: u32 = 0;
/// Physical priority of everything but the kick; flat, as only EL2 acknowledges.
const PRIORITY: u8 = 0xa0;
/// Physical priority of the kick.
const KICK_PRIORITY: u8 = 0x80;

/// First INTID of the special ones, 1020 to 1023 (IHI 0069, 2.2.1).
pub const SPECIAL: u32 = 1020;
/// The last of them; what lies above is an extended or locality-specific interrupt, which Partita enables nowhere.
pub const LAST_SPECIAL: u32 = 1023;

/// A frame of registers that this core maps.
#[derive(Clone, Copy, Debug)]
struct Frame(usize);

impl Frame {
    fn read(self, offset: usize) -> u32 {
        // SAFETY: frames are made from the plan's register ranges, mapped as device memory; the offset is a register's.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    fn write(self, offset: usize, value: u32) {
        // SAFETY: as above. What the write does to interrupts is the caller's contract with the model.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) };
    }

    fn write_byte(self, offset: usize, value: u8) {
        // SAFETY: as above; priorities are byte-accessible (IHI 0069, 12.1.3).
        unsafe { ((self.0 + offset) as *mut u8).write_volatile(value) };
    }

    fn read64(self, offset: usize) -> u64 {
        // SAFETY: as above.
        unsafe { ((self.0 + offset) as *const u64).read_volatile() }
    }

    fn write64(self, offset: usize, value: u64) {
        // SAFETY: as above.
        unsafe { ((self.0 + offset) as *mut u64).write_volatile(value) };
    }
}

// Offsets that distributor and SGI frame share (IHI 0069, 12.8 and 12.10).
const IGROUPR: usize = 0x080;
const ISENABLER: usize = 0x100;
const ICENABLER: usize = 0x180;
const ISPENDR: usize = 0x200;
const ICPENDR: usize = 0x280;
const ISACTIVER: usize = 0x300;
const ICACTIVER: usize = 0x380;
const IPRIORITYR: usize = 0x400;
const ICFGR: usize = 0xc00;
