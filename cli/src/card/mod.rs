//! A memory card as a board's boot loader reads it: a partition table and one FAT32 file system with a few files. Made
//! without root and without a loop device, and of its inputs alone: the same files give the same bytes.
//!
//! What lies on a board's card is data of its platform's folder (`contents`); nothing here knows a board.

pub mod contents;
mod fat;
pub mod firmware;
mod output;
mod table;

use std::fs::File;
use std::io;

use sha2::{Digest, Sha256};

pub use output::Output;
pub use table::SECTOR;

/// A file on the card.
#[derive(Debug)]
pub struct Entry {
    /// Its path there, with `/` between folders.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Where the content comes from, for people.
    pub from: String,
}

const MIB: u64 = 1 << 20;
/// No card is smaller: below 32 MiB FAT32 has too few clusters to be FAT32.
pub const SMALLEST: u64 = 64 * MIB;
/// What the partition table and FAT can count.
pub const LARGEST: u64 = 1 << 40;

/// The size of a card that holds this: a power of two, as QEMU wants cards to be, with room for a second kernel or so.
pub fn size(entries: &[Entry]) -> u64 {
    fat::needed(entries, 8 * MIB).next_power_of_two()
}

/// The size below which the files have no room, in whole MiB.
pub fn least(entries: &[Entry]) -> u64 {
    fat::needed(entries, 0).next_multiple_of(MIB)
}

/// Writes a card of `size` bytes, a multiple of a sector's, into an empty file.
pub fn write(file: &mut File, size: u64, label: [u8; 11], entries: &[Entry]) -> io::Result<()> {
    let id = identity(entries);
    file.set_len(size)?;
    table::write(&mut *file, size, id)?;
    fat::write(file, size, label, id, entries)
}

/// The number of disk and volume, by which a system tells one card from another: drawn from what is on it.
pub fn identity(entries: &[Entry]) -> u32 {
    let mut hash = Sha256::new();
    for entry in entries {
        hash.update((entry.name.len() as u64).to_le_bytes());
        hash.update(&entry.name);
        hash.update((entry.bytes.len() as u64).to_le_bytes());
        hash.update(&entry.bytes);
    }
    let [a, b, c, d, ..] = hash.finalize().0;
    u32::from_le_bytes([a, b, c, d])
}
