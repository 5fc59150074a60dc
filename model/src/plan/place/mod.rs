//! Placement: where a partition's memory lies in the board's RAM, and where its images lie in its memory.
//!
//! Plain functions of their arguments, without search that could run away: the same plan on the same board always
//! gets the same addresses, on the host and at EL2.

mod error;
mod images;
mod memory;
mod moves;

pub(super) use error::List;
pub use error::PlaceError;
pub use images::{ImageRequest, images};
pub(super) use memory::after;
pub use memory::{MemoryRequest, Placement, memory};

use alloc::vec::Vec;

use crate::addr::{Address, Span};
use crate::sort;

/// What is left of `spans` without `taken`. Sorted spans stay sorted.
fn subtract<A: Address>(spans: &mut Vec<Span<A>>, taken: &Span<A>) {
    if taken.size == 0 {
        return;
    }
    let mut left = Vec::with_capacity(spans.len() + 1);
    for span in spans.iter() {
        let below = Span::between(span.base, span.end().min(taken.base));
        let above = Span::between(span.base.max(taken.end()), span.end());
        left.extend([below, above].into_iter().filter(|piece| piece.size > 0));
    }
    *spans = left;
}

/// Sorts spans and joins those that touch or overlap.
pub(super) fn join<A: Address + Ord>(mut spans: Vec<Span<A>>) -> Vec<Span<A>> {
    sort::plain(&mut spans);
    let mut joined: Vec<Span<A>> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if last.end() >= span.base => {
                *last = Span::between(last.base, last.end().max(span.end()))
            }
            _ => joined.push(span),
        }
    }
    joined
}
