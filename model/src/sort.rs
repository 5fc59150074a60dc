//! Sorting, once. The library's sorts are made anew for each kind of element and of order, which costs the image some three
//! to seven kilobytes each time; here one of them sorts numbers of elements, and the elements follow.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// Sorts by `less`, stably.
pub fn by<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let in_order = |pair: &[T]| matches!(pair, [a, b] if !less(b, a));
    if items.windows(2).all(in_order) {
        return;
    }
    let is_less = |a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => less(a, b),
        _ => false,
    };
    let mut places = places(items.len(), &is_less);
    // Each is brought to its place at once: as many exchanges as elements.
    for at in 0..places.len() {
        while let Some(place) = places.get(at).copied().filter(|place| *place != at) {
            items.swap(at, place);
            places.swap(at, place);
        }
    }
}

/// Sorts in the elements' own order.
pub fn plain<T: Ord>(items: &mut [T]) {
    by(items, |a, b| a < b);
}

/// Where each of so many elements belongs.
fn places(count: usize, less: &dyn Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|&a, &b| match (less(a, b), less(b, a)) {
        (true, _) => Ordering::Less,
        (_, true) => Ordering::Greater,
        _ => a.cmp(&b),
    });
    let mut places = alloc::vec![0; count];
    for (place, element) in order.into_iter().enumerate() {
        if let Some(of) = places.get_mut(element) {
            *of = place;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_library_does(items: Vec<(u8, u8)>) {
            let (mut ours, mut theirs) = (items.clone(), items);
            super::by(&mut ours, |a, b| a.0 < b.0);
            theirs.sort_by_key(|item| item.0);
            prop_assert_eq!(&ours, &theirs);
            super::plain(&mut ours);
            theirs.sort();
            prop_assert_eq!(ours, theirs);
        }
    }
}
