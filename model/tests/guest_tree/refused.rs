//! What cannot be written, each with its words.

use partita_model::guest_tree;
use partita_model::plan::{Console, Gic, Plan};

use crate::boards::{board, fix, give, host, ipa, virt};

fn words(plan: &Plan, board: &str) -> String {
    guest_tree::write(plan, 0, &host(board)).expect_err("a refusal").to_string()
}

#[test]
fn a_clock_provider_that_was_not_given() {
    let mut plan = board("one");
    give(&mut plan, "/soc/serial@201000");
    assert_eq!(
        words(&plan, "board"),
        "/partitions/one: devices: /soc/serial@201000 needs the clock provider /soc/cprman@101000 (clocks), which has \
         registers of its own; add \"/soc/cprman@101000\" here, or to fixed-clocks if its rate never changes"
    );
}

#[test]
fn a_power_controller_that_was_not_given() {
    let mut plan = board("one");
    give(&mut plan, "/soc/mmc@300000");
    assert_eq!(
        words(&plan, "board"),
        "/partitions/one: devices: /soc/mmc@300000 needs /soc/power@100000 (power-domains), which has registers of \
         its own; add \"/soc/power@100000\""
    );
}

/// The sensor's supply is switched by a pin: the need is found through a node that was only referred to.
#[test]
fn a_pin_controller_behind_a_regulator() {
    let mut plan = board("one");
    give(&mut plan, "/soc/i2c@804000");
    assert_eq!(
        words(&plan, "board"),
        "/partitions/one: devices: /regulator-3v3 needs /soc/gpio@200000 (gpio), which has registers of its own; add \
         \"/soc/gpio@200000\""
    );
}

#[test]
fn a_chip_without_its_controller() {
    let mut plan = board("one");
    give(&mut plan, "/soc/i2c@804000/sensor@48");
    assert_eq!(
        words(&plan, "board"),
        "/partitions/one: devices: /soc/i2c@804000/sensor@48 cannot be given: it is a part of /soc/i2c@804000, \
         which has registers; give /soc/i2c@804000 instead"
    );
}

/// One output of a provider is a fixed clock; what needs another one still needs the provider.
#[test]
fn an_output_that_is_not_fixed() {
    let mut plan = board("one");
    give(&mut plan, "/soc/serial@201000");
    give(&mut plan, "/soc/gpio@200000");
    fix(&mut plan, "/soc/cprman@101000", &[20], 500_000_000);
    assert!(words(&plan, "board").contains("needs the clock provider /soc/cprman@101000 (clocks)"));
}

#[test]
fn what_every_tree_has() {
    let mut plan = virt("linux", 1);
    give(&mut plan, "/timer");
    assert_eq!(
        words(&plan, "virt"),
        "/partitions/linux: devices: /timer is a node that the generated tree has already; remove it, or move the \
         console"
    );
}

#[test]
fn the_shared_console_in_a_devices_place() {
    let mut plan = virt("linux", 1);
    give(&mut plan, "/pl011@9000000");
    assert_eq!(
        words(&plan, "virt"),
        "/partitions/linux: /pl011@9000000 is a node that the generated tree has already; remove it, or move the \
         console"
    );
    plan.partitions[0].console = Console::None;
    assert!(guest_tree::write(&plan, 0, &host("virt")).is_ok());
}

#[test]
fn cell_counts_that_would_change_every_address() {
    let mut plan = board("two");
    plan.partitions[0].guest_tree = Some("/partitions/two/guest-tree".into());
    assert_eq!(
        words(&plan, "board"),
        "/partitions/two/guest-tree: #address-cells: must be <2>, as at the root of the generated tree"
    );
}

#[test]
fn a_tree_that_does_not_fit() {
    let mut plan = virt("linux", 1);
    plan.partitions[0].load.dtb_span = Some(ipa(0x4000_0000, 0x100));
    let words = words(&plan, "virt");
    assert!(
        words.starts_with("/partitions/linux: the generated tree has ")
            && words.contains("its place only 256")
    );
}

#[test]
fn a_plan_for_another_board() {
    let plan = virt("linux", 1);
    assert_eq!(
        words(&plan, "board"),
        "/intc@8000000: is not in this tree; use the tree that the plan was made from"
    );
    assert!(guest_tree::write(&plan, 1, &host("virt")).is_err());
}

#[test]
fn a_controller_without_redistributors() {
    let mut plan = virt("linux", 1);
    if let Gic::V3 { redists, .. } = &mut plan.board.gic {
        redists.clear();
    }
    assert!(words(&plan, "virt").starts_with("/intc@8000000: reg: "));
}
