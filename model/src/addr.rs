//! Address kinds. A number that a guest gave is an [`Ipa`]; it becomes a [`Pa`] only through the plan's mappings.

use core::fmt;

/// What [`Span`] needs of an address kind.
pub trait Address: Copy + Ord + fmt::Display {
    /// Wraps a raw number.
    fn new(raw: u64) -> Self;
    /// The raw number.
    fn raw(self) -> u64;
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl Address for $name {
            fn new(raw: u64) -> Self {
                Self(raw)
            }
            fn raw(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

address! {
    /// A physical address: what leaves the core after all translation.
    Pa
}
address! {
    /// An intermediate physical address: what a guest takes for a physical one.
    Ipa
}

address! {
    /// An address on a PCI bus: what a function's base address registers hold. A host bridge's `ranges` say which
    /// physical address it is.
    PciAddr
}

/// 4 KiB, the granule of both translation stages.
pub const PAGE: u64 = 0x1000;

/// The end of the physical addresses that are used: 48 bits, as translation tables have them without FEAT_LPA2 (DDI 0487
/// D8.3.1).
pub const PA_END: Pa = Pa(1 << 48);

/// A range of addresses: base and size in bytes. It never wraps: [`Span::new`] refuses that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span<A> {
    /// First address.
    pub base: A,
    /// Size in bytes.
    pub size: u64,
}

/// A physical range.
pub type PaSpan = Span<Pa>;
/// A range on a PCI bus.
pub type PciSpan = Span<PciAddr>;
/// A guest-physical range.
pub type IpaSpan = Span<Ipa>;

impl<A: Address> Span<A> {
    /// A range, unless `base + size` exceeds the 64-bit address space.
    #[must_use]
    pub fn new(base: A, size: u64) -> Option<Self> {
        base.raw().checked_add(size)?;
        Some(Self { base, size })
    }

    /// From first address to one past the last; empty when `end` is not above `base`.
    #[must_use]
    pub fn between(base: A, end: A) -> Self {
        Self { base, size: end.raw().saturating_sub(base.raw()) }
    }

    /// One past the last address.
    #[must_use]
    pub fn end(&self) -> A {
        A::new(self.base.raw().saturating_add(self.size))
    }

    /// Whether the address lies in the range.
    #[must_use]
    pub fn contains(&self, address: A) -> bool {
        address >= self.base && address.raw() - self.base.raw() < self.size
    }

    /// Whether the whole of `other` lies in the range.
    #[must_use]
    pub fn contains_span(&self, other: &Self) -> bool {
        other.base >= self.base && other.end() <= self.end()
    }

    /// Whether any address lies in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.size != 0 && other.size != 0 && self.base < other.end() && other.base < self.end()
    }

    /// Whether base and size are multiples of `to` (a power of two).
    #[must_use]
    pub fn is_aligned(&self, to: u64) -> bool {
        (self.base.raw() | self.size) & (to - 1) == 0
    }

    /// The smallest range of whole pages that holds this one.
    #[must_use]
    pub fn pages(&self) -> Self {
        let base = self.base.raw() & !(PAGE - 1);
        let end = self.end().raw().saturating_add(PAGE - 1) & !(PAGE - 1);
        Self { base: A::new(base), size: end - base }
    }
}

impl<A: Address> fmt::Display for Span<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            0 => write!(f, "{} (empty)", self.base),
            size => write!(f, "{}-{:#x}", self.base, self.base.raw().saturating_add(size - 1)),
        }
    }
}

impl<A: Address> fmt::Debug for Span<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(base: u64, size: u64) -> PaSpan {
        Span::new(Pa(base), size).unwrap()
    }

    #[test]
    fn ranges_are_half_open() {
        let it = span(0x1000, 0x1000);
        assert!(it.contains(Pa(0x1000)) && it.contains(Pa(0x1fff)));
        assert!(!it.contains(Pa(0xfff)) && !it.contains(Pa(0x2000)));
        assert!(!it.overlaps(&span(0x2000, 1)) && !it.overlaps(&span(0, 0x1000)));
        assert!(it.overlaps(&span(0x1fff, 1)) && it.overlaps(&span(0, 0x1001)));
        assert_eq!(Span::new(Pa(u64::MAX), 2), None);
    }

    #[test]
    fn nothing_overlaps_an_empty_range() {
        let (it, empty) = (span(0x1000, 0x1000), span(0x1800, 0));
        assert!(!it.overlaps(&empty) && !empty.overlaps(&it) && !empty.contains(Pa(0x1800)));
        assert!(it.contains_span(&empty));
        assert_eq!(empty.to_string(), "0x1800 (empty)");
    }

    #[test]
    fn base_and_size_must_both_be_aligned() {
        assert!(span(0x3000, 0x2000).is_aligned(PAGE));
        // The last is off by as much at either end.
        for (base, size) in [(0x3800, 0x1000), (0x3000, 0x800), (0x3800, 0x800)] {
            assert!(!span(base, size).is_aligned(PAGE));
        }
    }
}
