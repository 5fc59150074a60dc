//! RAM and what is reserved in it, as the firmware's tree and the caller say.

use alloc::vec::Vec;

use crate::dt::Tree;
use crate::sort;

use super::place::join;
use super::{ErrorKind, PlanError, Reserved};
use crate::addr::{PAGE, Pa, PaSpan, Span};
use crate::dt::{Index, Registers, text};

/// RAM in whole pages, sorted and merged.
pub(super) fn ram(index: &Index<'_>, given: &[PaSpan]) -> Result<Vec<PaSpan>, PlanError> {
    let mut spans = Vec::new();
    if given.is_empty() {
        for (number, entry) in index.entries().iter().enumerate() {
            if is_memory(index, number) {
                match index.registers(number) {
                    Registers::Mapped(found) if index.disabled_by(number).is_none() => spans.extend(found),
                    Registers::Mapped(_) => {}
                    Registers::Bad | Registers::OffBus => {
                        let want = "base and size of RAM, within 48 bits of address";
                        let kind = ErrorKind::BadBoardProperty(want);
                        return Err(PlanError::property(&entry.path, "reg", kind));
                    }
                }
            }
        }
    } else {
        spans.extend_from_slice(given);
    }
    let merged = join(spans.into_iter().filter_map(whole_pages).collect());
    if merged.is_empty() {
        let node = (0..index.entries().len()).find(|number| is_memory(index, *number));
        return Err(PlanError::node(node.map_or("/", |node| index.path(node)), ErrorKind::NoRam));
    }
    Ok(merged)
}

/// Whether a node is one of the root's memory nodes (Devicetree Specification, 3.4).
pub(super) fn is_memory(index: &Index<'_>, number: usize) -> bool {
    index.entries().get(number).is_some_and(|entry| {
        let name = entry.path.trim_start_matches('/');
        entry.parent == Some(0)
            && (name == "memory"
                || name.starts_with("memory@")
                || text(entry.node, "device_type") == Some("memory"))
    })
}

/// The whole pages inside a range.
fn whole_pages(span: PaSpan) -> Option<PaSpan> {
    let base = span.base.0.checked_next_multiple_of(PAGE)?;
    let end = span.end().0 & !(PAGE - 1);
    let inner = Span::between(Pa(base), Pa(end));
    (inner.size > 0).then_some(inner)
}

/// The memory reservation block, /reserved-memory and what the caller knows, sorted by address.
pub(super) fn reserved(
    tree: &Tree<'_>,
    index: &Index<'_>,
    occupied: &[Reserved],
) -> Result<Vec<Reserved>, PlanError> {
    let mut reserved = occupied.to_vec();
    for &(base, size) in &tree.reservations {
        let base = Pa(base);
        // One that wraps is taken to reach to the end.
        let span = PaSpan::new(base, size).unwrap_or_else(|| Span::between(base, Pa(u64::MAX)));
        // Boot loaders reserve what they load: that is known better already, and may move.
        let loaded = |entry: &Reserved| entry.movable.is_some() && entry.span.contains_span(&span);
        if !occupied.iter().any(loaded) {
            reserved.push(Reserved::fixed(span, "a memory reservation of the firmware"));
        }
    }
    if let Some(parent) = index.find("/reserved-memory") {
        for (number, entry) in index.entries().iter().enumerate() {
            if entry.parent != Some(parent) || index.disabled_by(number).is_some() {
                continue;
            }
            match index.registers(number) {
                Registers::Mapped(spans) => {
                    reserved.extend(spans.iter().map(|span| Reserved::fixed(*span, entry.path.as_str())));
                }
                Registers::Bad | Registers::OffBus => {
                    let want = "base and size of the reserved range, and `ranges;` in /reserved-memory";
                    return Err(PlanError::property(&entry.path, "reg", ErrorKind::BadBoardProperty(want)));
                }
            }
        }
    }
    reserved.retain(|entry| entry.span.size > 0);
    sort::by(&mut reserved, |a, b| a.span < b.span);
    Ok(reserved)
}
