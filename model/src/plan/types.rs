//! The plan's data: the board as the firmware's tree tells it, and the partitions as the overlay asks for them.

use alloc::string::String;
use alloc::vec::Vec;

use super::own;
use super::pci::{Bridge, PciFunction, PciPart};
use crate::addr::{Ipa, IpaSpan, PAGE, Pa, PaSpan};

/// Everything that is decided before the first partition starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The board.
    pub board: Board,
    /// The partitions, in the order of the overlay. Their index is the partition's number; VMID = index + 1.
    pub partitions: Vec<Partition>,
    /// What EL2 has to move out of the way of pinned memory before it loads a partition. They may be done in any order:
    /// no destination overlaps anything's old place. [`Board::reserved`] has the places after the moves.
    pub moves: Vec<Move>,
    /// What the user should know although it stops nothing.
    pub notes: Vec<String>,
}

impl Plan {
    /// Those who manage a partition, in the plan's order.
    pub fn managers(&self, partition: usize) -> impl Iterator<Item = &Partition> {
        self.partitions
            .iter()
            .filter(move |other| other.manages().any(|managed| managed.partition == partition))
    }

    /// The partition that owns the board's UART, if one does: then EL2 prints nothing once partitions run.
    #[must_use]
    pub fn uart_owner(&self) -> Option<&Partition> {
        let uart = self.board.uart.as_ref()?.span;
        self.partitions.iter().find(|partition| partition.mmio.iter().any(|given| given.overlaps(&uart)))
    }
}

/// What the hypervisor itself needs of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// All cores of the tree, in its order.
    pub cpus: Vec<Cpu>,
    /// RAM, sorted by address, without overlaps.
    pub ram: Vec<PaSpan>,
    /// What must not be given to a partition although it is RAM, sorted by address.
    pub reserved: Vec<Reserved>,
    /// The interrupt controller.
    pub gic: Gic,
    /// The UART of /chosen stdout-path, if it is of a kind that EL2 can drive.
    pub uart: Option<Uart>,
    /// PCI host bridges whose functions can be given one by one, and are silenced at boot.
    pub pci: Vec<Bridge>,
    /// How firmware is called for PSCI, if it has it.
    pub psci: Option<Conduit>,
    /// What powers the board off where firmware takes no calls.
    pub power: Option<PowerController>,
    /// The four PPIs (INTIDs 16..31) of the timer node: secure, non-secure EL1, virtual, EL2.
    pub timer_ppis: [u32; 4],
    /// The SMMUs that EL2 drives, in the tree's order. Each is EL2's, whether a partition's device is behind it or not.
    pub smmus: Vec<Smmu>,
}

/// An SMMU of the board that EL2 drives: an SMMUv3 (IHI 0070).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smmu {
    /// Path of its node.
    pub path: String,
    /// Its registers: two pages of 64 KiB.
    pub span: PaSpan,
    /// The interrupt by which it says that events wait, if the tree has one.
    pub event: Option<Spi>,
    /// The interrupt by which it says that something is wrong with itself, if the tree has one.
    pub error: Option<Spi>,
    /// Whether the tree says that its own accesses to memory see the cores' caches.
    pub coherent: bool,
}

/// A run of streams: what an SMMU tells devices apart by (StreamIDs, IHI 0070, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Streams {
    /// Index into [`Board::smmus`].
    pub smmu: usize,
    /// The first StreamID.
    pub first: u32,
    /// How many there are, at least one.
    pub count: u32,
}

impl Streams {
    /// A single stream.
    #[must_use]
    pub fn one(smmu: usize, id: u32) -> Self {
        Self { smmu, first: id, count: 1 }
    }

    /// The last StreamID.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    /// Whether a stream is among these.
    #[must_use]
    pub fn contains(&self, smmu: usize, id: u32) -> bool {
        self.smmu == smmu && (self.first..=self.last()).contains(&id)
    }

    /// The first stream that both have.
    #[must_use]
    pub fn common(&self, other: &Self) -> Option<u32> {
        let first = self.first.max(other.first);
        (self.smmu == other.smmu && first <= self.last().min(other.last())).then_some(first)
    }
}

impl core::fmt::Display for Streams {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.count {
            0 | 1 => write!(f, "{:#x}", self.first),
            _ => write!(f, "{:#x}-{:#x}", self.first, self.last()),
        }
    }
}

/// A core of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// MPIDR affinity fields, as in the tree's `reg` (Aff3 in bits 39..32, Aff2..0 in bits 23..0).
    pub mpidr: u64,
    /// Path of its node.
    pub path: String,
    /// How it is started.
    pub enable: CpuEnable,
    /// The partition and the virtual CPU number that own it.
    pub owner: Option<(usize, usize)>,
}

/// How a secondary core is brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuEnable {
    /// PSCI CPU_ON.
    Psci,
    /// The spin-table: write the entry point to this physical address, then SEV.
    SpinTable(Pa),
    /// The tree names no way: only the core that boots can be of use.
    Unknown,
}

/// How firmware takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// The SMC instruction.
    Smc,
    /// The HVC instruction (only meaningful when firmware runs above EL2's caller; EL2 itself uses SMC).
    Hvc,
}

/// A power controller that EL2 can drive: registers as those of `brcm,bcm2835-pm-wdt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerController {
    /// Path of its node.
    pub path: String,
    /// Its registers.
    pub span: PaSpan,
}

/// RAM that no partition may have, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Where.
    pub span: PaSpan,
    /// In words, for messages: "the hypervisor", "the bundle", "/reserved-memory/secmon@10000000", ...
    pub what: String,
    /// Whether EL2 can move it out of the way of pinned memory, and as what.
    pub movable: Option<Movable>,
    /// Bytes at its end that are the hypervisor's heap: not all of it is kept ([`super::own`]).
    pub heap: u64,
}

impl Reserved {
    /// What stays where it is.
    #[must_use]
    pub fn fixed(span: PaSpan, what: impl Into<String>) -> Self {
        Self { span, what: what.into(), movable: None, heap: 0 }
    }

    /// What EL2 can move; whole pages.
    #[must_use]
    pub fn movable(span: PaSpan, what: Movable) -> Self {
        Self { span: span.pages(), what: what.words().into(), movable: Some(what), heap: 0 }
    }

    /// The hypervisor as it is loaded, with its heap.
    #[must_use]
    pub fn hypervisor(span: PaSpan) -> Self {
        let heap = if span.size > own::HEAP { own::HEAP } else { 0 };
        Self { heap, ..Self::movable(span, Movable::Hypervisor) }
    }
}

/// What the boot loader put into RAM for EL2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Movable {
    /// The hypervisor itself.
    Hypervisor,
    /// The bundle.
    Bundle,
    /// The firmware's tree.
    Tree,
}

impl Movable {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Hypervisor => "the hypervisor",
            Self::Bundle => "the bundle",
            Self::Tree => "the firmware's tree",
        }
    }
}

/// Something that has to be elsewhere before partitions are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// What.
    pub what: Movable,
    /// The whole pages where it lies.
    pub from: PaSpan,
    /// Where it goes: as many pages, from a multiple of 2 MiB on.
    pub to: PaSpan,
}

/// The physical interrupt controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv3 or GICv4.
    V3 {
        /// Path of its node.
        path: String,
        /// The distributor's frame.
        dist: PaSpan,
        /// Redistributor regions.
        redists: Vec<PaSpan>,
        /// Bytes from one redistributor to the next: `redistributor-stride`, or 0 where GICR_TYPER.VLPIS tells.
        stride: u64,
    },
    /// GICv2.
    V2 {
        /// Path of its node.
        path: String,
        /// The distributor's frame.
        dist: PaSpan,
        /// The CPU interface, which a guest believes it uses.
        cpu: PaSpan,
        /// The virtual interface control (EL2's).
        hyp: PaSpan,
        /// The virtual CPU interface, mapped to guests at `cpu`.
        vcpu: PaSpan,
    },
}

/// A UART that EL2 drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uart {
    /// Path of its node.
    pub path: String,
    /// Its registers.
    pub span: PaSpan,
    /// Its interrupt, if the tree names one.
    pub intid: Option<u32>,
    /// Its kind.
    pub kind: UartKind,
}

/// The kinds of UART that EL2 can drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartKind {
    /// Arm PL011 (`arm,pl011`).
    Pl011,
    /// The BCM2835 mini-UART (`brcm,bcm2835-aux-uart`).
    MiniUart,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name, `[a-z][a-z0-9-]{0,30}`.
    pub name: String,
    /// Path of its node in the merged tree.
    pub path: String,
    /// Indices into [`Board::cpus`]; the position is the virtual CPU number.
    pub cpus: Vec<usize>,
    /// Guest RAM, in the order of the overlay.
    pub memory: Vec<Memory>,
    /// Devices given whole.
    pub devices: Vec<Device>,
    /// PCI functions given one by one, with their part of the bridge that they are on.
    pub pci: Vec<PciPart>,
    /// The devices' registers as whole pages, and the parts of PCI bridges' windows, merged and sorted, each at its own
    /// address (IPA = PA).
    pub mmio: Vec<PaSpan>,
    /// Physical SPIs that the partition owns (INTID >= 32), sorted.
    pub spis: Vec<Spi>,
    /// The streams of its devices, sorted and merged: what may do DMA to its memory, and to nothing else. No two
    /// partitions have one in common.
    pub streams: Vec<Streams>,
    /// The outputs of clock providers that the guest sees as fixed clocks.
    pub fixed_clocks: Vec<FixedClock>,
    /// Its console.
    pub console: Console,
    /// The device by which it supervises others, if it does.
    pub supervisor: Option<Supervisor>,
    /// Its watchdog, if it has one.
    pub watchdog: Option<Watchdog>,
    /// /chosen bootargs.
    pub bootargs: String,
    /// The images, and where they go.
    pub load: Load,
    /// How its device tree comes about.
    pub dtb: Dtb,
    /// How interrupts reach it.
    pub interrupt_path: InterruptPath,
    /// Of a direct partition: the INTID of an SPI that no device raises, by which EL2 reaches it. Its shared console's, if it
    /// has one.
    pub bell: Option<u32>,
    /// Whether it starts with the machine.
    pub start: Start,
    /// When it is started again.
    pub restart: Restart,
    /// At most `.0` restarts in `.1` seconds.
    pub restart_limit: (u32, u32),
    /// When its memory is cleared.
    pub clear_memory: ClearMemory,
    /// Path of the `guest-tree` subnode in the merged tree, if it has one.
    pub guest_tree: Option<String>,
}

impl Partition {
    /// The numbers of those that it manages, by index.
    pub fn manages(&self) -> impl Iterator<Item = &Managed> {
        self.supervisor.iter().flat_map(|supervisor| &supervisor.managed)
    }

    /// Its PCI functions, those that are given one by one.
    pub fn functions(&self) -> impl Iterator<Item = &PciFunction> {
        self.pci.iter().flat_map(|part| &part.functions)
    }
}

/// The device by which a partition supervises others (docs/supervision.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Where it sees the page of registers.
    pub registers: IpaSpan,
    /// The partitions that it manages, in the order of `manages`, which is that of their indices.
    pub managed: Vec<Managed>,
}

impl Supervisor {
    /// All that it takes of the partition's addresses.
    #[must_use]
    pub fn span(&self) -> IpaSpan {
        let size = self.managed.iter().fold(self.registers.size, |sum, managed| sum + managed.area.size);
        IpaSpan { size, ..self.registers }
    }
}

/// A partition that is managed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Index into [`Plan::partitions`].
    pub partition: usize,
    /// Which of those who manage it the other one is: so many stand before it in the plan.
    pub rank: u8,
    /// Where the other sees its area.
    pub area: IpaSpan,
}

/// One piece of guest RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Where the guest sees it.
    pub ipa: IpaSpan,
    /// Where it is (same size).
    pub pa: Pa,
    /// `numa-node-id`, passed on.
    pub numa: Option<u32>,
}

impl Memory {
    /// The physical range.
    #[must_use]
    pub fn physical(&self) -> PaSpan {
        PaSpan { base: self.pa, size: self.ipa.size }
    }

    /// The physical address behind a guest's, if it lies in this piece.
    #[must_use]
    pub fn translate(&self, ipa: Ipa) -> Option<Pa> {
        self.ipa.contains(ipa).then(|| Pa(self.pa.0 + (ipa.0 - self.ipa.base.0)))
    }
}

/// A host device node given to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Path of the node in the host's tree.
    pub path: String,
    /// Its registers, byte-exact.
    pub regs: Vec<PaSpan>,
    /// Its SPIs.
    pub spis: Vec<Spi>,
    /// The RAM that it can read and write by DMA with nothing to stop it, whoever owns that; empty: it does no DMA, or
    /// an SMMU guards it.
    pub dma: Vec<PaSpan>,
    /// What an SMMU that EL2 drives knows it by, sorted and merged; empty: it does no DMA, or none guards it.
    pub streams: Vec<Streams>,
}

/// An output of a clock provider that runs at one rate for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedClock {
    /// Path of the provider in the host's tree.
    pub provider: String,
    /// Which of its outputs: as many cells as its `#clock-cells` says.
    pub output: Vec<u32>,
    /// The rate.
    pub hz: u32,
}

/// A shared peripheral interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spi {
    /// INTID (32 + the number in the tree).
    pub intid: u32,
    /// Edge-triggered; otherwise level-sensitive.
    pub edge: bool,
}

/// A partition's console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Console {
    /// A UART among its devices: the path.
    Device(String),
    /// An emulated PL011.
    Shared {
        /// Where its page is.
        base: Ipa,
        /// Its virtual interrupt (INTID, 32 + the SPI number). Never a physical one.
        intid: u32,
    },
    /// None.
    None,
}

/// An emulated watchdog: where the guest sees its two pages of registers, in nobody's way, each in 64 KiB of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// The control frame.
    pub control: Ipa,
    /// The refresh frame.
    pub refresh: Ipa,
    /// The virtual interrupt of its first stage (INTID, 32 + the SPI number). Never a physical one.
    pub intid: u32,
}

impl Watchdog {
    /// Both frames: control, refresh.
    #[must_use]
    pub const fn frames(&self) -> [IpaSpan; 2] {
        [IpaSpan { base: self.control, size: PAGE }, IpaSpan { base: self.refresh, size: PAGE }]
    }
}

/// What is put into a partition's memory before it starts, and how it starts. `clear` comes first, then `pieces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The kernel's file name in the bundle.
    pub kernel: String,
    /// The initial RAM disk's file name.
    pub initrd: Option<String>,
    /// Parts of bundle files and where they go.
    pub pieces: Vec<Piece>,
    /// First instruction.
    pub entry: Ipa,
    /// Where the initial RAM disk is.
    pub initrd_span: Option<IpaSpan>,
    /// Where the device tree goes, with the most bytes it may have; none: x0 = 0.
    pub dtb_span: Option<IpaSpan>,
}

/// A run of bytes of a bundle file. What lies between pieces is zero (the memory was cleared).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The file's name.
    pub file: String,
    /// First byte in the file.
    pub offset: u64,
    /// Where it goes; the size is in bytes. It lies within one [`Memory`] entry.
    pub at: IpaSpan,
}

/// A partition's device tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtb {
    /// Generated from the plan and the host's tree.
    Generated,
    /// A bundle file, checked against the plan.
    File(String),
    /// None: x0 = 0.
    None,
}

/// How interrupts reach a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptPath {
    /// Through EL2 and a list register.
    Mediated,
    /// Straight to the guest's vectors.
    Direct,
}

/// Whether a partition starts with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the machine.
    Auto,
    /// When it is asked for.
    Manual,
}

/// When a partition is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    Never,
    /// When it failed.
    OnFailure,
    /// Whenever it ends.
    Always,
}

/// When a partition's memory is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearMemory {
    /// Before every launch.
    Always,
    /// Before every launch but the first.
    OnReuse,
}
