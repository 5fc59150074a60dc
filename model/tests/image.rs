//! Kernel images: headers read right, mistakes named, and no input that panics.

use partita_model::image::{Elf, ElfFault, Image, ImageErrorKind, Segment};
use proptest::prelude::*;

fn kind(file: &[u8]) -> ImageErrorKind {
    Image::parse("k", file).unwrap_err().kind
}

fn arm64(text_offset: u64, image_size: u64, flags: u64, len: usize) -> Vec<u8> {
    let mut file = vec![0; len.max(64)];
    file[8..16].copy_from_slice(&text_offset.to_le_bytes());
    file[16..24].copy_from_slice(&image_size.to_le_bytes());
    file[24..32].copy_from_slice(&flags.to_le_bytes());
    file[0x38..0x3c].copy_from_slice(b"ARM\x64");
    file.truncate(len);
    file
}

/// A program header: type, offset, virtual and physical address, bytes in the file and in memory.
type Header = (u32, u64, u64, u64, u64, u64);

fn elf(kind: u16, entry: u64, headers: &[Header], len: usize) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(kind.to_le_bytes());
    file.extend(183_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [entry, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64, 56, headers.len() as u16, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for &(p_type, offset, vaddr, paddr, file_size, size) in headers {
        file.extend(p_type.to_le_bytes());
        file.extend(7_u32.to_le_bytes());
        for word in [offset, vaddr, paddr, file_size, size, 0x1000] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(len, 0xaa);
    file
}

const TEXT: Header = (1, 0x200, 0xffff_0000_4020_0000, 0x4020_0000, 0x80, 0x80);
const DATA: Header = (1, 0x280, 0xffff_0000_4010_0000, 0x4010_0000, 0x40, 0x1000);

fn good_elf() -> Vec<u8> {
    elf(2, 0xffff_0000_4020_0010, &[TEXT, (4, 0, 0, 0, 0, 0), DATA, (1, 0, 0, 0, 0, 0)], 0x300)
}

#[test]
fn arm64_images() {
    let parse = |file: &[u8]| Image::parse("vmlinuz", file).unwrap();
    assert_eq!(parse(&arm64(0, 0x1000, 0xa, 0x800)), Image::Arm64 { text_offset: 0, image_size: 0x1000 });
    assert_eq!(parse(&arm64(0, 0x100, 0xa, 0x800)), Image::Arm64 { text_offset: 0, image_size: 0x800 });
    // Before 3.17: no size, and the offset is known.
    assert_eq!(parse(&arm64(0, 0, 0, 0x800)), Image::Arm64 { text_offset: 0x8_0000, image_size: 0x800 });
    // The least file, the highest offset, the largest size.
    assert_eq!(parse(&arm64(0, 0, 0, 64)), Image::Arm64 { text_offset: 0x8_0000, image_size: 64 });
    let most = Image::Arm64 { text_offset: 0x1f_fff8, image_size: 1 << 47 };
    assert_eq!(parse(&arm64(0x1f_fff8, 1 << 47, 0, 64)), most);
    assert_eq!(kind(&arm64(0, 0x1000, 1, 0x800)), ImageErrorKind::BigEndian);
    for file in [
        arm64(0, (1 << 47) + 1, 0, 64),
        arm64(0x20_0000, 1, 0, 64),
        arm64(1, 1, 0, 64),
        arm64(0, 1 << 48, 0, 64),
        arm64(0, u64::MAX, 0, 64),
        arm64(0, 1, 0, 63),
    ] {
        assert!(matches!(kind(&file), ImageErrorKind::BadHeader(_)));
    }
}

#[test]
fn elf_files() {
    let expected = Elf {
        entry: 0x4020_0010,
        movable: false,
        segments: vec![
            Segment { address: 0x4010_0000, size: 0x1000, offset: 0x280, file_size: 0x40 },
            Segment { address: 0x4020_0000, size: 0x80, offset: 0x200, file_size: 0x80 },
        ],
    };
    assert_eq!(expected.bounds(), (0x4010_0000, 0x4020_0080));
    assert_eq!(Image::parse("k", &good_elf()), Ok(Image::Elf(expected)));
    // In a bundle, a file lies on a multiple of four bytes.
    let mut shifted = vec![0; 4];
    shifted.extend(good_elf());
    assert!(Image::parse("k", &shifted[4..]).is_ok());
    let moved = Image::parse("k", &elf(3, 0x10, &[(1, 0, 0, 0, 0x100, 0x200)], 0x200)).unwrap();
    assert!(matches!(moved, Image::Elf(Elf { entry: 0x10, movable: true, .. })));
}

#[test]
fn broken_elf_files() {
    let fault = |file: &[u8]| match kind(file) {
        ImageErrorKind::Elf(fault) => fault,
        other => panic!("{other:?}"),
    };
    let with = |at: usize, byte: u8| {
        let mut file = good_elf();
        file[at] = byte;
        fault(&file)
    };
    assert_eq!(with(4, 1), ElfFault::Class32);
    assert_eq!(with(5, 2), ElfFault::BigEndian);
    assert_eq!(with(18, 62), ElfFault::Machine(62));
    assert_eq!(with(16, 1), ElfFault::NotExecutable);
    assert_eq!(with(54, 57), ElfFault::Malformed);
    assert_eq!(fault(&good_elf()[..0x220]), ElfFault::Truncated);
    assert_eq!(fault(&good_elf()[..0x80]), ElfFault::Truncated);
    assert_eq!(fault(&good_elf()[..0x38]), ElfFault::Malformed);
    assert_eq!(fault(b"\x7fELF"), ElfFault::Malformed);
    assert_eq!(fault(&elf(2, 0, &[TEXT], 0x300)), ElfFault::Entry);
    assert_eq!(fault(&elf(2, 0, &[], 0x300)), ElfFault::NothingToLoad);
    assert_eq!(fault(&elf(2, 0, &[(3, 0, 0, 0, 0, 0), TEXT], 0x300)), ElfFault::Interpreter);
    assert_eq!(fault(&elf(2, TEXT.2, &[TEXT, TEXT], 0x300)), ElfFault::Overlap);
    assert_eq!(fault(&elf(2, 0, &[(1, 0, 0, 0, 2, 1)], 0x300)), ElfFault::Malformed);
    assert_eq!(fault(&elf(2, 0, &[(1, 0, 0, u64::MAX, 1, 1)], 0x300)), ElfFault::Malformed);
    assert_eq!(fault(&elf(2, 0, &[(1, u64::MAX, 0, 0, 1, 1)], 0x300)), ElfFault::Truncated);
}

#[test]
fn edges_of_segments() {
    let parse = |entry, header: Header| Image::parse("k", &elf(2, entry, &[header], 0x300));
    let at = |address, size| (1, 0x200, 0, address, 0x10, size);
    // Physical addresses have at most 47 bits here, so that nothing overflows later.
    let top = 1 << 47;
    for (address, size, good) in
        [(top, 0x10, true), (0, top, true), (top + 1, 0x10, false), (0, top + 1, false)]
    {
        assert_eq!(parse(0, at(address, size)).is_ok(), good, "{address:#x} {size:#x}");
    }
    // The entry is code of the file: not what follows it, which is zeros.
    assert!(matches!(parse(0xf, at(0, 0x20)), Ok(Image::Elf(Elf { entry: 0xf, .. }))));
    let beyond = parse(0x10, at(0, 0x20)).unwrap_err();
    assert_eq!(beyond.kind, ImageErrorKind::Elf(ElfFault::Entry));
    // As many bytes in the file as in memory, up to the last of the file.
    assert!(parse(0, (1, 0x2f0, 0, 0, 0x10, 0x10)).is_ok());
    assert!(parse(0, (1, 0x2f1, 0, 0, 0x10, 0x10)).is_err());
}

#[test]
fn other_machines_are_named() {
    // e_machine as the ELF specification (and LoongArch's) numbers them.
    for (machine, name) in [
        (3, "x86"),
        (8, "MIPS"),
        (20, "PowerPC"),
        (21, "PowerPC"),
        (22, "S/390"),
        (40, "32-bit Arm"),
        (62, "x86-64"),
        (243, "RISC-V"),
        (258, "LoongArch"),
        (1, "another machine"),
    ] {
        let mut file = good_elf();
        file[18..20].copy_from_slice(&u16::to_le_bytes(machine));
        let words = Image::parse("k", &file).unwrap_err().to_string();
        assert!(words.contains(&format!("is an ELF file for {name} (machine {machine});")), "{words}");
    }
}

#[test]
fn half_a_mark_is_no_mark() {
    let with = |marks: &[(usize, &[u8])]| {
        let mut file = vec![0; 0x300];
        for (at, bytes) in marks {
            file[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        Image::parse("k", &file)
    };
    let flat = Ok(Image::Flat { len: 0x300 });
    assert_eq!(with(&[(0x1fe, b"\x55\xaa")]), flat);
    assert_eq!(with(&[(0x202, b"HdrS")]), flat);
    assert_eq!(with(&[(0, b"MZ"), (0x3c, b"\x80")]), flat);
    assert_eq!(with(&[(0x3c, b"\x80"), (0x80, b"PE\0\0")]), flat);
}

#[test]
fn mistakes_are_named() {
    let at = |offset: usize, bytes: &[u8]| {
        let mut file = vec![0; 0x300];
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        file
    };
    let mut pe = at(0, b"MZ");
    pe[0x3c] = 0x80;
    pe[0x80..0x84].copy_from_slice(b"PE\0\0");
    let mut bzimage = at(0x202, b"HdrS");
    bzimage[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
    for (file, words) in [
        (vec![], "\"k\" is empty; copy it anew"),
        (at(0, b"\x1f\x8b\x08"), "\"k\" is compressed (gzip); unpack it with `gunzip` and use the result"),
        (at(0, b"\x28\xb5\x2f\xfd"), "(zstd); unpack it with `unzstd`"),
        (at(0, b"MZ\0\0zimg"), "only EFI firmware starts"),
        (pe, "is an EFI program without the arm64 Image header"),
        (bzimage, "is a kernel for x86 (bzImage)"),
        (at(0x24, b"\x18\x28\x6f\x01"), "is a kernel for 32-bit Arm (zImage)"),
        (at(0x38, b"RSC\x05"), "is a kernel for RISC-V"),
        (at(0, b"\x27\x05\x19\x56"), "unwrap it with `dumpimage"),
        (at(0, b"\xd0\x0d\xfe\xed"), "is a flattened device tree or FIT image, not a kernel"),
        (at(0, b"070701"), "is a cpio archive, not a kernel"),
        (elf(1, 0, &[], 64), "is an ELF file but no executable"),
    ] {
        let error = Image::parse("k", &file).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn anything_else_is_flat() {
    for file in [&b"\0"[..], b"MZ", b"\x40\xd1\x05\x10 code", &[0x1f; 100]] {
        assert_eq!(Image::parse("k", file), Ok(Image::Flat { len: file.len() as u64 }));
    }
}

proptest! {
    #[test]
    fn changed_files_never_panic(elf_file: bool, cut in 0_usize..0x300,
                                 changes in proptest::collection::vec((0_usize..0x180, any::<u8>()), 0..8)) {
        let mut file = if elf_file { good_elf() } else { arm64(0x8_0000, 0x1000, 2, 0x300) };
        for (at, byte) in changes {
            file[at] = byte;
        }
        file.truncate(0x300 - cut);
        match Image::parse("k", &file) {
            Ok(Image::Elf(elf)) => {
                for s in &elf.segments {
                    prop_assert!(s.file_size <= s.size && s.offset + s.file_size <= file.len() as u64);
                }
                let (low, high) = elf.bounds();
                prop_assert!((low..high).contains(&elf.entry));
            }
            Ok(Image::Arm64 { text_offset, image_size }) => {
                prop_assert!(image_size >= file.len() as u64 && text_offset < 0x20_0000);
            }
            Ok(Image::Flat { len }) => prop_assert_eq!(len, file.len() as u64),
            Err(error) => prop_assert!(error.to_string().len() > 10),
        }
    }
}
