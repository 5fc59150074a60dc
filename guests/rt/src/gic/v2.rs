//! GICv2: distributor and CPU interface by their registers (IHI 0048, 4.3 and 4.4).
//!
//! Without the Security Extensions every interrupt is in Group 0 and bit 0 of both control registers enables that; seen
//! from the Non-secure side of a GIC with them, the same bit enables Group 1. So no group is ever set here.

use aarch64_cpu::asm::barrier;

use super::{Controller, NORMAL, gicc, gicd};
use crate::mmio::{read32, write8, write32};

const GICD_CTLR: u64 = 0x000;
const GICD_TYPER: u64 = 0x004;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ICPENDR: u64 = 0x280;
const ICACTIVER: u64 = 0x380;
const IPRIORITYR: u64 = 0x400;
const ITARGETSR: u64 = 0x800;
const SGIR: u64 = 0xf00;

const GICC_CTLR: u64 = 0x000;
const PMR: u64 = 0x004;
const BPR: u64 = 0x008;
const IAR: u64 = 0x00c;
const EOIR: u64 = 0x010;
const RPR: u64 = 0x014;
const HPPIR: u64 = 0x018;
/// GICC_APR0, of which 5 bits of group priority need no more (IHI 0048, 4.4.19).
const APR0: u64 = 0x0d0;
const DIR: u64 = 0x1000;

/// Bit 0 of GICC_CTLR.
const ENABLE: u32 = 1;
/// GICC_CTLR.EOImode, or EOImodeNS.
const EOI_MODE: u32 = 1 << 9;
/// GICD_SGIR.TargetListFilter: all but the sender (4.3.15).
const OTHERS: u32 = 1 << 24;

/// The GICv2.
pub struct Gicv2;

fn distributor(offset: u64, value: u32) {
    write32(gicd() + offset, value);
}

/// Writes GICD_SGIR, after which the other cores see what was stored before it.
fn generate(value: u32) {
    barrier::dsb(barrier::ISHST);
    distributor(SGIR, value);
}

fn control(bit: u32, on: bool) {
    let old = read32(gicc() + GICC_CTLR);
    write32(gicc() + GICC_CTLR, if on { old | bit } else { old & !bit });
}

impl Controller for Gicv2 {
    fn init(&self, _: usize) {
        distributor(GICD_CTLR, 0);
        let words = u64::from(read32(gicd() + GICD_TYPER) & 0x1f);
        // SPIs go to the core that does this; where there is one only, the register is zero (4.3.12).
        let here = read32(gicd() + ITARGETSR) & 0xff;
        for word in 1..=words {
            for register in [ICENABLER, ICPENDR, ICACTIVER] {
                distributor(register + word * 4, !0);
            }
            for four in word * 8..word * 8 + 8 {
                distributor(IPRIORITYR + four * 4, u32::from_ne_bytes([NORMAL; 4]));
                distributor(ITARGETSR + four * 4, here * 0x0101_0101);
            }
        }
        distributor(GICD_CTLR, 1);
    }

    fn init_core(&self) {
        distributor(ICENABLER, !0);
        for four in 0..8 {
            distributor(IPRIORITYR + four * 4, u32::from_ne_bytes([NORMAL; 4]));
        }
        write32(gicc() + BPR, 0);
        write32(gicc() + GICC_CTLR, ENABLE);
    }

    fn private_frame(&self, _: usize) -> u64 {
        gicd()
    }

    fn enable(&self, intid: u32, on: bool) {
        let register = if on { ISENABLER } else { ICENABLER };
        distributor(register + u64::from(intid / 32) * 4, 1 << (intid % 32));
    }

    fn route(&self, spi: u32, core: usize, _: u64) {
        write8(gicd() + ITARGETSR + u64::from(spi), 1 << core);
    }

    fn send(&self, sgi: u32, targets: u16) {
        generate(u32::from(targets) << 16 | sgi);
    }

    fn send_to_others(&self, sgi: u32) {
        generate(OTHERS | sgi);
    }

    fn acknowledge(&self) -> u32 {
        read32(gicc() + IAR) & 0x1fff
    }

    fn highest_pending(&self) -> u32 {
        read32(gicc() + HPPIR) & 0x1fff
    }

    fn running_priority(&self) -> u8 {
        read32(gicc() + RPR) as u8
    }

    fn end(&self, taken: u32) {
        write32(gicc() + EOIR, taken);
    }

    fn deactivate(&self, taken: u32) {
        write32(gicc() + DIR, taken);
    }

    fn set_split(&self, on: bool) {
        control(EOI_MODE, on);
    }

    fn set_signalling(&self, on: bool) {
        control(ENABLE, on);
    }

    fn set_mask(&self, mask: u8) {
        write32(gicc() + PMR, u32::from(mask));
    }

    fn set_binary_point(&self, point: u8) {
        write32(gicc() + BPR, u32::from(point));
    }

    fn set_active(&self, priorities: u32) {
        write32(gicc() + APR0, priorities);
    }
}
