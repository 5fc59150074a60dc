//! The virtual interface control: list registers and what goes with them (IHI 0048, chapter 5). Images are in GICv3's
//! form on the model's side and converted here.

use partita_model::gic::{Control, ListRegisters, from_gicv2, to_gicv2};

use super::{HYP, Ordering};
use crate::gic::{Frame, Shape};

const HCR: usize = 0x00;
const VTR: usize = 0x04;
const VMCR: usize = 0x08;
const EISR0: usize = 0x20;
const APR: usize = 0xf0;
const LR: usize = 0x100;
/// GICH_HCR.En.
const EN: u32 = 1 << 0;
/// GICH_HCR.EOICount, bits 31..27.
const EOI_COUNT: u32 = 27;

fn hyp() -> Frame {
    Frame(HYP.load(Ordering::Relaxed))
}

/// Brings the virtual interface to its state after reset. There are five bits of preemption at most, so one APR.
pub fn reset() {
    let mut lrs = Lrs;
    (0..lrs.count()).for_each(|index| lrs.write(index, 0));
    hyp().write(VMCR, 0);
    hyp().write(APR, 0);
    hyp().write(HCR, EN);
}

/// GICH_VTR.PRIbits; GICV_DIR is in the page that guests have, and cannot be trapped.
pub fn shape() -> Shape {
    Shape { priority_bits: (hyp().read(VTR) >> 29 & 7) as u8 + 1, traps_dir: false }
}

/// The list registers of this core.
#[derive(Debug)]
pub struct Lrs;

impl ListRegisters for Lrs {
    fn count(&self) -> usize {
        // Nobody builds more than sixteen, and of 32 on there are second registers for their states (5.3.5).
        ((hyp().read(VTR) & 0x3f) as usize + 1).min(32)
    }

    fn read(&self, index: usize) -> u64 {
        from_gicv2(hyp().read(LR + 4 * index))
    }

    fn write(&mut self, index: usize, image: u64) {
        hyp().write(LR + 4 * index, to_gicv2(image));
    }

    fn ended(&self) -> u32 {
        hyp().read(EISR0)
    }

    fn take_eoi_count(&mut self) -> u32 {
        let control = hyp().read(HCR);
        hyp().write(HCR, control & !(0x1f << EOI_COUNT));
        control >> EOI_COUNT
    }

    fn set_control(&mut self, control: Control) {
        // Bits 7..2 are where GICv3 has them (5.3.1); TDIR is not among them.
        hyp().write(HCR, EN | control.difference(Control::TDIR).bits() as u32);
    }

    fn enabled_groups(&self) -> u32 {
        hyp().read(VMCR) & 3
    }
}
