//! Small helpers on tree nodes: exact lookup, and properties by value.

use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property};

/// A node by its full path. Every name must match whole: `memory` does not find `memory@40000000`.
pub(super) fn find<'a>(tree: &'a DeviceTree, path: &str) -> Option<&'a DeviceTreeNode> {
    names(path)?.try_fold(&tree.root, child)
}

/// The names in an absolute path.
pub(super) fn names(path: &str) -> Option<impl Iterator<Item = &str>> {
    path.strip_prefix('/').map(|rest| rest.split('/').filter(|name| !name.is_empty()))
}

/// A child by its whole name.
pub(super) fn child<'a>(node: &'a DeviceTreeNode, name: &str) -> Option<&'a DeviceTreeNode> {
    node.children().find(|child| child.name() == name)
}

/// `parent` and `name` as one path.
pub(super) fn join(parent: &str, name: &str) -> String {
    alloc::format!("{}/{name}", parent.trim_end_matches('/'))
}

/// Whether `path` is `top` or lies below it.
pub(super) fn within(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || top == "/")
}

/// A one-cell property.
pub(super) fn cell(node: &DeviceTreeNode, name: &str) -> Option<u32> {
    Some(u32::from_be_bytes(value(node, name)?.try_into().ok()?))
}

/// A property's bytes.
pub(super) fn value<'a>(node: &'a DeviceTreeNode, name: &str) -> Option<&'a [u8]> {
    node.property(name)?.value_as().ok()
}

/// The node's phandle, under either name; 0 and -1 are none (Devicetree Specification 2.3.3).
pub(super) fn phandle(node: &DeviceTreeNode) -> Option<u32> {
    let found = cell(node, "phandle").or_else(|| cell(node, "linux,phandle"))?;
    (found != 0 && found != u32::MAX).then_some(found)
}

/// Whether one of the node's `compatible` strings is this one.
pub(super) fn is_compatible(node: &DeviceTreeNode, with: &str) -> bool {
    node.property("compatible").is_some_and(|p| p.value().split(|b| *b == 0).any(|s| s == with.as_bytes()))
}

/// Whether `status` says that the node is not in use.
pub(super) fn is_disabled(node: &DeviceTreeNode) -> bool {
    node.property("status").is_some_and(|p| !matches!(p.value(), b"okay\0" | b"ok\0"))
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

/// A value that is one string.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.strip_suffix(b"\0")?).ok()
}

/// A property that is one string.
pub(super) fn string<'a>(node: &'a DeviceTreeNode, name: &str) -> Option<&'a str> {
    text(value(node, name)?)
}
