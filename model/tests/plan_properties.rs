//! Whatever the trees hold, a plan is made or refused: never a panic, and what is accepted keeps the invariants.
#![cfg(not(miri))] // they start dtc

mod common;

use std::sync::OnceLock;

use common::{Images, compile, invariants, plan_on_virt, plans_dir, virt};
use partita_model::dt::{Node, Property, Tree};
use partita_model::plan::{Board, Files, Inputs, Plan, devices};
use partita_model::{dt, guest_tree};
use proptest::collection::vec;
use proptest::prelude::*;

/// The good plans' overlays.
fn overlays() -> &'static [Vec<u8>] {
    static OVERLAYS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    OVERLAYS.get_or_init(|| {
        let entries = std::fs::read_dir(plans_dir().join("good")).unwrap();
        let mut sources: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        sources.sort();
        sources.iter().map(|source| compile(source)).collect()
    })
}

/// The overlay that brings a tree of its own.
fn own_tree_overlay() -> &'static [u8] {
    static OVERLAY: OnceLock<Vec<u8>> = OnceLock::new();
    OVERLAY.get_or_init(|| compile(&plans_dir().join("good/own-tree.dtso")))
}

/// Images with this tree in place of own-tree.dtb.
struct WithTree(Vec<u8>);

impl Files for WithTree {
    fn get(&self, name: &str) -> Option<&[u8]> {
        if name == "own-tree.dtb" { Some(&self.0) } else { Images.get(name) }
    }
}

#[test]
fn a_tree_of_its_own_that_cannot_be_read_is_refused() {
    let mut blob = Images.get("own-tree.dtb").unwrap().to_vec();
    // The version that it asks of its reader.
    blob[24..28].copy_from_slice(&99_u32.to_be_bytes());
    let error = plan_on_virt(own_tree_overlay(), &WithTree(blob)).unwrap_err().to_string();
    assert!(error.starts_with("/partitions/guest: dtb: \"own-tree.dtb\": it cannot be read ("), "{error}");
}

fn try_plan(tree: &[u8], overlay: &[u8]) -> Option<Plan> {
    let inputs = Inputs { tree, overlay: Some(overlay), files: &Images, ram: &[], occupied: &[] };
    match Plan::new(&inputs) {
        Ok(planned) => {
            invariants(&planned.plan);
            for partition in 0..planned.plan.partitions.len() {
                // It may be refused, but with words.
                if let Err(error) = guest_tree::write(&planned.plan, partition, &planned.tree) {
                    assert!(!error.to_string().is_empty());
                }
            }
            Some(planned.plan)
        }
        Err(error) => {
            assert!(error.node.starts_with('/'), "{error}");
            assert!(error.to_string().len() < 1000);
            None
        }
    }
}

/// A change of one property somewhere in a tree.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    Cells(Vec<u32>),
    Bytes(Vec<u8>),
    Cell(usize, u32),
    Cut(usize),
    Rename(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let cell = prop_oneof![
        Just(0u32),
        1..8u32,
        Just(u32::MAX),
        Just(0x8000_0000),
        Just(0x0800_0000),
        Just(0x0900_0000),
        Just(0x4000_0000),
        Just(0x8005),
        any::<u32>(),
    ];
    let names = [
        "reg",
        "ranges",
        "interrupts",
        "cpus",
        "cpus64",
        "devices",
        "status",
        "#address-cells",
        "#size-cells",
        "clocks",
        "host-base",
        "interrupt-parent",
        "interrupts-extended",
        "phandle",
        "console-base",
        "load-address",
        "entry",
        "dtb-address",
        "fixed-clocks",
        "#clock-cells",
        "#interrupt-cells",
        "gpios",
        "redistributor-stride",
    ];
    prop_oneof![
        Just(Change::Remove),
        vec(cell.clone(), 0..9).prop_map(Change::Cells),
        vec(any::<u8>(), 0..20).prop_map(Change::Bytes),
        (0..8usize, cell).prop_map(|(at, to)| Change::Cell(at, to)),
        (0..16usize).prop_map(Change::Cut),
        proptest::sample::select(names.to_vec()).prop_map(Change::Rename),
    ]
}

fn nodes(node: &mut Node<'_>) -> usize {
    1 + node.children_mut().map(nodes).sum::<usize>()
}

fn nth<'a>(node: &'a mut Node<'static>, n: &mut usize) -> Option<&'a mut Node<'static>> {
    if *n == 0 {
        return Some(node);
    }
    *n -= 1;
    let mut children = node.children_mut();
    children.find_map(|child| nth(child, n))
}

fn apply(tree: &mut Tree<'static>, place: usize, which: usize, change: &Change) {
    let count = nodes(&mut tree.root);
    let mut place = place % count;
    let Some(node) = nth(&mut tree.root, &mut place) else { return };
    let names: Vec<String> = node.properties().map(|property| property.name().to_string()).collect();
    let Some(name) = names.get(which % names.len().max(1)) else { return };
    let mut value = node.properties().find(|property| property.name() == name).unwrap().value().to_vec();
    let mut to = name.as_str();
    match change {
        Change::Remove => {
            node.remove_property(name);
            return;
        }
        Change::Cells(cells) => value = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect(),
        Change::Bytes(bytes) => value = bytes.clone(),
        Change::Cell(at, cell) => {
            if let Some(old) = value.get_mut(at * 4..at * 4 + 4) {
                old.copy_from_slice(&cell.to_be_bytes());
            }
        }
        Change::Cut(at) => value.truncate(*at),
        Change::Rename(name) => to = name,
    }
    node.add_property(Property::new(to.to_owned(), value));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes(which in any::<usize>(), at in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), in_tree: bool) {
        let overlays = overlays();
        let mut overlay = overlays[which % overlays.len()].clone();
        let mut tree = virt().to_vec();
        let target = if in_tree { &mut tree } else { &mut overlay };
        for (index, to) in at {
            let length = target.len();
            target[index.index(length)] = to;
        }
        try_plan(&tree, &overlay);
    }

    #[test]
    fn changed_overlays(
        which in any::<usize>(), changes in vec((any::<usize>(), any::<usize>(), change()), 1..4)
    ) {
        let overlays = overlays();
        let mut tree = dt::parse(&overlays[which % overlays.len()]).unwrap();
        for (place, which, change) in &changes {
            apply(&mut tree, *place, *which, change);
        }
        try_plan(virt(), &tree.to_dtb());
    }

    #[test]
    fn changed_boards(which in any::<usize>(), changes in vec((any::<usize>(), any::<usize>(), change()), 1..6)) {
        let overlays = overlays();
        let mut tree = dt::parse(virt()).unwrap();
        for (place, which, change) in &changes {
            apply(&mut tree, *place, *which, change);
        }
        if let Ok(board) = Board::new(&tree, &[], &[]) {
            let _ = devices::list(&tree, &board);
        }
        try_plan(&tree.to_dtb(), &overlays[which % overlays.len()]);
    }

    #[test]
    fn changed_own_trees(
        changes in vec((any::<usize>(), any::<usize>(), change()), 1..4),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut tree = dt::parse(Images.get("own-tree.dtb").unwrap()).unwrap();
        for (place, which, change) in &changes {
            apply(&mut tree, *place, *which, change);
        }
        let mut blob = tree.to_dtb();
        for (index, to) in flips {
            let length = blob.len();
            blob[index.index(length)] = to;
        }
        if let Err(error) = plan_on_virt(own_tree_overlay(), &WithTree(blob)) {
            prop_assert_eq!(error.property.as_deref(), Some("dtb"), "{}", error);
        }
    }

    #[test]
    fn cut_short(which in any::<usize>(), at: prop::sample::Index) {
        let overlays = overlays();
        let overlay = &overlays[which % overlays.len()];
        prop_assert!(plan_on_virt(&overlay[..at.index(overlay.len())], &Images).is_err());
    }
}

#[test]
fn the_same_inputs_give_the_same_plan() {
    for overlay in overlays() {
        let plan = try_plan(virt(), overlay).unwrap();
        assert_eq!(Some(plan), try_plan(virt(), overlay));
    }
}

#[test]
fn a_merged_tree_gives_the_plan_of_its_parts() {
    for overlay in overlays() {
        let parts = plan_on_virt(overlay, &Images).unwrap();
        let merged = parts.tree.to_dtb();
        let inputs = Inputs { tree: &merged, overlay: None, files: &Images, ram: &[], occupied: &[] };
        assert_eq!(Plan::new(&inputs).unwrap().plan, parts.plan);
        // A merged tree is used as it is, whatever the overlay beside it.
        let both = Plan::new(&Inputs { overlay: Some(overlay), ..inputs }).unwrap().plan;
        assert_eq!(both.partitions, parts.plan.partitions);
        assert!(both.notes.iter().any(|note| note.contains("is used as it is")), "{:?}", both.notes);
        let neither = Plan::new(&Inputs { tree: virt(), ..inputs }).unwrap_err();
        assert!(neither.to_string().contains("no node /partitions"), "{neither}");
    }
}
