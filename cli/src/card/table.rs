//! The partition table: a master boot record with one partition, which every boot loader and system knows.

use std::io::{self, Seek, SeekFrom, Write};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Where the partition begins: 4 MiB, the size of the erase blocks of most cards, so that clusters do not straddle them.
pub const START: u64 = 4 << 20;

/// FAT32 with sectors counted from the card's beginning, not by cylinder, head and sector.
const FAT32_LBA: u8 = 0x0c;
/// Cylinder, head and sector of what lies beyond their reach.
const BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];

/// Whether a first sector is one that [`write`] writes: no boot code, and the one partition where it lies here.
pub fn is_ours(sector: &[u8]) -> bool {
    let zero = |range: std::ops::Range<usize>| {
        sector.get(range).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    };
    let start = u32::try_from(START / SECTOR).unwrap_or(0).to_le_bytes();
    zero(0..440)
        && sector.get(446..458) == Some(&[&[0x80][..], &BEYOND, &[FAT32_LBA], &BEYOND, &start].concat()[..])
        && zero(462..510)
        && sector.get(510..) == Some(&[0x55, 0xaa])
}

/// Writes the first sector of a card of `size` bytes.
pub fn write(mut to: impl Write + Seek, size: u64, id: u32) -> io::Result<()> {
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).map_err(io::Error::other);
    let mut sector = [0; SECTOR as usize];
    sector[440..444].copy_from_slice(&id.to_le_bytes());
    // The first of four entries; its first byte says "active", which no loader of ours asks for and some want to see.
    sector[446] = 0x80;
    sector[447..450].copy_from_slice(&BEYOND);
    sector[450] = FAT32_LBA;
    sector[451..454].copy_from_slice(&BEYOND);
    sector[454..458].copy_from_slice(&sectors(START)?.to_le_bytes());
    sector[458..462].copy_from_slice(&sectors(size - START)?.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    to.seek(SeekFrom::Start(0))?;
    to.write_all(&sector)
}
