//! One function of a partition, as its guest sees it.

use core::fmt;

use super::bars::{Bars, COUNT, OddBar};
use super::caps::{View, list};
use super::regs::{
    BAR, CAPABILITIES, CLASS, COMMAND, HAS_CAPABILITIES, HEADER, ID, INTERRUPT, INTX_DISABLE, LAYOUT, MASTER,
    MEMORY, MULTI_FUNCTION, STATUS, STATUS_ERRORS, SUBSYSTEM, cap,
};
use super::{Address, Config, quiet, virtio};
use crate::addr::PciSpan;

/// What of the command register a guest can write. I/O space is nobody's, and errors are not reported to the
/// bridge (SERR# and parity), which is everybody's.
const COMMAND_WRITABLE: u16 = MEMORY | MASTER | INTX_DISABLE;

/// Why a function that a partition owns is kept from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing answers.
    Absent,
    /// It is a bridge or a CardBus bridge: there is more behind it.
    Layout(u8),
    /// The sizes of a base address register make no sense.
    Bar(usize),
    /// It has fixed addresses beside its registers (Enhanced Allocation).
    FixedAddresses,
    /// It is a virtio function that does not say that it keeps to the bus's rules.
    Bypasses,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no function answers there"),
            Self::Layout(layout) => {
                write!(f, "it is a bridge (header type {layout}), and what is behind bridges cannot be given yet")
            }
            Self::Bar(index) => write!(f, "the size of its base address register {index} cannot be understood"),
            Self::FixedAddresses => f.write_str("it has fixed addresses (Enhanced Allocation)"),
            Self::Bypasses => f.write_str(
                "it is a virtio function that does DMA past the SMMU: it offers no VIRTIO_F_ACCESS_PLATFORM (QEMU: \
                 iommu_platform=on)",
            ),
        }
    }
}

impl From<OddBar> for Fault {
    fn from(OddBar(index): OddBar) -> Self {
        Self::Bar(index)
    }
}

/// A function's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    address: Address,
    /// The command register as the guest wrote it.
    command: u16,
    bars: Bars,
    view: View,
    /// Interrupt line: a place for the guest's notes (PCI 6.2.4).
    line: u8,
    /// Interrupt pin: A, or none where it has another, which leads to nobody.
    pin: u8,
    /// The function says that its device has several, and the partition has more than this one.
    several: bool,
}

impl Function {
    /// Looks at a function that [`quiet`](super::quiet()) has found, and brings it to its state after reset. `several`:
    /// the partition has more of its device; `wired`: the plan knows where pin A leads.
    ///
    /// # Errors
    ///
    /// Why no guest can have it. It is silent then.
    pub fn new(
        address: Address,
        several: bool,
        wired: bool,
        config: &mut impl Config,
    ) -> Result<Self, Fault> {
        match config.read(address, ID) as u16 {
            // No vendor has these (PCI 6.2.1). Ones are also what is read where nobody answers.
            0xffff | 0 => return Err(Fault::Absent),
            _ => {}
        }
        let header = config.read(address, HEADER);
        if header & LAYOUT != 0 {
            return Err(Fault::Layout((header >> 16) as u8 & 0x7f));
        }
        quiet::silence(address, config);
        quiet::reset(address, config);
        if list(address, config).iter().any(|found| found.id == cap::ENHANCED_ALLOCATION) {
            return Err(Fault::FixedAddresses);
        }
        let bars = Bars::probe(address, config)?;
        if virtio::bypasses(address, config) {
            return Err(Fault::Bypasses);
        }
        let view = View::new(address, config);
        let pin = u8::from(wired && config.read(address, INTERRUPT) >> 8 & 0xff == 1);
        let several = several && header & MULTI_FUNCTION != 0;
        Ok(Self { address, command: 0, bars, view, line: 0, pin, several })
    }

    /// Which one it is.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Silences it, resets it if it can be, and forgets what the guest set up.
    pub fn reset(&mut self, config: &mut impl Config) {
        quiet::silence(self.address, config);
        quiet::reset(self.address, config);
        self.command = 0;
        self.line = 0;
        self.bars.clear();
    }

    /// The doubleword at `register`.
    pub fn read(&self, register: u16, config: &mut impl Config) -> u32 {
        let mut physical = || config.read(self.address, register);
        match register {
            ID | CLASS | SUBSYSTEM => physical(),
            COMMAND => {
                let status = (physical() >> 16) as u16 & !HAS_CAPABILITIES;
                let list = if self.view.first() == 0 { 0 } else { HAS_CAPABILITIES };
                u32::from(status | list) << 16 | u32::from(self.command)
            }
            // Without BIST, which nobody can start here.
            HEADER => {
                let word = physical() & 0x00ff_ffff & !MULTI_FUNCTION;
                if self.several { word | MULTI_FUNCTION } else { word }
            }
            CAPABILITIES => self.view.first().into(),
            INTERRUPT => physical() & 0xffff_0000 | u32::from(self.pin) << 8 | u32::from(self.line),
            _ => match bar(register) {
                Some(index) => self.bars.read(index),
                // Zeros beside the capabilities that it shows: CardBus pointer, ROM, what is reserved.
                None => self.view.read(register, physical),
            },
        }
    }

    /// Writes the bytes in `mask` of the doubleword at `register`. What is not named here cannot be written.
    pub fn write(
        &mut self,
        register: u16,
        value: u32,
        mask: u32,
        windows: &[PciSpan],
        config: &mut impl Config,
    ) {
        match register {
            COMMAND => {
                let (low, own) = (value as u16, mask as u16 & COMMAND_WRITABLE);
                self.command = self.command & !own | low & own;
                let errors = (value & mask) >> 16 & u32::from(STATUS_ERRORS);
                if errors != 0 {
                    config.write(self.address, STATUS, 2, errors);
                }
                self.apply(windows, config);
            }
            INTERRUPT if mask & 0xff != 0 => self.line = value as u8,
            _ => {
                if let Some(index) = bar(register) {
                    self.bars.write(index, value, mask);
                    self.apply(windows, config);
                }
            }
        }
    }

    /// Brings the function to what its registers say, as far as it may be: it decodes memory only while all that its
    /// address registers say lies in the partition's windows, and never while they change. Where nothing of that
    /// changes, it goes on decoding: another core may be using it.
    fn apply(&self, windows: &[PciSpan], config: &mut impl Config) {
        let (bars, address) = (&self.bars, self.address);
        let masked = if self.pin == 0 { INTX_DISABLE } else { 0 };
        let rest = self.command & (MASTER | INTX_DISABLE) | masked;
        let decode = self.command & MEMORY != 0 && bars.within(windows);
        if !decode || !bars.are_programmed(address, config) {
            config.write(address, COMMAND, 2, rest.into());
        }
        if decode {
            if !bars.are_programmed(address, config) {
                bars.program(address, config);
            }
            config.write(address, COMMAND, 2, (rest | MEMORY).into());
            // A function may reset itself at any time, by registers of its own that its guest reaches: then its
            // address registers are not what we wrote, and turning it on was wrong.
            if !bars.are_programmed(address, config) {
                config.write(address, COMMAND, 2, rest.into());
            }
        }
    }
}

/// The base address register in the doubleword at `register`.
fn bar(register: u16) -> Option<usize> {
    let index = usize::from(register.checked_sub(BAR)?) / 4;
    (index < COUNT).then_some(index)
}
