//! Reading device trees: bounded parsing, property values, nodes by path and phandle, addresses and interrupts as
//! the CPU sees them. Nothing here knows what a partition is, and nothing here may panic on any tree.

mod index;
mod refs;
mod words;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use dtoolkit::{Node, Property};

pub use index::{Entry, Index, Interrupt, MapEntry, Registers, Target};
pub use refs::{Arguments, arguments};
pub use words::nearest;

/// The largest tree that is read. QEMU pads its own to 1 MiB.
pub const MAX_TREE: usize = 2 << 20;
/// The deepest nesting that is read: readers recurse, and EL2's stack is small.
pub const MAX_DEPTH: usize = 32;

/// Reads a flattened tree. What follows its `totalsize` is ignored.
///
/// # Errors
///
/// In words why it cannot be read.
pub fn parse(bytes: &[u8]) -> Result<DeviceTree, String> {
    let size = total_size(bytes)?;
    let bytes = bytes
        .get(..size)
        .ok_or_else(|| format!("it says it has {size} bytes, but only {} are there", bytes.len()))?;
    let fdt = Fdt::new(bytes).map_err(|error| error.to_string())?;
    match depth(bytes) {
        Some(depth) if depth <= MAX_DEPTH => Ok(DeviceTree::from_fdt(&fdt)),
        _ => Err(format!("its nodes are nested deeper than {MAX_DEPTH}")),
    }
}

/// How many bytes a tree says that it has, from its first ones: at most [`MAX_TREE`].
///
/// # Errors
///
/// In words why this is no tree that can be read.
pub fn total_size(header: &[u8]) -> Result<usize, String> {
    let size = header.get(4..8).and_then(|field| field.try_into().ok()).map(u32::from_be_bytes);
    let size = size.ok_or_else(|| format!("it has only {} bytes", header.len()))? as usize;
    if header.get(..4) != Some(&[0xd0, 0x0d, 0xfe, 0xed]) {
        return Err("it does not begin with the magic number d00dfeed".to_string());
    }
    if size > MAX_TREE {
        return Err(format!("it says it has {size} bytes, and {MAX_TREE} is the most that is read"));
    }
    Ok(size)
}

/// Where the boot loader put the initial RAM disk: /chosen linux,initrd-start and -end.
#[must_use]
pub fn initrd(tree: &DeviceTree) -> Option<(u64, u64)> {
    let chosen = tree.root.children().find(|child| child.name() == "chosen")?;
    let address = |name| value(chosen, name).and_then(cells).and_then(|cells| number(&cells));
    Some((address("linux,initrd-start")?, address("linux,initrd-end")?))
}

/// What the boot loader hands on in /chosen bootargs.
#[must_use]
pub fn bootargs(tree: &DeviceTree) -> Option<&str> {
    text(tree.root.children().find(|child| child.name() == "chosen")?, "bootargs")
}

/// How deep the nodes of a valid tree are nested; none if it is not valid after all.
fn depth(bytes: &[u8]) -> Option<usize> {
    let word = |at: usize| {
        let field = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(field.try_into().ok()?) as usize)
    };
    let mut at = word(8)?;
    let (mut depth, mut deepest) = (0usize, 0);
    loop {
        let token = word(at)?;
        at = at.checked_add(4)?;
        // The tokens of the Devicetree Specification, section 5.4.1.
        match token {
            1 => {
                depth += 1;
                deepest = deepest.max(depth);
                let name = bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
                at = at.checked_add(name)?.checked_add(1)?.checked_next_multiple_of(4)?;
            }
            2 => depth = depth.checked_sub(1)?,
            3 => at = at.checked_add(8)?.checked_add(word(at)?)?.checked_next_multiple_of(4)?,
            4 => {}
            9 => return Some(deepest),
            _ => return None,
        }
    }
}

/// The bytes of a property.
#[must_use]
pub fn value<'a>(node: &'a DeviceTreeNode, name: &str) -> Option<&'a [u8]> {
    node.properties().find(|property| property.name() == name).and_then(|property| property.value_as().ok())
}

/// All properties: name and bytes.
pub fn properties(node: &DeviceTreeNode) -> impl Iterator<Item = (String, &[u8])> {
    node.properties().map(|property| (property.name().to_string(), property.value_as().unwrap_or_default()))
}

/// A property that is one cell.
#[must_use]
pub fn cell(node: &DeviceTreeNode, name: &str) -> Option<u32> {
    value(node, name)?.try_into().ok().map(u32::from_be_bytes)
}

/// Bytes as cells.
#[must_use]
pub fn cells(value: &[u8]) -> Option<Vec<u32>> {
    let (cells, rest) = value.as_chunks();
    rest.is_empty().then(|| cells.iter().map(|cell| u32::from_be_bytes(*cell)).collect())
}

/// Some cells as one number, if they are at most two.
#[must_use]
pub fn number(cells: &[u32]) -> Option<u64> {
    match *cells {
        [] => Some(0),
        [low] => Some(u64::from(low)),
        [high, low] => Some(u64::from(high) << 32 | u64::from(low)),
        _ => None,
    }
}

/// Bytes as one printable string.
#[must_use]
pub fn string(value: &[u8]) -> Option<&str> {
    match strings(value)?.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// Bytes as printable strings, none of them empty but for a single one.
#[must_use]
pub fn strings(value: &[u8]) -> Option<Vec<&str>> {
    let body = value.strip_suffix(&[0])?;
    if body.is_empty() {
        return Some(alloc::vec![""]);
    }
    let printable = |byte: &u8| byte.is_ascii_graphic() || matches!(*byte, b' ' | b'\t');
    body.split(|byte| *byte == 0)
        .map(|part| (!part.is_empty() && part.iter().all(printable)).then_some(part)?.try_into_str())
        .collect()
}

/// So that the chain above reads from left to right.
trait TryIntoStr<'a> {
    fn try_into_str(self) -> Option<&'a str>;
}

impl<'a> TryIntoStr<'a> for &'a [u8] {
    fn try_into_str(self) -> Option<&'a str> {
        core::str::from_utf8(self).ok()
    }
}

/// A property that is one string.
#[must_use]
pub fn text<'a>(node: &'a DeviceTreeNode, name: &str) -> Option<&'a str> {
    string(value(node, name)?)
}

/// Whether `compatible` holds one of these.
#[must_use]
pub fn compatible(node: &DeviceTreeNode, with: &[&str]) -> bool {
    value(node, "compatible")
        .and_then(strings)
        .is_some_and(|names| names.iter().any(|name| with.contains(name)))
}

/// Whether a node's own `status` lets it be used.
#[must_use]
pub fn okay(node: &DeviceTreeNode) -> bool {
    value(node, "status").is_none_or(|status| matches!(string(status), Some("okay" | "ok")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_told_from_numbers() {
        assert_eq!(strings(b"a\0bc\0"), Some(alloc::vec!["a", "bc"]));
        assert_eq!(string(b"a b\0"), Some("a b"));
        assert_eq!(string(b"a\0b\0"), None);
        assert_eq!(strings(&[0, 0, 1, 0]), None);
        assert_eq!(strings(&[0, 0, 0, 1]), None);
        assert_eq!(strings(&[]), None);
    }

    #[test]
    fn deep_trees_are_refused_before_anything_recurses() {
        let nested = |levels: usize| {
            let mut node = DeviceTreeNode::new("n").unwrap();
            for _ in 1..levels {
                let mut outer = DeviceTreeNode::new("n").unwrap();
                outer.add_child(node);
                node = outer;
            }
            let mut tree = DeviceTree::new();
            tree.root.add_child(node);
            tree.to_dtb()
        };
        assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(parse(&nested(MAX_DEPTH)).unwrap_err().contains("nested deeper"));
    }

    #[test]
    fn numbers_have_at_most_two_cells() {
        assert_eq!(number(&[]), Some(0));
        assert_eq!(number(&[7]), Some(7));
        assert_eq!(number(&[1, 2]), Some(0x1_0000_0002));
        assert_eq!(number(&[0, 0, 1]), None);
    }

    #[test]
    fn no_operation_is_passed_over() {
        // Devicetree Specification, 5.4.1: FDT_NOP (4) may stand between any two tokens.
        let mut bytes = DeviceTree::new().to_dtb();
        let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let structure = word(&bytes, 8) as usize;
        let end = (structure..bytes.len()).step_by(4).find(|at| word(&bytes, *at) == 9).unwrap();
        assert_eq!(depth(&bytes), Some(1));
        bytes.splice(end..end, 4u32.to_be_bytes());
        assert_eq!(depth(&bytes), Some(1));
        bytes[end..end + 4].copy_from_slice(&5u32.to_be_bytes());
        assert_eq!(depth(&bytes), None);
    }

    #[test]
    fn the_initrd_lies_where_the_boot_loader_says() {
        let with = |properties: &[(&str, &[u8])]| {
            let mut chosen = DeviceTreeNode::new("chosen").unwrap();
            for (name, value) in properties {
                chosen.add_property(dtoolkit::model::DeviceTreeProperty::new(*name, *value).unwrap());
            }
            let mut tree = DeviceTree::new();
            tree.root.add_child(DeviceTreeNode::new("cpus").unwrap());
            tree.root.add_child(chosen);
            initrd(&tree)
        };
        // QEMU writes one cell each, U-Boot two.
        let (start, end): (&[u8], &[u8]) = (&[0x48, 0, 0, 0], &[0, 0, 0, 1, 0x48, 0, 0x12, 0x34]);
        let both = [("linux,initrd-start", start), ("linux,initrd-end", end)];
        assert_eq!(with(&both), Some((0x4800_0000, 0x1_4800_1234)));
        assert_eq!(with(&both[..1]), None);
        assert_eq!(with(&both[1..]), None);
        assert_eq!(initrd(&DeviceTree::new()), None);
    }

    #[test]
    fn bootargs_are_what_chosen_says() {
        let with = |node: &str, name: &str| {
            let mut chosen = DeviceTreeNode::new(node).unwrap();
            chosen
                .add_property(dtoolkit::model::DeviceTreeProperty::new(name, *b"weaken=x quiet\0").unwrap());
            let mut tree = DeviceTree::new();
            tree.root.add_child(DeviceTreeNode::new("aliases").unwrap());
            tree.root.add_child(chosen);
            bootargs(&tree).map(ToOwned::to_owned)
        };
        assert_eq!(with("chosen", "bootargs").as_deref(), Some("weaken=x quiet"));
        assert_eq!((with("chosen", "stdout-path"), with("options", "bootargs")), (None, None));
    }

    #[test]
    fn totalsize_is_honoured_and_capped() {
        let mut bytes = DeviceTree::new().to_dtb();
        bytes.extend([0xff; 100]);
        assert!(parse(&bytes).is_ok());
        assert!(parse(&bytes[..30]).unwrap_err().contains("only 30 are there"));
        bytes[4..8].copy_from_slice(&0x7fff_ffffu32.to_be_bytes());
        assert!(parse(&bytes).unwrap_err().contains("is the most"));
        let most = |size: usize| {
            bytes[4..8].copy_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
            total_size(&bytes).is_ok()
        };
        assert_eq!([MAX_TREE, MAX_TREE + 1].map(most), [true, false]);
        assert!(parse(&[]).is_err());
    }
}
