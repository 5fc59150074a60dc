//! Finds the device in the device tree as Linux shows it: a folder for each node, a file for each property.
//!
//! A node's `reg` is in the address space of its parent; buses on the way to the root translate it (Devicetree Specification,
//! 2.3.6 reg and 2.3.8 ranges).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use partita_abi::supervision::{COMPATIBLE, MANAGES, MOST_MANAGED};

/// The most that an area may have: a partition has some hundred virtual CPUs at most.
const MOST_BYTES: u64 = 1 << 20;
/// How deep nodes may lie: a bound for a tree that has none.
const DEEPEST: usize = 16;

/// Physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub base: u64,
    /// How many bytes.
    pub size: u64,
}

/// What the tree says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The page of registers.
    pub registers: Span,
    /// Who is managed, by index, each with its area.
    pub partitions: Vec<(String, Span)>,
}

/// What is wrong with the node.
#[derive(Debug)]
pub struct TreeError {
    /// The node's folder.
    pub node: PathBuf,
    /// The property.
    pub property: &'static str,
    /// What about it.
    pub what: &'static str,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}: this tree is not Partita's own", self.node.display(), self.property, self.what)
    }
}

/// The device under a tree's root folder; none if there is no such node.
///
/// # Errors
/// When there is one that is not as docs/supervision.md says.
pub fn find(root: &Path) -> Result<Option<Node>, TreeError> {
    let Some(path) = search(root, DEEPEST) else { return Ok(None) };
    let wrong = |property, what| TreeError { node: path.clone(), property, what };
    let spans = spans(root, &path)?;
    let names = fs::read(path.join(MANAGES)).map_err(|_| wrong(MANAGES, "it is missing"))?;
    let names = strings(&names).ok_or_else(|| wrong(MANAGES, "it is no list of names"))?;
    let [registers, areas @ ..] = spans.as_slice() else { return Err(wrong("reg", "it has no registers")) };
    if areas.len() != names.len() || names.len() > MOST_MANAGED {
        return Err(wrong("reg", "it has not as many areas as there are names in `manages`"));
    }
    Ok(Some(Node {
        registers: *registers,
        partitions: names.into_iter().zip(areas.iter().copied()).collect(),
    }))
}

fn search(folder: &Path, depth: usize) -> Option<PathBuf> {
    let compatible = fs::read(folder.join("compatible")).unwrap_or_default();
    if compatible.split(|byte| *byte == 0).any(|word| word == COMPATIBLE.as_bytes()) {
        return Some(folder.to_owned());
    }
    let depth = depth.checked_sub(1)?;
    let entries = fs::read_dir(folder).ok()?.flatten();
    // A link would lead out of the tree, or around in it.
    let mut nodes: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    nodes.sort();
    nodes.iter().find_map(|node| search(node, depth))
}

/// The node's `reg`, in the root's address space.
fn spans(root: &Path, path: &Path) -> Result<Vec<Span>, TreeError> {
    let wrong = |property, what| TreeError { node: path.to_owned(), property, what };
    let reg = fs::read(path.join("reg")).map_err(|_| wrong("reg", "it is missing"))?;
    let parent = path.parent().filter(|_| path != root).ok_or_else(|| wrong("reg", "it is the root's"))?;
    let shape = (cells(parent, "#address-cells", 2), cells(parent, "#size-cells", 1));
    let numbers = numbers(&reg, &[shape.0, shape.1])
        .ok_or_else(|| wrong("reg", "it is no list of addresses and sizes"))?;
    let mut spans = Vec::new();
    for entry in numbers.chunks_exact(2) {
        let mut span = Span { base: entry[0], size: entry[1] };
        let mut bus = parent;
        while bus != root {
            span = translated(bus, span).ok_or_else(|| wrong("reg", "a bus above it does not pass it on"))?;
            bus = bus.parent().ok_or_else(|| wrong("reg", "it is outside of the tree"))?;
        }
        let good = span.size > 0 && span.size <= MOST_BYTES && span.base.checked_add(span.size).is_some();
        if !good || !span.base.is_multiple_of(8) {
            return Err(wrong("reg", "it has an address or a size that cannot be"));
        }
        spans.push(span);
    }
    Ok(spans)
}

/// The same place in the address space of a bus's parent.
fn translated(bus: &Path, span: Span) -> Option<Span> {
    let ranges = fs::read(bus.join("ranges")).ok()?;
    if ranges.is_empty() {
        return Some(span);
    }
    let shape = [
        cells(bus, "#address-cells", 2),
        cells(bus.parent()?, "#address-cells", 2),
        cells(bus, "#size-cells", 1),
    ];
    let end = span.base.checked_add(span.size)?;
    numbers(&ranges, &shape)?.chunks_exact(3).find_map(|range| {
        let inside = span.base >= range[0] && end <= range[0].checked_add(range[2])?;
        inside.then(|| range[1].checked_add(span.base - range[0])).flatten().map(|base| Span { base, ..span })
    })
}

/// How many cells a number has; the specification has a default for nodes that do not say.
fn cells(node: &Path, property: &str, default: usize) -> usize {
    let value = fs::read(node.join(property)).ok().and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    value.map_or(default, |bytes| u32::from_be_bytes(bytes) as usize)
}

/// Numbers of so many cells in turn. None if that does not come out even, or if one has more than 64 bits.
fn numbers(bytes: &[u8], shape: &[usize]) -> Option<Vec<u64>> {
    if shape.iter().any(|cells| !(1..=2).contains(cells)) {
        return None;
    }
    let mut rest = bytes;
    let mut numbers = Vec::new();
    while !rest.is_empty() {
        for cells in shape {
            let (number, after) = rest.split_at_checked(cells * 4)?;
            numbers.push(number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
            rest = after;
        }
    }
    Some(numbers)
}

/// A property's names, each as a partition's may be.
fn strings(bytes: &[u8]) -> Option<Vec<String>> {
    let list = bytes.strip_suffix(&[0])?;
    let names: Option<Vec<String>> = list
        .split(|byte| *byte == 0)
        .map(|name| String::from_utf8(name.to_vec()).ok().filter(|name| is_name(name)))
        .collect();
    names
}

/// `[a-z][a-z0-9-]{0,30}`, as the overlay has it.
fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    letters.next().is_some_and(|first| first.is_ascii_lowercase()) && name.len() <= 31 && letters.all(word)
}
