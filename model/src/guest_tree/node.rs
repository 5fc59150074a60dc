//! Writing tree nodes: properties from numbers and strings, and lookups that a path needs.

use alloc::vec::Vec;

use dtoolkit::Node;
use dtoolkit::model::{DeviceTreeNode, DeviceTreeProperty};

use crate::dt::cell;

/// The names in an absolute path.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// A child by its whole name: `memory` does not find `memory@40000000`.
pub(super) fn child<'a>(node: &'a DeviceTreeNode, name: &str) -> Option<&'a DeviceTreeNode> {
    node.children().find(|child| child.name() == name)
}

/// The node's phandle, under either name; 0 and -1 are none (Devicetree Specification 2.3.3).
pub(super) fn phandle(node: &DeviceTreeNode) -> Option<u32> {
    let found = cell(node, "phandle").or_else(|| cell(node, "linux,phandle"))?;
    (found != 0 && found != u32::MAX).then_some(found)
}

/// Sets a property to bytes.
pub(super) fn set(node: &mut DeviceTreeNode, name: &str, value: Vec<u8>) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

/// Sets a property to cells.
pub(super) fn set_cells(node: &mut DeviceTreeNode, name: &str, cells: &[u32]) {
    set(node, name, cells.iter().flat_map(|cell| cell.to_be_bytes()).collect());
}

/// Sets a property to 64-bit numbers, two cells each.
pub(super) fn set_u64s(node: &mut DeviceTreeNode, name: &str, numbers: &[u64]) {
    set(node, name, numbers.iter().flat_map(|number| number.to_be_bytes()).collect());
}

/// Sets a property to a list of strings.
pub(super) fn set_strings(node: &mut DeviceTreeNode, name: &str, strings: &[&str]) {
    let mut value = Vec::new();
    for string in strings {
        value.extend_from_slice(string.as_bytes());
        value.push(0);
    }
    set(node, name, value);
}

/// Copies the named properties that `from` has.
pub(super) fn copy(to: &mut DeviceTreeNode, from: &DeviceTreeNode, names: &[&str]) {
    for name in names {
        if let Some(property) = from.property(name) {
            to.add_property(property.clone());
        }
    }
}
