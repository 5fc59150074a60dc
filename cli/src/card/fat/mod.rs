//! A FAT32 file system written in one go (Microsoft's "FAT32 File System Specification" 1.03): folders first, then the
//! files, each in one piece, and nothing behind them. Files are dated 1 January 1980, the first day that FAT knows.
//!
//! The crates that can write FAT are made for file systems in use; what they leave in folders and dates is not what
//! fsck.fat and every boot loader expect, and their bytes depend on the order of operations.

mod boot;
mod directory;

use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write};

use boot::Geometry;
use directory::{Directory, Kind};

use super::Entry;
use super::table::{SECTOR, START};

/// The cluster of the root folder, by custom the first.
const ROOT: u32 = 2;
/// What stands in the allocation table for the last cluster of a file.
const END: u32 = 0x0fff_ffff;

/// The least number of bytes that a card must have for this and `spare` more.
pub fn needed(entries: &[Entry], spare: u64) -> u64 {
    let (mut size, mut smallest) = (0, super::SMALLEST);
    // A larger card may have larger clusters, so the answer is looked for.
    while size < smallest {
        size = smallest;
        let geometry = Geometry::new(size);
        let clusters = Layout::new(entries, geometry.cluster()).map_or(u64::MAX, |layout| layout.clusters());
        smallest =
            geometry.data().saturating_add(clusters.saturating_mul(geometry.cluster())).saturating_add(spare);
    }
    size
}

/// Writes the file system into the partition of a card of `size` bytes, all of which must be zero.
pub fn write(
    mut card: impl Write + Seek,
    size: u64,
    label: [u8; 11],
    id: u32,
    entries: &[Entry],
) -> io::Result<()> {
    let geometry = Geometry::new(size);
    let layout = Layout::new(entries, geometry.cluster())?;
    let used = layout.clusters();
    let Some(free) = geometry.clusters().checked_sub(used) else {
        return Err(io::Error::other("the files have no room on this card"));
    };
    let numbers = (free as u32, ROOT + used as u32);
    let mut put = |at: u64, bytes: &[u8]| {
        card.seek(SeekFrom::Start(START + at))?;
        card.write_all(bytes)
    };
    for at in [0, boot::BACKUP * SECTOR] {
        put(at, &geometry.boot_sector(label, id))?;
        put(at + boot::INFO * SECTOR, &boot::info_sector(numbers))?;
    }
    let table = layout.table();
    for copy in 0..boot::TABLES {
        put(geometry.table(copy), &table)?;
    }
    let place = |cluster: u32| geometry.data() - START + u64::from(cluster - ROOT) * geometry.cluster();
    for (cluster, bytes) in layout.folders(label) {
        put(place(cluster), &bytes)?;
    }
    for (entry, &cluster) in entries.iter().zip(&layout.files) {
        if !entry.bytes.is_empty() {
            put(place(cluster), &entry.bytes)?;
        }
    }
    card.flush()
}

/// Which clusters belong to what.
struct Layout<'a> {
    entries: &'a [Entry],
    /// First cluster and content of each folder; the root's name is empty.
    folders: BTreeMap<&'a str, (u32, Directory)>,
    /// First clusters of the files.
    files: Vec<u32>,
    /// Numbers of clusters of all that is there, in their order on the card.
    chains: Vec<u32>,
}

impl<'a> Layout<'a> {
    fn new(entries: &'a [Entry], cluster: u64) -> io::Result<Self> {
        let mut folders: BTreeMap<&str, (u32, Directory)> = BTreeMap::new();
        folders.insert("", (ROOT, Directory::root()));
        for entry in entries {
            let (folder, name) = entry.name.rsplit_once('/').unwrap_or(("", &entry.name));
            if !folders.contains_key(folder) {
                folders.insert(folder, (0, Directory::inner()));
                if let Some((_, root)) = folders.get_mut("") {
                    root.add(folder, Kind::Folder)?;
                }
            }
            if let Some((_, folder)) = folders.get_mut(folder) {
                let size = u32::try_from(entry.bytes.len()).map_err(|_| too_large(&entry.name))?;
                folder.add(name, Kind::File(size))?;
            }
        }
        let mut chains = Vec::new();
        let mut next = ROOT;
        let mut take = |bytes: u64| -> io::Result<u32> {
            let count = u32::try_from(bytes.div_ceil(cluster)).map_err(io::Error::other)?;
            let first = next;
            next = next.checked_add(count).ok_or_else(|| io::Error::other("too many clusters"))?;
            chains.extend((count > 0).then_some(count));
            Ok(if count > 0 { first } else { 0 })
        };
        for (first, folder) in folders.values_mut() {
            *first = take(folder.size())?;
        }
        let files: io::Result<Vec<_>> = entries.iter().map(|entry| take(entry.bytes.len() as u64)).collect();
        Ok(Self { entries, folders, files: files?, chains })
    }

    fn clusters(&self) -> u64 {
        self.chains.iter().copied().map(u64::from).sum()
    }

    /// The used part of the allocation table.
    fn table(&self) -> Vec<u8> {
        // The first two tell the medium and that it was left in order.
        let mut table = vec![0x0fff_fff8, END];
        for &count in &self.chains {
            let first = table.len() as u32;
            table.extend((first + 1)..(first + count));
            table.push(END);
        }
        table.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    /// The folders' clusters and bytes.
    fn folders(&self, label: [u8; 11]) -> Vec<(u32, Vec<u8>)> {
        let place = |parent: &str, name: &str, kind: Kind| match kind {
            Kind::Folder => self.folders.get(name).map_or(0, |(cluster, _)| *cluster),
            Kind::File(_) => {
                let whole = |entry: &Entry| match parent {
                    "" => entry.name == name,
                    _ => entry.name.split_once('/') == Some((parent, name)),
                };
                self.entries.iter().position(whole).map_or(0, |at| self.files[at])
            }
        };
        let bytes = |(&name, (cluster, folder)): (&&str, &(u32, Directory))| {
            (*cluster, folder.bytes(label, *cluster, |child, kind| place(name, child, kind)))
        };
        self.folders.iter().map(bytes).collect()
    }
}

fn too_large(name: &str) -> io::Error {
    io::Error::other(format!("{name}: FAT has no files of 4 GiB and more"))
}

#[cfg(test)]
mod tests;
