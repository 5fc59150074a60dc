//! Reading device trees: bounded parsing, property values, nodes by path and phandle, addresses and interrupts as
//! the CPU sees them. Nothing here knows what a partition is, and nothing here may panic on any tree.

mod apply;
mod flat;
mod index;
mod refs;
mod tree;
mod words;

use alloc::vec::Vec;

pub use apply::{NotApplied, OverlayError, apply, merge};
pub use flat::{MAX_DEPTH, MAX_TREE, Unreadable, content, parse, total_size};
pub use index::{Entry, Index, Interrupt, MapEntry, Registers, Target};
pub use refs::{Arguments, arguments};
pub use tree::{Node, Property, Tree};
pub use words::nearest;

/// Where the boot loader put the initial RAM disk: /chosen linux,initrd-start and -end.
#[must_use]
pub fn initrd(tree: &Tree<'_>) -> Option<(u64, u64)> {
    let chosen = tree.root.child("chosen")?;
    let address = |name| value(chosen, name).and_then(cells).and_then(|cells| number(&cells));
    Some((address("linux,initrd-start")?, address("linux,initrd-end")?))
}

/// What the boot loader hands on in /chosen bootargs.
#[must_use]
pub fn bootargs<'a>(tree: &'a Tree<'_>) -> Option<&'a str> {
    text(tree.root.child("chosen")?, "bootargs")
}

/// The bytes of a property.
#[must_use]
pub fn value<'a>(node: &'a Node<'a>, name: &str) -> Option<&'a [u8]> {
    node.property(name).map(Property::value)
}

/// All properties: name and bytes.
pub fn properties<'a>(node: &'a Node<'_>) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    node.properties().map(|property| (property.name(), property.value()))
}

/// A property that is one cell.
#[must_use]
pub fn cell(node: &Node<'_>, name: &str) -> Option<u32> {
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
    value.strip_suffix(&[0])?.iter().all(printable).then_some(value.get(..value.len() - 1)?)?.try_into_str()
}

fn printable(byte: &u8) -> bool {
    matches!(*byte, b' '..=b'~' | b'\t')
}

/// Bytes as printable strings, none of them empty but for a single one.
#[must_use]
pub fn strings(value: &[u8]) -> Option<Vec<&str>> {
    let body = value.strip_suffix(&[0])?;
    if body.is_empty() {
        return Some(alloc::vec![""]);
    }
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
pub fn text<'a>(node: &'a Node<'a>, name: &str) -> Option<&'a str> {
    string(value(node, name)?)
}

/// Whether `compatible` holds one of these.
#[must_use]
pub fn compatible(node: &Node<'_>, with: &[&str]) -> bool {
    value(node, "compatible").is_some_and(|names| names_one(names, with))
}

/// Whether a list of strings holds one of these.
fn names_one(names: &[u8], with: &[&str]) -> bool {
    let is_one = |name: &[u8]| with.iter().any(|with| with.as_bytes() == name);
    let mut rest = names;
    // Most nodes are compatible with something else: what they say is looked at byte by byte only if not.
    while let Some(end) = nul(rest) {
        let (name, after) = rest.split_at(end);
        if is_one(name) {
            return strings(names).is_some();
        }
        rest = after.get(1..).unwrap_or_default();
    }
    false
}

/// Where the first NUL is, eight bytes at a time: a byte from which one can only be taken with a borrow is zero.
fn nul(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = bytes.as_chunks();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let zeros = word.wrapping_sub(ONES) & !word & ONES << 7;
        if zeros != 0 {
            return Some(8 * number + zeros.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == 0).map(|at| 8 * words.len() + at)
}

/// Whether a node's own `status` lets it be used.
#[must_use]
pub fn okay(node: &Node<'_>) -> bool {
    value(node, "status").is_none_or(|status| matches!(string(status), Some("okay" | "ok")))
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::string::ToString;

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
    fn a_node_is_compatible_with_any_of_its_names() {
        let with = |value: &[u8]| {
            let mut node = Node::new("n");
            node.add_property(Property::new("compatible", value.to_vec()));
            ["abcdefgh", "i", "longer-than-others", "x"].map(|name| compatible(&node, &["none", name]))
        };
        assert_eq!(with(b"abcdefgh\0i\0longer-than-others\0"), [true, true, true, false]);
        assert_eq!(with(b"longer-than-others\0"), [false, false, true, false]);
        // Not even the first, where the list is no list of strings.
        assert_eq!(with(b"abcdefgh\0i\0\xff\0"), [false; 4]);
        assert_eq!(with(b"abcdefgh\0i"), [false; 4]);
        assert_eq!(with(b"abcdefgh\0\0x\0"), [false; 4]);
        assert_eq!(with(b""), [false; 4]);
    }

    proptest::proptest! {
        #[test]
        fn a_nul_is_found_where_it_is(bytes in proptest::collection::vec(0..3_u8, 0..40)) {
            proptest::prop_assert_eq!(nul(&bytes), bytes.iter().position(|byte| *byte == 0));
        }
    }

    #[test]
    fn deep_trees_are_refused_before_anything_recurses() {
        let nested = |levels: usize| {
            let mut node = Node::new("n");
            for _ in 1..levels {
                let mut outer = Node::new("n");
                outer.add_child(node);
                node = outer;
            }
            let mut tree = Tree::default();
            tree.root.add_child(node);
            tree.to_dtb()
        };
        assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(parse(&nested(MAX_DEPTH)).unwrap_err().to_string().contains("nested deeper"));
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
        let mut bytes = Tree::default().to_dtb();
        let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let structure = word(&bytes, 8) as usize;
        // The end of the root; not behind it, where dtoolkit takes none.
        let end = (structure..bytes.len()).step_by(4).find(|at| word(&bytes, *at) == 2).unwrap();
        bytes.splice(end..end, 4u32.to_be_bytes());
        // The whole, the strings' offset, the structure's size.
        for field in [4, 12, 36] {
            let more = word(&bytes, field) + 4;
            bytes[field..field + 4].copy_from_slice(&more.to_be_bytes());
        }
        assert_eq!(parse(&bytes), Ok(Tree::default()));
        bytes[end..end + 4].copy_from_slice(&5u32.to_be_bytes());
        assert!(matches!(parse(&bytes), Err(Unreadable::Malformed(_))));
    }

    #[test]
    fn the_initrd_lies_where_the_boot_loader_says() {
        let with = |properties: &[(&str, &[u8])]| {
            let mut chosen = Node::new("chosen");
            for (name, value) in properties {
                chosen.add_property(crate::dt::Property::new(*name, *value));
            }
            let mut tree = Tree::default();
            tree.root.add_child(Node::new("cpus"));
            tree.root.add_child(chosen);
            initrd(&tree)
        };
        // QEMU writes one cell each, U-Boot two.
        let (start, end): (&[u8], &[u8]) = (&[0x48, 0, 0, 0], &[0, 0, 0, 1, 0x48, 0, 0x12, 0x34]);
        let both = [("linux,initrd-start", start), ("linux,initrd-end", end)];
        assert_eq!(with(&both), Some((0x4800_0000, 0x1_4800_1234)));
        assert_eq!(with(&both[..1]), None);
        assert_eq!(with(&both[1..]), None);
        assert_eq!(initrd(&Tree::default()), None);
    }

    #[test]
    fn bootargs_are_what_chosen_says() {
        let with = |node: &str, name: &str| {
            let mut chosen = Node::new(node);
            chosen.add_property(crate::dt::Property::new(name, b"weaken=x quiet\0"));
            let mut tree = Tree::default();
            tree.root.add_child(Node::new("aliases"));
            tree.root.add_child(chosen);
            bootargs(&tree).map(ToOwned::to_owned)
        };
        assert_eq!(with("chosen", "bootargs").as_deref(), Some("weaken=x quiet"));
        assert_eq!((with("chosen", "stdout-path"), with("options", "bootargs")), (None, None));
    }

    #[test]
    fn totalsize_is_honoured_and_capped() {
        let mut bytes = Tree::default().to_dtb();
        bytes.extend([0xff; 100]);
        assert!(parse(&bytes).is_ok());
        assert!(parse(&bytes[..30]).unwrap_err().to_string().contains("only 30 are there"));
        bytes[4..8].copy_from_slice(&0x7fff_ffffu32.to_be_bytes());
        assert!(parse(&bytes).unwrap_err().to_string().contains("is the most"));
        let most = |size: usize| {
            bytes[4..8].copy_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
            total_size(&bytes).is_ok()
        };
        assert_eq!([MAX_TREE, MAX_TREE + 1].map(most), [true, false]);
        assert!(parse(&[]).is_err());
    }
}
