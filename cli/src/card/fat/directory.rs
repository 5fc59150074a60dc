//! Folders: short names, and the long ones before them (sections "Directory Structure" and "Long File Name").

use std::io;

use super::ROOT;

/// Bytes of an entry.
const ENTRY: u64 = 32;
/// Characters of a long name in one entry, and where they are.
const LONG: usize = 13;
const PLACES: [usize; LONG] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

const VOLUME: u8 = 0x08;
const FOLDER: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const LONG_NAME: u8 = 0x0f;
/// Year 0 (1980), month 1, day 1.
const DATE: u16 = 1 << 5 | 1;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file and its size.
    File(u32),
}

/// A folder's names.
#[derive(Debug)]
pub struct Directory {
    root: bool,
    children: Vec<(String, [u8; 11], Kind)>,
}

impl Directory {
    /// The root, which has the volume's name.
    pub fn root() -> Self {
        Self { root: true, children: Vec::new() }
    }

    /// A folder in the root, which has `.` and `..`.
    pub fn inner() -> Self {
        Self { root: false, children: Vec::new() }
    }

    /// Adds a name of letters, digits, `.`, `-` and `_`.
    pub fn add(&mut self, name: &str, kind: Kind) -> io::Result<()> {
        let taken = |short: &[u8; 11]| self.children.iter().any(|(_, other, _)| other == short);
        let short = match plain(name) {
            Some(short) => Some(short).filter(|short| !taken(short)),
            None => (1..=9).map(|number| numbered(name, number)).find(|short| !taken(short)),
        };
        let short = short.ok_or_else(|| io::Error::other(format!("{name}: too many names like it")))?;
        self.children.push((name.to_owned(), short, kind));
        Ok(())
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        let own = if self.root { 1 } else { 2 };
        let children: usize = self.children.iter().map(|(name, short, _)| 1 + pieces(name, short)).sum();
        ENTRY * (own + children as u64)
    }

    /// Its bytes. It begins at `cluster`; `place` tells where a child does.
    pub fn bytes(&self, label: [u8; 11], cluster: u32, place: impl Fn(&str, Kind) -> u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.root {
            bytes.extend(entry(&label, VOLUME, 0, 0));
        } else {
            bytes.extend(entry(b".          ", FOLDER, cluster, 0));
            // The root is written as 0 here, wherever it is.
            bytes.extend(entry(b"..         ", FOLDER, 0, 0));
        }
        for (name, short, kind) in &self.children {
            for piece in (0..pieces(name, short)).rev() {
                bytes.extend(long_entry(name, short, piece));
            }
            let (attribute, size) = match *kind {
                Kind::Folder => (FOLDER, 0),
                Kind::File(size) => (ARCHIVE, size),
            };
            bytes.extend(entry(short, attribute, place(name, *kind), size));
        }
        bytes
    }
}

fn entry(name: &[u8; 11], attribute: u8, cluster: u32, size: u32) -> [u8; ENTRY as usize] {
    debug_assert!(cluster == 0 || cluster >= ROOT);
    let mut entry = [0; ENTRY as usize];
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(11, &[attribute]);
    // Made, read and changed at midnight of the same day.
    for at in [16, 18, 24] {
        put(at, &DATE.to_le_bytes());
    }
    put(20, &((cluster >> 16) as u16).to_le_bytes());
    put(26, &(cluster as u16).to_le_bytes());
    put(28, &size.to_le_bytes());
    entry
}

/// How many entries the long name takes: none where the short one says it all.
fn pieces(name: &str, short: &[u8; 11]) -> usize {
    if spelt(short) == name { 0 } else { name.len().div_ceil(LONG) }
}

fn long_entry(name: &str, short: &[u8; 11], piece: usize) -> [u8; ENTRY as usize] {
    let mut entry = [0; ENTRY as usize];
    let last = piece + 1 == name.len().div_ceil(LONG);
    entry[0] = (piece + 1) as u8 | if last { 0x40 } else { 0 };
    entry[11] = LONG_NAME;
    entry[13] = short.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte));
    // A zero ends the name where it does not fill the entry, and ones fill the rest.
    let units = name.encode_utf16().chain([0]).chain(std::iter::repeat(0xffff)).skip(piece * LONG);
    for (at, unit) in PLACES.iter().zip(units) {
        entry[*at..at + 2].copy_from_slice(&unit.to_le_bytes());
    }
    entry
}

/// The short name of a name that has one but for its letters' case.
fn plain(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3 && !extension.contains('.');
    (fits && !name.ends_with('.')).then(|| padded(base, extension))
}

/// Another's: what is left of it, and a number.
fn numbered(name: &str, number: usize) -> [u8; 11] {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let base: String = base.chars().filter(|c| *c != '.').take(6).collect();
    let extension: String = extension.chars().take(3).collect();
    padded(&format!("{base}~{number}"), &extension)
}

fn padded(base: &str, extension: &str) -> [u8; 11] {
    let mut short = [b' '; 11];
    let letters = base.bytes().zip(0..8).chain(extension.bytes().zip(8..11));
    letters.for_each(|(letter, at)| short[at] = letter.to_ascii_uppercase());
    short
}

/// A short name as it reads.
fn spelt(short: &[u8; 11]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match text(&short[8..]) {
        extension if extension.is_empty() => text(&short[..8]),
        extension => format!("{}.{extension}", text(&short[..8])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(directory: &Directory, index: usize) -> &str {
        str::from_utf8(&directory.children[index].1).unwrap()
    }

    #[test]
    fn short_names_are_unique_and_long_ones_only_where_needed() {
        let mut folder = Directory::root();
        let names = [
            "KERNEL8.IMG",
            "config.txt",
            "bcm2711-rpi-4-b.dtb",
            "bcm2711-rpi-400.dtb",
            "a.b.c",
            "SHA256SUMS",
            "x",
        ];
        for name in names {
            folder.add(name, Kind::File(1)).unwrap();
        }
        let expected = [
            "KERNEL8 IMG",
            "CONFIG  TXT",
            "BCM271~1DTB",
            "BCM271~2DTB",
            "AB~1    C  ",
            "SHA256~1   ",
            "X          ",
        ];
        for (index, expected) in expected.iter().enumerate() {
            assert_eq!(short(&folder, index), *expected);
        }
        let pieces: Vec<_> = folder.children.iter().map(|(name, short, _)| pieces(name, short)).collect();
        assert_eq!(pieces, [0, 1, 2, 2, 1, 1, 1]);
        assert_eq!(folder.size(), 32 * (1 + 7 + 8));
        assert_eq!(folder.bytes([b' '; 11], 2, |_, _| 3).len() as u64, folder.size());
    }

    #[test]
    fn what_would_be_the_same_file_is_refused() {
        let mut folder = Directory::inner();
        folder.add("Name.txt", Kind::File(1)).unwrap();
        assert!(folder.add("NAME.TXT", Kind::File(1)).is_err());
        for number in 0..9 {
            folder.add(&format!("long-name-{number}.txt"), Kind::File(1)).unwrap();
        }
        assert!(folder.add("long-name-9.txt", Kind::File(1)).is_err());
    }

    #[test]
    fn a_long_name_that_fills_its_entry_has_no_end() {
        let short = numbered("thirteen-char", 1);
        let entry = long_entry("thirteen-char", &short, 0);
        assert_eq!(entry[0], 0x41);
        assert_eq!(entry[30..], *b"r\0");
        let entry = long_entry("twelve-chars", &short, 0);
        assert_eq!(entry[30..], [0, 0]);
        let entry = long_entry("short", &short, 0);
        assert_eq!(
            entry[14..],
            [0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff]
        );
    }
}
