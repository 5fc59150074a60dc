//! Why a plan was refused: where (node and property in the merged tree), what is wrong, and how to mend it.
//!
//! The words are made here and nowhere else, so that EL2 and the host tool say the same. A variant carries what
//! its sentence needs; the host tool maps `node` and `property` to file, line and column.

mod words;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write};

use super::place::PlaceError;
use crate::addr::{IpaSpan, PaSpan};
use crate::dt::Unreadable;

/// A refused plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// Path of the node in the merged tree, such as `/partitions/linux/memory@40000000`.
    pub node: String,
    /// The property, if it is about one.
    pub property: Option<String>,
    /// What is wrong.
    pub kind: ErrorKind,
}

impl PlanError {
    /// An error about a node as a whole.
    #[must_use]
    pub fn node(node: impl Into<String>, kind: ErrorKind) -> Self {
        Self { node: node.into(), property: None, kind }
    }

    /// An error about one property of a node.
    #[must_use]
    pub fn property(node: impl Into<String>, property: impl Into<String>, kind: ErrorKind) -> Self {
        Self { node: node.into(), property: Some(property.into()), kind }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = Plain(f);
        match &self.property {
            Some(property) => write!(f, "{}: {property}: {}", self.node, self.kind),
            None => write!(f, "{}: {}", self.node, self.kind),
        }
    }
}

impl core::error::Error for PlanError {}

/// Words with strings from trees in them, on their way to a terminal: whatever could steer that is written out as `\u{1b}`.
pub(super) struct Plain<'a, 'b>(pub(super) &'a mut fmt::Formatter<'b>);

impl fmt::Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            let plain = part.trim_end_matches(char::is_control);
            self.0.write_str(plain)?;
            part.chars()
                .filter(|c| c.is_control())
                .try_for_each(|c| write!(self.0, "{}", c.escape_unicode()))?;
        }
        Ok(())
    }
}

/// What is wrong with a plan. Names of partitions are bare (`linux`), nodes are paths.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Memory or an image has no place.
    Place(Box<PlaceError>),

    // --- trees -------------------------------------------------------------------------------------------------
    /// The firmware's tree is no flattened device tree.
    TreeUnreadable(Unreadable),
    /// The overlay is no flattened device tree.
    OverlayUnreadable(Unreadable),
    /// The overlay has a reference by path (`<&{/path}>`), which no overlay format can carry.
    OverlayPathReference,
    /// The overlay has nodes outside its fragments: they would be dropped without a word.
    OutsideFragment(String),
    /// The overlay cannot be merged.
    OverlayFails(String),
    /// A fragment's target is not in the firmware's tree.
    NoTarget(String),
    /// A label that the firmware's tree does not define.
    NoLabel(String),
    /// Neither tree nor overlay has /partitions.
    NoPartitions,
    /// /partitions is empty.
    NoPartition,

    // --- the board ---------------------------------------------------------------------------------------------
    /// The tree lacks a node that Partita cannot do without.
    BoardLacks(&'static str),
    /// A board property is malformed.
    BadBoardProperty(&'static str),
    /// The pages of a GICv2's CPU interface that guests reach have something else in them, too.
    InterfaceShared(String),
    /// The tree states no RAM.
    NoRam,

    // --- properties --------------------------------------------------------------------------------------------
    /// A required property is missing; an example of it.
    Missing(&'static str),
    /// A property that Partita does not know; the nearest it knows.
    UnknownProperty(Option<&'static str>),
    /// A subnode that Partita does not know; the nearest it knows.
    UnknownNode(Option<&'static str>),
    /// Legal, but its effect is not there yet: the whole property or node, or what is said in it.
    NotSupported(Option<String>),
    /// `compatible` does not contain what it must.
    Compatible(&'static str),
    /// A partition's name is malformed.
    BadName,
    /// Not one string.
    NotString,
    /// Not a list of strings.
    NotStrings,
    /// A phandle where a path is wanted.
    ByLabel(Option<String>),
    /// A label where a core's number is wanted.
    CoreByLabel(String),
    /// Cells of the wrong number: what is wanted, and the bytes found.
    Cells(String, usize),
    /// An empty list or string.
    Empty,
    /// A flag that has a value.
    NotFlag,
    /// A word that is not among those allowed.
    Word(String, &'static [&'static str]),
    /// A number outside its range: number, least, most.
    Range(u64, u64, u64),
    /// Named twice in one list.
    Twice(String),
    /// May not stand beside another property.
    Excludes(&'static str),
    /// Needs something else to be of use.
    Needs(&'static str),
    /// A bundle file name that is not allowed.
    BadFileName(String),
    /// A name of a partition that does not exist; the nearest one.
    NoSuchPartition(String, Option<String>),
    /// A partition may not name itself.
    Itself,

    // --- cores -------------------------------------------------------------------------------------------------
    /// A core that the board does not have; those it has.
    NoSuchCore(u64, String),
    /// A core with two owners: its number and the other partition.
    CoreTaken(u64, String),
    /// The tree names no way to start the core.
    CoreCannotStart(u64),
    /// A core beyond those that a GICv2 can have.
    CoreBeyondGic(u64),

    // --- memory ------------------------------------------------------------------------------------------------
    /// Not whole pages.
    Unaligned(&'static str, u64),
    /// Nothing, or beyond the address space of a guest.
    BadSpan(u64, u64),
    /// Two pieces of a guest's address space overlap: this one, and what it meets.
    Overlap(IpaSpan, String),
    /// `host-base` does not have one entry per entry of `reg`: entries of `reg`, entries found.
    HostBaseCount(usize, usize),

    // --- devices -----------------------------------------------------------------------------------------------
    /// No such node or alias; the nearest path.
    NoSuchDevice(String, Option<String>),
    /// The node is disabled; which one says so.
    Disabled(String, String),
    /// Partita's own: the device and why.
    Own(String, String),
    /// Given to another partition too.
    DeviceTaken(String, String),
    /// It has neither registers nor references, or lies on a bus that the CPU cannot address.
    Unreachable(String, String),
    /// A malformed property of the device's node.
    BadDeviceProperty(String, String),
    /// Shares a page with devices that are not given to the same partition: device, page, the others.
    PageMates(String, u64, String),
    /// Shares an interrupt with devices that are not given to the same partition: device, SPI, the others.
    InterruptMates(String, u32, String),
    /// Has an interrupt that is private to each core.
    PrivateInterrupt(String, u32),
    /// Can do DMA, and no SMMU guards it.
    Dma(String),
    /// Shares a page with a disabled node that can do DMA.
    DmaMate(String, String),
    /// Reaches none of its partition's memory by DMA: device, what it reaches.
    DmaReach(String, String),
    /// To an SMMU it is one with a device of another partition.
    StreamTaken(Box<SharedStream>),
    /// Its registers lie in RAM.
    InRam(String, PaSpan),
    /// Refers to a node with registers that the partition does not have: device, property, provider.
    NeedsDevice(String, Box<str>, String),
    /// Leads to a node that refers to one with registers that the partition does not have: device, that node, property,
    /// provider.
    NeedsThrough(Box<str>, Box<str>, Box<str>, Box<str>),
    /// Refers to a clock provider with registers that the partition does not have: device, property, provider.
    NeedsClock(String, Box<str>, String),
    /// Refers to a phandle that no node has: device, property, phandle.
    Dangling(String, String, u32),
    /// The clock provider's rate is not known: provider, and the fragment that states it.
    NoRate(String, String),
    /// The rates of some of the clock provider's outputs are not known: provider, outputs, a node that uses the first,
    /// and the fragment that states them.
    NoOutputRate(Box<str>, Box<str>, Box<str>, Box<str>),
    /// The clock provider's outputs and rates are not equally many.
    ClockLists(String),
    /// No device uses an output of the clock provider.
    ClockUnused(String),
    /// Not a clock provider.
    NotClock(String),
    /// The partition does not have this device.
    NotGiven(String),
    /// A PCI function of a node that is no host bridge that Partita knows: function, node.
    PciBridge(String, String),
    /// No bus, device and function.
    PciNumbers(String),
    /// A PCI function of one device with another partition's: function, the other one.
    PciDevice(String, String),
    /// A PCI function whose device's function 0 is not given: function, function 0.
    PciFirst(String, String),
    /// A PCI function that shares its interrupt with another partition's: function, SPI, the others.
    PciLine(String, u32, String),
    /// A PCI function without an SMMU before it: function, bridge.
    PciDma(String, String),
    /// A bridge's windows cannot be divided among so many partitions.
    PciWindow(String, u64),

    // --- the console -------------------------------------------------------------------------------------------
    /// `console = "device"` without a UART.
    NoUart,
    /// The emulated console's page meets something.
    ConsoleClash(u64, String),
    /// The emulated console's interrupt is a device's.
    ConsoleInterruptTaken(u32, String),
    /// The SPI of a direct partition's console is one of the board's devices', or another direct partition's.
    DirectInterruptTaken(u32, String),

    // --- the guest's tree --------------------------------------------------------------------------------------
    /// A tree of the user's own contradicts the plan: the file, and how.
    OwnTree(String, Box<super::TreeFault>),
    /// The partition's device tree cannot be written.
    GuestTree(crate::guest_tree::Fault),
}

/// Two devices with a stream in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedStream {
    /// The device that is refused.
    pub device: String,
    /// The one before it,
    pub other: String,
    /// and the partition that has it.
    pub owner: String,
    /// Path of the SMMU.
    pub smmu: String,
    /// The stream.
    pub id: u32,
}
