//! The flattened format (Devicetree Specification, chapter 5), by dtoolkit: its reader checks a blob, and gives names and values
//! where they lie. Its own model of a tree, which owns everything and has two hash tables for each node, is for writing.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use dtoolkit::error::{FdtErrorKind, FdtParseError};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node as _, Property as _};

use super::tree::{Node, Property, Tree};

/// The largest tree that is read. QEMU pads its own to 1 MiB.
pub const MAX_TREE: usize = 2 << 20;
/// The deepest nesting that is read: what walks a tree recurses, and EL2's stack is small.
pub const MAX_DEPTH: usize = 32;

/// Why bytes are no tree that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// They are too few to tell.
    Short(usize),
    /// They begin with something else.
    Magic,
    /// More than is read.
    Large(usize),
    /// It says that there is more.
    Cut(usize, usize),
    /// It is malformed.
    Malformed(FdtParseError),
    /// Nested deeper than is read.
    Deep,
}

impl Unreadable {
    /// Whether a property's name is to blame.
    #[must_use]
    pub fn is_property_name(&self) -> bool {
        matches!(self, Self::Malformed(error) if error.kind == FdtErrorKind::InvalidPropertyName)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(size) => write!(f, "it has only {size} bytes"),
            Self::Magic => f.write_str("it does not begin with the magic number d00dfeed"),
            Self::Large(size) => {
                write!(f, "it says it has {size} bytes, and {MAX_TREE} is the most that is read")
            }
            Self::Cut(size, there) => {
                write!(f, "it says it has {size} bytes, but only {there} are there")
            }
            Self::Malformed(error) => error.fmt(f),
            Self::Deep => write!(f, "its nodes are nested deeper than {MAX_DEPTH}"),
        }
    }
}

impl core::error::Error for Unreadable {}

/// How many bytes a tree says that it has, from its first ones: at most [`MAX_TREE`].
///
/// # Errors
///
/// Why this is no tree that can be read.
pub fn total_size(header: &[u8]) -> Result<usize, Unreadable> {
    let size = header.get(4..8).and_then(|field| field.try_into().ok()).map(u32::from_be_bytes);
    let size = size.ok_or(Unreadable::Short(header.len()))? as usize;
    if header.get(..4) != Some(&[0xd0, 0x0d, 0xfe, 0xed]) {
        return Err(Unreadable::Magic);
    }
    if size > MAX_TREE { Err(Unreadable::Large(size)) } else { Ok(size) }
}

/// Bytes of what is in a tree, as its header says: its structure and its strings. Trees are padded.
#[must_use]
pub fn content(bytes: &[u8]) -> u64 {
    let field = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes).map(u64::from);
    let sum = field(32).unwrap_or(0) + field(36).unwrap_or(0);
    sum.min(bytes.len() as u64)
}

/// A blob that dtoolkit takes. What follows its `totalsize` is ignored.
fn checked(bytes: &[u8]) -> Result<Fdt<'_>, Unreadable> {
    let size = total_size(bytes)?;
    let bytes = bytes.get(..size).ok_or(Unreadable::Cut(size, bytes.len()))?;
    Fdt::new(bytes).map_err(Unreadable::Malformed)
}

/// Reads a flattened tree where it lies.
///
/// # Errors
///
/// Why it cannot be read.
pub fn parse(bytes: &[u8]) -> Result<Tree<'_>, Unreadable> {
    let fdt = checked(bytes)?;
    let reservations = fdt.memory_reservations().map(|entry| (entry.address(), entry.size())).collect();
    Ok(Tree { root: read(&fdt.root(), MAX_DEPTH)?, reservations })
}

fn read<'a>(from: &FdtNode<'a>, levels: usize) -> Result<Node<'a>, Unreadable> {
    let below = levels.checked_sub(1).ok_or(Unreadable::Deep)?;
    let mut node = Node::new(from.name());
    for property in from.properties() {
        node.add_property(Property::read(property));
    }
    for child in from.children() {
        node.add_child(read(&child, below)?);
    }
    Ok(node)
}

/// dtoolkit's model of a tree, which can be changed in any way.
pub(super) fn model(bytes: &[u8]) -> Result<DeviceTree, Unreadable> {
    checked(bytes).map(|fdt| DeviceTree::from_fdt(&fdt))
}

/// A tree that needs no blob, from that model.
pub(super) fn owned(model: &DeviceTree) -> Tree<'static> {
    let pairs = model.memory_reservations.iter().map(|entry| (entry.address(), entry.size()));
    Tree { root: owned_node(&model.root), reservations: pairs.collect() }
}

fn owned_node(from: &DeviceTreeNode) -> Node<'static> {
    let mut node = Node::new(String::from(from.name()));
    for property in from.properties() {
        let name = String::from(property.name());
        node.add_property(Property::new(name, property.value().to_vec()));
    }
    from.children().for_each(|child| node.add_child(owned_node(child)));
    node
}

impl Tree<'_> {
    /// The tree in the flattened format. The same tree gives the same bytes.
    #[must_use]
    pub fn to_dtb(&self) -> Vec<u8> {
        let mut model = DeviceTree::new();
        model.root = model_node(&self.root);
        let entries = self.reservations.iter().map(|(base, size)| MemoryReservation::new(*base, *size));
        model.memory_reservations = entries.collect();
        model.to_dtb()
    }
}

fn model_node(from: &Node<'_>) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(from.name());
    for property in from.properties() {
        node.add_property(DeviceTreeProperty::new_unchecked(property.name(), property.value()));
    }
    from.children().for_each(|child| node.add_child(model_node(child)));
    node
}
