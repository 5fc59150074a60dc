//! A guest's tree, read by the `fdt` crate, which shares no code with ours: it names only what the plan gave.

use fdt::Fdt;
use fdt::node::FdtNode;
use partita_model::addr::PaSpan;
use partita_model::dt::Tree;
use partita_model::guest_tree;
use partita_model::plan::{Console, Gic, Partition, Plan};

use crate::check_words;

/// The tree can be written, or the reason said; and then it is the partition's and nobody else's.
pub fn check(plan: &Plan, number: usize, host: &Tree<'_>) {
    let partition = &plan.partitions[number];
    let blob = match guest_tree::write(plan, number, host) {
        Ok(blob) => blob,
        Err(error) => return check_words(&error.to_string()),
    };
    let tree = Fdt::new(&blob).expect("an independent reader reads it");
    assert_eq!(tree.total_size(), blob.len());
    // What the user wrote there is copied as it is, and may say anything.
    if partition.guest_tree.is_some() {
        return;
    }
    assert_eq!(tree.cpus().count(), partition.cpus.len());
    assert!(tree.find_node("/partitions").is_none(), "the plan is nobody's to read");
    memory(&tree, partition);
    let given = given(plan, partition);
    let root = tree.find_node("/").expect("a root");
    below(&root, Cells::of(&root), &[], &given);
    assert!(given.intids.len() >= partition.spis.len());
}

/// Memory nodes are the plan's entries.
fn memory(tree: &Fdt<'_>, partition: &Partition) {
    let mut told: Vec<(u64, u64)> = Vec::new();
    let root = tree.find_node("/").expect("a root");
    let cells = Cells::of(&root);
    for node in root.children().filter(|node| is(node, "device_type", "memory")) {
        told.extend(regions(&node, cells));
    }
    let mut wanted: Vec<_> =
        partition.memory.iter().map(|entry| (entry.ipa.base.0, entry.ipa.size)).collect();
    told.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(told, wanted);
}

/// Addresses and interrupts that the tree may name.
struct Given {
    spans: Vec<PaSpan>,
    intids: Vec<u32>,
}

fn given(plan: &Plan, partition: &Partition) -> Given {
    let span = |base, size| PaSpan { base: partita_model::addr::Pa(base), size };
    let mut spans = partition.mmio.clone();
    let mut intids: Vec<u32> = partition.spis.iter().map(|spi| spi.intid).collect();
    if let Console::Shared { base, intid } = partition.console {
        spans.push(span(base.0, 0x1000));
        intids.push(intid);
    }
    if let Some(watchdog) = partition.watchdog {
        spans.extend(watchdog.frames().map(|frame| span(frame.base.0, frame.size)));
        intids.push(watchdog.intid);
    }
    if let Some(supervisor) = &partition.supervisor {
        spans.push(span(supervisor.span().base.0, supervisor.span().size));
    }
    match &plan.board.gic {
        Gic::V2 { dist, cpu, .. } => spans.extend([span(dist.base.0, 0x1000), span(cpu.base.0, 0x2000)]),
        Gic::V3 { dist, redists, .. } => {
            spans.push(*dist);
            let redists = redists.first().map_or(0, |region| region.base.0);
            spans.push(span(redists, 0x2_0000 * partition.cpus.len() as u64));
        }
    }
    Given { spans, intids }
}

/// #address-cells and #size-cells.
#[derive(Clone, Copy)]
struct Cells(usize, usize);

impl Cells {
    /// A node's own, or the defaults (Devicetree Specification, 2.3.5). The crate's function for it panics at values that
    /// are no cell, which a device may bring along from the board's tree.
    fn of(node: &FdtNode<'_, '_>) -> Self {
        let cell = |name, default| {
            let value = node.property(name).and_then(|property| property.value.try_into().ok());
            value.map_or(default, u32::from_be_bytes) as usize
        };
        Self(cell("#address-cells", 2), cell("#size-cells", 1))
    }
}

fn is(node: &FdtNode<'_, '_>, property: &str, text: &str) -> bool {
    node.property(property).and_then(|property| property.as_str()) == Some(text)
}

/// A window of a bus: its own address, its parent's, size.
type Window = (u64, u64, u64);

/// A property's entries of base and size, in the parent's cells. Wider ones than a number holds are none of ours.
fn regions(node: &FdtNode<'_, '_>, Cells(address, size): Cells) -> Vec<(u64, u64)> {
    let value = node.property("reg").map_or(&[][..], |property| property.value);
    if !(1..=2).contains(&address) || !(1..=2).contains(&size) {
        return Vec::new();
    }
    let entries = value.chunks_exact(4 * (address + size));
    entries.map(|entry| (number(&entry[..4 * address]), number(&entry[4 * address..]))).collect()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// Looks at the nodes below a bus whose windows lead to the CPU.
fn below(bus: &FdtNode<'_, '_>, cells: Cells, windows: &[Vec<Window>], given: &Given) {
    for node in bus.children() {
        if is(&node, "device_type", "memory") || ["cpus", "chosen", "aliases"].contains(&node.name) {
            continue;
        }
        for (base, size) in regions(&node, cells) {
            let Some(at) = through(base, windows) else { continue };
            let inside = |span: &PaSpan| at >= span.base.0 && at.saturating_add(size) <= span.end().0;
            assert!(size == 0 || given.spans.iter().any(inside), "{}: {at:#x} + {size:#x}", node.name);
        }
        interrupts(&node, given);
        if let Some(ranges) = node.property("ranges") {
            let own = Cells::of(&node);
            let mut windows = windows.to_vec();
            if !ranges.value.is_empty() {
                windows.push(parse_ranges(ranges.value, own, cells));
            }
            below(&node, own, &windows, given);
        }
    }
}

fn parse_ranges(value: &[u8], own: Cells, parent: Cells) -> Vec<Window> {
    if [own.0, own.1, parent.0].iter().any(|cells| !(1..=2).contains(cells)) {
        return Vec::new();
    }
    let (child, up, size) = (4 * own.0, 4 * parent.0, 4 * own.1);
    let entries = value.chunks_exact(child + up + size);
    entries
        .map(|entry| {
            (number(&entry[..child]), number(&entry[child..child + up]), number(&entry[child + up..]))
        })
        .collect()
}

/// An address on the innermost bus as the CPU's, if it leads there.
fn through(base: u64, windows: &[Vec<Window>]) -> Option<u64> {
    windows.iter().rev().try_fold(base, |at, window| {
        let (from, to, _) = window.iter().find(|(from, _, size)| at >= *from && at - from < *size)?;
        Some(to.wrapping_add(at - from))
    })
}

/// Interrupts in the root's controller's own format, where the node has no parent of its own choosing.
fn interrupts(node: &FdtNode<'_, '_>, given: &Given) {
    let compatible = |name: &str| node.compatible().is_some_and(|list| list.all().any(|other| other == name));
    // With both the other one counts, even empty (Devicetree Specification, 2.4.1.3).
    let elsewhere =
        ["interrupt-parent", "interrupts-extended"].iter().any(|name| node.property(name).is_some());
    if elsewhere || compatible("arm,armv8-timer") {
        return;
    }
    let value = node.property("interrupts").map_or(&[][..], |property| property.value);
    for specifier in value.chunks_exact(12) {
        let (kind, number) = (number(&specifier[..4]), number(&specifier[4..8]) as u32);
        let private = kind == 1 && compatible("arm,gic-v3") | compatible("arm,gic-400");
        assert!(
            private || kind == 0 && given.intids.contains(&(number + 32)),
            "{}: {kind} {number}",
            node.name
        );
    }
}
