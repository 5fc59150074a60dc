//! The newc cpio format ("070701"): fixed headers of ASCII hexadecimal, names and data padded to four bytes.
//!
//! An own reader, because a hypervisor must tell a damaged archive from a complete one and must not read every
//! byte of every kernel to list their names; the tests compare it with the cpio_reader crate.

use alloc::vec::Vec;

use super::BundleError;

/// The name that ends an archive.
pub const TRAILER: &str = "TRAILER!!!";
/// The file type's bits of a mode.
pub const TYPE_MASK: u32 = 0o170_000;
/// A regular file.
pub const REGULAR: u32 = 0o100_000;

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
/// Positions of the fields used, in words of eight digits after the magic.
const MODE: usize = 1;
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;

/// One member of an archive.
pub struct Member<'a> {
    pub name: &'a str,
    pub mode: u32,
    pub data: &'a [u8],
}

/// Reads members up to the trailer. After an error it ends.
pub struct Members<'a> {
    archive: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Members<'a> {
    pub fn new(archive: &'a [u8]) -> Self {
        Self { archive, at: 0, done: false }
    }

    /// The next `len` bytes, and the padding after them.
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let bytes = self.archive.get(self.at..end)?;
        self.at = end.checked_next_multiple_of(4)?;
        Some(bytes)
    }

    fn member(&mut self) -> Result<Option<Member<'a>>, BundleError> {
        let start = self.at;
        let rest = self.archive.get(start..).unwrap_or_default();
        let magic = rest.get(..MAGIC.len()).unwrap_or(rest);
        if !MAGIC.starts_with(magic) || self.archive.is_empty() {
            return Err(match start {
                0 => BundleError::NotCpio(super::error::looks_like(rest)),
                _ => BundleError::BadHeader(start),
            });
        }
        let header = rest.get(..HEADER).ok_or(BundleError::Truncated(start))?;
        let field = |index: usize| -> Option<u32> {
            let digits = header.get(MAGIC.len() + 8 * index..)?.get(..8)?;
            digits.iter().try_fold(0, |value, &digit| Some(value << 4 | u32::from(hex_digit(digit)?)))
        };
        let (Some(mode), Some(file_size), Some(name_size)) =
            (field(MODE), field(FILE_SIZE), field(NAME_SIZE))
        else {
            return Err(BundleError::BadHeader(start));
        };
        // The header's 110 bytes and the name are padded together; sizes are 32 bits, so usize holds them.
        let head_and_name =
            self.take(HEADER.saturating_add(name_size as usize)).ok_or(BundleError::Truncated(start))?;
        let name = match head_and_name.get(HEADER..).and_then(<[u8]>::split_last) {
            Some((0, name)) => core::str::from_utf8(name).map_err(|_| BundleError::BadHeader(start))?,
            _ => return Err(BundleError::BadHeader(start)),
        };
        let data = self.take(file_size as usize).ok_or_else(|| BundleError::TruncatedFile(name.into()))?;
        if name != TRAILER {
            return Ok(Some(Member { name, mode, data }));
        }
        // cpio pads archives with zeros. Anything else would be a second archive that nobody looks at.
        match self.archive.get(self.at..).unwrap_or_default().iter().position(|&byte| byte != 0) {
            Some(more) => Err(BundleError::AfterTrailer(self.at.saturating_add(more))),
            None => Ok(None),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let member = self.member().transpose();
        self.done = !matches!(member, Some(Ok(_)));
        member
    }
}

/// The value of a hexadecimal digit.
pub fn hex_digit(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// Writes an archive in which nothing depends on the host: root's files, mode 0644, time 0.
#[derive(Default)]
pub struct Writer {
    archive: Vec<u8>,
    inode: u32,
}

impl Writer {
    pub fn file(&mut self, name: &str, data: &[u8]) -> Result<(), BundleError> {
        self.inode += 1;
        self.member(name, REGULAR | 0o644, data)
    }

    pub fn finish(mut self) -> Result<Vec<u8>, BundleError> {
        self.inode = 0;
        self.member(TRAILER, 0, &[])?;
        Ok(self.archive)
    }

    fn member(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<(), BundleError> {
        let size = u32::try_from(data.len()).map_err(|_| BundleError::TooLong(name.into()))?;
        let name_size = u32::try_from(name.len() + 1).map_err(|_| BundleError::TooLong(name.into()))?;
        self.archive.extend_from_slice(MAGIC);
        // inode, mode, uid, gid, links, time, size, device and special device (major, minor), name size, check
        for word in [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            for nibble in (0..8).rev() {
                let digit = char::from_digit(word >> (4 * nibble) & 0xf, 16).unwrap_or('0');
                self.archive.push(digit as u8);
            }
        }
        self.archive.extend_from_slice(name.as_bytes());
        self.archive.push(0);
        self.pad();
        self.archive.extend_from_slice(data);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}
