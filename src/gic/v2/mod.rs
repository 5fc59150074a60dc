//! GICv2 (IHI 0048): everything by memory-mapped registers, each core's part banked at one address. EL2 is non-secure,
//! or the GIC has no Security Extensions; both look the same here but for the groups (see [`Gicv2::init`]).

mod lrs;

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use partita_model::gic::{MAX_VCPUS_V2, to_gicv2};

pub use lrs::Lrs;

use super::{
    DOORBELL, Frame, ICACTIVER, ICENABLER, ICPENDR, IGROUPR, IPRIORITYR, ISENABLER, KICK, KICK_PRIORITY,
    Kind, Own, PRIORITY, Seat, Shape, Taken, dist,
};
use crate::sysreg::{mrs, msr};

/// GICD_ITARGETSR, GICD_SGIR and GICD_CPENDSGIR.
const ITARGETSR: usize = 0x800;
const SGIR: usize = 0xf00;
const CPENDSGIR: usize = 0xf10;
/// GICD_TYPER.SecurityExtn.
const TYPER_SECURITY: u32 = 1 << 10;
/// GICD_CTLR and GICC_CTLR, bit 0: EnableGrp1 where there are Security Extensions (non-secure view), else EnableGrp0.
const ENABLE: u32 = 1 << 0;

// The CPU interface (4.1.4).
const GICC_CTLR: usize = 0x00;
const GICC_PMR: usize = 0x04;
const GICC_BPR: usize = 0x08;
const GICC_IAR: usize = 0x0c;
const GICC_EOIR: usize = 0x10;
const GICC_APR: usize = 0xd0;
const GICC_NSAPR: usize = 0xe0;
const GICC_DIR: usize = 0x1000;
/// GICC_CTLR.EOImodeNS, or EOImode where there are no Security Extensions: EOIR drops priority, DIR deactivates.
const GICC_CTLR_EOIMODE: u32 = 1 << 9;

static CPU: AtomicUsize = AtomicUsize::new(0);
static HYP: AtomicUsize = AtomicUsize::new(0);

/// The bit of each core's CPU interface in GICD_ITARGETSR and GICD_SGIR, by its number on the board; 0 until it came.
/// Only the core itself can read it, from its banked ITARGETSR0. Nobody is routed to or kicked before all have come.
static INTERFACES: [AtomicU8; MAX_VCPUS_V2] = [const { AtomicU8::new(0) }; MAX_VCPUS_V2];

/// Notes the mapped addresses of the CPU interface and of the virtual interface control.
pub fn set(cpu: usize, hyp: usize) {
    CPU.store(cpu, Ordering::Relaxed);
    HYP.store(hyp, Ordering::Relaxed);
}

/// The CPU interface, the virtual interface control and the distributor, for the vectors.
pub fn frames() -> [usize; 3] {
    [CPU.load(Ordering::Relaxed), HYP.load(Ordering::Relaxed), dist::frame().0]
}

fn cpu() -> Frame {
    Frame(CPU.load(Ordering::Relaxed))
}

fn interface(seat: Seat) -> u8 {
    let Seat::V2(number) = seat else { return 0 };
    INTERFACES.get(number).map_or(0, |interface| interface.load(Ordering::Acquire))
}

/// What sends an SGI to a core. TargetListFilter = 0: to those in CPUTargetList (4.3.15).
fn sgi(seat: Seat, intid: u32) -> u32 {
    u32::from(interface(seat)) << 16 | intid
}

/// A board's GICv2.
#[derive(Debug)]
pub struct Gicv2;

impl Kind for Gicv2 {
    fn init(&self) {
        let dist = dist::frame();
        dist.write(dist::CTLR, 0);
        dist::quieten();
        // Without Security Extensions EL2 takes Group 0, in which all are after reset: GICC_IAR is enough then, and
        // without FIQEn they come as IRQ. With them only Group 1 is there, and firmware has put interrupts into it.
        let groups = dist.read(dist::TYPER) & TYPER_SECURITY == 0;
        for word in 1..if groups { dist::lines().div_ceil(32) as usize } else { 1 } {
            dist.write(IGROUPR + 4 * word, 0);
        }
        for word in 8..dist::lines() as usize / 4 {
            dist.write(ITARGETSR + 4 * word, 0);
        }
        dist.write(dist::CTLR, ENABLE);
    }

    fn init_core(&self, seat: Seat, own: Own) {
        hide_system_registers();
        claim(own);
        // What firmware left in Group 0, or masked for the non-secure side, does not take these writes (4.4.1, 4.8.6): a
        // core that no kick reaches must not begin. The roll call tells which one it is.
        if cpu().read(GICC_PMR) == 0 || dist::frame().read(ISENABLER) & own.enabled != own.enabled {
            log::error!(
                "firmware keeps this core's interrupts for the secure side; it has to put them into Group 1"
            );
            crate::power::park();
        }
        self.reset_virtual();
        tell(seat);
    }

    fn reset_virtual(&self) {
        lrs::reset();
    }

    fn shape(&self) -> Shape {
        lrs::shape()
    }

    fn private(&self, _: Seat) -> Frame {
        dist::frame()
    }

    fn disable(&self, _: Option<Seat>, register: usize, mask: u32) {
        dist::frame().write(register, mask);
        // There is no RWP. A read of the same frame comes after the write has arrived, and the distributor tells CPU
        // interfaces what is pending from its state.
        dist::frame().read(dist::CTLR);
    }

    fn route(&self, intid: u32, seat: Seat) {
        dist::frame().write_byte(ITARGETSR + intid as usize, interface(seat));
    }

    fn kick(&self, seat: Seat) {
        self.send(seat, KICK, false);
    }

    fn doorbell(&self, seat: Seat) -> u64 {
        u64::from(sgi(seat, DOORBELL))
    }

    fn give(&self) {
        let (dist, cpu) = (dist::frame(), cpu());
        cpu.write(GICC_CTLR, 0);
        cpu.write(GICC_PMR, 0);
        cpu.write(GICC_BPR, 0);
        quieten(dist);
        forget_priorities(cpu);
        super::to_el2(false);
    }

    fn take_back(&self, _: Seat, own: Own) {
        super::to_el2(true);
        forget_priorities(cpu());
        claim(own);
        self.reset_virtual();
    }

    fn send(&self, seat: Seat, intid: u32, _: bool) {
        // SAFETY: a barrier: what was written before is visible before the SGI arrives.
        unsafe { core::arch::asm!("dsb ish", options(nostack, preserves_flags)) };
        // TargetListFilter = 0: those in CPUTargetList (4.3.15).
        dist::frame().write(SGIR, sgi(seat, intid));
    }

    fn acknowledge(&self) -> Taken {
        Taken(cpu().read(GICC_IAR))
    }

    fn drop_priority(&self, taken: Taken) {
        cpu().write(GICC_EOIR, taken.0);
    }

    fn deactivate(&self, taken: Taken) {
        cpu().write(GICC_DIR, taken.0);
    }

    fn mask_all_but_kick(&self, masked: bool) {
        cpu().write(GICC_PMR, if masked { u32::from(PRIORITY) } else { 0xff });
        // Read back: what is masked is so before the core goes to sleep.
        cpu().read(GICC_PMR);
    }

    fn ready(&self, image: u64) -> u64 {
        u64::from(to_gicv2(image))
    }
}

/// Brings the calling core's private interrupts and its CPU interface to EL2's use.
fn claim(own: Own) {
    let (dist, cpu) = (dist::frame(), cpu());
    quieten(dist);
    if dist.read(dist::TYPER) & TYPER_SECURITY == 0 {
        dist.write(IGROUPR, 0);
    }
    for word in 0..8 {
        dist.write(IPRIORITYR + 4 * word, u32::from_ne_bytes([PRIORITY; 4]));
    }
    own.urgent().for_each(|intid| dist.write_byte(IPRIORITYR + intid, KICK_PRIORITY));
    dist.write(ISENABLER, own.enabled);

    cpu.write(GICC_CTLR, 0);
    cpu.write(GICC_PMR, 0xff);
    cpu.write(GICC_BPR, 0);
    cpu.write(GICC_CTLR, ENABLE | GICC_CTLR_EOIMODE);
}

/// Gives an SPI these targets, of which the first to acknowledge it has it.
pub fn target(intid: u32, seats: impl Iterator<Item = Seat>) {
    dist::frame().write_byte(ITARGETSR + intid as usize, seats.fold(0, |all, seat| all | interface(seat)));
}

/// Nothing private is enabled, pending or active.
fn quieten(dist: Frame) {
    dist.write(ICENABLER, !0);
    dist.write(ICPENDR, !0);
    (0..4).for_each(|word| dist.write(CPENDSGIR + 4 * word, !0));
    dist.write(ICACTIVER, !0);
}

/// No priority is active at the CPU interface.
fn forget_priorities(cpu: Frame) {
    for word in 0..4 {
        cpu.write(GICC_APR + 4 * word, 0);
        cpu.write(GICC_NSAPR + 4 * word, 0);
    }
}

/// Tells which interface the calling core has. A GIC for one core reads zero everywhere (4.3.12).
pub fn tell(seat: Seat) {
    let words = (0..8).map(|word| dist::frame().read(ITARGETSR + 4 * word));
    let bits = words.flat_map(u32::to_ne_bytes).find(|byte| *byte != 0);
    if let Seat::V2(number) = seat
        && let Some(interface) = INTERFACES.get(number)
    {
        interface.store(bits.unwrap_or(1), Ordering::Release);
    }
}

/// A core may have GICv3's system registers although its board has a GICv2: off at EL2, and trapped at EL1
/// (ICC_SRE_EL2.SRE and Enable = 0; IHI 0069, 12.2.22).
fn hide_system_registers() {
    if crate::traps::host().field(4, 0, 24) != 0 {
        // SAFETY: turns an interface off that nobody uses.
        unsafe { msr!("icc_sre_el2", mrs!("icc_sre_el2") & !(1 << 3 | 1 << 0)) };
    }
}
