//! Base address registers: as the guest writes them, and whether the function may decode what they say.

use super::regs::{BAR, BAR_FLAGS, BAR_IO, BAR_TYPE, BAR_WIDE};
use super::{Address, Config};
use crate::addr::{PciAddr, PciSpan, Span};

/// How many a type 0 header has (PCI 6.2.5).
pub const COUNT: usize = 6;

/// One register: the bits that a guest can write, those that are always set, and what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Register {
    writable: u32,
    flags: u32,
    value: u32,
    /// The upper half of the one before it.
    upper: bool,
}

/// The six registers of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bars([Register; COUNT]);

/// A register whose size bits make no power of two: it cannot be told what the function decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OddBar(pub usize);

impl Bars {
    /// Finds out what the function decodes, by the writing of ones (PCI 6.2.5.1). It decodes nothing meanwhile: the
    /// caller has turned memory and I/O space off. All registers are zero afterwards. I/O space is given to nobody,
    /// so its registers read as not there.
    pub fn probe(function: Address, config: &mut impl Config) -> Result<Self, OddBar> {
        let mut bars = Self::default();
        let mut size = |index: usize| {
            config.write(function, register(index), 4, u32::MAX);
            let found = config.read(function, register(index));
            config.write(function, register(index), 4, 0);
            found
        };
        let mut index = 0;
        while index < COUNT {
            let low = size(index);
            let wide = low & BAR_IO == 0 && low & BAR_TYPE == BAR_WIDE && index + 1 < COUNT;
            let high = if wide { size(index + 1) } else { u32::MAX };
            let mask = u64::from(high) << 32 | u64::from(low & !BAR_FLAGS);
            if low & BAR_IO == 0 && (low & !BAR_FLAGS != 0 || (wide && high != 0)) {
                // Ones from the size upwards, and nothing but zeros below.
                if mask.leading_ones() + mask.trailing_zeros() != u64::BITS {
                    return Err(OddBar(index));
                }
                bars.set(index, low & !BAR_FLAGS, low & BAR_FLAGS, false);
                if wide {
                    bars.set(index + 1, high, 0, true);
                }
            }
            index += if wide { 2 } else { 1 };
        }
        Ok(bars)
    }

    fn set(&mut self, index: usize, writable: u32, flags: u32, upper: bool) {
        if let Some(register) = self.0.get_mut(index) {
            *register = Register { writable, flags, value: 0, upper };
        }
    }

    /// What the guest reads.
    pub fn read(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |register| register.value | register.flags)
    }

    /// The guest writes the bytes in `mask`.
    pub fn write(&mut self, index: usize, value: u32, mask: u32) {
        if let Some(register) = self.0.get_mut(index) {
            register.value = (register.value & !mask | value & mask) & register.writable;
        }
    }

    /// Zeros in all of them, as after a reset.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(|register| register.value = 0);
    }

    /// The ranges that they say.
    pub fn ranges(&self) -> impl Iterator<Item = PciSpan> {
        self.0.iter().enumerate().filter(|(_, low)| !low.upper).filter_map(|(index, low)| {
            let high = self.0.get(index + 1).filter(|next| next.upper);
            let join = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
            let writable = join(low.writable, high.map_or(u32::MAX, |high| high.writable));
            let present = low.writable != 0 || high.is_some();
            let size = present.then(|| (!writable).wrapping_add(1))?;
            Some(Span { base: PciAddr(join(low.value, high.map_or(0, |high| high.value))), size })
        })
    }

    /// Whether all that they say lies in one of these windows. A range at the very end of the address space, as it is
    /// while a guest looks for sizes, lies in none.
    pub fn within(&self, windows: &[PciSpan]) -> bool {
        self.ranges().all(|range| {
            let end = range.base.0.checked_add(range.size);
            end.is_some() && windows.iter().any(|window| window.contains_span(&range))
        })
    }

    /// Writes them to the function, which decodes nothing meanwhile.
    pub fn program(&self, function: Address, config: &mut impl Config) {
        for (index, bar) in self.0.iter().enumerate().filter(|(_, bar)| bar.writable != 0) {
            config.write(function, register(index), 4, bar.value);
        }
    }

    /// Whether the function has them as they are here.
    pub fn are_programmed(&self, function: Address, config: &mut impl Config) -> bool {
        let mut there = self.0.iter().enumerate().filter(|(_, bar)| bar.writable != 0);
        there.all(|(index, bar)| config.read(function, register(index)) & bar.writable == bar.value)
    }
}

/// Where a register is.
fn register(index: usize) -> u16 {
    BAR + 4 * index as u16
}
