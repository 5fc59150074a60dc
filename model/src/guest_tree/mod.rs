//! The device tree that a partition gets, written from the plan and the host's tree: the partition's own cores,
//! memory, interrupt controller, timer, PSCI and console, the host's nodes for the devices given with what they
//! refer to, and nothing else.
//!
//! Nodes that are copied keep their path and phandle, so that references stay true without being rewritten. New
//! phandles are numbers that the host's tree does not use. The output depends on the inputs alone: the host tool
//! and EL2 write the same bytes.

mod base;
mod cells;
mod devices;
mod fault;
mod merge;
mod node;
mod pci;
mod refs;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::dt::{Node, Tree};

pub use fault::Fault;

use crate::dt::Index;
use crate::plan::{ErrorKind, Gic, Partition, Plan, PlanError};

/// What the parts of the writer share: the inputs and the tree as far as it is written.
struct Writer<'a> {
    plan: &'a Plan,
    partition: &'a Partition,
    index: &'a Index<'a>,
    /// The interrupt controller's node in the host's tree, and its number.
    gic: (usize, &'a Node<'a>),
    /// Its phandle, in both trees.
    gic_phandle: u32,
    /// Phandles in use in either tree.
    phandles: BTreeSet<u32>,
    /// The guest's root.
    root: Node<'a>,
    /// The console's path in the guest's tree.
    console: Option<String>,
    /// The host's nodes that the guest has: devices, what they refer to, buses, replaced clocks.
    copied: BTreeSet<usize>,
    /// The outputs of clock providers that the guest sees as fixed clocks, by the provider's number and the reference's
    /// arguments, with the phandle of each one's node.
    fixed_clocks: BTreeMap<(usize, Vec<u32>), u32>,
    /// Names at the root that no device may have.
    taken: BTreeSet<String>,
}

/// Writes the tree of partition number `partition`. `host` is the tree that the plan was made from (the firmware's,
/// with the overlay applied).
///
/// # Errors
///
/// Names the device whose node cannot be given as it is, or the `guest-tree` node that contradicts the plan.
pub fn write(plan: &Plan, partition: usize, host: &Tree<'_>) -> Result<Vec<u8>, PlanError> {
    write_from(plan, partition, &Index::new(host))
}

/// The same, where the tree was read through already.
///
/// # Errors
///
/// As [`write`]'s.
pub fn write_from(plan: &Plan, partition: usize, host: &Index<'_>) -> Result<Vec<u8>, PlanError> {
    let Some(partition) = plan.partitions.get(partition) else {
        return Err(refuse("/partitions", Fault::NoPartition { number: partition }));
    };
    let mut writer = Writer::new(plan, partition, host)?;
    writer.base()?;
    writer.devices()?;
    writer.bridges()?;
    writer.console()?;
    writer.supervisor()?;
    writer.watchdog()?;
    writer.aliases();
    writer.guest_tree()?;
    let tree = Tree { root: writer.root, ..Tree::default() };
    let bytes = tree.to_dtb();
    match partition.load.dtb_span {
        Some(span) if (bytes.len() as u64) > span.size => {
            Err(refuse(&partition.path, Fault::TooLarge { bytes: bytes.len() as u64, room: span.size }))
        }
        _ => Ok(bytes),
    }
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, partition: &'a Partition, index: &'a Index<'a>) -> Result<Self, PlanError> {
        let (Gic::V3 { path, .. } | Gic::V2 { path, .. }) = &plan.board.gic;
        let gic = find(index, path)?;
        let phandles = index.entries().iter().filter_map(|entry| node::phandle(entry.node)).collect();
        let mut writer = Self {
            plan,
            partition,
            index,
            gic,
            gic_phandle: 0,
            phandles,
            root: Node::new(""),
            console: None,
            copied: BTreeSet::new(),
            fixed_clocks: BTreeMap::new(),
            taken: BTreeSet::new(),
        };
        writer.gic_phandle = node::phandle(gic.1).unwrap_or_else(|| writer.fresh_phandle());
        Ok(writer)
    }

    /// The host's node at `path`, which the plan says is there, and its number.
    fn host(&self, path: &str) -> Result<(usize, &'a Node<'a>), PlanError> {
        find(self.index, path)
    }

    /// A phandle that no node has: the next above the highest, or where that is spent the lowest free one.
    fn fresh_phandle(&mut self) -> u32 {
        let above = self.phandles.last().map_or(1, |last| last.saturating_add(1));
        let number = match above {
            u32::MAX => (1..u32::MAX).find(|number| !self.phandles.contains(number)).unwrap_or(1),
            above => above,
        };
        self.phandles.insert(number);
        number
    }

    /// Adds a node at the root; two nodes of one path mean that a device's place is already taken.
    fn add(&mut self, node: Node<'a>) -> Result<(), PlanError> {
        if node::child(&self.root, node.name()).is_some() {
            let path = alloc::format!("/{}", node.name());
            return Err(refuse(&self.partition.path, Fault::Taken { path }));
        }
        self.root.add_child(node);
        Ok(())
    }
}

fn find<'a>(index: &Index<'a>, path: &str) -> Result<(usize, &'a Node<'a>), PlanError> {
    let found = index.find(path).and_then(|number| Some((number, index.node(number)?)));
    found.ok_or_else(|| refuse(path, Fault::Gone))
}

fn refuse(node: &str, fault: Fault) -> PlanError {
    PlanError::node(node, ErrorKind::GuestTree(fault))
}
