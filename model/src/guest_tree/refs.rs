//! References in a device's properties: where each leads, and how many cells it takes.

use alloc::vec::Vec;

use crate::dt::{Arguments, Index, arguments, cell};

/// Properties that are left out of a guest's tree, because what they refer to is never given to a partition: the
/// IOMMU, the MSI controller, cores by the host's nodes, caches.
pub(super) const DROPPED: &[&str] = &[
    "iommus",
    "iommu-map",
    "iommu-map-mask",
    "msi-parent",
    "msi-map",
    "msi-map-mask",
    "interrupt-affinity",
    "cooling-device",
    "next-level-cache",
    "linux,phandle",
];

/// The clock set-up that the kernel is to do; pointless where a provider is a fixed clock.
pub(super) const ASSIGNED_CLOCKS: &[&str] =
    &["assigned-clocks", "assigned-clock-parents", "assigned-clock-rates", "assigned-clock-rates-u64"];

/// One reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The node referred to; none for an empty place in the list.
    pub(super) target: Option<usize>,
    /// Cells of the whole entry: the phandle and its arguments.
    pub(super) cells: usize,
}

/// The references in a property, in order; empty where it holds none. A list is read as far as it makes sense.
pub(super) fn references(name: &str, value: &[u8], index: &Index<'_>) -> Vec<Reference> {
    let mut found = Vec::new();
    let arguments = match name {
        "interrupt-parent" => Arguments::None,
        "interrupts-extended" => Arguments::Counted("#interrupt-cells", 0),
        _ => match arguments(name) {
            Some(arguments) => arguments,
            None => return found,
        },
    };
    let mut rest: &[[u8; 4]] = value.as_chunks().0;
    while let Some(first) = rest.first() {
        let phandle = u32::from_be_bytes(*first);
        let target = index.by_phandle(phandle);
        let counted = match (arguments, target.and_then(|target| index.node(target))) {
            (Arguments::Counted(by, default), Some(target)) => cell(target, by).unwrap_or(default) as usize,
            (Arguments::Counted(..), None) if phandle != 0 => break,
            _ => 0,
        };
        let Some(after) = counted.checked_add(1).and_then(|cells| rest.get(cells..)) else {
            break;
        };
        found.push(Reference { target, cells: counted + 1 });
        rest = after;
    }
    found
}
