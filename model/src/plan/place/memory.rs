//! Finds physical memory for guest memory.
//!
//! Stage 2 maps with blocks of 1 GiB and 2 MiB only where guest and physical address agree in the bits below, so
//! that is what is looked for first; a tight fit is what makes it give way.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::moves::moves;
use super::{PlaceError, join, subtract};
use crate::addr::{IpaSpan, PAGE, Pa, PaSpan};
use crate::plan::{ErrorKind, Movable, Move, PlanError, Reserved};
use crate::sort;
use crate::weaken::{Guard, removed};

/// A piece of guest memory that needs a place.
#[derive(Clone, Debug)]
pub struct MemoryRequest {
    /// The node that asks for it, for messages.
    pub node: String,
    /// The property that asks for it: `reg` or `host-base`.
    pub property: &'static str,
    /// Where the guest sees it.
    pub ipa: IpaSpan,
    /// Where it must be.
    pub pin: Option<Pa>,
}

/// What a core may keep as one translation of stage 2, the largest first: blocks, pages, and sixteen of them (the Contiguous hint).
const BLOCKS: [u64; 5] = [1 << 30, 32 << 20, 2 << 20, 64 << 10, PAGE];

/// Where memory goes, and what makes room for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// A physical base for each request, in their order.
    pub memory: Vec<Pa>,
    /// What has to be moved first.
    pub moves: Vec<Move>,
}

/// Gives each request a physical base.
///
/// Pinned ones come first and must lie in RAM, clear of what is reserved for good and of each other; what else they
/// meet is moved. The others follow, around what was moved, the largest first, each into the smallest hole that it
/// fits into, congruent to its guest address modulo the largest block that it could use. When they do not all fit so,
/// the whole is tried again with smaller blocks.
pub fn memory(
    ram: &[PaSpan],
    reserved: &[Reserved],
    requests: &[MemoryRequest],
) -> Result<Placement, PlanError> {
    // Only whole pages of RAM can be given, and no page that holds a reserved byte.
    let ram: Vec<PaSpan> = join(ram.to_vec()).iter().map(whole_pages).filter(|span| span.size > 0).collect();
    let mut free = ram.clone();
    for entry in reserved.iter().filter(|entry| entry.movable.is_none() && entry.span.size > 0) {
        subtract(&mut free, &entry.span.pages());
    }
    let mut placed = Vec::new();
    let mut pins = Vec::new();
    for request in requests {
        let base = match request.pin {
            None => None,
            Some(pin) => {
                let span =
                    pinned(&ram, reserved, requests, request, pin).map_err(|why| refuse(request, why))?;
                pins.push(span);
                Some(pin)
            }
        };
        placed.push(base);
    }
    let moves = moves(&free, reserved, &pins).map_err(|(what, from)| no_home(requests, what, from))?;
    for pin in &pins {
        subtract(&mut free, pin);
    }
    for entry in reserved.iter().filter(|entry| entry.movable.is_some() && entry.span.size > 0) {
        subtract(&mut free, &after(&moves, entry).pages());
    }
    let mut order: Vec<usize> = (0..requests.len()).collect();
    let size = |index: &usize| requests.get(*index).map(|request| request.ipa.size);
    sort::by(&mut order, |a, b| size(a) > size(b));

    let mut result = Ok(Vec::new());
    for largest_block in BLOCKS {
        result = unpinned(&ram, free.clone(), requests, &order, placed.clone(), largest_block);
        if result.is_ok() {
            break;
        }
    }
    result.map(|memory| Placement { memory, moves })
}

/// Where something is after the moves.
pub(in crate::plan) fn after(moves: &[Move], entry: &Reserved) -> PaSpan {
    let moved = moves.iter().find(|step| Some(step.what) == entry.movable && step.from == entry.span.pages());
    moved.map_or(entry.span, |step| step.to)
}

/// The first request that is pinned to the place of something that cannot go elsewhere is to blame.
fn no_home(requests: &[MemoryRequest], what: Movable, from: PaSpan) -> PlanError {
    let pinned = |request: &MemoryRequest| Some(PaSpan { base: request.pin?, size: request.ipa.size });
    let found = requests
        .iter()
        .find_map(|request| Some((request, pinned(request)?)).filter(|(_, pin)| pin.overlaps(&from)));
    match found {
        Some((request, pin)) => refuse(request, PlaceError::CannotMove(pin, what.words())),
        None => PlanError::node("/", ErrorKind::Place(Box::new(PlaceError::CannotMove(from, what.words())))),
    }
}

fn refuse(request: &MemoryRequest, why: PlaceError) -> PlanError {
    PlanError::property(request.node.clone(), request.property, ErrorKind::Place(Box::new(why)))
}

/// The whole pages inside a span.
fn whole_pages(span: &PaSpan) -> PaSpan {
    let base = span.base.0.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
    PaSpan::between(Pa(base), Pa(span.end().0 & !(PAGE - 1)))
}

/// Checks a pinned request and returns where it goes.
fn pinned(
    ram: &[PaSpan],
    reserved: &[Reserved],
    requests: &[MemoryRequest],
    request: &MemoryRequest,
    pin: Pa,
) -> Result<PaSpan, PlaceError> {
    if !pin.0.is_multiple_of(PAGE) {
        return Err(PlaceError::NotMultiple(pin.0, PAGE));
    }
    let span = PaSpan::new(pin, request.ipa.size).ok_or_else(|| {
        PlaceError::PinnedOutsideRam(PaSpan { base: pin, size: request.ipa.size }, ram.to_vec())
    })?;
    if !ram.iter().any(|piece| piece.contains_span(&span)) {
        return Err(PlaceError::PinnedOutsideRam(span, ram.to_vec()));
    }
    let overlaps = |other: &PaSpan, what: &str| match other.overlaps(&span) {
        true => Err(PlaceError::PinnedOverlaps(span, what.into(), *other)),
        false => Ok(()),
    };
    for entry in reserved.iter().filter(|entry| entry.movable.is_none() && entry.span.size > 0) {
        overlaps(&entry.span.pages(), &entry.what)?;
    }
    // Those before this one: of two that overlap, the later is to blame.
    for other in requests.iter().take_while(|other| !core::ptr::eq(*other, request)) {
        if let (Some(base), false) = (other.pin, removed(Guard::PlanMemory)) {
            overlaps(&PaSpan { base, size: other.ipa.size }, &other.node)?;
        }
    }
    Ok(span)
}

/// Places the requests that are not pinned, in this order, with blocks no larger than `largest_block`.
fn unpinned(
    ram: &[PaSpan],
    mut free: Vec<PaSpan>,
    requests: &[MemoryRequest],
    order: &[usize],
    mut placed: Vec<Option<Pa>>,
    largest_block: u64,
) -> Result<Vec<Pa>, PlanError> {
    for &index in order {
        let (Some(request), Some(slot @ None)) = (requests.get(index), placed.get_mut(index)) else {
            continue;
        };
        let blocks =
            BLOCKS.iter().filter(|&&block| block <= largest_block && holds_block(&request.ipa, block));
        let Some(base) = blocks.into_iter().find_map(|&block| best_fit(&free, &request.ipa, block)) else {
            let total = ram.iter().fold(0_u64, |sum, span| sum.saturating_add(span.size));
            return Err(refuse(request, PlaceError::NoRoom { asked: request.ipa.size, total }));
        };
        *slot = Some(base);
        subtract(&mut free, &PaSpan { base, size: request.ipa.size });
    }
    Ok(placed.into_iter().flatten().collect())
}

/// Whether the guest's range holds a whole aligned block; a page always counts.
fn holds_block(ipa: &IpaSpan, block: u64) -> bool {
    let first = ipa.base.0.checked_next_multiple_of(block).and_then(|base| base.checked_add(block));
    block == PAGE || first.is_some_and(|end| end <= ipa.end().0)
}

/// The smallest hole (of several alike the lowest) that takes the range congruent modulo `block`; the lowest base.
fn best_fit(free: &[PaSpan], ipa: &IpaSpan, block: u64) -> Option<Pa> {
    let base_in = |hole: &PaSpan| {
        // The least address from the hole's base on that is congruent to the guest's.
        let ahead = ipa.base.0.wrapping_sub(hole.base.0) & (block - 1);
        let base = hole.base.0.checked_add(ahead)?;
        let span = PaSpan::new(Pa(base), ipa.size)?;
        hole.contains_span(&span).then_some(span.base)
    };
    let fits = free.iter().filter_map(|hole| Some((hole.size, base_in(hole)?)));
    fits.min().map(|(_, base)| base)
}
