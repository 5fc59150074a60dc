//! Why a file is no kernel that can be loaded, in words that EL2 and the host tool share.

use alloc::string::String;
use core::fmt;

/// A refused image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageError {
    /// The file's name.
    pub file: String,
    /// What is wrong with it.
    pub kind: ImageErrorKind,
}

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageErrorKind {
    /// No bytes at all.
    Empty,
    /// Compressed: by what, and the command that unpacks it.
    Compressed(&'static str, &'static str),
    /// A compressed EFI kernel (CONFIG_EFI_ZBOOT).
    CompressedEfi,
    /// An EFI program without an arm64 Image header.
    Efi,
    /// A kernel for another machine: which.
    Foreign(&'static str),
    /// No kernel at all: what it is.
    NotKernel(&'static str),
    /// Wrapped for U-Boot.
    UBoot,
    /// An arm64 Image for a big-endian kernel.
    BigEndian,
    /// An arm64 Image header that makes no sense.
    BadHeader(&'static str),
    /// An ELF file that cannot be loaded.
    Elf(ElfFault),
}

/// What is wrong with an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfFault {
    /// 32-bit.
    Class32,
    /// Big-endian.
    BigEndian,
    /// For another machine (`e_machine`).
    Machine(u16),
    /// An object file or core dump.
    NotExecutable,
    /// A program for an operating system: it asks for an interpreter.
    Interpreter,
    /// No loadable segment.
    NothingToLoad,
    /// A segment lies beyond the file's end.
    Truncated,
    /// Two segments overlap.
    Overlap,
    /// The entry point is in no segment.
    Entry,
    /// Headers that make no sense.
    Malformed,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.file, self.kind)
    }
}

impl fmt::Display for ImageErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty; copy it anew"),
            Self::Compressed(by, unpack) => {
                write!(f, "is compressed ({by}); unpack it with `{unpack}` and use the result")
            }
            Self::CompressedEfi => f.write_str(
                "is a compressed EFI kernel, which only EFI firmware starts; use arch/arm64/boot/Image of its build",
            ),
            Self::Efi => f.write_str(
                "is an EFI program without the arm64 Image header; use a kernel's plain Image, or a flat binary",
            ),
            Self::Foreign(machine) => {
                write!(f, "is a kernel for {machine}; use one for 64-bit Arm (arch/arm64/boot/Image)")
            }
            Self::NotKernel(what) => write!(f, "is {what}, not a kernel; use an arm64 Image, ELF64 or flat binary"),
            Self::UBoot => f.write_str(
                "is wrapped for U-Boot (uImage); unwrap it with `dumpimage -T kernel -o Image` and use the result",
            ),
            Self::BigEndian => f.write_str("is a big-endian kernel, which is not supported; use a little-endian one"),
            Self::BadHeader(what) => write!(f, "has a broken arm64 Image header ({what}); copy or build it anew"),
            Self::Elf(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for ElfFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const USE: &str = "use an ELF64 executable for little-endian AArch64";
        match self {
            Self::Class32 => write!(f, "is a 32-bit ELF file; {USE}"),
            Self::BigEndian => write!(f, "is a big-endian ELF file; {USE}"),
            Self::Machine(machine) => {
                let name = match machine {
                    3 => "x86",
                    8 => "MIPS",
                    20 | 21 => "PowerPC",
                    22 => "S/390",
                    40 => "32-bit Arm",
                    62 => "x86-64",
                    243 => "RISC-V",
                    258 => "LoongArch",
                    _ => "another machine",
                };
                write!(f, "is an ELF file for {name} (machine {machine}); {USE}")
            }
            Self::NotExecutable => write!(f, "is an ELF file but no executable (ET_EXEC or ET_DYN); link it"),
            Self::Interpreter => write!(
                f,
                "is a program for an operating system (it has an ELF interpreter), not a kernel; link it \
                 statically, without one"
            ),
            Self::NothingToLoad => {
                write!(f, "is an ELF file with nothing to load (no PT_LOAD segment); link it")
            }
            Self::Truncated => write!(f, "is an ELF file that is cut short; copy it anew"),
            Self::Overlap => {
                write!(
                    f,
                    "is an ELF file whose segments overlap in physical memory (p_paddr); mend its linker script"
                )
            }
            Self::Entry => {
                write!(f, "is an ELF file whose entry point is in no loaded segment; mend its linker script")
            }
            Self::Malformed => write!(f, "is an ELF file with broken headers; copy or build it anew"),
        }
    }
}

impl core::error::Error for ImageError {}
