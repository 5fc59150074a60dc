//! Trees and plans that nobody meant: the writer answers with a tree that reads back, or refuses. It never panics.

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node as _, Property as _};
use partita_model::dt::{Node, Property, Tree};
use partita_model::guest_tree;
use partita_model::plan::Console;
use proptest::prelude::*;

use crate::boards::{board, fix, give, host};

/// Names of properties that mean something to the writer.
pub const NAMES: &[&str] = &[
    "#address-cells",
    "#size-cells",
    "#clock-cells",
    "#interrupt-cells",
    "reg",
    "ranges",
    "clocks",
    "interrupts",
    "interrupt-parent",
    "phandle",
    "status",
    "compatible",
    "clock-frequency",
    "stdout-path",
    "serial0",
];

/// Every node of a tree by number, in order.
pub fn nodes(at: &Node<'_>, found: &mut Vec<String>, path: &str) {
    found.push(if path.is_empty() { "/".into() } else { path.to_owned() });
    for child in at.children() {
        let below = format!("{path}/{}", child.name());
        nodes(child, found, &below);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A board with some of its properties replaced, and devices given at random.
    #[test]
    fn never_panics_and_always_reads_back(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..NAMES.len(), prop::collection::vec(any::<u8>(), 0..24), any::<bool>()),
            0..12,
        ),
        given in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        fixed in prop::option::of((any::<prop::sample::Index>(), prop::collection::vec(0u32..20, 0..2))),
        merged in prop::option::of(any::<prop::sample::Index>()),
        console in prop::option::of(any::<prop::sample::Index>()),
    ) {
        thread_local!(static HOST: Tree<'static> = host("board"));
        let mut host = HOST.with(Clone::clone);
        let mut paths = Vec::new();
        nodes(&host.root, &mut paths, "");
        for (at, name, value, small) in &changes {
            let value = if *small { u32::from(value.first().copied().unwrap_or(0) % 40).to_be_bytes().to_vec() } else { value.clone() };
            if let Some(node) = host.find_mut(&paths[at.index(paths.len())]) {
                node.add_property(Property::new(NAMES[*name], value));
            }
        }
        let mut plan = board("one");
        for device in &given {
            give(&mut plan, &paths[device.index(paths.len())]);
        }
        if let Some((clock, output)) = fixed {
            fix(&mut plan, &paths[clock.index(paths.len())], &output, 1_000_000);
        }
        plan.partitions[0].guest_tree = merged.map(|node| node.get(&paths).clone());
        if let Some(console) = console {
            plan.partitions[0].console = Console::Device(console.get(&paths).clone());
        }
        if let Ok(blob) = guest_tree::write(&plan, 0, &host) {
            let read = Fdt::new(&blob).expect("our own reader");
            prop_assert!(read.root().property("model").is_some_and(|p| !p.value().is_empty()));
            prop_assert!(read.find_node("/cpus").is_some());
        }
    }
}
