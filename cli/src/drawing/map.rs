//! The memory map: RAM from low to high, what of it is whose, and where the owner sees it. Heights grow with the
//! logarithm of the size, so that 4 MiB beside 8 GiB can still be read.

use partita_model::addr::{IpaSpan, Pa, PaSpan};
use partita_model::plan::Plan;

use super::canvas::{Canvas, Style};
use super::{DANGER, FREE, KEPT, colour};
use crate::report::size;

/// From the column's left edge to the boxes: room for addresses.
const SCALE: u32 = 118;
const BOX: u32 = 210;

#[derive(Debug, PartialEq, Eq)]
enum Use {
    Partition(usize, IpaSpan),
    Kept(String),
    Free,
}

/// Draws the map and returns the height at which it ends.
pub fn draw(canvas: &mut Canvas, plan: &Plan, x: u32, y: u32) -> u32 {
    canvas.text(x, y, Style::HEADING, "Memory");
    canvas.text(x + 72, y, Style::QUIET, "(heights are not to scale)");
    canvas.text(x + SCALE + BOX + 12, y + 20, Style::QUIET, "seen by the guest at");
    let mut top = y + 28;
    for bank in &plan.board.ram {
        for (span, used) in segments(plan, *bank) {
            let height = height(span.size);
            let fill = match &used {
                Use::Partition(index, _) => colour(*index),
                Use::Kept(_) => KEPT,
                Use::Free => FREE,
            };
            canvas.rect(x + SCALE, top, BOX, height, fill, 0);
            canvas.hint(&span.to_string());
            if let Some(words) = exposed(plan, span, &used) {
                canvas.rect(x + SCALE, top, 6, height, DANGER, 0);
                canvas.hint(&words);
            }
            canvas.text(x + SCALE - 8, top + 11, Style::SCALE, &format!("{:#x}", span.base.0));
            let middle = top + height / 2 + 4;
            let size = size(span.size);
            let room = BOX - 20 - Canvas::width_of(&size) - 8;
            let (style, name) = match &used {
                Use::Partition(index, _) => (Style::STRONG, plan.partitions[*index].name.as_str()),
                Use::Kept(what) => (Style::PLAIN, what.as_str()),
                Use::Free => (Style::QUIET, "free"),
            };
            canvas.text_in(x + SCALE + 10, middle, room, style, name);
            canvas.text(x + SCALE + BOX - 8, middle, Style::SCALE, &size);
            if let Use::Partition(index, seen) = &used {
                let from = (x + SCALE + BOX, middle - 4);
                canvas.line(from, (from.0 + 8, from.1), colour(*index).1);
                let same = seen.base.0 == span.base.0;
                let words = if same { "the same addresses".to_owned() } else { seen.to_string() };
                canvas.text(from.0 + 12, middle, Style::PLAIN, &words);
            }
            top += height;
        }
        canvas.text(x + SCALE - 8, top + 11, Style::SCALE, &format!("{:#x}", bank.end().0));
        top += 26;
    }
    top - 10
}

/// Whose trusted devices reach a piece of memory that is not theirs.
fn exposed(plan: &Plan, span: PaSpan, used: &Use) -> Option<String> {
    let reaches = |reach: &PaSpan| reach.overlaps(&span);
    let owner = |index: usize| matches!(used, Use::Partition(owner, _) if *owner == index);
    let others = plan.partitions.iter().enumerate().filter(|(index, _)| !owner(*index));
    let names: Vec<_> = others
        .filter(|(_, partition)| partition.devices.iter().any(|device| device.dma.iter().any(reaches)))
        .map(|(_, partition)| partition.name.as_str())
        .collect();
    (!names.is_empty()).then(|| format!("within reach of unguarded DMA by {}", names.join(", ")))
}

fn height(size: u64) -> u32 {
    // 24 px up to 2 MiB, then 5 px for each doubling: 1 GiB has 69.
    24 + 5 * size.max(2 << 20).ilog2().saturating_sub(21)
}

/// A bank of RAM cut at every change of use. Where two uses overlap (a reservation within another) the first stays.
fn segments(plan: &Plan, bank: PaSpan) -> Vec<(PaSpan, Use)> {
    let mut used = Vec::new();
    for (index, partition) in plan.partitions.iter().enumerate() {
        used.extend(partition.memory.iter().map(|m| (m.physical(), Use::Partition(index, m.ipa))));
    }
    used.extend(plan.board.reserved.iter().map(|r| (r.span, Use::Kept(r.what.clone()))));
    used.sort_by_key(|(span, _)| *span);
    let mut found = Vec::new();
    let mut at = bank.base;
    for (span, user) in used {
        let from = span.base.max(at);
        let to = span.end().min(bank.end());
        if from >= to {
            continue;
        }
        push_free(&mut found, at, from);
        found.push((PaSpan::between(from, to), user));
        at = to;
    }
    push_free(&mut found, at, bank.end());
    found
}

fn push_free(found: &mut Vec<(PaSpan, Use)>, from: Pa, to: Pa) {
    if from < to {
        found.push((PaSpan::between(from, to), Use::Free));
    }
}
