//! The devices given: their host nodes at their own paths below copies of the buses that lead there, and the nodes
//! without registers that they refer to.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::node::{self, set_cells, set_strings};
use super::refs::{self, Reference};
use super::{Fault, Writer, cells};
use crate::dt::{Node, cells as cells_of, merge, okay, properties, value};
use crate::plan::{ErrorKind, FixedClock, PlanError};

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
    /// every guest has in its own way, stays as it is, and so does an interrupt parent that is none, or which the plan
    /// does not find behind any interrupt of the partition.
    fn is_missing(&self, Pending { from, property, target }: &Pending) -> Result<bool, PlanError> {
        let path = self.index.path(*target);
        let top = node::names(path).next().unwrap_or_default();
        let settled = *target == self.gic.0
            || self.copied.contains(target)
            || self.taken.contains(top)
            || self.index.disabled_by(*target).is_some()
            || (property == "interrupt-parent" && !self.takes_interrupts(*target));
        if settled {
            return Ok(false);
        }
        let Some(provider) = self.provider(*target) else { return Ok(true) };
        let (from, provider) = (self.index.path(*from).into(), self.index.path(provider).into());
        match property.as_str() {
            "interrupt-parent" => Ok(false),
            "clocks" => Err(self.device(ErrorKind::NeedsClock(from, property.as_str().into(), provider))),
            _ => Err(self.device(ErrorKind::NeedsDevice(from, property.as_str().into(), provider))),
        }
    }

    /// Whether a node can be an interrupt parent at all (Devicetree Specification, 2.4).
    fn takes_interrupts(&self, number: usize) -> bool {
        let says = |name| self.index.node(number).is_some_and(|node| node.property(name).is_some());
        says("interrupt-controller") || says("interrupt-map")
    }

    /// The node itself, or the one that it is a part of, if it is not for copying: the CPU can, or might, address its registers, it
    /// has interrupts, or every guest has its own.
    fn provider(&self, number: usize) -> Option<usize> {
        let interrupts = self.index.interrupts(number).is_none_or(|interrupts| !interrupts.is_empty());
        let kept = interrupts || self.index.is_no_provider(number) || self.is_mapped(number);
        if kept { Some(number) } else { self.part_of(number) }
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
        self.index.registers(number).may_be_reached()
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
            // What is no bus works for what is below it, with all that it needs itself.
            let is_bus = self.index.node(bus).is_some_and(|node| node.property("ranges").is_some());
            let copy = self.copy_properties(bus, is_bus.then_some(BUS), pending)?;
            self.insert(bus, copy);
        }
        let copy = self.copy(number, given, pending)?;
        self.insert(number, copy);
        Ok(())
    }

    /// Merges a node into the guest's tree. The nodes above it are there.
    fn insert(&mut self, number: usize, node: Node<'a>) {
        let mut at = &mut self.root;
        for name in node::names(self.index.path(number)) {
            at = at.child_or_new(String::from(name));
        }
        merge(at, node);
    }

    /// A node with what is below it, without what is disabled there.
    fn copy(
        &mut self,
        number: usize,
        given: bool,
        pending: &mut VecDeque<Pending>,
    ) -> Result<Node<'a>, PlanError> {
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
    ) -> Result<Node<'a>, PlanError> {
        let host = self.index.node(number).unwrap_or(self.gic.1);
        let mut copy = Node::new(host.name());
        let root = self.index.node(0).filter(|_| self.index.upwards(number).count() == 2);
        let clocks_fixed = refs::ASSIGNED_CLOCKS.iter().any(|name| {
            let list = refs::references(name, value(host, name).unwrap_or_default(), self.index);
            list.iter().any(|reference| reference.target.is_some_and(|target| self.is_fixed_provider(target)))
        });
        for (name, value) in properties(host) {
            if refs::DROPPED.contains(&name)
                || only.is_some_and(|only| !only.contains(&name))
                || (clocks_fixed && refs::ASSIGNED_CLOCKS.contains(&name))
            {
                continue;
            }
            let mut found = refs::references(name, value, self.index);
            let value = match root.and_then(|root| cells::rerooted(host, name, root)) {
                Some(rerooted) => rerooted,
                None if name == "clocks" => self.with_fixed_clocks(value, &mut found),
                None => value.to_vec(),
            };
            node::set(&mut copy, name, value);
            for target in found.into_iter().filter_map(|reference| reference.target) {
                pending.push_back(Pending { from: number, property: name.into(), target });
            }
        }
        self.copied.insert(number);
        Ok(copy)
    }

    /// A list of clocks in which those that are fixed are the nodes that stand for them, which have one output and take
    /// no arguments; they are no references to the host's provider any more.
    fn with_fixed_clocks(&self, value: &[u8], references: &mut [Reference]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = value;
        for reference in references {
            let (entry, after) = rest.split_at_checked(reference.cells * 4).unwrap_or((rest, &[]));
            let output = entry.get(4..).and_then(cells_of).unwrap_or_default();
            let fixed = reference.target.and_then(|target| self.fixed_clocks.get(&(target, output)));
            match fixed {
                Some(phandle) => {
                    out.extend_from_slice(&phandle.to_be_bytes());
                    reference.target = None;
                }
                None => out.extend_from_slice(entry),
            }
            rest = after;
        }
        out.extend_from_slice(rest);
        out
    }

    /// A fixed clock for an output of a provider. One with a single output has the provider's phandle, so that whatever
    /// refers to the provider finds it.
    fn fixed_clock(&mut self, clock: &FixedClock) -> Result<(), PlanError> {
        let (number, provider) = self.host(&clock.provider)?;
        let mut name = format!("clock-{}", provider.name_without_address());
        for cell in &clock.output {
            name = format!("{name}-{cell}");
        }
        let own = node::phandle(provider).filter(|_| clock.output.is_empty());
        let phandle = own.unwrap_or_else(|| self.fresh_phandle());
        if node::child(&self.root, &name).is_some() {
            name = format!("{name}-{phandle:x}");
        }
        let mut node = Node::new(name);
        set_strings(&mut node, "compatible", &["fixed-clock"]);
        set_cells(&mut node, "#clock-cells", &[0]);
        set_cells(&mut node, "clock-frequency", &[clock.hz]);
        set_cells(&mut node, "phandle", &[phandle]);
        if clock.output.is_empty() {
            self.copied.insert(number);
        }
        self.fixed_clocks.insert((number, clock.output.clone()), phandle);
        self.add(node)
    }

    /// Whether some output of a provider is a fixed clock.
    fn is_fixed_provider(&self, number: usize) -> bool {
        let mut outputs = self.fixed_clocks.range((number, Vec::new())..);
        outputs.next().is_some_and(|((provider, _), _)| *provider == number)
    }

    fn device(&self, kind: ErrorKind) -> PlanError {
        PlanError::property(self.partition.path.as_str(), "devices", kind)
    }
}
