//! What keeps memory and images from their places, in words that EL2 and the host tool share.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::addr::{Address, Ipa, IpaSpan, PAGE, PaSpan, Span};
use crate::image::ImageError;

/// Why something has no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// An address that is no multiple of what it should be.
    NotMultiple(u64, u64),
    /// Pinned memory is not RAM: where it should be, and the board's RAM.
    PinnedOutsideRam(PaSpan, Vec<PaSpan>),
    /// Pinned memory meets something: where it should be, what it meets, and where that is.
    PinnedOverlaps(PaSpan, String, PaSpan),
    /// Pinned memory lies where something is that has to make room and cannot: where it should be, and what is there.
    CannotMove(PaSpan, &'static str),
    /// No hole in RAM is large enough.
    NoRoom {
        /// Bytes asked for.
        asked: u64,
        /// RAM in all.
        total: u64,
    },
    /// The bundle has no such file.
    MissingFile(String),
    /// A file without a byte.
    EmptyFile(String),
    /// The kernel cannot be loaded.
    Image(ImageError),
    /// A file that should be a device tree: its name and why it is none.
    NotTree(String, &'static str),
    /// Something should go where the partition has no memory: what, where, and the memory that there is.
    OutsideMemory(String, Ipa, Vec<IpaSpan>),
    /// Too little memory where something should go.
    DoesNotFit {
        /// What.
        what: String,
        /// Bytes that it needs.
        needs: u64,
        /// From here on.
        at: Ipa,
        /// Bytes that there are.
        room: u64,
    },
    /// No hole between what is placed already is large enough.
    NoHole {
        /// What.
        what: String,
        /// Bytes that it needs.
        needs: u64,
        /// The largest hole.
        largest: u64,
    },
    /// Two things in one place: the one, where it should go, the other, where it is.
    Overlap(String, IpaSpan, String, IpaSpan),
    /// An arm64 Image's load address does not suit its text_offset: both.
    BadLoadAddress(u64, u64),
    /// The entry point does not lie in the kernel: both.
    EntryOutside(Ipa, String),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMultiple(address, to) => {
                write!(f, "{address:#x} is not a multiple of {to:#x}; use an address that is")
            }
            Self::PinnedOutsideRam(span, ram) => {
                write!(f, "{span} is not all RAM of this board; use addresses within {}", List(ram))
            }
            Self::PinnedOverlaps(span, what, other) => {
                write!(f, "{span} overlaps {what} at {other}; use other addresses")
            }
            Self::CannotMove(span, what) => write!(
                f,
                "{span} takes the place of {what}, and no other RAM has room for that; use other addresses, or ask for \
                 less, here or in another partition"
            ),
            // How much is free depends on the hypervisor's size: figures of it would differ between board and host.
            Self::NoRoom { asked, total } => write!(
                f,
                "there is no room for {}: the board has {} of RAM, and no piece that is still free is that large; \
                 ask for less, here or in another partition",
                Bytes(*asked),
                Bytes(*total)
            ),
            Self::MissingFile(name) => {
                write!(f, "there is no file {name:?}; put it beside the other images, or mend the name")
            }
            Self::EmptyFile(name) => write!(f, "{name:?} is empty; copy it anew"),
            Self::Image(error) => error.fmt(f),
            Self::NotTree(name, why) => {
                write!(f, "{name:?} is no device tree ({why}); compile it with `dtc -I dts -O dtb`")
            }
            Self::OutsideMemory(what, base, memory) => write!(
                f,
                "{what} belongs at {base}, where the partition has no memory (it has {}); give it memory there, or \
                 use another address",
                List(memory)
            ),
            Self::DoesNotFit { what, needs, at, room } => write!(
                f,
                "{what} needs {} from {at} on, and there it has {}; give the partition more memory",
                Bytes(*needs),
                Bytes(*room)
            ),
            Self::NoHole { what, needs, largest } => write!(
                f,
                "{what} needs {}, and the largest piece of memory still free has {}; give the partition more memory",
                Bytes(*needs),
                Bytes(*largest)
            ),
            Self::Overlap(what, span, other, other_span) => {
                write!(f, "{what} at {span} overlaps {other} at {other_span}; use other addresses")
            }
            Self::BadLoadAddress(base, offset) => write!(
                f,
                "{base:#x} is not a multiple of 2 MiB plus the kernel's text_offset {offset:#x}; use an address that \
                 is, or remove it"
            ),
            Self::EntryOutside(entry, kernel) => {
                write!(f, "{entry} does not lie in {kernel:?}; use an address of the kernel, or remove it")
            }
        }
    }
}

/// A size as people write it; odd ones are rounded up to whole KiB.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "nothing"),
            n if n.is_multiple_of(1 << 30) => write!(f, "{} GiB", n >> 30),
            n if n.is_multiple_of(1 << 20) => write!(f, "{} MiB", n >> 20),
            n if n >= PAGE => write!(f, "{} KiB", n.div_ceil(1 << 10)),
            n => write!(f, "{n} bytes"),
        }
    }
}

/// `a, b and c`.
pub(in crate::plan) struct List<'a, A>(pub(in crate::plan) &'a [Span<A>]);

impl<A: Address> fmt::Display for List<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, span) in self.0.iter().enumerate() {
            let before = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{before}{span}")?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::addr::Pa;

    #[test]
    fn sizes_as_people_write_them() {
        let words = |bytes| Bytes(bytes).to_string();
        assert_eq!([0, 1, 40, 0xfff].map(words), ["nothing", "1 bytes", "40 bytes", "4095 bytes"]);
        assert_eq!([0x1000, 0x1001, 0x10_0400].map(words), ["4 KiB", "5 KiB", "1025 KiB"]);
        assert_eq!([1 << 20, 3 << 20, 1 << 30, 5 << 30].map(words), ["1 MiB", "3 MiB", "1 GiB", "5 GiB"]);
    }

    #[test]
    fn lists_as_people_write_them() {
        let spans = [0x1000, 0x3000, 0x5000].map(|base| Span { base: Pa(base), size: 0x1000 });
        let words = |count: usize| List(&spans[..count]).to_string();
        assert_eq!(words(0), "none");
        assert_eq!(words(1), "0x1000-0x1fff");
        assert_eq!(words(2), "0x1000-0x1fff and 0x3000-0x3fff");
        assert_eq!(words(3), "0x1000-0x1fff, 0x3000-0x3fff and 0x5000-0x5fff");
    }
}
