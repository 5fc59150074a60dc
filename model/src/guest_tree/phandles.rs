//! Which node has which phandle in the host's tree, and which numbers are free.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use dtoolkit::Node;
use dtoolkit::model::{DeviceTree, DeviceTreeNode};

use super::node;

/// The host tree's phandles.
pub(super) struct Phandles<'a> {
    nodes: BTreeMap<u32, (String, &'a DeviceTreeNode)>,
    taken: BTreeSet<u32>,
}

impl<'a> Phandles<'a> {
    /// Collects them. Where two nodes claim one number the first in the tree has it.
    pub(super) fn of(host: &'a DeviceTree) -> Self {
        let mut nodes = BTreeMap::new();
        collect(&mut nodes, &host.root, "/");
        let taken = nodes.keys().copied().collect();
        Self { nodes, taken }
    }

    /// The node with this number and its path.
    pub(super) fn get(&self, phandle: u32) -> Option<(&str, &'a DeviceTreeNode)> {
        self.nodes.get(&phandle).map(|(path, node)| (path.as_str(), *node))
    }

    /// A number that no node has: the next above the highest, or where that is spent the lowest free one.
    pub(super) fn fresh(&mut self) -> u32 {
        let above = self.taken.last().map_or(1, |last| last.saturating_add(1));
        let number = match above {
            u32::MAX => (1..u32::MAX).find(|number| !self.taken.contains(number)).unwrap_or(1),
            above => above,
        };
        self.taken.insert(number);
        number
    }
}

fn collect<'a>(nodes: &mut BTreeMap<u32, (String, &'a DeviceTreeNode)>, at: &'a DeviceTreeNode, path: &str) {
    if let Some(phandle) = node::phandle(at) {
        nodes.entry(phandle).or_insert_with(|| (path.into(), at));
    }
    for child in at.children() {
        collect(nodes, child, &node::join(path, child.name()));
    }
}
