//! Trees to a plan, to the guests' trees and to the tables of stage 2, as EL2 does it at boot.
//!
//! An input is a list of changes to a small board (boards/) with two partitions: so it begins where plans are accepted,
//! and each byte moves it somewhere else. Whatever comes is refused by a node's name and words, or accepted; then no two
//! partitions share anything, their tables reach nothing but what they were given, and their trees name nothing else.

mod edit;
mod guest;
mod reach;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use partita_model::addr::{Pa, PaSpan};
use partita_model::dt::{Node, Property, Tree};
use partita_model::plan::{Board, Files, Inputs, Movable, Plan, Reserved, devices};
use partita_model::{dt, plan};

use crate::check_words;
use crate::input::Input;
use edit::Dictionary;

/// More changes than this are as good as random bytes.
const EDITS: usize = 12;

/// A board to start from.
struct Start {
    /// With /partitions.
    tree: Tree<'static>,
    dictionary: Dictionary,
    /// Where the boot loader has put things.
    occupied: [Reserved; 3],
}

/// The boards.
fn starts() -> &'static [Start; 2] {
    static STARTS: OnceLock<[Start; 2]> = OnceLock::new();
    STARTS.get_or_init(|| [start("three", 0x4000_0000), start("two", 0)])
}

fn start(name: &str, ram: u64) -> Start {
    let tree = dt::parse(&compile(name)).expect("a tree").into_owned();
    let at = |offset, size| PaSpan { base: Pa(ram + offset), size };
    let occupied = [
        Reserved::movable(at(0x20_0000, 0x10_0000), Movable::Hypervisor),
        Reserved::movable(at(0x40_0000, 0x8_0000), Movable::Bundle),
        Reserved::movable(at(0x60_0000, 0x2000), Movable::Tree),
    ];
    Start { dictionary: Dictionary::new(&tree), tree, occupied }
}

fn compile(name: &str) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards").join(name).with_extension("dts");
    let output = Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb"]).arg(source).output();
    let output = output.expect("dtc is needed (device-tree-compiler)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The bundle's images, one of each kind.
struct Images;

impl Files for Images {
    fn get(&self, name: &str) -> Option<&[u8]> {
        static OWN: OnceLock<Vec<u8>> = OnceLock::new();
        match name {
            "kernel" => Some(const { &image() }),
            "elf" => Some(const { &elf() }),
            "flat" => Some(&[0x14; 64]),
            "initrd" => Some(&[0x55; 300]),
            "own.dtb" => Some(OWN.get_or_init(|| compile("own"))),
            _ => None,
        }
    }
}

/// Puts a little-endian number into a header.
const fn put(file: &mut [u8], at: usize, value: u64, bytes: usize) {
    let mut byte = 0;
    while byte < bytes {
        file[at + byte] = (value >> (8 * byte)) as u8;
        byte += 1;
    }
}

/// An arm64 Image of 1 MiB with its bss.
const fn image() -> [u8; 64] {
    let mut file = [0; 64];
    put(&mut file, 0x10, 0x10_0000, 8);
    put(&mut file, 0x38, 0x644d_5241, 4);
    file
}

/// An ELF64 executable with one segment, at 0x1080000.
const fn elf() -> [u8; 0x100] {
    let mut file = [0; 0x100];
    put(&mut file, 0, 0x0001_0102_464c_457f, 8);
    put(&mut file, 0x10, 183 << 16 | 2, 4);
    put(&mut file, 0x18, 0x108_0000, 8);
    put(&mut file, 0x20, 0x40, 8);
    put(&mut file, 0x36, 1 << 16 | 56, 4);
    put(&mut file, 0x40, 1, 4);
    put(&mut file, 0x48, 0x80, 8);
    put(&mut file, 0x50, 0x108_0000, 8);
    put(&mut file, 0x58, 0x108_0000, 8);
    put(&mut file, 0x60, 0x80, 8);
    put(&mut file, 0x68, 0x9000, 8);
    file
}

/// First byte: which board, and how its trees come. Then changes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.u8();
    let start = &starts()[usize::from(flags & 1)];
    let mut tree = start.tree.clone();
    // Bytes that are changed after all, in the flattened tree.
    let pokes = if flags & 0x30 == 0x30 { 1 + input.below(3) } else { 0 };
    let pokes: Vec<(u16, u8)> = (0..pokes).map(|_| (input.u16(), input.u8())).collect();
    for _ in 0..EDITS {
        if input.is_empty() {
            break;
        }
        edit::one(&mut tree, &start.dictionary, &mut input);
    }
    let overlay = (flags & 2 != 0).then(|| split(&mut tree)).flatten();
    let (mut board, mut overlay) = (tree.to_dtb(), overlay.map(|tree| tree.to_dtb()));
    for (at, to) in pokes {
        let blob = overlay.as_mut().filter(|_| to & 1 != 0).unwrap_or(&mut board);
        let at = usize::from(at) % blob.len();
        blob[at] ^= to;
    }
    let occupied = if flags & 4 == 0 { &start.occupied[..] } else { &[] };
    let ram = PaSpan { base: Pa(0x4000_0000), size: 0x1000_0000 };
    let ram = if flags & 8 == 0 { &[][..] } else { std::slice::from_ref(&ram) };
    let inputs = Inputs { tree: &board, overlay: overlay.as_deref(), files: &Images, ram, occupied };
    check(&inputs);
    if flags & 0x40 != 0
        && let Ok(tree) = dt::parse(&board)
        && let Ok(board) = Board::new(&tree, ram, occupied)
    {
        // What `partita devices` prints.
        let _ = devices::list(&tree, &board);
    }
}

/// Takes /partitions out of the board's tree, into an overlay.
fn split(tree: &mut Tree<'static>) -> Option<Tree<'static>> {
    let partitions = tree.root.remove_child("partitions")?;
    let mut inner = Node::new("__overlay__");
    inner.add_child(partitions);
    let mut fragment = Node::new("fragment@0");
    fragment.add_property(Property::new("target-path", b"/\0".to_vec()));
    fragment.add_child(inner);
    let mut overlay = Tree::default();
    overlay.root.add_child(fragment);
    Some(overlay)
}

fn check(inputs: &Inputs<'_>) {
    let planned = match Plan::new(inputs) {
        Ok(planned) => planned,
        Err(error) => {
            assert!(error.node.starts_with('/'), "{error} names no node");
            return check_words(&error.to_string());
        }
    };
    let plan = &planned.plan;
    plan::testing::invariants(plan);
    plan.notes.iter().for_each(|note| check_words(note));
    for number in 0..plan.partitions.len() {
        reach::check(plan, number);
        guest::check(plan, number, &planned.tree);
    }
}

/// A node's children, by number in order, itself first.
fn nth<'a>(node: &'a mut Node<'static>, n: &mut usize) -> Option<&'a mut Node<'static>> {
    if *n == 0 {
        return Some(node);
    }
    *n -= 1;
    node.children_mut().find_map(|child| nth(child, n))
}

fn count(node: &Node<'_>) -> usize {
    1 + node.children().map(count).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fuzzer that starts from refused plans looks at little.
    #[test]
    fn the_boards_are_accepted_as_they_are() {
        for start in starts() {
            for occupied in [&start.occupied[..], &[]] {
                let blob = start.tree.to_dtb();
                let inputs = Inputs { tree: &blob, overlay: None, files: &Images, ram: &[], occupied };
                let planned = Plan::new(&inputs).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(planned.plan.partitions.len(), 2);
                check(&inputs);
                let mut tree = start.tree.clone();
                let overlay = split(&mut tree).expect("partitions").to_dtb();
                let board = tree.to_dtb();
                let parts = Inputs { tree: &board, overlay: Some(&overlay), ..inputs };
                assert_eq!(Plan::new(&parts).expect("a plan").plan.partitions, planned.plan.partitions);
            }
        }
    }
}
