//! The devices given: their host nodes at their own paths below copies of the buses that lead there, and the nodes
//! without registers that they refer to.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dtoolkit::model::DeviceTreeNode;
use dtoolkit::{Node, Property};

use super::node::{self, set_cells, set_strings};
use super::refs::{self, Reference};
use super::{Fault, Writer, cells, merge};
use crate::plan::{ErrorKind, Gic, PlanError};

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
    from: String,
    property: String,
    phandle: u32,
}

impl Writer<'_> {
    /// Copies the devices, then what they refer to, then what that refers to, until nothing is missing.
    pub(super) fn devices(&mut self) -> Result<(), PlanError> {
        for clock in &self.partition.fixed_clocks {
            self.fixed_clock(clock)?;
        }
        self.taken = self.root.children().map(|child| child.name().to_string()).collect();
        let mut pending = VecDeque::new();
        for device in &self.partition.devices {
            // A device below another one comes with it.
            if !self
                .partition
                .devices
                .iter()
                .any(|d| d.path != device.path && node::within(&device.path, &d.path))
            {
                self.place(&device.path, true, &mut pending)?;
            }
        }
        while let Some(next) = pending.pop_front() {
            if let Some(path) = self.missing(&next)? {
                self.place(&path, false, &mut pending)?;
            }
        }
        Ok(())
    }

    /// The path of the node that a reference needs and the guest's tree lacks. A number that no node has is left.
    fn missing(&self, pending: &Pending) -> Result<Option<String>, PlanError> {
        let (Gic::V3 { path: gic, .. } | Gic::V2 { path: gic, .. }) = &self.plan.board.gic;
        let Some((path, _)) = self.phandles.get(pending.phandle) else {
            return Ok(None);
        };
        if path == gic || self.copied.contains(path) {
            return Ok(None);
        }
        if self.registers_above(path).is_some() || node::within(path, "/cpus") {
            let Pending { from, property, .. } = pending;
            let (from, provider) = (from.clone(), path.to_string());
            return Err(self.device(match property.as_str() {
                "clocks" => ErrorKind::NeedsClock(from, property.as_str().into(), provider),
                _ => ErrorKind::NeedsDevice(from, property.as_str().into(), provider),
            }));
        }
        Ok(Some(path.to_string()))
    }

    /// The first node on the way to `path`, itself included, that has registers in the physical address space and
    /// is not the partition's. A bus may have some of its own; the guest does not see those.
    fn registers_above(&self, path: &str) -> Option<String> {
        let mut at = &self.host.root;
        let mut here = String::from("/");
        let mut mapped = true;
        for name in node::names(path)? {
            at = node::child(at, name)?;
            here = node::join(&here, name);
            let registers = mapped && at.property("reg").is_some();
            if registers && !node::is_compatible(at, "simple-bus") && !self.copied.contains(&here) {
                return Some(here);
            }
            mapped = at.property("ranges").is_some();
        }
        None
    }

    /// Puts a copy of the host's node at its own path, below copies of its buses. A given node comes whole; one that
    /// was only referred to comes without the devices on it, should it be a bus.
    fn place(&mut self, path: &str, given: bool, pending: &mut VecDeque<Pending>) -> Result<(), PlanError> {
        let top = node::names(path).and_then(|mut names| names.next()).unwrap_or_default();
        if self.taken.contains(top) {
            return Err(self.device(ErrorKind::GuestTree(Fault::Taken { path: format!("/{top}") })));
        }
        let (parent, _) = path.rsplit_once('/').unwrap_or_default();
        if let Some(registers) = self.registers_above(parent) {
            let why = format!("it lies below {registers}, which has registers of its own; add that instead");
            return Err(self.device(ErrorKind::Unreachable(path.into(), why)));
        }
        for (end, _) in parent.match_indices('/').skip(1).chain([(parent.len(), "")]) {
            let bus = parent.get(..end).filter(|bus| !bus.is_empty() && !self.copied.contains(*bus));
            if let Some(bus) = bus {
                let copy = self.copy_properties(self.host_node(bus)?, bus, Some(BUS), pending)?;
                self.insert(bus, copy);
            }
        }
        let copy = self.copy(self.host_node(path)?, path, given, pending)?;
        self.insert(path, copy);
        Ok(())
    }

    /// Merges a node into the guest's tree. The nodes above it are there.
    fn insert(&mut self, path: &str, node: DeviceTreeNode) {
        let mut at = &mut self.root;
        for name in node::names(path).into_iter().flatten() {
            at = at.add_child_mut(DeviceTreeNode::new_unchecked(name));
        }
        merge::into(at, node);
    }

    /// A node with what is below it, without what is disabled there (unless that was given too).
    fn copy(
        &mut self,
        host: &DeviceTreeNode,
        path: &str,
        given: bool,
        pending: &mut VecDeque<Pending>,
    ) -> Result<DeviceTreeNode, PlanError> {
        let mut copy = self.copy_properties(host, path, None, pending)?;
        if given || host.property("ranges").is_none() {
            for child in host.children() {
                let path = node::join(path, child.name());
                if !node::is_disabled(child)
                    || self.partition.devices.iter().any(|device| device.path == path)
                {
                    copy.add_child(self.copy(child, &path, given, pending)?);
                }
            }
        }
        Ok(copy)
    }

    /// A node's properties, those of `only` if it is given, as they read in the guest's tree.
    fn copy_properties(
        &mut self,
        host: &DeviceTreeNode,
        path: &str,
        only: Option<&[&str]>,
        pending: &mut VecDeque<Pending>,
    ) -> Result<DeviceTreeNode, PlanError> {
        let mut copy = DeviceTreeNode::new_unchecked(host.name());
        let at_root = node::names(path).is_some_and(|names| names.count() == 1);
        let clocks_fixed = refs::ASSIGNED_CLOCKS.iter().any(|name| {
            let value = node::value(host, name).unwrap_or_default();
            refs::references(name, value, &self.phandles).iter().any(|r| self.is_fixed_clock(r.phandle))
        });
        for property in host.properties() {
            let name = property.name();
            if refs::DROPPED.contains(&name)
                || only.is_some_and(|only| !only.contains(&name))
                || (clocks_fixed && refs::ASSIGNED_CLOCKS.contains(&name))
            {
                continue;
            }
            let found = refs::references(name, property.value(), &self.phandles);
            let value = match at_root.then(|| cells::rerooted(host, name, &self.host.root)).flatten() {
                Some(Some(value)) => value,
                Some(None) => return Err(self.device(ErrorKind::BadDeviceProperty(path.into(), name.into()))),
                None => self.without_clock_arguments(property.value(), &found),
            };
            node::set(&mut copy, name, value);
            for Reference { phandle, .. } in found {
                pending.push_back(Pending { from: path.into(), property: name.into(), phandle });
            }
        }
        self.copied.insert(path.into());
        Ok(copy)
    }

    /// A list of references in which those to fixed clocks have no arguments: a fixed clock has one output.
    fn without_clock_arguments(&self, value: &[u8], references: &[Reference]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = value;
        for reference in references {
            let (entry, after) = rest.split_at_checked(reference.cells * 4).unwrap_or((rest, &[]));
            let kept = if self.is_fixed_clock(reference.phandle) { 4 } else { entry.len() };
            out.extend_from_slice(entry.get(..kept).unwrap_or(entry));
            rest = after;
        }
        out.extend_from_slice(rest);
        out
    }

    /// A fixed clock in a provider's stead, with its phandle.
    fn fixed_clock(&mut self, path: &str) -> Result<(), PlanError> {
        let provider = self.host_node(path)?;
        let Some(rate) = provider.property("clock-frequency") else {
            return Err(PlanError::property(
                self.partition.path.as_str(),
                "fixed-clocks",
                ErrorKind::NoRate(path.into()),
            ));
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
            self.fixed_clocks.insert(phandle);
        }
        self.copied.insert(path.into());
        self.add(clock)
    }

    fn is_fixed_clock(&self, phandle: u32) -> bool {
        self.fixed_clocks.contains(&phandle)
    }

    fn device(&self, kind: ErrorKind) -> PlanError {
        PlanError::property(self.partition.path.as_str(), "devices", kind)
    }
}
