//! GICv3 (IHI 0069): redistributors by memory-mapped registers, CPU interface and list registers by system registers.

pub mod cpu;
pub mod redist;

pub use cpu::Lrs;

use super::{DOORBELL, Frame, IGROUPR, Kind, Own, Seat, Shape, Taken, dist};

const IROUTER: usize = 0x6000;
/// GICD_CTLR.ARE_NS (bit 4; ARE where there is one security state).
const CTLR_ARE: u32 = 1 << 4;
/// GICD_CTLR.EnableGrp1A (EnableGrp1 where there is one security state).
const CTLR_ENABLE: u32 = 1 << 1;
/// GICD_CTLR.DS: one security state,
const CTLR_DS: u32 = 1 << 6;
/// which has EnableGrp0.
const CTLR_ENABLE_GROUP0: u32 = 1 << 0;
/// GICD_CTLR.RWP.
const CTLR_RWP: u32 = 1 << 31;

/// Waits until earlier writes to the distributor have taken effect; bounded by the hardware.
fn wait(dist: Frame) {
    while dist.read(dist::CTLR) & CTLR_RWP != 0 {
        core::hint::spin_loop();
    }
}

/// A board's GICv3.
#[derive(Debug)]
pub struct Gicv3;

impl Kind for Gicv3 {
    fn init(&self) {
        let dist = dist::frame();
        // ARE stays if it is set: to clear it is UNPREDICTABLE (IHI 0069, 12.9.4).
        dist.write(dist::CTLR, dist.read(dist::CTLR) & CTLR_ARE);
        wait(dist);
        dist::quieten();
        for word in 1..dist::lines().div_ceil(32) as usize {
            dist.write(IGROUPR + 4 * word, !0);
        }
        wait(dist);
        // ARE first: writing it with an enable bit set is UNPREDICTABLE (IHI 0069, 12.9.4).
        dist.write(dist::CTLR, CTLR_ARE);
        wait(dist);
        // With one security state a direct partition may have interrupts in Group 0; nobody else's are.
        let group0 = if dist.read(dist::CTLR) & CTLR_DS != 0 { CTLR_ENABLE_GROUP0 } else { 0 };
        dist.write(dist::CTLR, CTLR_ARE | CTLR_ENABLE | group0);
        wait(dist);
    }

    fn init_core(&self, seat: Seat, own: Own) {
        if let Seat::V3(_, redist) = seat {
            redist.init(own);
        }
        cpu::init();
    }

    fn reset_virtual(&self) {
        cpu::reset_virtual();
    }

    fn shape(&self) -> Shape {
        cpu::shape()
    }

    fn private(&self, seat: Seat) -> Frame {
        match seat {
            Seat::V3(_, redist) => redist.private(),
            Seat::V2(_) => dist::frame(),
        }
    }

    fn disable(&self, seat: Option<Seat>, register: usize, mask: u32) {
        match seat {
            // A core's own; the caller has its partition's lock.
            Some(Seat::V3(_, redist)) => {
                redist.private().write(register, mask);
                redist.wait();
            }
            // RWP tells of everybody's writes (IHI 0069, 12.9.4): they are made one at a time, so that nobody waits for
            // a write that came after his own.
            _ => dist::alone(|dist| {
                dist.write(register, mask);
                wait(dist);
            }),
        }
    }

    fn route(&self, intid: u32, seat: Seat) {
        if let Seat::V3(mpidr, _) = seat {
            dist::frame().write64(IROUTER + 8 * intid as usize, mpidr & 0xff_00ff_ffff);
        }
    }

    fn kick(&self, seat: Seat) {
        if let Seat::V3(mpidr, _) = seat {
            cpu::kick(mpidr);
        }
    }

    fn doorbell(&self, seat: Seat) -> u64 {
        match seat {
            Seat::V3(mpidr, _) => cpu::sgi(mpidr, DOORBELL),
            Seat::V2(_) => 0,
        }
    }

    fn give(&self) {
        cpu::give();
    }

    fn take_back(&self, seat: Seat, own: Own) {
        cpu::take_back();
        self.init_core(seat, own);
    }

    fn send(&self, seat: Seat, intid: u32, group0: bool) {
        if let Seat::V3(mpidr, _) = seat {
            cpu::send(mpidr, intid, group0);
        }
    }

    fn acknowledge(&self) -> Taken {
        cpu::acknowledge()
    }

    fn drop_priority(&self, taken: Taken) {
        cpu::drop_priority(taken);
    }

    fn deactivate(&self, taken: Taken) {
        cpu::deactivate(taken);
    }

    fn mask_all_but_kick(&self, masked: bool) {
        cpu::mask_all_but_kick(masked);
    }

    fn ready(&self, image: u64) -> u64 {
        image
    }
}
