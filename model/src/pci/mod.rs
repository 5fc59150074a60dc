//! PCI functions given one by one: what a guest sees of its functions' configuration space, and what happens to
//! the rest of a bridge's functions.
//!
//! No configuration space is ever mapped to a guest. Its accesses trap, and [`Host::access`] answers them: functions
//! that are not the partition's read as absent; those that are show a type 0 header whose address registers are
//! [`Bars`](bars::Bars) that can only decode within the partition's part of the bridge's window, and of the
//! capabilities those on an allow-list. So a guest can neither take another's addresses, nor send message-signalled
//! interrupts, nor translated requests past the SMMU.
//!
//! Sections cited are those of the PCI Local Bus Specification 3.0 ("PCI") and the PCI Express Base Specification
//! 4.0 ("PCIe").

mod bars;
mod caps;
mod function;
mod host;
mod quiet;
mod regs;
mod virtio;

#[cfg(test)]
mod tests;

use core::fmt;

pub use function::{Fault, Function};
pub use host::Host;
pub use quiet::{quiet, silence};

/// Bytes of one function's configuration space in an ECAM (PCIe 7.2.2).
pub const FUNCTION_BYTES: u64 = 0x1000;
/// Bytes of one bus's.
pub const BUS_BYTES: u64 = 0x10_0000;

/// Which function: bus, device and function number as a requester ID has them (PCIe 2.2.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u16);

impl Address {
    /// The function with this requester ID.
    #[must_use]
    pub const fn new(requester: u16) -> Self {
        Self(requester)
    }

    /// Function 0..7 of device 0..31; higher bits are cut off.
    #[must_use]
    pub const fn of(bus: u8, device: u8, function: u8) -> Self {
        Self((bus as u16) << 8 | (device as u16 & 0x1f) << 3 | (function as u16 & 7))
    }

    /// As lspci prints it: `00:02.0`.
    #[must_use]
    pub fn parse(words: &str) -> Option<Self> {
        let hex = |digits: &str, most: u8| {
            let number = u8::from_str_radix(digits, 16).ok()?;
            (digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && number <= most).then_some(number)
        };
        let (bus, rest) = words.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let shaped = bus.len() == 2 && device.len() == 2 && function.len() == 1;
        shaped.then_some(())?;
        Some(Self::of(hex(bus, 0xff)?, hex(device, 0x1f)?, hex(function, 7)?))
    }

    /// The requester ID, by which an SMMU tells functions apart.
    #[must_use]
    pub const fn requester(self) -> u16 {
        self.0
    }

    /// Its bus.
    #[must_use]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Its device on the bus.
    #[must_use]
    pub const fn device(self) -> u8 {
        (self.0 >> 3) as u8 & 0x1f
    }

    /// Its number in the device.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.0 as u8 & 7
    }

    /// Where its configuration space is in an ECAM that begins with bus `first` (PCIe 7.2.2); none below that bus.
    #[must_use]
    pub fn offset(self, first: u8) -> Option<u64> {
        let bus = self.bus().checked_sub(first)?;
        Some(u64::from(bus) * BUS_BYTES + u64::from(self.0 & 0xff) * FUNCTION_BYTES)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus(), self.device(), self.function())
    }
}

/// What the model asks of EL2: the physical configuration space of functions, and time.
pub trait Config {
    /// Reads an aligned doubleword; all ones where nothing answers.
    fn read(&mut self, function: Address, register: u16) -> u32;

    /// Writes 2 or 4 bytes at a multiple of their number. Two bytes leave their neighbours alone: status bits are
    /// cleared by writing ones.
    fn write(&mut self, function: Address, register: u16, width: u8, value: u32);

    /// Lets at least so many milliseconds pass.
    fn pause(&mut self, milliseconds: u32);
}
