//! PCI host bridges, and functions given one by one.
//!
//! Functions are not in the tree: the plan takes their numbers as said, and decides what follows from them. That is the
//! stream by which the SMMU knows a function, the interrupt that its pin leads to, and a part of the bridge's windows
//! for its registers. Whether a function is there, and of a kind that can be given, EL2 sees at boot.

mod bridge;
mod give;
mod list;
mod window;

use alloc::string::String;
use alloc::vec::Vec;

use super::{Spi, Streams};
use crate::addr::{Ipa, IpaSpan, Pa, PaSpan, PciAddr, PciSpan, Span};
use crate::pci::{Address, BUS_BYTES};

pub(super) use bridge::bridges;
pub(super) use give::{give, is_function};
pub use list::{BridgeOffer, Line, list};

/// A PCI host bridge whose functions' configuration space is in an ECAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Path of its node.
    pub path: String,
    /// Configuration space, from the root bus on.
    pub ecam: PaSpan,
    /// The root bus, and the last bus that there may be.
    pub buses: (u8, u8),
    /// Where memory of functions can be; empty if its `ranges` cannot be understood.
    pub windows: Vec<Window>,
}

impl Bridge {
    /// The configuration space of the root bus.
    #[must_use]
    pub fn root_ecam(&self) -> PaSpan {
        PaSpan { base: self.ecam.base, size: BUS_BYTES }
    }
}

/// A range of addresses that a host bridge passes on to its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first cell of its addresses on the bus: the space that they are in, and whether reading ahead is allowed
    /// (IEEE 1275 PCI binding, 2.2.1.1).
    pub space: u32,
    /// First address on the bus.
    pub bus: PciAddr,
    /// The same as a physical address.
    pub at: Pa,
    /// Size in bytes.
    pub size: u64,
}

impl Window {
    /// Physical addresses.
    #[must_use]
    pub fn physical(&self) -> PaSpan {
        Span { base: self.at, size: self.size }
    }

    /// Addresses on the bus.
    #[must_use]
    pub fn on_bus(&self) -> PciSpan {
        Span { base: self.bus, size: self.size }
    }
}

/// A partition's part of a host bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciPart {
    /// Which of [`Board::pci`](super::Board::pci).
    pub bridge: usize,
    /// Where the guest sees configuration space: the host's address, where nothing is mapped.
    pub ecam: IpaSpan,
    /// The functions.
    pub functions: Vec<PciFunction>,
    /// Where their memory can be: mapped at the host's addresses.
    pub windows: Vec<Window>,
}

impl PciPart {
    fn new(bridge: usize, of: &Bridge) -> Self {
        let ecam = of.root_ecam();
        let ecam = Span { base: Ipa(ecam.base.0), size: ecam.size };
        Self { bridge, ecam, functions: Vec::new(), windows: Vec::new() }
    }
}

/// A PCI function given to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciFunction {
    /// As the overlay names it.
    pub name: String,
    /// Which one.
    pub address: Address,
    /// What its pin A leads to; none: it has no interrupt.
    pub spi: Option<Spi>,
    /// What an SMMU knows it by.
    pub streams: Vec<Streams>,
}
