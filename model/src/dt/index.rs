//! All nodes of a tree in its order, found by path and phandle, with their registers and interrupts as the CPU and
//! the interrupt controller see them.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::dt::{Node, Tree};

use super::tree::same;
use super::{Arguments, arguments, cell, cells, names_one, number, okay, text, value};
use crate::addr::{PA_END, Pa, PaSpan};

/// The nodes of a tree.
pub struct Index<'a> {
    entries: Vec<Entry<'a>>,
    phandles: BTreeMap<u32, usize>,
}

/// One node.
pub struct Entry<'a> {
    /// Its path.
    pub path: String,
    /// The node.
    pub node: &'a Node<'a>,
    /// The number of the node above; none for the root.
    pub parent: Option<usize>,
    /// One past the number of the last node below it.
    pub end: usize,
    /// Its `compatible`, which is asked for most.
    compatible: &'a [u8],
}

/// Where a node's `reg` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registers {
    /// To these physical addresses (none where it has no `reg`).
    Mapped(Vec<PaSpan>),
    /// Nowhere that the CPU can address: the bus has no `ranges`, such as I2C.
    OffBus,
    /// It is malformed.
    Bad,
}

impl Registers {
    /// Whether the CPU can address any, or might: what is malformed may still name something.
    #[must_use]
    pub fn may_be_reached(&self) -> bool {
        match self {
            Self::Mapped(spans) => !spans.is_empty(),
            Self::OffBus => false,
            Self::Bad => true,
        }
    }
}

/// What a property refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The number of the node.
    pub node: usize,
    /// The cells that follow its phandle.
    pub arguments: Vec<u32>,
}

/// One interrupt of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The number of the controller's node.
    pub controller: usize,
    /// The specifier's cells.
    pub specifier: Vec<u32>,
}

/// One entry of an `interrupt-map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// The unit address that it is for, before the mask.
    pub unit: Vec<u32>,
    /// The interrupt specifier that it is for: a PCI pin, 1 to 4.
    pub pin: Vec<u32>,
    /// What that is at the controller.
    pub interrupt: Interrupt,
}

impl<'a> Index<'a> {
    /// Reads through a tree.
    #[must_use]
    pub fn new(tree: &'a Tree<'a>) -> Self {
        let mut index = Self { entries: Vec::new(), phandles: BTreeMap::new() };
        index.add(&tree.root, None, "/".to_owned());
        index
    }

    fn add(&mut self, node: &'a Node<'a>, parent: Option<usize>, path: String) {
        let number = self.entries.len();
        for property in &["phandle", "linux,phandle"] {
            // 0 and all ones are nobody's: the one is an empty place in a list, the other a node without one (dtc, checks.c).
            if let Some(phandle) = cell(node, property).filter(|phandle| ![0, !0].contains(phandle)) {
                self.phandles.entry(phandle).or_insert(number);
            }
        }
        let compatible = value(node, "compatible").unwrap_or_default();
        self.entries.push(Entry { path, node, parent, end: number + 1, compatible });
        for child in node.children() {
            let above = self.path(number).trim_end_matches('/');
            let mut path = String::with_capacity(above.len() + 1 + child.name().len());
            path.push_str(above);
            path.push('/');
            path.push_str(child.name());
            self.add(child, Some(number), path);
        }
        let end = self.entries.len();
        if let Some(entry) = self.entries.get_mut(number) {
            entry.end = end;
        }
    }

    /// All nodes, each before those below it.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// One node.
    #[must_use]
    pub fn node(&self, number: usize) -> Option<&'a Node<'a>> {
        Some(self.entries.get(number)?.node)
    }

    /// Its path; empty for a number that no node has.
    #[must_use]
    pub fn path(&self, number: usize) -> &str {
        self.entries.get(number).map_or("", |entry| &entry.path)
    }

    /// The node with exactly this path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<usize> {
        let below = path.strip_prefix('/')?;
        if below.is_empty() {
            return Some(0);
        }
        below.split('/').try_fold(0, |above, name| {
            let end = self.entries.get(above)?.end;
            let mut at = above + 1;
            while at < end {
                let entry = self.entries.get(at)?;
                if same(entry.node.name(), name) {
                    return Some(at);
                }
                at = entry.end;
            }
            None
        })
    }

    /// The node with this path, or which this word in /aliases names.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<usize> {
        if name.starts_with('/') {
            return self.find(name);
        }
        self.find(text(self.node(self.find("/aliases")?)?, name)?)
    }

    /// The node with this phandle.
    #[must_use]
    pub fn by_phandle(&self, phandle: u32) -> Option<usize> {
        self.phandles.get(&phandle).copied()
    }

    /// The first usable node that is compatible with one of these.
    #[must_use]
    pub fn usable(&self, with: &[&str]) -> Option<usize> {
        (0..self.entries.len())
            .find(|number| self.is_compatible(*number, with) && self.disabled_by(*number).is_none())
    }

    /// Whether a node is compatible with one of these.
    #[must_use]
    pub fn is_compatible(&self, number: usize, with: &[&str]) -> bool {
        self.entries.get(number).is_some_and(|entry| names_one(entry.compatible, with))
    }

    /// A node and those above it, up to the root.
    pub fn upwards(&self, number: usize) -> impl Iterator<Item = usize> + '_ {
        core::iter::successors(Some(number), |number| self.entries.get(*number)?.parent)
    }

    /// Whether `inner` is `outer` or below it.
    #[must_use]
    pub fn within(&self, inner: usize, outer: usize) -> bool {
        self.entries.get(outer).is_some_and(|entry| (outer..entry.end).contains(&inner))
    }

    /// A node and all below it, but for disabled ones and what is below those.
    #[must_use]
    pub fn subtree(&self, number: usize) -> Vec<usize> {
        let end = self.entries.get(number).map_or(number, |entry| entry.end);
        let (mut at, mut found) = (number, Vec::new());
        while at < end {
            let Some(entry) = self.entries.get(at) else { break };
            if at == number || okay(entry.node) {
                found.push(at);
                at += 1;
            } else {
                at = entry.end;
            }
        }
        found
    }

    /// The node (itself or above) whose `status` forbids its use.
    #[must_use]
    pub fn disabled_by(&self, number: usize) -> Option<usize> {
        self.upwards(number).find(|above| self.node(*above).is_some_and(|node| !okay(node)))
    }

    /// `#address-cells` and `#size-cells` that a node sets for those below it (Devicetree Specification, 2.3.5).
    #[must_use]
    pub fn counts(&self, number: usize) -> (usize, usize) {
        let count = |name, default| {
            self.node(number).and_then(|node| cell(node, name)).map_or(default, |count| count as usize)
        };
        (count("#address-cells", 2), count("#size-cells", 1))
    }

    /// A node's registers at physical addresses, translated through the `ranges` of every bus above it. What lies beyond
    /// [`PA_END`] is as good as malformed: nobody could map it.
    #[must_use]
    pub fn registers(&self, at: usize) -> Registers {
        let entry = self.entries.get(at);
        let Some((bus, reg)) = entry.and_then(|entry| Some((entry.parent?, value(entry.node, "reg")?)))
        else {
            return Registers::Mapped(Vec::new());
        };
        let (address, size) = self.counts(bus);
        // What is behind a PCI bridge has addresses of three cells, in the bridge's own spaces (IEEE 1275 PCI binding, 2.1).
        if self.is_pci(bus) || !self.on_bus(bus) {
            return Registers::OffBus;
        }
        let Some(reg) = cells(reg) else { return Registers::Bad };
        let width = address.saturating_add(size);
        if width == 0 || !reg.len().is_multiple_of(width) {
            return Registers::Bad;
        }
        let mut spans = Vec::new();
        for entry in reg.chunks(width) {
            let (Some(base), Some(size)) =
                (entry.get(..address).and_then(number), entry.get(address..).and_then(number))
            else {
                return Registers::Bad;
            };
            if size == 0 {
                continue;
            }
            let span = self.translate(bus, base, size).and_then(|base| PaSpan::new(Pa(base), size));
            match span.filter(|span| span.end() <= PA_END) {
                Some(span) => spans.push(span),
                None => return Registers::Bad,
            }
        }
        Registers::Mapped(spans)
    }

    /// Whether a node is one that every guest's tree has of its own, such as its root or its cores, or is the plan's. Copied for a device
    /// that refers to it, what is the board's or another partition's would come with it.
    #[must_use]
    pub fn is_no_provider(&self, number: usize) -> bool {
        let root = self.entries.get(number).is_some_and(|entry| entry.parent.is_none());
        let within = |path: &&str| self.find(path).is_some_and(|outer| self.within(number, outer));
        root || ["/cpus", "/partitions", "/chosen", "/aliases", "/memory"].iter().any(within)
    }

    /// Whether a node is a PCI bridge (IEEE 1275 PCI binding, 3.1.1).
    #[must_use]
    pub fn is_pci(&self, number: usize) -> bool {
        self.node(number).is_some_and(|node| text(node, "device_type") == Some("pci"))
    }

    /// The physical addresses that a PCI host bridge passes on to what is behind it (its `ranges`); none if they cannot
    /// be understood.
    #[must_use]
    pub fn windows(&self, bridge: usize) -> Option<Vec<PaSpan>> {
        let entry = self.entries.get(bridge)?;
        let (Some(parent), Some(ranges)) = (entry.parent, value(entry.node, "ranges")) else {
            return Some(Vec::new());
        };
        let ranges = cells(ranges)?;
        let (child, size) = self.counts(bridge);
        let (up, _) = self.counts(parent);
        let width = child.checked_add(up)?.checked_add(size)?;
        if !ranges.len().is_multiple_of(width.max(1)) || !self.on_bus(parent) {
            return None;
        }
        let mut windows = Vec::new();
        for range in ranges.chunks(width.max(1)) {
            let (to, length) = range.get(child..)?.split_at_checked(up)?;
            let (to, length) = (number(to)?, number(length)?);
            let window = PaSpan::new(Pa(self.translate(parent, to, length)?), length)?;
            windows.push(Some(window).filter(|window| window.end() <= PA_END)?);
        }
        Some(windows)
    }

    /// Whether every bus from this one up passes addresses on.
    fn on_bus(&self, bus: usize) -> bool {
        self.upwards(bus).all(|bus| {
            self.entries
                .get(bus)
                .is_some_and(|entry| entry.parent.is_none() || value(entry.node, "ranges").is_some())
        })
    }

    /// A child address of `bus` as a physical one.
    pub(crate) fn translate(&self, bus: usize, base: u64, size: u64) -> Option<u64> {
        let mut base = base;
        for bus in self.upwards(bus) {
            let entry = self.entries.get(bus)?;
            let Some(parent) = entry.parent else { break };
            let ranges = cells(value(entry.node, "ranges")?)?;
            if ranges.is_empty() {
                continue;
            }
            let (child, length) = self.counts(bus);
            let (up, _) = self.counts(parent);
            let width = child.checked_add(length)?.checked_add(up)?;
            if width == 0 || !ranges.len().is_multiple_of(width) {
                return None;
            }
            base = ranges.chunks(width).find_map(|range| {
                let from = number(range.get(..child)?)?;
                let to = number(range.get(child..child.checked_add(up)?)?)?;
                let length = number(range.get(child.checked_add(up)?..)?)?;
                let offset = base.checked_sub(from)?;
                (offset.checked_add(size)? <= length).then(|| to.checked_add(offset))?
            })?;
        }
        Some(base)
    }

    /// A node's interrupts; none if they cannot be understood.
    #[must_use]
    pub fn interrupts(&self, number: usize) -> Option<Vec<Interrupt>> {
        let node = self.node(number)?;
        let mut found = Vec::new();
        // Devicetree Specification, 2.4.1: interrupts-extended, where present, is the one that counts.
        if let Some(extended) = value(node, "interrupts-extended") {
            let list = cells(extended)?;
            let mut rest = list.as_slice();
            while let Some((phandle, after)) = rest.split_first() {
                let controller = self.by_phandle(*phandle)?;
                let count = cell(self.node(controller)?, "#interrupt-cells")? as usize;
                let (specifier, after) = after.split_at_checked(count)?;
                found.push(Interrupt { controller, specifier: specifier.to_vec() });
                rest = after;
            }
        } else if let Some(plain) = value(node, "interrupts") {
            let phandle = self.upwards(number).find_map(|up| cell(self.node(up)?, "interrupt-parent"))?;
            let controller = self.by_phandle(phandle)?;
            let count = cell(self.node(controller)?, "#interrupt-cells")? as usize;
            let list = cells(plain)?;
            if count == 0 || !list.len().is_multiple_of(count) {
                return None;
            }
            found.extend(
                list.chunks(count).map(|specifier| Interrupt { controller, specifier: specifier.to_vec() }),
            );
        }
        Some(found)
    }

    /// The entries of a node's `interrupt-map` (Devicetree Specification, 2.4.3); none if they cannot be understood.
    #[must_use]
    pub fn interrupt_map(&self, at: usize) -> Option<Vec<MapEntry>> {
        let node = self.node(at)?;
        let Some(map) = value(node, "interrupt-map") else { return Some(Vec::new()) };
        let count = |node, name| cell(node, name).map(|count| count as usize);
        let unit_cells = self.counts(at).0;
        let pin_cells = count(node, "#interrupt-cells")?;
        let list = cells(map)?;
        let (mut rest, mut found) = (list.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (unit, after) = rest.split_at_checked(unit_cells)?;
            let (pin, after) = after.split_at_checked(pin_cells)?;
            let (phandle, after) = after.split_first()?;
            let controller = self.by_phandle(*phandle)?;
            let parent = self.node(controller)?;
            // 2.4.3.1: without #address-cells the parent takes none, whatever 2.3.5 has as the default.
            let (_, after) = after.split_at_checked(count(parent, "#address-cells").unwrap_or(0))?;
            let (specifier, after) = after.split_at_checked(count(parent, "#interrupt-cells")?)?;
            let interrupt = Interrupt { controller, specifier: specifier.to_vec() };
            found.push(MapEntry { unit: unit.to_vec(), pin: pin.to_vec(), interrupt });
            rest = after;
        }
        Some(found)
    }

    /// The nodes that a property of a node refers to (phandle 0 is an empty place); an error is a phandle that no
    /// node has.
    ///
    /// # Errors
    ///
    /// The phandle.
    pub fn references(&self, property: &str, value: &[u8]) -> Result<Vec<Target>, u32> {
        let mut found = Vec::new();
        let Some(arguments) = arguments(property) else { return Ok(found) };
        // As far as there are whole cells: a guest's tree takes references from what is left of a malformed list, too.
        let list: Vec<u32> = value.as_chunks().0.iter().map(|cell| u32::from_be_bytes(*cell)).collect();
        let mut rest = list.as_slice();
        while let Some((phandle, after)) = rest.split_first() {
            rest = after;
            if *phandle == 0 {
                continue;
            }
            let node = self.by_phandle(*phandle).ok_or(*phandle)?;
            let count = match arguments {
                Arguments::Counted(by, default) => {
                    self.node(node).and_then(|node| cell(node, by)).unwrap_or(default) as usize
                }
                Arguments::None => 0,
            };
            let (arguments, after) = rest.split_at(count.min(rest.len()));
            found.push(Target { node, arguments: arguments.to_vec() });
            rest = after;
        }
        Ok(found)
    }
}
