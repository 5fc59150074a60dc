//! Recognises what people give by mistake. A flat binary has no mark, so only plain signs of something else count.

use super::ImageErrorKind::{self, *};

/// What the file is, if it is certainly no flat binary.
pub(super) fn recognise(file: &[u8]) -> Option<ImageErrorKind> {
    let beginnings: [(&[u8], ImageErrorKind); 13] = [
        (b"\x1f\x8b", Compressed("gzip", "gunzip")),
        (b"\x28\xb5\x2f\xfd", Compressed("zstd", "unzstd")),
        (b"\xfd7zXZ\0", Compressed("xz", "unxz")),
        (b"BZh", Compressed("bzip2", "bunzip2")),
        (b"\x02\x21\x4c\x18", Compressed("lz4", "unlz4")),
        (b"\x04\x22\x4d\x18", Compressed("lz4", "unlz4")),
        (b"\x89LZO\0\r\n\x1a\n", Compressed("lzop", "lzop -d")),
        (b"PK\x03\x04", Compressed("zip", "unzip")),
        (b"\x27\x05\x19\x56", UBoot),
        (b"\xd0\x0d\xfe\xed", NotKernel("a flattened device tree or FIT image")),
        (b"070701", NotKernel("a cpio archive")),
        (b"!<arch>\n", NotKernel("a static library or Debian package")),
        (b"#!", NotKernel("a script")),
    ];
    let at = |offset: usize, bytes: &[u8]| file.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    if let Some((_, kind)) = beginnings.into_iter().find(|(magic, _)| file.starts_with(magic)) {
        return Some(kind);
    }
    // Linux's zboot-header.S: "zimg" after the DOS header's magic.
    if at(0, b"MZ\0\0zimg") {
        return Some(CompressedEfi);
    }
    // Documentation/arch/x86/boot.rst: 0xaa55 at 0x1fe and "HdrS" at 0x202.
    if at(0x1fe, b"\x55\xaa") && at(0x202, b"HdrS") {
        return Some(Foreign("x86 (bzImage)"));
    }
    // Documentation/arch/arm/booting: the zImage's magic 0x016f2818 at 0x24.
    if at(0x24, b"\x18\x28\x6f\x01") || at(0x24, b"\x01\x6f\x28\x18") {
        return Some(Foreign("32-bit Arm (zImage)"));
    }
    // Documentation/arch/riscv/boot-image-header.rst.
    if at(0x38, b"RSC\x05") {
        return Some(Foreign("RISC-V (Image)"));
    }
    // A PE file: "MZ", and the offset of "PE\0\0" at 0x3c.
    if at(0, b"MZ")
        && let Some(offset) = file.get(0x3c..).and_then(|rest| rest.first_chunk())
        && usize::try_from(u32::from_le_bytes(*offset)).is_ok_and(|offset| at(offset, b"PE\0\0"))
    {
        return Some(Efi);
    }
    None
}
