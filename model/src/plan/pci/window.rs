//! Cutting a bridge's windows into parts, one for each partition that has functions of it.

use alloc::vec::Vec;

use super::Window;
use crate::addr::{Pa, PciAddr};

/// What stage 2 maps by one entry, and more than enough for the registers of most functions.
const LEAST: u64 = 2 << 20;

/// The part number `part` of `parts` of a window; none if it has not so many. The only part is all of it. Of several
/// each is the largest power of two that there are as many of, at a multiple of itself: a function's memory has to lie at
/// a multiple of its size (PCI 6.2.5.1), so an odd part would be no better than the largest power of two in it.
pub(super) fn cut(window: &Window, part: u64, parts: u64) -> Option<Window> {
    let end = window.bus.0.checked_add(window.size)?;
    let (first, size) = match parts {
        0 => return None,
        1 => {
            let first = window.bus.0.checked_next_multiple_of(LEAST)?;
            (first, (end & !(LEAST - 1)).checked_sub(first).filter(|size| *size > 0)?)
        }
        _ => {
            let mut sizes = (LEAST.trailing_zeros()..u64::BITS).rev().map(|bits| 1u64 << bits);
            let fits = |size: &u64| {
                let first = window.bus.0.checked_next_multiple_of(*size);
                first
                    .and_then(|first| first.checked_add(size.checked_mul(parts)?))
                    .is_some_and(|last| last <= end)
            };
            let size = sizes.find(fits)?;
            (window.bus.0.next_multiple_of(size).checked_add(size.checked_mul(part)?)?, size)
        }
    };
    let at = Pa(window.at.0.checked_add(first - window.bus.0)?);
    // Stage 2 maps it by pages.
    at.0.is_multiple_of(LEAST).then_some(Window { space: window.space, bus: PciAddr(first), at, size })
}

/// The parts of all windows.
pub(super) fn parts(windows: &[Window], part: u64, parts: u64) -> Vec<Window> {
    windows.iter().filter_map(|window| cut(window, part, parts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(bus: u64, size: u64) -> Window {
        Window { space: 0x0200_0000, bus: PciAddr(bus), at: Pa(bus + 0x1_0000_0000), size }
    }

    fn shares(window: &Window, parts: u64) -> Vec<(u64, u64)> {
        (0..parts).filter_map(|part| cut(window, part, parts)).map(|part| (part.bus.0, part.size)).collect()
    }

    #[test]
    fn qemu_virts_window() {
        let window = window(0x1000_0000, 0x2eff_0000);
        assert_eq!(shares(&window, 1), [(0x1000_0000, 0x2ee0_0000)]);
        assert_eq!(shares(&window, 2), [(0x1000_0000, 0x1000_0000), (0x2000_0000, 0x1000_0000)]);
        assert_eq!(shares(&window, 3).len(), 3);
        assert_eq!(shares(&window, 3)[2], (0x2000_0000, 0x800_0000));
        assert_eq!(cut(&window, 1, 2).unwrap().at, Pa(0x1_2000_0000));
    }

    #[test]
    fn parts_are_apart_and_within() {
        for (base, size) in
            [(0x10_0000, 0x100_0000), (0, 1 << 40), (0xffe0_0000, 0x20_0000), (0x123_4000, 0x8765_4000)]
        {
            let window = window(base, size);
            for parts in 1..40 {
                let all = shares(&window, parts);
                for (place, (first, size)) in all.iter().enumerate() {
                    assert!(first % LEAST == 0 && size % LEAST == 0);
                    assert!(*first >= base && first + size <= base + window.size);
                    assert!(all.iter().skip(place + 1).all(|(other, _)| first + size <= *other));
                }
            }
        }
    }

    #[test]
    fn too_many_for_a_window() {
        assert_eq!(shares(&window(0x1000_0000, 0x40_0000), 3), []);
        assert_eq!(shares(&window(0x1010_0000, 0x20_0000), 1), []);
        assert_eq!(cut(&window(0x1000_0000, 0x40_0000), 0, 0), None, "a part of none");
        // Where bus and physical addresses are not congruent by what stage 2 maps.
        let odd = Window { at: Pa(0x1_0010_0000), ..window(0, 0x1000_0000) };
        assert_eq!(cut(&odd, 0, 1), None);
    }
}
