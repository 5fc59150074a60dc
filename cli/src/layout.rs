//! Where the hypervisor, the bundle and the tree will lie when a boot loader has done its work, so that a plan is
//! checked against the RAM that EL2 will find taken. The rules are QEMU's (hw/arm/boot.c); a board whose boot loader
//! places them elsewhere is checked again by EL2 itself.

use partita_model::addr::{Pa, PaSpan};
use partita_model::plan::{Movable, Reserved};

const MIB: u64 = 1 << 20;

/// Sizes of what is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The image header's `text_offset`.
    pub text_offset: u64,
    /// The image header's `image_size`: with zeroed data, stacks and heap.
    pub image: u64,
    /// The bundle.
    pub bundle: u64,
    /// The firmware's tree.
    pub tree: u64,
}

/// The ranges that are taken, or none when there is no RAM to lay them in (the plan will say so).
pub fn occupied(ram: &[PaSpan], sizes: Sizes) -> Vec<Reserved> {
    let Some(base) = ram.iter().map(|span| span.base.0).min() else { return Vec::new() };
    let total: u64 = ram.iter().fold(0, |sum, span| sum.saturating_add(span.size));
    // QEMU keeps the first page for its own few instructions, so an image that asks for offset 0 moves up by 2 MiB.
    let offset = if sizes.text_offset < 0x1000 { sizes.text_offset + 2 * MIB } else { sizes.text_offset };
    let image = base.saturating_add(offset);
    let bundle = base.saturating_add((total / 2).min(128 * MIB)).max(image.saturating_add(sizes.image));
    let bundle = bundle.next_multiple_of(0x1000);
    let tree = bundle.saturating_add(sizes.bundle).next_multiple_of(2 * MIB);
    let pieces = [(bundle, sizes.bundle, Movable::Bundle), (tree, sizes.tree, Movable::Tree)];
    let reserved =
        |(at, size, what): (u64, u64, Movable)| Some(Reserved::movable(PaSpan::new(Pa(at), size)?, what));
    let own = PaSpan::new(Pa(image), sizes.image).map(Reserved::hypervisor);
    own.into_iter().chain(pieces.into_iter().filter_map(reserved)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_s_places_are_met() {
        let ram = [PaSpan { base: Pa(0x4000_0000), size: 1 << 30 }];
        let sizes = Sizes { text_offset: 0, image: 0x8_1234, bundle: 0x12_3456, tree: 0x10_0000 };
        let found: Vec<_> = occupied(&ram, sizes).iter().map(|r| (r.span.base.0, r.span.size)).collect();
        let expected = [(0x4020_0000, 0x8_2000), (0x4800_0000, 0x12_4000), (0x4820_0000, 0x10_0000)];
        assert_eq!(found, expected);
    }

    #[test]
    fn little_ram_and_none_are_no_trouble() {
        let sizes = Sizes { text_offset: 0, image: 16 * MIB, bundle: 4096, tree: 4096 };
        let ram = [PaSpan { base: Pa(0), size: 8 * MIB }];
        assert_eq!(occupied(&ram, sizes)[1].span.base.0, 18 * MIB);
        assert!(occupied(&[], sizes).is_empty());
    }
}
