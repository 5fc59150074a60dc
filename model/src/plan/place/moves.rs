//! Where the hypervisor, the bundle and the firmware's tree go when a partition's memory is pinned to where the boot
//! loader put them.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::subtract;
use crate::addr::{Pa, PaSpan};
use crate::plan::{Movable, Move, Reserved};
use crate::sort;

/// New homes begin on a multiple of the size of EL2's blocks (DDI 0487, D8.2: level 2 with the 4 KiB granule).
const BLOCK: u64 = 2 << 20;

/// Finds a new home for each movable thing that pinned memory meets. `free` is RAM in whole pages without what is
/// reserved for good.
///
/// A home meets no pinned memory, no other home, and no place where a movable thing lies before the moves: they can
/// be copied one after the other, in any order. The largest goes first, each as high as it can, so that low
/// addresses stay for those who need them.
///
/// # Errors
///
/// What has no room, and where it lies.
pub(super) fn moves(
    free: &[PaSpan],
    reserved: &[Reserved],
    pinned: &[PaSpan],
) -> Result<Vec<Move>, (Movable, PaSpan)> {
    let mut room = free.to_vec();
    let mut due: Vec<(Movable, PaSpan)> = Vec::new();
    for entry in reserved.iter().filter(|entry| entry.span.size > 0) {
        let Some(what) = entry.movable else { continue };
        let from = entry.span.pages();
        subtract(&mut room, &from);
        if pinned.iter().any(|pin| pin.overlaps(&from)) {
            due.push((what, from));
        }
    }
    for pin in pinned {
        subtract(&mut room, pin);
    }
    sort::by(&mut due, |a, b| (Reverse(a.1.size), a.0) < (Reverse(b.1.size), b.0));
    let mut moves = Vec::new();
    for (what, from) in due {
        let home = room.iter().filter_map(|hole| highest(hole, from.size)).max_by_key(|home| home.base);
        let to = home.ok_or((what, from))?;
        subtract(&mut room, &to);
        moves.push(Move { what, from, to });
    }
    sort::by(&mut moves, |a: &Move, b: &Move| (a.what, a.from) < (b.what, b.from));
    Ok(moves)
}

/// The highest aligned place in a hole.
fn highest(hole: &PaSpan, size: u64) -> Option<PaSpan> {
    let base = hole.end().0.checked_sub(size)? & !(BLOCK - 1);
    (base >= hole.base.0).then_some(PaSpan { base: Pa(base), size })
}
