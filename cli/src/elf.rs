//! ELF files that our own builds make: the hypervisor becomes a flat arm64 Image, guests lose what is not loaded.

use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

/// More than this between the first and the last loaded byte is no image of ours.
const LARGEST: u64 = 64 << 20;

/// The arm64 Image header's magic "ARM\x64" and where it is (Documentation/arch/arm64/booting.rst).
const MAGIC: (usize, &[u8]) = (0x38, b"ARM\x64");

/// The PE header's FileAlignment (src/boot.S): UEFI firmware takes no image that ends within one.
const FILE_ALIGNMENT: usize = 0x200;

type Header = FileHeader64<LittleEndian>;

/// What an arm64 Image says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Bytes from a 2 MiB boundary to its first byte.
    pub text_offset: u64,
    /// Bytes of RAM it takes from there, with what is not in the file.
    pub image_size: u64,
}

/// Lays an ELF file's segments out by physical address: what a boot loader takes as a kernel. What is zero at the
/// end of the last segment and not in the ELF file is not written; the header's `image_size` covers it.
pub fn to_image(elf: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |error: object::read::Error| format!("the hypervisor's ELF file: {error}");
    let header = Header::parse(elf).map_err(wrong)?;
    let endian = header.endian().map_err(wrong)?;
    let mut loads = Vec::new();
    for segment in header.program_headers(endian, elf).map_err(wrong)? {
        if segment.p_type(endian) == PT_LOAD && segment.p_filesz(endian) > 0 {
            let data = segment.data(endian, elf).map_err(|()| "the hypervisor's ELF file is cut short")?;
            loads.push((segment.p_paddr(endian), data));
        }
    }
    let base = loads.iter().map(|(at, _)| *at).min().ok_or("the hypervisor's ELF file loads nothing")?;
    let end = loads.iter().filter_map(|(at, data)| at.checked_add(data.len() as u64)).max().unwrap_or(base);
    if end - base > LARGEST {
        return Err(format!("the hypervisor's segments are {} MiB apart", (end - base) >> 20));
    }
    let mut image = vec![0; (end - base) as usize];
    for (at, data) in loads {
        let from = (at - base) as usize;
        if let Some(room) = image.get_mut(from..from + data.len()) {
            room.copy_from_slice(data);
        }
    }
    image.resize(image.len().next_multiple_of(FILE_ALIGNMENT), 0);
    match header_of(&image) {
        Some(_) => Ok(image),
        None => Err("the hypervisor's first segment has no arm64 Image header".to_owned()),
    }
}

/// The header of an arm64 Image.
pub fn header_of(image: &[u8]) -> Option<ImageHeader> {
    let word = |at: usize| Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?));
    if image.get(MAGIC.0..MAGIC.0 + 4)? != MAGIC.1 {
        return None;
    }
    Some(ImageHeader { text_offset: word(8)?, image_size: word(16)? })
}

/// An ELF file without section table and debug information: all that a loader reads. Anything else as it is.
pub fn strip(mut file: Vec<u8>) -> Vec<u8> {
    let Some(end) = loaded_end(&file) else { return file };
    // e_shoff (0x28, 8 bytes) and e_shentsize, e_shnum, e_shstrndx (0x3a, 6 bytes): no section table.
    file.truncate(end);
    file[0x28..0x30].fill(0);
    file[0x3a..0x40].fill(0);
    file
}

/// The end in the file of the headers and of all segments.
fn loaded_end(file: &[u8]) -> Option<usize> {
    let header = Header::parse(file).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, file).ok()?;
    let table = header.e_phoff(endian) + size_of_val(segments) as u64;
    let mut end = table.max(size_of::<Header>() as u64);
    for segment in segments {
        end = end.max(segment.p_offset(endian).checked_add(segment.p_filesz(endian))?);
    }
    usize::try_from(end).ok().filter(|end| *end <= file.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with two segments, 0x1000 apart, and rubbish behind them where sections would be.
    fn sample() -> Vec<u8> {
        let mut file = vec![0_u8; 0x40];
        file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        file[16..18].copy_from_slice(&2_u16.to_le_bytes());
        file[18..20].copy_from_slice(&183_u16.to_le_bytes());
        file[20..24].copy_from_slice(&1_u32.to_le_bytes());
        file[0x20..0x28].copy_from_slice(&0x40_u64.to_le_bytes());
        file[0x28..0x30].copy_from_slice(&0x200_u64.to_le_bytes());
        file[0x34..0x36].copy_from_slice(&64_u16.to_le_bytes());
        file[0x36..0x38].copy_from_slice(&56_u16.to_le_bytes());
        file[0x38..0x3a].copy_from_slice(&2_u16.to_le_bytes());
        file[0x3a..0x3c].copy_from_slice(&64_u16.to_le_bytes());
        for (offset, at, size) in [(0xb0_u64, 0x8000_u64, 0x40_u64), (0xf0, 0x9000, 0x10)] {
            file.extend(1_u32.to_le_bytes());
            file.extend(5_u32.to_le_bytes());
            for word in [offset, at, at, size, size + 0x100, 0x1000] {
                file.extend(word.to_le_bytes());
            }
        }
        let mut image = [0_u8; 0x40];
        image[16..24].copy_from_slice(&0x2000_u64.to_le_bytes());
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        file.extend(image);
        file.extend([7; 0x10]);
        file.extend([0xee; 0x300]);
        file
    }

    #[test]
    fn segments_are_laid_out_by_address() {
        let image = to_image(&sample()).unwrap();
        assert_eq!(image.len(), 0x1200);
        assert_eq!(&image[0x1000..0x1010], [7; 0x10]);
        assert_eq!(header_of(&image), Some(ImageHeader { text_offset: 0, image_size: 0x2000 }));
    }

    #[test]
    fn stripping_keeps_what_is_loaded() {
        let stripped = strip(sample());
        assert_eq!(stripped.len(), 0x100);
        assert_eq!(to_image(&stripped), to_image(&sample()));
        assert_eq!(strip(b"no ELF".to_vec()), b"no ELF");
    }

    #[test]
    fn cut_files_are_refused() {
        let file = sample();
        for length in [0, 10, 0x40, 0x80, 0xb0, 0xf4] {
            assert!(to_image(&file[..length]).is_err(), "{length}");
            strip(file[..length].to_vec());
        }
    }
}
