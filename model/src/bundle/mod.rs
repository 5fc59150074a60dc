//! The bundle: one newc cpio archive with the overlay, the images and their checksums, read where it lies.
//!
//! Nothing is copied and nothing is guessed: an archive that is cut short, damaged, or holds anything but plain
//! files is an error, never a shorter list. A file's contents are summed only when [`Bundle::check`] is asked to,
//! as that reads all of it.

mod error;
mod newc;

pub use error::BundleError;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use sha2::{Digest, Sha256};

use crate::plan::Files;

/// The overlay's name in the bundle.
pub const OVERLAY: &str = "partitions.dtbo";
/// The list of checksums, in sha256sum's format.
pub const SUMS: &str = "SHA256SUMS";
/// More files than any board has use for: a bound on what a damaged archive can cost.
pub const MAX_FILES: usize = 256;
/// The longest file name.
const MAX_NAME: usize = 255;

/// Whether a name can stand in a bundle: no folders, nothing that a shell or a terminal takes amiss.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !matches!(name, "." | ".." | newc::TRAILER)
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control)
        && !name.contains(char::is_whitespace)
}

/// A file's SHA-256.
pub type Sum = [u8; 32];

/// A bundle in memory.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    name: &'a str,
    data: &'a [u8],
    /// As SHA256SUMS has it; none for SHA256SUMS itself.
    sum: Option<Sum>,
}

impl<'a> Bundle<'a> {
    /// Reads the archive's headers and SHA256SUMS: every other file must be listed there, and nothing else.
    pub fn parse(archive: &'a [u8]) -> Result<Self, BundleError> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        for member in newc::Members::new(archive) {
            let newc::Member { name, mode, data } = member?;
            if mode & newc::TYPE_MASK != newc::REGULAR {
                return Err(BundleError::NotAFile(name.into()));
            }
            if !is_plain_name(name) {
                return Err(BundleError::BadName(name.into()));
            }
            if entries.iter().any(|entry| entry.name == name) {
                return Err(BundleError::Twice(name.into()));
            }
            if entries.len() == MAX_FILES {
                return Err(BundleError::TooManyFiles);
            }
            entries.push(Entry { name, data, sum: None });
        }
        let sums = entries.iter().find(|entry| entry.name == SUMS).ok_or(BundleError::NoSums)?.data;
        for (index, line) in lines(sums).enumerate() {
            let (sum, name) = parse_sum(line).ok_or(BundleError::BadSumsLine(index + 1))?;
            let Some(entry) = entries.iter_mut().find(|entry| entry.name == name && name != SUMS) else {
                return Err(BundleError::ListedButMissing(name.into()));
            };
            if entry.sum.replace(sum).is_some() {
                return Err(BundleError::ListedTwice(name.into()));
            }
        }
        match entries.iter().find(|entry| entry.sum.is_none() && entry.name != SUMS) {
            Some(entry) => Err(BundleError::NotListed(entry.name.into())),
            None => Ok(Self { entries }),
        }
    }

    /// The bytes of a file, in the archive itself.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.data)
    }

    /// What SHA256SUMS says of a file; none of SHA256SUMS itself.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<Sum> {
        self.entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.sum)
    }

    /// The names of all files, in the archive's order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.entries.iter().map(|entry| entry.name)
    }

    /// Compares a file with its line in SHA256SUMS. This reads the whole file.
    pub fn check(&self, name: &str) -> Result<(), BundleError> {
        let entry =
            self.entries.iter().find(|e| e.name == name).ok_or_else(|| BundleError::Missing(name.into()))?;
        match entry.sum {
            Some(sum) if sum == sum_of(entry.data) => Ok(()),
            Some(_) => Err(BundleError::Damaged(name.into())),
            // SHA256SUMS was understood line by line; nothing vouches for it but the lines themselves.
            None => Ok(()),
        }
    }

    /// Compares every file with its checksum.
    pub fn check_all(&self) -> Result<(), BundleError> {
        self.names().try_for_each(|name| self.check(name))
    }
}

impl Files for Bundle<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        Bundle::get(self, name)
    }
}

/// Makes a bundle of these files, the overlay and a fresh SHA256SUMS first, the others in the order given.
///
/// The same files give the same bytes: no times, owners or inode numbers of the host get in.
pub fn write(files: &[(&str, &[u8])]) -> Result<Vec<u8>, BundleError> {
    let overlay_first =
        || files.iter().filter(|f| f.0 == OVERLAY).chain(files.iter().filter(|f| f.0 != OVERLAY));
    let mut sums = String::new();
    for (name, data) in overlay_first() {
        for byte in sum_of(data) {
            // Writing to a String cannot fail.
            let _ = write!(sums, "{byte:02x}");
        }
        let _ = writeln!(sums, "  {name}");
    }
    let mut writer = newc::Writer::default();
    let leading = files.iter().filter(|f| f.0 == OVERLAY).count();
    for (index, (name, data)) in overlay_first().enumerate() {
        if !is_plain_name(name) || *name == SUMS {
            return Err(BundleError::BadName((*name).into()));
        }
        if index == leading {
            writer.file(SUMS, sums.as_bytes())?;
        }
        writer.file(name, data)?;
    }
    if files.len() == leading {
        writer.file(SUMS, sums.as_bytes())?;
    }
    let archive = writer.finish()?;
    // What would not be read is not written: doubled names, too many files.
    Bundle::parse(&archive)?;
    Ok(archive)
}

fn sum_of(data: &[u8]) -> Sum {
    Sha256::digest(data).into()
}

/// How many bytes [`is_whole`] sums at a time.
const STEP: usize = 64 << 10;

/// Whether bytes still have this sum. `meanwhile` is called now and then: a large file takes a while.
#[must_use]
pub fn is_whole(data: &[u8], sum: &Sum, mut meanwhile: impl FnMut()) -> bool {
    let mut digest = Sha256::new();
    for piece in data.chunks(STEP) {
        digest.update(piece);
        meanwhile();
    }
    <Sum>::from(digest.finalize()) == *sum
}

/// The lines of a text; a line feed at its end does not begin another.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n').filter(move |_| !text.is_empty())
}

/// One line of sha256sum's output: 64 hexadecimal digits, a space, a space (text) or asterisk (binary), the name.
fn parse_sum(line: &[u8]) -> Option<(Sum, &str)> {
    let (digits, rest) = line.split_at_checked(64)?;
    let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    let mut sum = [0; 32];
    for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = newc::hex_digit(*high)? << 4 | newc::hex_digit(*low)?;
    }
    let name = core::str::from_utf8(name).ok()?;
    is_plain_name(name).then_some((sum, name))
}
