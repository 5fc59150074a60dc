//! One change to a tree, with values that trees of this kind hold.

use partita_model::dt::{Node, Property, Tree};
use partita_model::plan::vocabulary::{MEMORY, PARTITION, PARTITIONS};

use super::{count, nth};
use crate::input::Input;

/// Words that a plan or a board is made of.
pub struct Dictionary {
    names: Vec<String>,
    strings: Vec<String>,
    cells: Vec<u32>,
}

/// Property names beside those of the overlay and those that the board has.
const NAMES: &[&str] = &[
    "status",
    "dma-ranges",
    "dma-coherent",
    "interrupts-extended",
    "interrupt-map",
    "interrupt-map-mask",
    "iommu-map",
    "iommus",
    "msi-parent",
    "resets",
    "power-domains",
    "vcc-supply",
    "gpios",
    "redistributor-stride",
    "#redistributor-regions",
    "clock-indices",
    "clock-ranges",
    "assigned-clocks",
    "reg-shift",
    "no-map",
    "bus-range",
    "virtual-reg",
    "linux,phandle",
];

/// Strings beside those that the board has.
const STRINGS: &[&str] = &[
    "okay",
    "disabled",
    "",
    "/",
    "shared",
    "device",
    "none",
    "direct",
    "mediated",
    "best-effort",
    "manual",
    "always",
    "on-failure",
    "on-reuse",
    "flat",
    "elf",
    "initrd",
    "own.dtb",
    "missing",
    "arm,gic-v3",
    "arm,gic-400",
    "arm,gic-v3-its",
    "arm,pl330",
    "pci-host-ecam-generic",
    "simple-bus",
    "hvc",
    "psci",
    "spin-table",
    "memory",
    "cpu",
    "pci",
    "\u{1b}[2J\n",
];

/// Numbers beside those that the board has.
const CELLS: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    16,
    31,
    32,
    0xfff,
    0x1000,
    0x1001,
    0x1_0000,
    0x20_0000,
    0x8000_0000,
    0xffff_f000,
    u32::MAX,
];

impl Dictionary {
    /// The words of a board, and those that may come to it.
    pub fn new(tree: &Tree<'_>) -> Self {
        let overlay = PARTITIONS.iter().chain(PARTITION).chain(MEMORY);
        let mut new = Self {
            names: overlay.map(|word| word.name).chain(NAMES.iter().copied()).map(str::to_string).collect(),
            strings: STRINGS.iter().map(|word| (*word).to_string()).collect(),
            cells: CELLS.to_vec(),
        };
        new.learn(&tree.root, "");
        for list in [&mut new.names, &mut new.strings] {
            list.sort_unstable();
            list.dedup();
        }
        new.cells.sort_unstable();
        new.cells.dedup();
        new
    }

    fn learn(&mut self, node: &Node<'_>, path: &str) {
        for property in node.properties() {
            self.names.push(property.name().to_string());
            let value = property.value();
            match std::str::from_utf8(value).ok().and_then(|text| text.strip_suffix('\0')) {
                Some(text) if text.len() > 2 => self.strings.extend(text.split('\0').map(str::to_string)),
                _ => self.cells.extend(value.as_chunks().0.iter().map(|cell| u32::from_be_bytes(*cell))),
            }
        }
        for child in node.children() {
            let path = format!("{path}/{}", child.name());
            self.strings.push(path.clone());
            self.learn(child, &path);
        }
    }

    fn cell(&self, input: &mut Input<'_>) -> u32 {
        match input.u8() {
            0xff => input.u32(),
            which @ 0xf0.. => {
                self.cells[usize::from(which & 0xf) % self.cells.len()].wrapping_add(input.u8().into())
            }
            which => self.cells[usize::from(which) % self.cells.len()],
        }
    }

    fn cells(&self, input: &mut Input<'_>) -> Vec<u8> {
        let cells = input.below(9);
        (0..cells).flat_map(|_| self.cell(input).to_be_bytes()).collect()
    }

    fn strings(&self, input: &mut Input<'_>) -> Vec<u8> {
        let mut value = Vec::new();
        for _ in 0..=input.below(3) {
            value.extend_from_slice(self.strings[input.below(self.strings.len())].as_bytes());
            value.push(0);
        }
        value
    }

    fn name(&self, input: &mut Input<'_>) -> &str {
        &self.names[input.below(self.names.len())]
    }
}

/// Changes one thing: how, in which node, and what there.
pub fn one(tree: &mut Tree<'static>, words: &Dictionary, input: &mut Input<'_>) {
    let (how, place) = (input.u8(), input.u8());
    if how & 0xf >= 0xd {
        return structure(tree, words, how, place, input);
    }
    let Some(node) = pick(tree, place) else { return };
    let which = input.u8();
    let names: Vec<String> = node.properties().map(|property| property.name().to_string()).collect();
    // One that is there, or with the highest bit any.
    let name = match names.get(usize::from(which) % names.len().max(1)) {
        Some(name) if which & 0x80 == 0 => name.clone(),
        _ => words.names[usize::from(which & 0x7f) % words.names.len()].clone(),
    };
    let mut value = node.property(&name).map(|property| property.value().to_vec()).unwrap_or_default();
    match how & 0xf {
        0 => {
            node.remove_property(&name);
            return;
        }
        1 | 2 => value = words.cells(input),
        3 | 4 => value = words.strings(input),
        5..=7 => {
            let (at, cell) = (4 * input.below(16), words.cell(input));
            if let Some(old) = value.get_mut(at..at + 4) {
                old.copy_from_slice(&cell.to_be_bytes());
            }
        }
        8 => {
            let (at, change) = (4 * input.below(16), input.u8() as i8);
            if let Some(old) = value.get_mut(at..at + 4) {
                let cell = u32::from_be_bytes([old[0], old[1], old[2], old[3]]);
                old.copy_from_slice(&cell.wrapping_add_signed(change.into()).to_be_bytes());
            }
        }
        9 => value.truncate(input.below(32)),
        10 => value.extend(words.cells(input)),
        11 => {
            let length = input.below(16);
            value = input.take(length).to_vec();
        }
        _ => {
            let name = words.name(input).to_string();
            node.add_property(Property::new(name, value));
            return;
        }
    }
    node.add_property(Property::new(name, value));
}

fn pick<'a>(tree: &'a mut Tree<'static>, place: u8) -> Option<&'a mut Node<'static>> {
    let mut place = usize::from(place) % count(&tree.root);
    nth(&mut tree.root, &mut place)
}

/// Nodes come, go, or are somewhere else.
fn structure(tree: &mut Tree<'static>, words: &Dictionary, how: u8, place: u8, input: &mut Input<'_>) {
    let Some(node) = pick(tree, place) else { return };
    let children: Vec<String> = node.children().map(|child| child.name().to_string()).collect();
    let child = children.get(usize::from(how >> 4) % children.len().max(1));
    match (how & 0xf, child) {
        (0xd, Some(name)) => drop(node.remove_child(name)),
        (0xe, Some(name)) => {
            let Some(copy) = node.child_mut(name).cloned() else { return };
            let base = name.split('@').next().unwrap_or_default();
            let other = format!("{base}@{:x}", words.cell(input));
            let name = if input.flag() { name.clone() } else { other };
            let mut renamed = Node::new(name);
            copy.properties().for_each(|property| renamed.add_property(property.clone()));
            copy.children().for_each(|child| renamed.add_child(child.clone()));
            let to = input.u8();
            if let Some(parent) = pick(tree, to) {
                parent.add_child(renamed);
            }
        }
        _ => {
            let name = words.strings[input.below(words.strings.len())].rsplit('/').next().unwrap_or_default();
            if !name.is_empty() && !name.contains(char::is_control) {
                node.add_child(Node::new(name.to_owned()));
            }
        }
    }
}
