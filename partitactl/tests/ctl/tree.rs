//! The device's node in a tree that is folders and files, as Linux shows it.

use std::fs;
use std::path::Path;

use partitactl::tree::{Node, Span, find};

fn cells(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A tree with the node at a path below its root.
pub fn make(root: &Path, node: &str, reg: &[u32], manages: &[u8]) {
    fs::create_dir_all(root.join(node)).expect("a folder");
    fs::write(root.join("compatible"), b"linux,dummy-virt\0").expect("a file");
    fs::write(root.join("#address-cells"), cells(&[2])).expect("a file");
    fs::write(root.join("#size-cells"), cells(&[2])).expect("a file");
    fs::create_dir_all(root.join("cpus/cpu@0")).expect("a folder");
    fs::write(root.join(node).join("compatible"), b"other,thing\0partita,supervisor\0").expect("a file");
    fs::write(root.join(node).join("reg"), cells(reg)).expect("a file");
    fs::write(root.join(node).join("manages"), manages).expect("a file");
}

const REG: [u32; 8] = [0, 0x910_0000, 0, 0x1000, 0, 0x910_1000, 0, 0x2000];

fn node(base: u64) -> Node {
    let area = Span { base: base + 0x1000, size: 0x2000 };
    Node { registers: Span { base, size: 0x1000 }, partitions: vec![("metronome".to_owned(), area)] }
}

#[test]
fn it_is_found_at_any_depth() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(find(folder.path()).expect("no error").is_none());
    make(folder.path(), "supervisor@9100000", &REG, b"metronome\0");
    assert_eq!(find(folder.path()).expect("a node"), Some(node(0x910_0000)));

    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path(), "bus/inner/supervisor@9100000", &REG, b"metronome\0");
    let at = |name: &str| folder.path().join(name);
    for bus in ["bus", "bus/inner"] {
        fs::write(at(bus).join("#address-cells"), cells(&[2])).expect("a file");
        fs::write(at(bus).join("#size-cells"), cells(&[2])).expect("a file");
    }
    // A bus without `ranges` passes nothing on.
    assert!(find(folder.path()).unwrap_err().to_string().contains("does not pass it on"));
    fs::write(at("bus/inner/ranges"), b"").expect("a file");
    fs::write(at("bus/ranges"), cells(&[0, 0x900_0000, 4, 0, 0, 0x100_0000])).expect("a file");
    assert_eq!(find(folder.path()).expect("a node"), Some(node(0x4_0010_0000)));
    fs::write(at("bus/ranges"), cells(&[0, 0x900_0000, 4, 0, 0, 0x10_1000])).expect("a file");
    assert!(find(folder.path()).is_err());
}

#[test]
fn a_parent_of_one_cell() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path(), "supervisor@9100000", &[0x910_0000, 0x1000, 0x910_1000, 0x2000], b"metronome\0");
    fs::write(folder.path().join("#address-cells"), cells(&[1])).expect("a file");
    fs::write(folder.path().join("#size-cells"), cells(&[1])).expect("a file");
    assert_eq!(find(folder.path()).expect("a node"), Some(node(0x910_0000)));
}

#[test]
fn a_node_that_is_not_partita_s_own_is_told() {
    let long = [b'a'; 40];
    for (reg, manages, wanted) in [
        (&REG[..7], &b"metronome\0"[..], "reg: it is no list"),
        (&REG[..4], b"metronome\0", "reg: it has not as many areas"),
        (&[], b"metronome\0", "reg: it has no registers"),
        (&REG, b"metronome\0gateway\0", "reg: it has not as many areas"),
        (&REG, b"metronome", "manages: it is no list of names"),
        (&REG, b"Metronome\0", "manages: it is no list of names"),
        (&REG, b"x\x1b[2J\0", "manages: it is no list of names"),
        (&REG, b"\xff\0", "manages: it is no list of names"),
        (&REG, &long, "manages: it is no list of names"),
        (&[0, 4, 0, 0x1000, 0, 0, 0, 8], b"metronome\0", "reg: it has an address or a size"),
        (&[0, 0, 0, 0x1000, 0, 0, 9, 0], b"metronome\0", "reg: it has an address or a size"),
        (&[0, 0, 0, 0x1000, !0, !0 - 7, 0, 16], b"metronome\0", "reg: it has an address or a size"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path(), "supervisor@9100000", reg, manages);
        let error = find(folder.path()).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

/// Random properties: never more than an error.
#[test]
fn cells_may_say_anything() {
    for cells_of in [0, 3, u32::MAX] {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path(), "supervisor@0", &REG, b"metronome\0");
        fs::write(folder.path().join("#address-cells"), cells(&[cells_of])).expect("a file");
        assert!(find(folder.path()).is_err());
    }
}
