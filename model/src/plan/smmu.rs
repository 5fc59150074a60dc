//! The SMMUs of the board, and what each knows a device by: its streams. Only SMMUv3 is driven; a device behind
//! anything else is one that nothing guards.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::{ErrorKind, PlanError, Smmu, Spi, Streams, gic};
use crate::addr::PaSpan;
use crate::dt::{Index, Registers, cell, cells, strings, value};
use crate::sort;

/// What EL2 drives (Linux: Documentation/devicetree/bindings/iommu/arm,smmu-v3.yaml).
const DRIVEN: &[&str] = &["arm,smmu-v3"];
/// Two pages of 64 KiB: everything else, and the counters of the event queue (IHI 0070, 6.1).
const REGISTERS: u64 = 0x2_0000;

/// The SMMUs that are not disabled, in the tree's order.
pub(super) fn smmus(index: &Index<'_>) -> Result<Vec<Smmu>, PlanError> {
    let nodes = (0..index.entries().len()).filter(|number| is_driven(index, *number));
    nodes.map(|number| smmu(index, number)).collect()
}

fn is_driven(index: &Index<'_>, number: usize) -> bool {
    index.is_compatible(number, DRIVEN) && index.disabled_by(number).is_none()
}

fn smmu(index: &Index<'_>, number: usize) -> Result<Smmu, PlanError> {
    let malformed =
        |property, want| PlanError::property(index.path(number), property, ErrorKind::BadBoardProperty(want));
    let span = match index.registers(number) {
        Registers::Mapped(spans) => spans.first().copied(),
        Registers::OffBus | Registers::Bad => None,
    };
    let span = span.filter(|span| span.size >= REGISTERS && span.base.0.is_multiple_of(REGISTERS / 2));
    let span = span.ok_or_else(|| malformed("reg", "the SMMU's registers in two pages of 64 KiB"))?;
    let node = index.node(number);
    if node.and_then(|node| cell(node, "#iommu-cells")) != Some(1) {
        return Err(malformed("#iommu-cells", "1, for a stream's number"));
    }
    // Linux finds them by name too: the order differs between boards.
    let names = node.and_then(|node| value(node, "interrupt-names")).and_then(strings).unwrap_or_default();
    let interrupts = index.interrupts(number).unwrap_or_default();
    let named = |name: &str| -> Option<Spi> {
        let at = names.iter().position(|candidate| *candidate == name || *candidate == "combined")?;
        match gic::interrupt(gic::node(index), interrupts.get(at)?)? {
            gic::Wired::Spi(spi) => Some(spi),
            gic::Wired::Private(_) => None,
        }
    };
    Ok(Smmu {
        path: index.path(number).to_owned(),
        span: PaSpan { base: span.base, size: REGISTERS },
        event: named("eventq"),
        error: named("gerror"),
        coherent: node.is_some_and(|node| value(node, "dma-coherent").is_some()),
    })
}

/// What the driven SMMUs know a node's DMA by, sorted and merged: the streams of its `iommus`, or of its `iommu-map`,
/// where it is a PCI bridge: of one requester behind it (bus, device, function in bits 15..8, 7..3, 2..0), or of all
/// that its `bus-range` allows. None where no SMMU that EL2 drives stands before all of its DMA.
///
/// # Errors
///
/// The property that cannot be understood.
pub fn streams_of(
    index: &Index<'_>,
    smmus: &[Smmu],
    node: usize,
    requester: Option<u16>,
) -> Result<Option<Vec<Streams>>, &'static str> {
    let Some(found) = index.node(node) else { return Ok(None) };
    let mut streams = Vec::new();
    if let Some(list) = value(found, "iommu-map") {
        let mask = cell(found, "iommu-map-mask").unwrap_or(0xffff) & 0xffff;
        let wanted = match requester {
            Some(requester) => (u32::from(requester), u32::from(requester)),
            None => buses(index, node)?,
        };
        return map(index, smmus, list, (wanted.0 & mask, wanted.1 & mask));
    }
    let Some(list) = value(found, "iommus") else { return Ok(None) };
    let list = cells(list).filter(|list| !list.is_empty()).ok_or("iommus")?;
    let mut rest = list.as_slice();
    while let Some((phandle, after)) = rest.split_first() {
        let iommu = index.by_phandle(*phandle).ok_or("iommus")?;
        let count = index.node(iommu).and_then(|iommu| cell(iommu, "#iommu-cells")).ok_or("iommus")?;
        let (id, after) = after.split_at_checked(count as usize).ok_or("iommus")?;
        match (number_of(index, smmus, iommu), id) {
            (Some(smmu), [id]) => streams.push(Streams::one(smmu, *id)),
            // One of another kind, or one that is disabled.
            _ => return Ok(None),
        }
        rest = after;
    }
    Ok(Some(merged(streams)))
}

/// The first and the last requester behind a PCI bridge.
fn buses(index: &Index<'_>, node: usize) -> Result<(u32, u32), &'static str> {
    let Some(range) = index.node(node).and_then(|node| value(node, "bus-range")) else {
        return Ok((0, 0xffff));
    };
    match cells(range).as_deref() {
        Some([first, last]) if first <= last && *last <= 0xff => Ok((first << 8, last << 8 | 0xff)),
        _ => Err("bus-range"),
    }
}

/// The streams of some requesters by an `iommu-map` (Linux: Documentation/devicetree/bindings/pci/pci-iommu.txt): entries
/// of first requester, SMMU, first stream, and how many. None unless every one of them is there.
fn map(
    index: &Index<'_>,
    smmus: &[Smmu],
    list: &[u8],
    (first, last): (u32, u32),
) -> Result<Option<Vec<Streams>>, &'static str> {
    const BAD: &str = "iommu-map";
    let list = cells(list).filter(|list| list.len().is_multiple_of(4)).ok_or(BAD)?;
    let (mut streams, mut covered) = (Vec::new(), Vec::new());
    for entry in list.as_chunks().0 {
        let [from, phandle, stream, length] = *entry;
        let iommu = index.by_phandle(phandle).ok_or(BAD)?;
        let end = from.checked_add(length.checked_sub(1).ok_or(BAD)?).ok_or(BAD)?;
        stream.checked_add(length - 1).ok_or(BAD)?;
        let (from, end, offset) = (from.max(first), end.min(last), from);
        if from > end {
            continue;
        }
        let Some(smmu) = number_of(index, smmus, iommu) else { return Ok(None) };
        streams.push(Streams { smmu, first: stream + (from - offset), count: end - from + 1 });
        covered.push((from, end));
    }
    sort::plain(&mut covered);
    // The first requester that no entry so far has.
    let mut next = first;
    for (from, end) in covered {
        if from <= next {
            next = next.max(end.saturating_add(1));
        }
    }
    Ok((next > last).then(|| merged(streams)))
}

/// Which of the driven SMMUs a node is.
fn number_of(index: &Index<'_>, smmus: &[Smmu], node: usize) -> Option<usize> {
    let path = index.path(node);
    smmus.iter().position(|smmu| smmu.path == path)
}

/// Streams sorted, with runs that touch or overlap made one.
pub(super) fn merged(mut streams: Vec<Streams>) -> Vec<Streams> {
    sort::plain(&mut streams);
    let mut merged: Vec<Streams> = Vec::new();
    for run in streams {
        match merged.last_mut() {
            Some(before) if before.smmu == run.smmu && run.first <= before.last().saturating_add(1) => {
                before.count = (before.last().max(run.last()) - before.first).saturating_add(1);
            }
            _ => merged.push(run),
        }
    }
    merged
}
