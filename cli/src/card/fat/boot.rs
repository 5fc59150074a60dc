//! Where things lie in the partition, and the sectors that say so (section "Boot Sector and BPB").

use super::super::table::{SECTOR, START};
use super::ROOT;

/// Copies of the allocation table.
pub const TABLES: u64 = 2;
/// The sector with the numbers of free clusters.
pub const INFO: u64 = 1;
/// The sector where copies of the first two are.
pub const BACKUP: u64 = 6;
/// Sectors before the first table, at least.
const RESERVED: u64 = 32;
/// The data begin at a multiple of this many sectors, counted from the card's beginning: 4 MiB, as the partition does.
const ALIGNED: u64 = START / SECTOR;
const MIB: u64 = 1 << 20;

/// The measures of a file system, in sectors.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    total: u64,
    reserved: u64,
    table: u64,
    per_cluster: u64,
}

impl Geometry {
    /// For a card of `size` bytes.
    pub fn new(size: u64) -> Self {
        let total = size.saturating_sub(START) / SECTOR;
        // The specification's table of cluster sizes.
        let per_cluster = match total * SECTOR / MIB {
            ..=260 => 1,
            261..=8192 => 8,
            8193..=16384 => 16,
            16385..=32768 => 32,
            _ => 64,
        };
        // As if all were clusters: a few entries more than there will be.
        let table = ((total / per_cluster + 2) * 4).div_ceil(SECTOR);
        let before_data = (RESERVED + TABLES * table).next_multiple_of(ALIGNED);
        Self { total, reserved: before_data - TABLES * table, table, per_cluster }
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        self.per_cluster * SECTOR
    }

    /// Where a copy of the table begins in the partition, in bytes.
    pub fn table(&self, copy: u64) -> u64 {
        (self.reserved + copy * self.table) * SECTOR
    }

    /// Where the clusters begin on the card, in bytes.
    pub fn data(&self) -> u64 {
        START + self.table(TABLES)
    }

    /// How many clusters there are.
    pub fn clusters(&self) -> u64 {
        self.total.saturating_sub(self.table(TABLES) / SECTOR) / self.per_cluster
    }

    /// The first sector. It has no program: nothing starts from it.
    pub fn boot_sector(&self, label: [u8; 11], id: u32) -> [u8; SECTOR as usize] {
        let mut sector = [0; SECTOR as usize];
        let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0xeb, 0x58, 0x90]);
        put(3, b"MSWIN4.1");
        put(11, &(SECTOR as u16).to_le_bytes());
        put(13, &[self.per_cluster as u8]);
        put(14, &(self.reserved as u16).to_le_bytes());
        put(16, &[TABLES as u8]);
        // A fixed disk, with the heads and sectors that every such disk is said to have.
        put(21, &[0xf8]);
        put(24, &63_u16.to_le_bytes());
        put(26, &255_u16.to_le_bytes());
        put(28, &((START / SECTOR) as u32).to_le_bytes());
        put(32, &(self.total as u32).to_le_bytes());
        put(36, &(self.table as u32).to_le_bytes());
        put(44, &ROOT.to_le_bytes());
        put(48, &(INFO as u16).to_le_bytes());
        put(50, &(BACKUP as u16).to_le_bytes());
        put(64, &[0x80, 0, 0x29]);
        put(67, &id.to_le_bytes());
        put(71, &label);
        put(82, b"FAT32   ");
        put(510, &[0x55, 0xaa]);
        sector
    }
}

/// The sector with what the next writer wants to know: free clusters, and where to look for one.
pub fn info_sector((free, next): (u32, u32)) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    let mut put = |at: usize, word: u32| sector[at..at + 4].copy_from_slice(&word.to_le_bytes());
    put(0, 0x4161_5252);
    put(484, 0x6141_7272);
    put(488, free);
    put(492, next);
    put(508, 0xaa55_0000);
    sector
}
