//! A tree of the user's own (`dtb = "FILE"`), checked against what its partition has. A guest believes its tree: what
//! is in there and not in the partition would fault at the first touch, long after anyone could say why.
//!
//! It is read only, and only what a guest acts on by itself is looked at: memory, cores, interrupt controller, PSCI
//! and whatever has registers. What else it says is between the user and the guest.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::board::MPIDR_AFFINITY;
use super::place::{List, join};
use super::{Board, Console, Gic, Memory, Supervisor, Watchdog, gic, ram};
use crate::addr::{Ipa, IpaSpan, PAGE, PaSpan, Span};
use crate::dt::{self, Index, Registers, Unreadable, cell, cells, compatible, number, okay, text, value};

/// The distributor's frame (IHI 0069, 12.8).
const DISTRIBUTOR: u64 = 0x1_0000;
/// A redistributor's two frames (IHI 0069, 12.10).
const REDISTRIBUTOR: u64 = 0x2_0000;

/// What a partition has, as far as a tree can contradict it.
pub(super) struct Has<'a> {
    pub(super) board: &'a Board,
    pub(super) cpus: usize,
    pub(super) memory: &'a [Memory],
    pub(super) mmio: &'a [PaSpan],
    pub(super) console: &'a Console,
    pub(super) supervisor: Option<&'a Supervisor>,
    pub(super) watchdog: Option<&'a Watchdog>,
}

/// What is wrong with a tree: each names the node in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeFault {
    /// It is no tree that can be read.
    Unreadable(Unreadable),
    /// A property is malformed: node, property, what is wanted.
    Malformed(String, &'static str, &'static str),
    /// Memory that the partition does not have: node, range, the partition's.
    Memory(String, IpaSpan, Vec<IpaSpan>),
    /// A core that the partition does not have: node, number, cores that it has.
    Core(String, u64, usize),
    /// Two cores of one number: node, number, the other node.
    CoreTwice(String, u64, String),
    /// A core that is not started by PSCI: node, how.
    Enable(String, String),
    /// An interrupt controller of another kind: node, the partition's kind.
    ControllerKind(String, &'static str),
    /// The interrupt controller at other addresses: node, the two frames that a partition sees.
    Controller(String, [u64; 2]),
    /// Registers where the partition has nothing: node, range.
    Registers(String, IpaSpan),
    /// PSCI by a way that does not work: node.
    Conduit(String),
    /// The watchdog elsewhere: node, the frames that the partition sees (control, refresh), its SPI.
    Watchdog(String, [IpaSpan; 2], u32),
}

/// Checks a flattened tree.
pub(super) fn check(blob: &[u8], has: &Has<'_>) -> Result<(), TreeFault> {
    let tree = dt::parse(blob).map_err(TreeFault::Unreadable)?;
    let index = Index::new(&tree);
    memory(&index, has)?;
    cores(&index, has.cpus)?;
    controller(&index, &has.board.gic)?;
    if let Some(psci) = index.usable(&["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]) {
        let method = index.node(psci).and_then(|node| text(node, "method"));
        if !matches!(method, Some("hvc" | "smc")) {
            return Err(TreeFault::Conduit(index.path(psci).to_owned()));
        }
    }
    if let Some(mine) = has.watchdog {
        watchdog(&index, mine)?;
    }
    devices(&index, has)
}

/// The registers of a node, of which nothing above forbids the use.
fn registers(index: &Index<'_>, node: usize) -> Result<Vec<IpaSpan>, TreeFault> {
    match index.registers(node) {
        _ if index.disabled_by(node).is_some() => Ok(Vec::new()),
        Registers::Mapped(spans) => Ok(spans.iter().map(seen).collect()),
        Registers::OffBus => Ok(Vec::new()),
        Registers::Bad => {
            let want = "addresses and sizes as #address-cells, #size-cells and ranges of the nodes above say";
            Err(TreeFault::Malformed(index.path(node).to_owned(), "reg", want))
        }
    }
}

/// A guest's addresses are read as if they were a host's.
fn seen(span: &PaSpan) -> IpaSpan {
    Span { base: Ipa(span.base.0), size: span.size }
}

fn memory(index: &Index<'_>, has: &Has<'_>) -> Result<(), TreeFault> {
    let mine = join(has.memory.iter().map(|memory| memory.ipa).collect());
    for node in (0..index.entries().len()).filter(|node| ram::is_memory(index, *node)) {
        for span in registers(index, node)? {
            if !mine.iter().any(|piece| piece.contains_span(&span)) {
                return Err(TreeFault::Memory(index.path(node).to_owned(), span, mine));
            }
        }
    }
    Ok(())
}

fn cores(index: &Index<'_>, count: usize) -> Result<(), TreeFault> {
    let Some(top) = index.find("/cpus") else { return Ok(()) };
    let (address, _) = index.counts(top);
    let mut found: Vec<(u64, &str)> = Vec::new();
    for entry in index.entries().iter().filter(|entry| entry.parent == Some(top) && okay(entry.node)) {
        let named = entry.node.name_without_address() == "cpu";
        if !named && text(entry.node, "device_type") != Some("cpu") {
            continue;
        }
        let path = || entry.path.clone();
        let reg = value(entry.node, "reg").and_then(cells).filter(|reg| reg.len() == address);
        let core = reg.filter(|reg| !reg.is_empty()).and_then(|reg| number(&reg)).ok_or_else(|| {
            TreeFault::Malformed(path(), "reg", "the core's number in #address-cells cells of /cpus")
        })? & MPIDR_AFFINITY;
        if core >= count as u64 {
            return Err(TreeFault::Core(path(), core, count));
        }
        if let Some((_, other)) = found.iter().find(|(before, _)| *before == core) {
            return Err(TreeFault::CoreTwice(path(), core, (*other).to_string()));
        }
        if value(entry.node, "enable-method").is_some() && text(entry.node, "enable-method") != Some("psci") {
            let how = text(entry.node, "enable-method").unwrap_or_default();
            return Err(TreeFault::Enable(path(), how.to_owned()));
        }
        found.push((core, &entry.path));
    }
    Ok(())
}

/// The kind of controller that a guest sees, and its frames' bases: distributor, then first redistributor or CPU
/// interface.
fn frames(gic: &Gic) -> (&'static [&'static str], [u64; 2]) {
    match gic {
        Gic::V3 { dist, redists, .. } => {
            (gic::V3, [dist.base.0, redists.first().map_or(0, |region| region.base.0)])
        }
        Gic::V2 { dist, cpu, .. } => (gic::V2, [dist.base.0, cpu.base.0]),
    }
}

fn controller(index: &Index<'_>, board: &Gic) -> Result<(), TreeFault> {
    let Some(found) = gic::node(index) else { return Ok(()) };
    let (kind, bases) = frames(board);
    let path = || index.path(found).to_owned();
    let Some(node) = index.node(found).filter(|node| compatible(node, kind)) else {
        return Err(TreeFault::ControllerKind(path(), kind.first().copied().unwrap_or_default()));
    };
    let spans = registers(index, found)?;
    let here: Vec<u64> = spans.iter().take(2).map(|span| span.base.0).collect();
    if here != bases {
        return Err(TreeFault::Controller(path(), bases));
    }
    if cell(node, "#redistributor-regions").is_some_and(|regions| regions != 1) {
        let want = "1: the partition's redistributors lie in one region";
        return Err(TreeFault::Malformed(path(), "#redistributor-regions", want));
    }
    let stride = value(node, "redistributor-stride").map(|stride| cells(stride).and_then(|c| number(&c)));
    if stride.is_some_and(|stride| stride != Some(REDISTRIBUTOR)) {
        let want = "0x20000: the partition's redistributors have two frames each";
        return Err(TreeFault::Malformed(path(), "redistributor-stride", want));
    }
    Ok(())
}

/// The watchdog's frames are where and in the order in which the partition sees them, and its interrupt is what it raises.
fn watchdog(index: &Index<'_>, mine: &Watchdog) -> Result<(), TreeFault> {
    let spi = mine.intid.saturating_sub(32);
    for node in 0..index.entries().len() {
        if !index.node(node).is_some_and(|node| compatible(node, &["arm,sbsa-gwdt"])) {
            continue;
        }
        let found = registers(index, node)?;
        let bases = |spans: &[IpaSpan]| spans.iter().map(|span| span.base).collect::<Vec<_>>();
        let interrupts = index.interrupts(node).unwrap_or_default();
        let its = matches!(interrupts.as_slice(), [one] if one.specifier.starts_with(&[0, spi]));
        if !found.is_empty() && (bases(&found) != bases(&mine.frames()) || !its) {
            return Err(TreeFault::Watchdog(index.path(node).to_owned(), mine.frames(), spi));
        }
    }
    Ok(())
}

/// Whatever has registers has them in the partition's memory, or where a device of the partition is.
fn devices(index: &Index<'_>, has: &Has<'_>) -> Result<(), TreeFault> {
    let mut mine: Vec<IpaSpan> = has.memory.iter().map(|memory| memory.ipa).collect();
    mine.extend(has.mmio.iter().map(seen));
    if let Console::Shared { base, .. } = has.console {
        mine.push(Span { base: *base, size: PAGE });
    }
    mine.extend(has.supervisor.map(Supervisor::span));
    mine.extend(has.watchdog.iter().flat_map(|watchdog| watchdog.frames()));
    match &has.board.gic {
        gic @ Gic::V3 { .. } => {
            let (_, [dist, redists]) = frames(gic);
            let all = REDISTRIBUTOR.saturating_mul(has.cpus as u64);
            mine.extend([
                Span { base: Ipa(dist), size: DISTRIBUTOR },
                Span { base: Ipa(redists), size: all },
            ]);
        }
        Gic::V2 { dist, cpu, .. } => mine.extend([seen(dist), seen(cpu)]),
    }
    let mine = join(mine);
    let controller = gic::node(index);
    for node in 0..index.entries().len() {
        // Both were looked at before.
        if Some(node) == controller || ram::is_memory(index, node) {
            continue;
        }
        for span in registers(index, node)? {
            if !mine.iter().any(|piece| piece.contains_span(&span)) {
                return Err(TreeFault::Registers(index.path(node).to_owned(), span));
            }
        }
    }
    Ok(())
}

impl fmt::Display for TreeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => {
                write!(f, "it cannot be read ({why}); compile it with `dtc -I dts -O dtb` and copy it whole")
            }
            Self::Malformed(node, property, want) => {
                write!(f, "{property} of {node} is not what it must be ({want}); mend it in that file")
            }
            Self::Memory(node, span, mine) => write!(
                f,
                "{node} says that there is memory at {span}, but the partition has {}; mend its reg in that file, or \
                 give the partition that memory",
                List(mine)
            ),
            Self::Core(node, core, count) => write!(
                f,
                "{node} is core {core:#x}, but the partition has {count}, counted from 0; remove it from that file, \
                 mend its reg, or give the partition more cores"
            ),
            Self::CoreTwice(node, core, other) => {
                write!(f, "{node} is core {core:#x}, as {other} is; remove one of them from that file")
            }
            Self::Enable(node, how) => write!(
                f,
                "{node} is started by \"{how}\", but a partition's cores are started by PSCI; write \
                 enable-method = \"psci\" in that file"
            ),
            Self::ControllerKind(node, kind) => write!(
                f,
                "{node} is not the kind of interrupt controller that the partition sees; write compatible = \
                 \"{kind}\" in that file"
            ),
            Self::Controller(node, [first, second]) => write!(
                f,
                "the interrupt controller {node} is not where the partition sees it; let its reg in that file begin \
                 with frames at {first:#x} and {second:#x}"
            ),
            Self::Registers(node, span) => write!(
                f,
                "{node} has registers at {span}, where the partition has nothing; remove it from that file, or give \
                 the partition that device"
            ),
            Self::Watchdog(node, [control, refresh], spi) => write!(
                f,
                "the watchdog {node} is not where the partition sees it; let its reg in that file be the pages from {} \
                 (control) and {} (refresh) on, and its interrupts <0 {spi} 4>",
                control.base, refresh.base
            ),
            Self::Conduit(node) => {
                write!(f, "{node} must have method = \"hvc\" or \"smc\"; mend it in that file")
            }
        }
    }
}
