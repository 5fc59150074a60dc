//! Cell counts: rewrites a property from the host root's counts to the guest root's, which are always two and two.

use alloc::vec::Vec;

use crate::dt::Node;

use crate::dt::{cell, value};

/// A node's `#address-cells` and `#size-cells` for its children (Devicetree Specification 2.3.5: 2 and 1 by default).
#[derive(Clone, Copy)]
pub(super) struct Counts {
    /// Cells of an address.
    pub(super) address: usize,
    /// Cells of a size.
    pub(super) size: usize,
}

/// The counts of the guest's root.
pub(super) const GUEST: Counts = Counts { address: 2, size: 2 };

impl Counts {
    /// What `node` says of its children.
    pub(super) fn of(node: &Node<'_>) -> Self {
        let count = |name, default| cell(node, name).map_or(default, |cells| cells as usize);
        Self { address: count("#address-cells", 2), size: count("#size-cells", 1) }
    }
}

/// `reg` of a child of a node with counts `from`, in the guest root's counts.
pub(super) fn reg(value: &[u8], from: Counts) -> Option<Vec<u8>> {
    rewrite(value, &[(from.address, GUEST.address), (from.size, GUEST.size)])
}

/// `ranges` or `dma-ranges` of `bus`, whose parent has counts `from`, in the guest root's counts.
pub(super) fn ranges(bus: &Node<'_>, value: &[u8], from: Counts) -> Option<Vec<u8>> {
    let child = Counts::of(bus);
    rewrite(value, &[(child.address, child.address), (from.address, GUEST.address), (child.size, child.size)])
}

/// A property of a node at the root in the guest root's counts, if it has to change. What cannot be understood is no
/// address that the plan relies on, and stays.
pub(super) fn rerooted(node: &Node<'_>, name: &str, host_root: &Node<'_>) -> Option<Vec<u8>> {
    let from = Counts::of(host_root);
    let value = value(node, name)?;
    match name {
        "reg" => reg(value, from),
        "ranges" | "dma-ranges" => ranges(node, value, from),
        _ => None,
    }
}

/// Rewrites entries of fields, each from one number of cells to another. None where the value is not a whole number
/// of entries or a number does not fit.
fn rewrite(value: &[u8], fields: &[(usize, usize)]) -> Option<Vec<u8>> {
    let entry: usize = fields.iter().try_fold(0usize, |sum, (from, _)| sum.checked_add(*from))?;
    let bytes = entry.checked_mul(4).filter(|bytes| *bytes != 0)?;
    if !value.len().is_multiple_of(bytes) {
        return None;
    }
    let mut out = Vec::new();
    for mut rest in value.chunks(bytes) {
        for (from, to) in fields {
            let (field, after) = rest.split_at_checked(from * 4)?;
            rest = after;
            let wanted = to * 4;
            match field.len().checked_sub(wanted) {
                Some(surplus) => {
                    let (high, low) = field.split_at(surplus);
                    if high.iter().any(|byte| *byte != 0) {
                        return None;
                    }
                    out.extend_from_slice(low);
                }
                None => {
                    out.resize(out.len() + wanted - field.len(), 0);
                    out.extend_from_slice(field);
                }
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(cells: &[u32]) -> Vec<u8> {
        cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
    }

    #[test]
    fn one_cell_becomes_two() {
        let from = Counts { address: 1, size: 1 };
        assert_eq!(reg(&bytes(&[0x1000, 0x10]), from), Some(bytes(&[0, 0x1000, 0, 0x10])));
    }

    #[test]
    fn three_cells_become_two_if_the_first_is_zero() {
        let from = Counts { address: 3, size: 0 };
        assert_eq!(reg(&bytes(&[0, 1, 2]), from), Some(bytes(&[1, 2, 0, 0])));
        assert_eq!(reg(&bytes(&[7, 1, 2]), from), None);
    }

    #[test]
    fn a_part_of_an_entry_is_refused() {
        assert_eq!(reg(&bytes(&[1, 2, 3]), Counts { address: 1, size: 1 }), None);
        assert_eq!(reg(&[0; 4], Counts { address: 0, size: 0 }), None);
        assert_eq!(reg(&[0; 4], Counts { address: usize::MAX, size: 2 }), None);
    }

    #[test]
    fn only_the_parent_address_of_ranges_changes() {
        let mut bus = Node::new("soc");
        super::super::node::set_cells(&mut bus, "#address-cells", &[1]);
        super::super::node::set_cells(&mut bus, "#size-cells", &[1]);
        let from = Counts { address: 1, size: 1 };
        assert_eq!(
            ranges(&bus, &bytes(&[0x7e00_0000, 0xfe00_0000, 0x0180_0000]), from),
            Some(bytes(&[0x7e00_0000, 0, 0xfe00_0000, 0x0180_0000]))
        );
    }
}
