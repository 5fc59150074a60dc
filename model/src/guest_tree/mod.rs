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
mod phandles;
mod refs;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::Node;
use dtoolkit::model::{DeviceTree, DeviceTreeNode};

pub use fault::Fault;
use phandles::Phandles;

use crate::plan::{ErrorKind, Gic, Partition, Plan, PlanError};

/// What the parts of the writer share: the inputs and the tree as far as it is written.
struct Writer<'a> {
    plan: &'a Plan,
    partition: &'a Partition,
    host: &'a DeviceTree,
    phandles: Phandles<'a>,
    /// The interrupt controller's node in the host's tree.
    gic: &'a DeviceTreeNode,
    /// Its phandle, in both trees.
    gic_phandle: u32,
    /// The guest's root.
    root: DeviceTreeNode,
    /// The console's path in the guest's tree.
    console: Option<String>,
    /// Paths of the host's nodes that the guest has: devices, what they refer to, buses, replaced clocks.
    copied: BTreeSet<String>,
    /// Phandles of the clock providers that the guest sees as fixed clocks.
    fixed_clocks: BTreeSet<u32>,
    /// Names at the root that no device may have.
    taken: BTreeSet<String>,
}

/// Writes the tree of partition number `partition`. `host` is the tree that the plan was made from (the firmware's,
/// with the overlay applied).
///
/// # Errors
///
/// Names the device whose node cannot be given as it is, or the `guest-tree` node that contradicts the plan.
pub fn write(plan: &Plan, partition: usize, host: &DeviceTree) -> Result<Vec<u8>, PlanError> {
    let Some(partition) = plan.partitions.get(partition) else {
        return Err(refuse("/partitions", Fault::NoPartition { number: partition }));
    };
    let mut writer = Writer::new(plan, partition, host)?;
    writer.base()?;
    writer.devices()?;
    writer.console()?;
    writer.aliases();
    writer.guest_tree()?;
    let mut tree = DeviceTree::new();
    tree.root = writer.root;
    let bytes = tree.to_dtb();
    match partition.load.dtb_span {
        Some(span) if (bytes.len() as u64) > span.size => {
            Err(refuse(&partition.path, Fault::TooLarge { bytes: bytes.len() as u64, room: span.size }))
        }
        _ => Ok(bytes),
    }
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, partition: &'a Partition, host: &'a DeviceTree) -> Result<Self, PlanError> {
        let (Gic::V3 { path, .. } | Gic::V2 { path, .. }) = &plan.board.gic;
        let Some(gic) = node::find(host, path) else {
            return Err(refuse(path, Fault::Gone));
        };
        let mut phandles = Phandles::of(host);
        let gic_phandle = node::phandle(gic).unwrap_or_else(|| phandles.fresh());
        Ok(Self {
            plan,
            partition,
            host,
            phandles,
            gic,
            gic_phandle,
            root: DeviceTreeNode::new_unchecked(""),
            console: None,
            copied: BTreeSet::new(),
            fixed_clocks: BTreeSet::new(),
            taken: BTreeSet::new(),
        })
    }

    /// The host's node at `path`, which the plan says is there.
    fn host_node(&self, path: &str) -> Result<&'a DeviceTreeNode, PlanError> {
        node::find(self.host, path).ok_or_else(|| refuse(path, Fault::Gone))
    }

    /// Adds a node at the root; two nodes of one path mean that a device's place is already taken.
    fn add(&mut self, node: DeviceTreeNode) -> Result<(), PlanError> {
        if node::child(&self.root, node.name()).is_some() {
            let path = alloc::format!("/{}", node.name());
            return Err(refuse(&self.partition.path, Fault::Taken { path }));
        }
        self.root.add_child(node);
        Ok(())
    }
}

fn refuse(node: &str, fault: Fault) -> PlanError {
    PlanError::node(node, ErrorKind::GuestTree(fault))
}
