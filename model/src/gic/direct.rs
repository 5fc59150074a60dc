//! `interrupt-path = "direct"`: physical interrupts reach the guest without EL2 (HCR_EL2.IMO = FMO = 0).
//!
//! The guest acknowledges and ends interrupts at the physical CPU interface, so no list register holds anything, and an
//! interrupt that is physically active is active for the guest. The distributor stays the model's: enable bits, groups,
//! routes, triggers and running vCPUs decide what is enabled physically, as for any partition; what is more is that priorities
//! and groups are physical too, that SGIs are physical ones, and that an emulated device has a physical SPI that no other
//! device uses, which EL2 makes pending in its place.

use super::bank::bits;
use super::hw::{Bits, Hw, Word};
use super::{Vgic, WordRegister};

impl Vgic {
    /// Whether interrupts reach the guest without EL2.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether this vCPU may deactivate an interrupt by its number.
    #[must_use]
    pub fn owns(&self, vcpu: usize, intid: u32) -> bool {
        let word = if intid < 32 { Word::Private(vcpu) } else { Word::Shared(intid as usize / 32) };
        self.bank(word).is_some_and(|bank| bank.physical & 1 << (intid % 32) != 0)
    }

    /// Sets the input of an emulated device's SPI. While the line is high the interrupt is pending, as far as writes can make
    /// it so: the acknowledgement takes that away, so this is to be called after every access to the device, whether its
    /// line changed or not.
    pub fn drive<H: Hw>(&mut self, intid: u32, level: bool, hw: &mut H) {
        let (word, bit) = (Word::Shared(intid as usize / 32), 1 << (intid % 32));
        let Some(bank) = self.bank_mut(word).filter(|bank| bank.driven & bit != 0) else { return };
        let was = bank.line & bit != 0;
        bank.line = if level { bank.line | bit } else { bank.line & !bit };
        if level {
            hw.set(word, Bits::Pending, bit);
        } else if was {
            hw.clear(word, Bits::Pending, bit);
        }
    }

    /// A load of pending or active bits.
    pub(super) fn direct_read<H: Hw>(&self, word: Word, register: Bits, hw: &mut H) -> u32 {
        let owned = self.bank(word).map_or(0, |bank| bank.physical);
        if owned == 0 { 0 } else { hw.read(word, register) & owned }
    }

    /// A store to a register of pending or active bits, of interrupts that are the partition's.
    pub(super) fn direct_write<H: Hw>(&self, word: Word, register: WordRegister, mask: u32, hw: &mut H) {
        let Some(bank) = self.bank(word) else { return };
        let mask = mask & bank.physical;
        if mask == 0 {
            return;
        }
        match register {
            WordRegister::SetPending => hw.set(word, Bits::Pending, mask),
            WordRegister::ClearPending => {
                hw.clear(word, Bits::Pending, mask);
                let again = mask & bank.driven & bank.line;
                if again != 0 {
                    hw.set(word, Bits::Pending, again);
                }
            }
            WordRegister::SetActive => hw.set(word, Bits::Active, mask),
            WordRegister::ClearActive => hw.clear(word, Bits::Active, mask),
            WordRegister::Group | WordRegister::SetEnable | WordRegister::ClearEnable => {}
        }
    }

    /// Gives physical interrupts the priorities and groups that the guest gave them.
    pub(super) fn direct_rank<H: Hw>(&self, word: Word, mask: u32, hw: &mut H) {
        let Some(bank) = self.bank(word).filter(|_| self.direct) else { return };
        let mask = mask & bank.physical;
        if mask == 0 {
            return;
        }
        hw.set_groups(word, mask, bank.group1);
        bits(mask).for_each(|bit| hw.set_priority(word, word.base() + bit, bank.priority(bit)));
    }
}
