//! The planner and the writer agree: a tree can be written for every plan that was accepted, so that what `partita
//! check` lets pass does not fail at boot.

use partita_model::dt::{Node, Property, Tree};
use partita_model::guest_tree;
use partita_model::plan::{Files, Inputs, Plan, PlanError, Planned};
use proptest::prelude::*;

use crate::boards::{dtc, host};
use crate::wild::{NAMES, nodes};

/// One flat kernel.
struct Kernel;

impl Files for Kernel {
    fn get(&self, name: &str) -> Option<&[u8]> {
        (name == "kernel").then_some(&[0; 64])
    }
}

/// A plan for a tree that holds /partitions.
fn plan(tree: &Tree<'_>) -> Result<Planned<'static>, PlanError> {
    let inputs = Inputs { tree: &tree.to_dtb(), overlay: None, files: &Kernel, ram: &[], occupied: &[] };
    Plan::new(&inputs).map(Planned::into_owned)
}

/// The board without the guest-tree that contradicts it.
fn sound() -> Tree<'static> {
    let mut tree = host("board");
    let two = tree.find_mut("/partitions/two").expect("a partition");
    two.remove_child("guest-tree");
    tree
}

fn strings(list: &[&str]) -> Vec<u8> {
    list.iter().flat_map(|name| name.bytes().chain([0])).collect()
}

#[test]
fn the_board_as_it_is() {
    let planned = plan(&sound()).expect("a plan");
    for number in 0..2 {
        let blob = guest_tree::write(&planned.plan, number, &planned.tree).expect("a tree");
        let (text, _) = dtc(&["-q", "-I", "dtb", "-O", "dts"], &blob);
        assert!(!text.is_empty());
    }
}

/// The words are the writer's, since only it knows the tree that the node goes into.
#[test]
fn a_contradicting_guest_tree_is_for_the_writer_to_find() {
    let planned = plan(&host("board")).expect("a plan");
    let words = guest_tree::write(&planned.plan, 1, &planned.tree).expect_err("a refusal").to_string();
    assert!(words.starts_with("/partitions/two/guest-tree: #address-cells: "), "{words}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn what_was_planned_can_be_written(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..NAMES.len(), prop::collection::vec(0u32..16, 0..6)),
            0..4,
        ),
        given in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        clock in any::<bool>(),
    ) {
        thread_local!(static BOARD: Tree<'static> = sound());
        let mut tree = BOARD.with(Clone::clone);
        let mut paths = Vec::new();
        nodes(&tree.root, &mut paths, "");
        paths.retain(|path| !path.starts_with("/partitions"));
        for (at, name, cells) in &changes {
            let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
            if let Some(node) = tree.find_mut(&paths[at.index(paths.len())]) {
                node.add_property(Property::new(NAMES[*name], value));
            }
        }
        let devices: Vec<&str> = given.iter().map(|at| paths[at.index(paths.len())].as_str()).collect();
        if let Some(one) = tree.find_mut("/partitions/one") {
            let mut set = |name: &'static str, list: &[&str]| one.add_property(Property::new(name, strings(list)));
            set("devices", &devices);
            if clock {
                set("fixed-clocks", &["/soc/cprman@101000"]);
            }
        }
        if let Ok(planned) = plan(&tree) {
            for number in 0..planned.plan.partitions.len() {
                let written = guest_tree::write(&planned.plan, number, &planned.tree);
                prop_assert!(written.is_ok(), "{devices:?}: {}", written.unwrap_err());
            }
        }
    }
}

/// A parent that cannot be one, and that needs what the partition lacks, is left as it is: nothing is behind it.
#[test]
fn an_interrupt_parent_that_is_none() {
    let mut tree = sound();
    let regulator = tree.find("/regulator-3v3").expect("a regulator");
    let phandle = regulator.property("phandle").expect("it is referred to").value().to_vec();
    let clocks = tree.find_mut("/clocks").expect("a node of clocks");
    clocks.add_property(Property::new("interrupt-parent", phandle));
    let one: &mut Node<'_> = tree.find_mut("/partitions/one").expect("a partition");
    one.add_property(Property::new("devices", strings(&["/clocks"])));
    let planned = plan(&tree).unwrap_or_else(|error| panic!("{error}"));
    guest_tree::write(&planned.plan, 0, &planned.tree).expect("a tree");
}

/// Whatever node says that it has phandle 0, that is an empty place in a list; and all ones stand for none.
#[test]
fn nobody_has_phandle_0() {
    for (number, accepted) in [(0, true), (u32::MAX, false)] {
        let phandle = number.to_be_bytes().to_vec();
        let mut tree = sound();
        let mut lost = Node::new("lost");
        lost.add_property(Property::new("phandle", phandle.clone()));
        tree.root.add_child(lost);
        let rtc = tree.find_mut("/rtc@d0000000").expect("a device");
        rtc.add_property(Property::new("vdd-supply", phandle));
        let one = tree.find_mut("/partitions/one").expect("a partition");
        one.add_property(Property::new("devices", strings(&["/rtc@d0000000"])));
        let planned = plan(&tree);
        assert_eq!(planned.is_ok(), accepted, "{number:#x}");
        if let Ok(planned) = planned {
            let blob = guest_tree::write(&planned.plan, 0, &planned.tree).expect("a tree");
            assert!(!blob.windows(5).any(|name| name == b"lost\0"), "{number:#x}");
        }
    }
}

/// The property above would also hold if nothing were ever accepted.
#[test]
fn devices_alone_and_together_are_accepted() {
    for devices in [&["/rtc@d0000000"][..], &["/soc/gpio@200000"], &["/soc/i2c@804000", "/soc/gpio@200000"]] {
        let mut tree = sound();
        let one: &mut Node<'_> = tree.find_mut("/partitions/one").expect("a partition");
        one.add_property(Property::new("devices", strings(devices)));
        let planned = plan(&tree).unwrap_or_else(|error| panic!("{error}"));
        guest_tree::write(&planned.plan, 0, &planned.tree).expect("a tree");
    }
}

/// The output that the UART uses, and no other, is a clock of its own.
#[test]
fn a_fixed_clock_for_the_output_in_use() {
    let mut tree = sound();
    let cprman = tree.find_mut("/soc/cprman@101000").expect("a clock provider");
    let cells = |list: &[u32]| list.iter().flat_map(|cell| cell.to_be_bytes()).collect::<Vec<u8>>();
    cprman.add_property(Property::new("clock-indices", cells(&[18, 19])));
    cprman.add_property(Property::new("clock-frequency", cells(&[1, 48_000_000])));
    let one = tree.find_mut("/partitions/one").expect("a partition");
    let mut set = |name: &'static str, list: &[&str]| {
        one.add_property(Property::new(name, strings(list)));
    };
    set("devices", &["/soc/serial@201000", "/soc/gpio@200000"]);
    set("fixed-clocks", &["/soc/cprman@101000"]);
    let planned = plan(&tree).unwrap_or_else(|error| panic!("{error}"));
    let fixed = &planned.plan.partitions[0].fixed_clocks;
    assert_eq!(
        fixed.iter().map(|clock| (&*clock.output, clock.hz)).collect::<Vec<_>>(),
        [(&[19][..], 48_000_000)]
    );
    let blob = guest_tree::write(&planned.plan, 0, &planned.tree).expect("a tree");
    let (text, _) = dtc(&["-q", "-I", "dtb", "-O", "dts"], &blob);
    let text = String::from_utf8(text).expect("dtc writes text");
    assert!(text.contains("clock-cprman-19") && !text.contains("clock-cprman-18"), "{text}");
    assert!(!text.contains("assigned-clock"), "nobody is there to set a fixed clock: {text}");
}
