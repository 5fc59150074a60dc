//! Kernel images: what kind a file is, and where its parts want to be. Placement itself is the plan's.
//!
//! Three kinds are loaded: the arm64 Linux Image, ELF64 for AArch64, and anything else as a flat binary. Files that
//! are plainly something else (compressed, for another machine, another boot loader's) are refused with the cure,
//! as a guest started from them would die without a word.

mod elf;
mod error;
mod other;

pub use elf::{Elf, Segment};
pub use error::{ElfFault, ImageError, ImageErrorKind};

/// A kernel image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// An arm64 Linux Image (Documentation/arch/arm64/booting.rst).
    Arm64 {
        /// Where it goes, counted from a 2 MiB-aligned base.
        text_offset: u64,
        /// The memory that it needs from there on, its bss included; at least the file's length.
        image_size: u64,
    },
    /// An ELF64 executable.
    Elf(Elf),
    /// A flat binary, entered at its first byte.
    Flat {
        /// Its length.
        len: u64,
    },
}

/// Length of the arm64 Image header.
const HEADER: usize = 64;
/// What kernels before 3.17, which leave `image_size` 0, mean by their `text_offset`.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// `text_offset` counts from a 2 MiB boundary; no kernel uses more than that.
const MAX_TEXT_OFFSET: u64 = 0x20_0000;
/// More memory than an image can sensibly ask for; it keeps every sum below from wrapping.
const MAX_SIZE: u64 = 1 << 47;

impl Image {
    /// Finds out what a file is. The name is for messages.
    pub fn parse(name: &str, file: &[u8]) -> Result<Self, ImageError> {
        Self::parse_kind(file).map_err(|kind| ImageError { file: name.into(), kind })
    }

    fn parse_kind(file: &[u8]) -> Result<Self, ImageErrorKind> {
        if file.is_empty() {
            return Err(ImageErrorKind::Empty);
        }
        if file.get(0x38..0x3c) == Some(b"ARM\x64") {
            return arm64(file);
        }
        if file.starts_with(b"\x7fELF") {
            return elf::parse(file).map(Self::Elf).map_err(ImageErrorKind::Elf);
        }
        match other::recognise(file) {
            Some(what) => Err(what),
            None => Ok(Self::Flat { len: file.len() as u64 }),
        }
    }
}

fn arm64(file: &[u8]) -> Result<Image, ImageErrorKind> {
    let (Some(text_offset), Some(image_size), Some(flags)) =
        (le64(file, 0x08), le64(file, 0x10), le64(file, 0x18))
    else {
        return Err(ImageErrorKind::BadHeader("it ends within its header"));
    };
    if file.len() < HEADER {
        return Err(ImageErrorKind::BadHeader("it ends within its header"));
    }
    // Flag bit 0: the kernel's endianness. The emulated devices and the checks here are little-endian.
    if flags & 1 != 0 {
        return Err(ImageErrorKind::BigEndian);
    }
    let len = file.len() as u64;
    let (text_offset, image_size) = match image_size {
        0 => (OLD_TEXT_OFFSET, len),
        size => (text_offset, size.max(len)),
    };
    if text_offset >= MAX_TEXT_OFFSET || !text_offset.is_multiple_of(8) {
        return Err(ImageErrorKind::BadHeader("its text_offset is no multiple of 8 below 2 MiB"));
    }
    if image_size > MAX_SIZE {
        return Err(ImageErrorKind::BadHeader("its image_size is absurd"));
    }
    Ok(Image::Arm64 { text_offset, image_size })
}

/// Little-endian numbers, if the file reaches that far.
fn le16(file: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?))
}
fn le32(file: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?))
}
fn le64(file: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*file.get(at..)?.first_chunk()?))
}
