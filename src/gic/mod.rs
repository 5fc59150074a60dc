//! The physical interrupt controller: distributor, each core's part of it, CPU interface and list registers. It decides
//! nothing: what a guest's access means is `partita-model`'s business; this performs it.
//!
//! There are two, [`v2`] and [`v3`], one of which the board's tree names. Both are a [`Kind`], and the rest of EL2
//! knows no other difference than the [`Controller`], the vectors' interrupt path and what stage 2 maps of a GICv2.

mod dist;
mod find;
pub mod hw;
mod lrs;
mod v2;
mod v3;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::HCR_EL2;
use core::sync::atomic::{AtomicBool, Ordering};
use tock_registers::interfaces::{Readable, Writeable};

pub use dist::{can_be_alone, claim, disable, enable, pend};
pub use find::{Found, find};
pub use lrs::{Lrs, drain};
pub use partita_model::gic::Version;
use partita_model::gic::{Bits, Hw, Word};

/// EL2's kick: a physical SGI that makes a core look at its orders. No guest can send, mask or see it.
pub const KICK: u32 = 0;
/// The physical SGI that says that a virtual one was sent to this core's virtual CPU. Like the kick it is EL2's
/// alone; unlike the kick it waits while the guest does not run.
pub const DOORBELL: u32 = 1;
/// Physical priority of everything but what is urgent; flat, as only EL2 acknowledges.
const PRIORITY: u8 = 0xa0;
/// Physical priority of the kick, and of whatever else reaches a core that does not run its guest.
const KICK_PRIORITY: u8 = 0x80;

/// HCR_EL2.IMO and FMO: IRQ and FIQ go to EL2.
const INTERRUPTS_TO_EL2: u64 = 1 << 4 | 1 << 3;

/// First INTID of the special ones, 1020 to 1023 (IHI 0069, 2.2.1; IHI 0048, 3.2.5).
const SPECIAL: u32 = 1020;
/// The last of them; what lies above is an extended or locality-specific interrupt, which Partita enables nowhere.
const LAST_SPECIAL: u32 = 1023;

/// A core, as the interrupt controller knows it.
#[derive(Clone, Copy, Debug)]
pub enum Seat {
    /// By its number among the board's cores; which CPU interface it has it tells when it comes (muster.rs).
    V2(usize),
    /// By its MPIDR and its redistributor.
    V3(u64, v3::redist::Redistributor),
}

/// A core's private interrupts that are EL2's own, by bits: those that it enables, and those of them that are as urgent as the kick.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// All.
    pub enabled: u32,
    /// Those with [`KICK_PRIORITY`].
    pub urgent: u32,
}

impl Own {
    /// Those that are urgent, by number.
    fn urgent(self) -> impl Iterator<Item = usize> {
        (0..32).filter(move |intid| self.urgent >> intid & 1 != 0)
    }
}

/// An acknowledged interrupt, as the CPU interface wants to have it back: GICv2's SGIs carry their source.
#[derive(Clone, Copy, Debug)]
pub struct Taken(u32);

impl Taken {
    /// From what the vectors read.
    pub fn new(raw: u64) -> Self {
        Self(raw as u32)
    }

    /// What the vectors read.
    pub fn raw(self) -> u64 {
        self.0.into()
    }

    /// Its INTID.
    pub fn intid(self) -> u32 {
        // GICC_IAR.CPUID is in bits 12..10 (IHI 0048, 4.4.4); GICv3 has 24 bits of INTID.
        if version() == Version::V2 { self.0 & 0x3ff } else { self.0 & 0xff_ffff }
    }

    /// Whether it says that there is none.
    pub fn is_special(self) -> bool {
        (SPECIAL..=LAST_SPECIAL).contains(&self.intid())
    }
}

/// What the hardware has for guests.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bits of a virtual priority.
    pub priority_bits: u8,
    /// Whether a guest's deactivation by number can be trapped alone (ICH_VTR_EL2.TDS).
    pub traps_dir: bool,
}

/// What an interrupt controller does, for both kinds: the [`Controller`] of the board asks which one it is by a branch.
/// (A table of functions would make an indirect call of every one of them, at EL2, on a guest's account.)
macro_rules! controllers {
    ($($(#[doc = $doc:literal])* fn $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {
        trait Kind {
            $($(#[doc = $doc])* fn $name(&self $(, $argument: $kind)*) $(-> $result)?;)*
        }

        impl Controller {
            $($(#[doc = $doc])*
            pub fn $name(self $(, $argument: $kind)*) $(-> $result)? {
                match self.0 {
                    Version::V2 => v2::Gicv2.$name($($argument),*),
                    Version::V3 => v3::Gicv3.$name($($argument),*),
                }
            })*
        }
    };
}

controllers! {
    /// Brings the distributor to a known state: every SPI disabled, idle, with EL2's priority; forwarding on. Once.
    fn init();
    /// Brings the calling core's part to EL2's use: its private interrupts disabled and idle but for EL2's own, nothing masked,
    /// split priority drop and deactivation; its virtual interface as after reset.
    fn init_core(seat: Seat, own: Own);
    /// Brings the calling core's virtual interface to its state after reset.
    fn reset_virtual();
    /// What the hardware has for guests.
    fn shape() -> Shape;

    /// The frame with a core's private interrupts; the offsets in it are the distributor's. With GICv2 the caller is
    /// that core.
    fn private(seat: Seat) -> Frame;
    /// Writes a mask to a register of ICENABLER, of a core's frame or (none) of the distributor, and waits until none of
    /// those interrupts can come any more.
    fn disable(seat: Option<Seat>, register: usize, mask: u32);
    /// Routes an SPI to a core.
    fn route(intid: u32, seat: Seat);
    /// Sends the kick to a core.
    fn kick(seat: Seat);
    /// What the fast path writes to ring a core's doorbell, once all have come.
    fn doorbell(seat: Seat) -> u64;

    /// Gives the calling core's CPU interface to its guest, in its state after reset, with physical interrupts going to EL1:
    /// nothing of EL2's own comes to this core from here on.
    fn give();
    /// Takes it back into EL2's use, as [`Kind::init_core`] made it, whatever the guest left there.
    fn take_back(seat: Seat, own: Own);
    /// Sends a direct partition's SGI to one of its cores. What was written before is visible before it arrives. `group0`:
    /// as of Group 0, where the register says that.
    fn send(seat: Seat, intid: u32, group0: bool);

    /// Acknowledges the most urgent interrupt.
    fn acknowledge() -> Taken;
    /// Drops the priority of an acknowledged interrupt.
    fn drop_priority(taken: Taken);
    /// Deactivates an interrupt that no guest will.
    fn deactivate(taken: Taken);
    /// Lets only EL2's own interrupts through to this core while its guest does not run; the guest's stay pending.
    fn mask_all_but_kick(masked: bool);
    /// The form of a list-register image in which the fast path finds it.
    fn ready(image: u64) -> u64;
}

static IS_V2: AtomicBool = AtomicBool::new(false);

/// The board's interrupt controller.
#[derive(Clone, Copy, Debug)]
pub struct Controller(Version);

/// The board's interrupt controller.
pub fn controller() -> Controller {
    Controller(version())
}

/// Which one it is.
pub fn version() -> Version {
    if IS_V2.load(Ordering::Relaxed) { Version::V2 } else { Version::V3 }
}

/// Whether physical interrupts go to EL2, of this core, or to its guest.
fn to_el2(yes: bool) {
    let rest = HCR_EL2.get() & !INTERRUPTS_TO_EL2;
    HCR_EL2.set(if yes { rest | INTERRUPTS_TO_EL2 } else { rest });
    barrier::isb(barrier::SY);
}

/// Where the register that sends an SGI has its number: ICC_SGI1R_EL1.INTID (IHI 0069, 12.2.23), GICD_SGIR.SGIINTID (IHI
/// 0048, 4.3.15).
pub fn sgi_number() -> u64 {
    if version() == Version::V2 { 0xf } else { 0xf << 24 }
}

pub use v3::cpu::trapped;

/// Holds the distributor's lock, in test builds.
#[cfg(feature = "weaken")]
pub fn alone(work: impl FnOnce()) {
    dist::alone(|_| work());
}

/// Wakes a direct partition's other cores by an interrupt of the highest priority, so far as its guest lets one through: an
/// SGI, or, where those are banked and no other core can give them a priority (GICv2), the partition's SPI for all of them.
/// It stays pending until they have come: nobody else takes it, and the calling core is out of its guest already.
pub fn wake(physical: &mut hw::Physical<'_>) {
    let partition = physical.partition;
    let inside = |vcpu: usize| partition.status.is_inside(vcpu);
    let others = || partition.vcpus.iter().enumerate().filter(|(vcpu, _)| inside(*vcpu));
    if others().next().is_none() {
        return;
    }
    match (version(), partition.bell) {
        (Version::V2, Some(bell)) => {
            let (word, bit) = (Word::Shared(bell as usize / 32), 1 << (bell % 32));
            physical.set_priority(word, bell, 0);
            v2::target(bell, others().map(|(_, other)| other.seat));
            physical.set(word, Bits::Enable, bit);
            physical.set(word, Bits::Pending, bit);
        }
        _ => {
            for (vcpu, other) in others() {
                physical.set_priority(Word::Private(vcpu), KICK, 0);
                physical.set(Word::Private(vcpu), Bits::Enable, 1 << KICK);
                controller().send(other.seat, KICK, false);
            }
        }
    }
}

/// Whether an interrupt waits for the calling core: ISR_EL1.I or F (DDI 0487, ISR_EL1; physical ones, at EL2).
pub fn interrupt_waits() -> bool {
    crate::sysreg::mrs!("isr_el1") & (1 << 7 | 1 << 6) != 0
}

/// The vectors for it, for a partition whose interrupts come directly or by EL2, guarded on the way to Rust or not, and the
/// frames that they use.
pub fn vectors(guarded: bool, direct: bool) -> (usize, [usize; 3]) {
    unsafe extern "C" {
        static vectors: u8;
        static vectors_guarded: u8;
        static vectors_v2: u8;
        static vectors_v2_guarded: u8;
        static vectors_direct: u8;
        static vectors_direct_guarded: u8;
        static vectors_v2_direct: u8;
        static vectors_v2_direct_guarded: u8;
    }
    let table = match (version(), direct, guarded) {
        (Version::V2, false, false) => &raw const vectors_v2,
        (Version::V2, false, true) => &raw const vectors_v2_guarded,
        (Version::V2, true, false) => &raw const vectors_v2_direct,
        (Version::V2, true, true) => &raw const vectors_v2_direct_guarded,
        (Version::V3, false, false) => &raw const vectors,
        (Version::V3, false, true) => &raw const vectors_guarded,
        (Version::V3, true, false) => &raw const vectors_direct,
        (Version::V3, true, true) => &raw const vectors_direct_guarded,
    };
    (table as usize, if version() == Version::V2 { v2::frames() } else { [0; 3] })
}

/// A frame of registers that this core maps.
#[derive(Clone, Copy, Debug)]
pub struct Frame(usize);

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
        // SAFETY: as above; priorities and targets are byte-accessible (IHI 0069, 12.1.3; IHI 0048, 4.1.3).
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

// Offsets that both distributors and the SGI frame share (IHI 0069, 12.8 and 12.10; IHI 0048, 4.1.2).
const IGROUPR: usize = 0x080;
const ISENABLER: usize = 0x100;
const ICENABLER: usize = 0x180;
const ISPENDR: usize = 0x200;
const ICPENDR: usize = 0x280;
const ISACTIVER: usize = 0x300;
const ICACTIVER: usize = 0x380;
const IPRIORITYR: usize = 0x400;
const ICFGR: usize = 0xc00;
