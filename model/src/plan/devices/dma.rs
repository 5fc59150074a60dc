//! What a device reaches by DMA where no SMMU stands before it: the `dma-ranges` of every bus above it, followed to the
//! root. What lies there it can read and write, whoever owns it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::addr::{Pa, PaSpan, Span};
use crate::dt::{Index, cells, number, text, value};
use crate::plan::place::join;
use crate::plan::{Board, Movable, Partition};

/// The physical addresses that a device can put on its bus, sorted and merged. A bus without `dma-ranges`, or with
/// empty ones, changes nothing, which is how Linux reads it (drivers/of/address.c: `of_translate_one`). An error is a
/// bus whose `dma-ranges` cannot be understood.
pub(super) fn reach(index: &Index<'_>, device: usize) -> Result<Vec<PaSpan>, usize> {
    let has_ranges = |node| index.node(node).is_some_and(|node| value(node, "dma-ranges").is_some());
    // A bus that is given whole has its masters below it.
    let mut windows = alloc::vec![Span::between(Pa(0), Pa(u64::MAX))];
    for bus in index.upwards(device).skip(usize::from(!has_ranges(device))) {
        let Some(parent) = index.entries().get(bus).and_then(|entry| entry.parent) else { break };
        let ranges = index.node(bus).and_then(|node| value(node, "dma-ranges")).unwrap_or_default();
        if !ranges.is_empty() {
            // Joined at every bus: overlapping entries must not multiply from bus to bus.
            windows = join(through(index, bus, parent, ranges, &windows).ok_or(bus)?);
        }
    }
    Ok(windows)
}

/// The parts of `windows`, which are addresses on `bus`, that its ranges pass on, as addresses of the bus above.
fn through(
    index: &Index<'_>,
    bus: usize,
    parent: usize,
    ranges: &[u8],
    windows: &[PaSpan],
) -> Option<Vec<PaSpan>> {
    let list = cells(ranges)?;
    let (child, size) = index.counts(bus);
    let (up, _) = index.counts(parent);
    let width = child.checked_add(up)?.checked_add(size)?;
    if width == 0 || !list.len().is_multiple_of(width) {
        return None;
    }
    // Above a PCI address stands a cell that says which space it is in (IEEE 1275 PCI binding, 2.2.1.1).
    let pci = index.node(bus).is_some_and(|node| text(node, "device_type") == Some("pci"));
    let mut found = Vec::new();
    for entry in list.chunks(width) {
        let (from, rest) = entry.split_at_checked(child)?;
        let (to, length) = rest.split_at_checked(up)?;
        let from = number(if pci { from.get(1..)? } else { from })?;
        let (to, length) = (number(to)?, number(length)?);
        for window in windows {
            let first = window.base.0.max(from);
            let end = window.end().0.min(from.saturating_add(length));
            if first < end {
                let base = to.checked_add(first - from)?;
                found.push(Span::between(Pa(base), Pa(base.saturating_add(end - first))));
            }
        }
    }
    Some(found)
}

/// What two sets of ranges have in common.
pub(super) fn common(these: &[PaSpan], those: &[PaSpan]) -> Vec<PaSpan> {
    let pairs = these.iter().flat_map(|this| those.iter().map(move |that| (this, that)));
    pairs
        .map(|(this, that)| Span::between(this.base.max(that.base), this.end().min(that.end())))
        .filter(|span| span.size > 0)
        .collect()
}

/// Ranges as words.
pub(super) fn words(spans: &[PaSpan]) -> String {
    if spans.is_empty() {
        return String::from("no address");
    }
    let words: Vec<String> = spans.iter().map(|span| format!("{span}")).collect();
    words.join(", ")
}

/// What it means that a partition's device is trusted: who else's memory it can read and write.
pub(in crate::plan) fn warnings(board: &Board, partitions: &[Partition]) -> Vec<String> {
    let mut notes = Vec::new();
    for partition in partitions {
        for device in partition.devices.iter().filter(|device| !device.dma.is_empty()) {
            let within = |span: &PaSpan| device.dma.iter().any(|reached| reached.overlaps(span));
            let mut exposed = Vec::new();
            let own = |entry: &&super::super::Reserved| entry.movable == Some(Movable::Hypervisor);
            if board.reserved.iter().filter(own).any(|entry| within(&entry.span)) {
                exposed.push(String::from("Partita itself"));
            }
            let others = partitions.iter().filter(|other| other.name != partition.name);
            let met = others.filter(|other| other.memory.iter().any(|memory| within(&memory.physical())));
            exposed.extend(met.map(|other| format!("partition {}", other.name)));
            let (name, path, reach) = (&partition.name, &device.path, words(&device.dma));
            notes.push(match exposed.split_last() {
                None => format!(
                    "{name}: UNGUARDED DMA: {path} can read and write all memory at {reach}, and no SMMU stops it"
                ),
                Some((last, rest)) => format!(
                    "{name}: UNGUARDED DMA: {path} can read and write all memory at {reach}, and no SMMU stops it: \
                     {}{}{last} {} at the mercy of what runs in {name}",
                    rest.join(", "),
                    if rest.is_empty() { "" } else { " and " },
                    if rest.is_empty() { "is" } else { "are" },
                ),
            });
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_touches_has_nothing_in_common() {
        let span = |base, size| PaSpan { base: Pa(base), size };
        let these = [span(0x1000, 0x1000), span(0x4000, 0x2000)];
        assert_eq!(common(&these, &[span(0x2000, 0x2000)]), []);
        assert_eq!(common(&these, &[span(0x1800, 0x3000)]), [span(0x1800, 0x800), span(0x4000, 0x800)]);
    }
}
