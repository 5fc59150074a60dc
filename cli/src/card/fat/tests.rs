//! The file system as another program reads it: the crate `fatfs`.

use std::io::{Cursor, Read};

use fatfs::{FatType, FileSystem, FsOptions};

use super::*;

const LABEL: [u8; 11] = *b"TEST       ";
const MIB: u64 = 1 << 20;

fn entry(name: &str, size: usize) -> Entry {
    let bytes = (0..size).map(|at| (at * 7 + name.len()) as u8).collect();
    Entry { name: name.to_owned(), bytes, from: String::new() }
}

fn entries() -> Vec<Entry> {
    vec![
        entry("config.txt", 100),
        entry("bcm2711-rpi-4-b.dtb", 512),
        entry("empty", 0),
        entry("overlays/partitions.dtbo", 513),
        entry("KERNEL8.IMG", 3 * MIB as usize + 1),
        entry("overlays/README", 1),
    ]
}

fn made(size: u64, entries: &[Entry]) -> Vec<u8> {
    let mut card = Cursor::new(vec![0; size as usize]);
    write(&mut card, size, LABEL, 0x1234_5678, entries).unwrap();
    card.into_inner()
}

#[test]
fn another_reader_finds_every_file() {
    // Clusters of one sector, and of eight.
    for size in [64 * MIB, 300 * MIB] {
        let entries = entries();
        let mut card = made(size, &entries);
        let partition = Cursor::new(&mut card[START as usize..]);
        let volume = FileSystem::new(partition, FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), FatType::Fat32);
        assert_eq!(volume.volume_id(), 0x1234_5678);
        assert_eq!(volume.read_volume_label_from_root_dir().unwrap().as_deref(), Some("TEST"));
        let names: Vec<_> = volume.root_dir().iter().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["config.txt", "bcm2711-rpi-4-b.dtb", "empty", "overlays", "KERNEL8.IMG"]);
        for entry in &entries {
            let mut bytes = Vec::new();
            volume.root_dir().open_file(&entry.name).unwrap().read_to_end(&mut bytes).unwrap();
            assert!(bytes == entry.bytes, "{}", entry.name);
        }
        let stats = volume.stats().unwrap();
        let used: u64 =
            entries.iter().map(|e| (e.bytes.len() as u64).div_ceil(u64::from(stats.cluster_size()))).sum();
        // And the two folders, the root's of 1 + 13 entries on a card with small clusters.
        assert_eq!(u64::from(stats.total_clusters() - stats.free_clusters()), used + 2);
    }
}

#[test]
fn the_least_card_holds_it_and_no_smaller_one_does() {
    let entries = [entry("large", 70 * MIB as usize), entry("other", 1000)];
    let needed = needed(&entries, 0);
    assert!((74 * MIB..84 * MIB).contains(&needed), "{needed}");
    let mut card = Cursor::new(vec![0; needed as usize]);
    write(&mut card, needed, LABEL, 1, &entries).unwrap();
    let fails = write(&mut card, needed - 4096, LABEL, 1, &entries);
    assert!(fails.is_err());
    assert_eq!(super::needed(&[], 0), super::super::SMALLEST);
}

#[test]
fn every_size_is_fat32_with_its_data_aligned() {
    for size in (6..=40).map(|power| 1 << power << 20).filter(|size| *size <= super::super::LARGEST) {
        let geometry = Geometry::new(size);
        // The number of clusters alone makes it FAT32.
        assert!((65525..0x0fff_fff5).contains(&geometry.clusters()), "{size}");
        assert!(geometry.data().is_multiple_of(START), "{size}");
        assert!(geometry.table(0) / SECTOR < 1 << 16, "{size}");
        assert!((geometry.clusters() + 2) * 4 <= geometry.table(1) - geometry.table(0), "{size}");
    }
}
