//! The devices given: their host nodes at their own paths below copies of the buses that lead there, and the nodes
//! without registers that they refer to.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dtoolkit::Node;
use dtoolkit::model::DeviceTreeNode;

use super::node::{self, set_cells, set_strings};
use super::refs::{self, Reference};
use super::{Fault, Writer, cells, merge};
use crate::dt::{Registers, okay, properties, value};
use crate::plan::{ErrorKind, PlanError};

/// What is taken over of a bus. Its clocks, resets and power are not the guest's.
const BUS: &[&str] = &[
    "compatible",
    "#address-cells",
    "#size-cells",
    "ranges",
    "dma-ranges",
    "dma-coherent",
    "dma-noncoherent",
    "nonposted-mmio",
    "interrupt-parent",
    "#interrupt-cells",
    "interrupt-map",
    "interrupt-map-mask",
    "status",
    "phandle",
];

/// A reference that was met while copying and is not yet known to lead to a node of the guest's tree.
struct Pending {
    from: usize,
    property: String,
    target: usize,
}

impl<'a> Writer<'a> {
    /// Copies the devices, then what they refer to, then what that refers to, until nothing is missing.
    pub(super) fn devices(&mut self) -> Result<(), PlanError> {
        for clock in &self.partition.fixed_clocks {
            self.fixed_clock(clock)?;
        }
        self.taken = self.root.children().map(|child| child.name().to_string()).collect();
        let given: Vec<usize> =
            self.partition.devices.iter().map(|d| Ok(self.host(&d.path)?.0)).collect::<Result<_, _>>()?;
        let mut pending = VecDeque::new();
        for device in &given {
            let top = node::names(self.index.path(*device)).next().unwrap_or_default();
            if self.taken.contains(top) {
                return Err(self.device(ErrorKind::GuestTree(Fault::Taken { path: format!("/{top}") })));
            }
            // A device below another one comes with it.
            if !given.iter().any(|other| other != device && self.index.within(*device, *other)) {
                self.place(*device, true, &mut pending)?;
            }
        }
        while let Some(next) = pending.pop_front() {
            if self.is_missing(&next)? {
                self.place(next.target, false, &mut pending)?;
            }
        }
        Ok(())
    }

    /// Whether a reference needs a node that the guest's tree lacks. What leads to a disabled node, or to one that
    /// every guest has in its own way, stays as it is, and so does an inherited interrupt parent which the plan does
    /// not find behind any interrupt of the partition.
    fn is_missing(&self, Pending { from, property, target }: &Pending) -> Result<bool, PlanError> {
        let path = self.index.path(*target);
        let top = node::names(path).next().unwrap_or_default();
        let settled = *target == self.gic.0
            || self.copied.contains(target)
            || self.taken.contains(top)
            || self.index.disabled_by(*target).is_some();
        if settled {
            return Ok(false);
        }
        let Some(provider) = self.with_registers(*target) else { return Ok(true) };
        let (from, provider) = (self.index.path(*from).into(), self.index.path(provider).into());
        match property.as_str() {
            "interrupt-parent" => Ok(false),
            "clocks" => Err(self.device(ErrorKind::NeedsClock(from, property.as_str().into(), provider))),
            _ => Err(self.device(ErrorKind::NeedsDevice(from, property.as_str().into(), provider))),
        }
    }

    /// The node itself, or the one that it is a part of, if the CPU can address its registers.
    fn with_registers(&self, number: usize) -> Option<usize> {
        if self.is_mapped(number) { Some(number) } else { self.part_of(number) }
    }

    /// The node above that has registers and is neither the partition's nor a bus. A bus may have some of its own;
    /// the guest does not see those.
    fn part_of(&self, number: usize) -> Option<usize> {
        self.index.upwards(number).skip(1).find(|above| {
            let bus = self.index.node(*above).is_none_or(|node| node.property("ranges").is_some());
            !bus && !self.copied.contains(above) && self.is_mapped(*above)
        })
    }

    fn is_mapped(&self, number: usize) -> bool {
        matches!(self.index.registers(number), Registers::Mapped(spans) if !spans.is_empty())
    }

    /// The nodes directly below one.
    fn children(&self, number: usize) -> Vec<usize> {
        let entries = self.index.entries();
        let end = entries.get(number).map_or(0, |entry| entry.end);
        let next = |at: usize| entries.get(at).map(|entry| entry.end).filter(|next| *next < end);
        core::iter::successors(Some(number + 1).filter(|first| *first < end), |at| next(*at)).collect()
    }

    /// Puts a copy of the host's node at its own path, below copies of its buses. A given node comes whole; one that
    /// was only referred to comes without the devices on it, should it be a bus.
    fn place(
        &mut self,
        number: usize,
        given: bool,
        pending: &mut VecDeque<Pending>,
    ) -> Result<(), PlanError> {
        let mut buses: Vec<usize> = self.index.upwards(number).skip(1).collect();
        // The root is always there.
        buses.pop();
        if let Some(parent) = self.part_of(number) {
            let (device, parent) = (self.index.path(number).into(), self.index.path(parent));
            return Err(self.device(ErrorKind::Unreachable(
                device,
                format!("it is a part of {parent}, which has registers; give {parent} instead"),
            )));
        }
        for bus in buses.into_iter().rev().filter(|bus| !self.copied.contains(bus)).collect::<Vec<_>>() {
            let copy = self.copy_properties(bus, Some(BUS), pending)?;
            self.insert(bus, copy);
        }
        let copy = self.copy(number, given, pending)?;
        self.insert(number, copy);
        Ok(())
    }

    /// Merges a node into the guest's tree. The nodes above it are there.
    fn insert(&mut self, number: usize, node: DeviceTreeNode) {
        let mut at = &mut self.root;
        for name in node::names(self.index.path(number)) {
            at = at.add_child_mut(DeviceTreeNode::new_unchecked(name));
        }
        merge::into(at, node);
    }

    /// A node with what is below it, without what is disabled there.
    fn copy(
        &mut self,
        number: usize,
        given: bool,
        pending: &mut VecDeque<Pending>,
    ) -> Result<DeviceTreeNode, PlanError> {
        let mut copy = self.copy_properties(number, None, pending)?;
        if given || copy.property("ranges").is_none() {
            for child in self.children(number) {
                if self.index.node(child).is_some_and(okay) {
                    copy.add_child(self.copy(child, given, pending)?);
                }
            }
        }
        Ok(copy)
    }

    /// A node's properties, those of `only` if it is given, as they read in the guest's tree.
    fn copy_properties(
        &mut self,
        number: usize,
        only: Option<&[&str]>,
        pending: &mut VecDeque<Pending>,
    ) -> Result<DeviceTreeNode, PlanError> {
        let host = self.index.node(number).unwrap_or(self.gic.1);
        let mut copy = DeviceTreeNode::new_unchecked(host.name());
        let root = self.index.node(0).filter(|_| self.index.upwards(number).count() == 2);
        let clocks_fixed = refs::ASSIGNED_CLOCKS.iter().any(|name| {
            let list = refs::references(name, value(host, name).unwrap_or_default(), &self.index);
            list.iter().any(|reference| self.is_fixed_clock(reference))
        });
        for (name, value) in properties(host) {
            let name = name.as_str();
            if refs::DROPPED.contains(&name)
                || only.is_some_and(|only| !only.contains(&name))
                || (clocks_fixed && refs::ASSIGNED_CLOCKS.contains(&name))
            {
                continue;
            }
            let found = refs::references(name, value, &self.index);
            let value = root
                .and_then(|root| cells::rerooted(host, name, root))
                .unwrap_or_else(|| self.without_clock_arguments(value, &found));
            node::set(&mut copy, name, value);
            for target in found.into_iter().filter_map(|reference| reference.target) {
                pending.push_back(Pending { from: number, property: name.into(), target });
            }
        }
        self.copied.insert(number);
        Ok(copy)
    }

    /// A list of references in which those to fixed clocks have no arguments: a fixed clock has one output.
    fn without_clock_arguments(&self, value: &[u8], references: &[Reference]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = value;
        for reference in references {
            let (entry, after) = rest.split_at_checked(reference.cells * 4).unwrap_or((rest, &[]));
            let kept = if self.is_fixed_clock(reference) { 4 } else { entry.len() };
            out.extend_from_slice(entry.get(..kept).unwrap_or(entry));
            rest = after;
        }
        out.extend_from_slice(rest);
        out
    }

    /// A fixed clock in a provider's stead, with its phandle.
    fn fixed_clock(&mut self, path: &str) -> Result<(), PlanError> {
        let (number, provider) = self.host(path)?;
        let Some(rate) = provider.property("clock-frequency") else {
            let kind = ErrorKind::NoRate(path.into());
            return Err(PlanError::property(self.partition.path.as_str(), "fixed-clocks", kind));
        };
        let mut name = format!("clock-{}", provider.name_without_address());
        if node::child(&self.root, &name).is_some() {
            name = format!("{name}-{:x}", node::phandle(provider).unwrap_or_default());
        }
        let mut clock = DeviceTreeNode::new_unchecked(name);
        set_strings(&mut clock, "compatible", &["fixed-clock"]);
        set_cells(&mut clock, "#clock-cells", &[0]);
        clock.add_property(rate.clone());
        if let Some(phandle) = node::phandle(provider) {
            set_cells(&mut clock, "phandle", &[phandle]);
        }
        self.fixed_clocks.insert(number);
        self.copied.insert(number);
        self.add(clock)
    }

    fn is_fixed_clock(&self, reference: &Reference) -> bool {
        reference.target.is_some_and(|target| self.fixed_clocks.contains(&target))
    }

    fn device(&self, kind: ErrorKind) -> PlanError {
        PlanError::property(self.partition.path.as_str(), "devices", kind)
    }
}
