//! Writing tree nodes: properties from numbers and strings, and lookups that a path needs.

use alloc::vec::Vec;

use crate::dt::{Node, Property};

use crate::dt::cell;

/// The names in an absolute path.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// A child by its whole name: `memory` does not find `memory@40000000`.
pub(super) fn child<'a>(node: &'a Node<'a>, name: &str) -> Option<&'a Node<'a>> {
    node.children().find(|child| child.name() == name)
}

/// The node's phandle, under either name; 0 and -1 are none (Devicetree Specification 2.3.3).
pub(super) fn phandle(node: &Node<'_>) -> Option<u32> {
    let found = cell(node, "phandle").or_else(|| cell(node, "linux,phandle"))?;
    (found != 0 && found != u32::MAX).then_some(found)
}

/// Sets a property to bytes.
pub(super) fn set<'a>(node: &mut Node<'a>, name: &'a str, value: Vec<u8>) {
    node.add_property(Property::new(name, value));
}

/// Sets a property to cells.
pub(super) fn set_cells<'a>(node: &mut Node<'a>, name: &'a str, cells: &[u32]) {
    set(node, name, cells.iter().flat_map(|cell| cell.to_be_bytes()).collect());
}

/// Sets a property to 64-bit numbers, two cells each.
pub(super) fn set_u64s<'a>(node: &mut Node<'a>, name: &'a str, numbers: &[u64]) {
    set(node, name, numbers.iter().flat_map(|number| number.to_be_bytes()).collect());
}

/// Sets a property to a list of strings.
pub(super) fn set_strings<'a>(node: &mut Node<'a>, name: &'a str, strings: &[&str]) {
    let mut value = Vec::new();
    for string in strings {
        value.extend_from_slice(string.as_bytes());
        value.push(0);
    }
    set(node, name, value);
}

/// Copies the named properties that `from` has.
pub(super) fn copy<'a>(to: &mut Node<'a>, from: &Node<'a>, names: &[&str]) {
    for name in names {
        if let Some(property) = from.property(name) {
            to.add_property(property.clone());
        }
    }
}
