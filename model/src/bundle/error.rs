//! What can be wrong with a bundle, in words that EL2 and the host tool share.

use alloc::string::String;
use core::fmt;

use super::{MAX_FILES, SUMS};

/// Why a bundle was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// It does not begin with newc's magic; what it looks like instead.
    NotCpio(&'static str),
    /// A member's header at this offset is malformed.
    BadHeader(usize),
    /// It ends at or within the header at this offset: the trailer is missing.
    Truncated(usize),
    /// It ends within this file.
    TruncatedFile(String),
    /// Something other than zeros follows the trailer, at this offset.
    AfterTrailer(usize),
    /// A folder, link or special file.
    NotAFile(String),
    /// A name that is not plain.
    BadName(String),
    /// Two files of one name.
    Twice(String),
    /// More than [`MAX_FILES`].
    TooManyFiles,
    /// A file or name too long for the format.
    TooLong(String),
    /// SHA256SUMS is missing.
    NoSums,
    /// This line of SHA256SUMS (counted from 1) is not in sha256sum's format.
    BadSumsLine(usize),
    /// SHA256SUMS lists a file twice.
    ListedTwice(String),
    /// SHA256SUMS lists a file that the bundle does not have.
    ListedButMissing(String),
    /// A file that SHA256SUMS does not list.
    NotListed(String),
    /// There is no such file.
    Missing(String),
    /// A file's contents are not what SHA256SUMS says.
    Damaged(String),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAKE: &str = "make it with `partita build`";
        const COPY: &str = "copy it anew and whole";
        f.write_str("the bundle ")?;
        match self {
            Self::NotCpio(looks) => {
                write!(f, "is no newc cpio archive (it looks like {looks}); {MAKE} and load it as the initrd")
            }
            Self::BadHeader(at) => write!(f, "is damaged at byte {at} (no newc header there); {COPY}"),
            Self::Truncated(at) => write!(f, "is cut short at byte {at} (it has no trailer); {COPY}"),
            Self::TruncatedFile(name) => write!(f, "is cut short within {name:?}; {COPY}"),
            Self::AfterTrailer(at) => {
                write!(f, "has more data at byte {at}, after its end; put all files into one archive: {MAKE}")
            }
            Self::NotAFile(name) => write!(f, "has {name:?}, which is no plain file; {MAKE}"),
            Self::BadName(name) => {
                write!(
                    f,
                    "cannot have a file named {name:?}; use a name without folders, spaces and controls"
                )
            }
            Self::Twice(name) => write!(f, "has {name:?} twice; remove one"),
            Self::TooManyFiles => write!(f, "has more than {MAX_FILES} files; leave out what no plan names"),
            Self::TooLong(name) => {
                write!(f, "cannot have {name:?}: it is longer than 4 GiB; make it smaller")
            }
            Self::NoSums => write!(f, "has no {SUMS}; {MAKE}, or add the output of `sha256sum *`"),
            Self::BadSumsLine(line) => {
                write!(f, "has a malformed {SUMS} at line {line}; write it with `sha256sum *`")
            }
            Self::ListedTwice(name) => write!(f, "lists {name:?} twice in {SUMS}; remove one line"),
            Self::ListedButMissing(name) => {
                write!(f, "lists {name:?} in {SUMS} but does not have it; add the file or remove the line")
            }
            Self::NotListed(name) => {
                write!(f, "has {name:?}, which {SUMS} does not list; add its line or remove the file")
            }
            Self::Missing(name) => write!(f, "has no file {name:?}; add it and its line in {SUMS}"),
            Self::Damaged(name) => {
                write!(f, "has a damaged {name:?} (its SHA-256 differs from {SUMS}); {COPY}")
            }
        }
    }
}

impl core::error::Error for BundleError {}

/// What a file that should be an archive looks like.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    let kinds: [(&[u8], &str); 9] = [
        (b"070702", "a cpio archive with checksums"),
        (b"070707", "a cpio archive of the old format"),
        (b"\xc7\x71", "a cpio archive of the binary format"),
        (b"\x1f\x8b", "a gzip file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"\xfd7zXZ", "an xz file"),
        (b"\xd0\x0d\xfe\xed", "a device tree"),
        (b"\x7fELF", "an ELF file"),
        (b"\x27\x05\x19\x56", "a U-Boot image"),
    ];
    match kinds.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, kind)) => kind,
        None if bytes.is_empty() => "an empty file",
        None if bytes.iter().take(512).all(|&byte| byte == 0) => "zeros",
        None => "something else",
    }
}
