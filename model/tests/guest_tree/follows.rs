//! What is taken over of the host's tree because something refers to it, and what is not: board.dts with a line changed.

use partita_model::dt::{self, Node, Tree, cells, text, value};
use partita_model::guest_tree;
use partita_model::plan::{Console, Plan};

use crate::boards::{board, changed, fix, give, host, ipa};

/// The guest's tree on board.dts with these changes, or the words of the refusal.
fn written(plan: &Plan, changes: &[(&str, &str)]) -> Result<Tree<'static>, String> {
    let blob = guest_tree::write(plan, 0, &changed("board", changes)).map_err(|error| error.to_string())?;
    Ok(dt::parse(&blob).expect("a tree").into_owned())
}

fn at<'a>(tree: &'a Tree<'a>, path: &str) -> Option<&'a Node<'a>> {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.into_iter().try_fold(&tree.root, |node, name| node.children().find(|child| child.name() == name))
}

fn with(devices: &[&str]) -> Plan {
    let mut plan = board("one");
    devices.iter().for_each(|path| give(&mut plan, path));
    plan
}

const RTC: &str = "clocks = <&osc>;\n\t\tvdd-supply";

/// An interrupt controller or nexus without registers comes along; what is no interrupt parent at all does not.
#[test]
fn an_interrupt_parent_without_registers_comes_along() {
    let plan = with(&["/rtc@d0000000"]);
    for (parent, comes) in [
        ("interrupt-controller; #interrupt-cells = <1>;", true),
        ("#interrupt-cells = <1>; #address-cells = <0>; interrupt-map = <1 &gic 0 9 4>;", true),
        ("#interrupt-cells = <1>;", false),
    ] {
        for property in ["interrupt-parent = <&mux>;", "interrupts-extended = <&mux 1>;"] {
            let mux = format!("mux: mux {{ {parent} }}; rtc@d0000000 {{ {property}");
            let tree = written(&plan, &[("rtc@d0000000 {", &mux)]).unwrap();
            // Whoever counts cells for interrupts-extended takes interrupts.
            let expected = comes || property.contains("extended");
            assert_eq!(at(&tree, "/mux").is_some(), expected, "{parent} {property}");
        }
    }
}

/// A controller that has registers or interrupts, and that no interrupt of the partition needs, is named and stays with the host; also
/// where not all of its registers can be understood.
#[test]
fn an_interrupt_parent_of_no_interrupt_stays() {
    let plan = with(&["/rtc@d0000000"]);
    let mux =
        |has: &str| format!("mux: mux@d0002000 {{ {has} interrupt-controller; #interrupt-cells = <1>; }};");
    let device = "rtc@d0000000 { interrupt-parent = <&mux>;";
    for has in ["reg = <0xd0002000 0x1000>;", "reg = <0xd0002000 0x1000 7>;", "interrupts = <0 9 4>;"] {
        let both = format!("{} {device}", mux(has));
        let tree = written(&plan, &[("rtc@d0000000 {", &both)]).unwrap();
        assert!(at(&tree, "/rtc@d0000000").is_some() && at(&tree, "/mux@d0002000").is_none(), "{has}");
    }
    let one = format!("{} one {{", mux(""));
    let tree = written(&plan, &[("one {", &one), ("rtc@d0000000 {", device)]).unwrap();
    assert!(at(&tree, "/rtc@d0000000").is_some() && at(&tree, "/partitions").is_none());
}

/// A bus may have registers of its own: what is on it is no part of a device for that.
#[test]
fn what_is_on_a_bus_with_registers_comes_without_it() {
    let plan = with(&["/soc/gpio@200000"]);
    let tree = written(&plan, &[("soc: soc {", "soc: soc { reg = <0xd0100000 0x1000>;")]).unwrap();
    assert!(at(&tree, "/soc/gpio@200000").is_some());
    assert!(value(at(&tree, "/soc").unwrap(), "reg").is_none());
}

/// What comes along comes with what is below it, if it is no bus.
#[test]
fn what_comes_along_comes_whole_unless_it_is_a_bus() {
    let plan = with(&["/rtc@d0000000"]);
    for (ranges, whole) in [("", true), ("#address-cells = <1>; #size-cells = <1>; ranges;", false)] {
        let mux = format!(
            "mux: mux {{ interrupt-controller; #interrupt-cells = <1>; {ranges} part {{ }}; }};
            rtc@d0000000 {{ interrupts-extended = <&mux 1>;"
        );
        let tree = written(&plan, &[("rtc@d0000000 {", &mux)]).unwrap();
        assert_eq!((at(&tree, "/mux").is_some(), at(&tree, "/mux/part").is_some()), (true, whole));
    }
}

/// Empty places in a list are passed over (clock.yaml, spi-controller.yaml); a phandle of nobody ends it.
#[test]
fn a_list_goes_on_after_an_empty_place() {
    let plan = with(&["/rtc@d0000000"]);
    let rtc = |list: &str| written(&plan, &[(RTC, &format!("cs-gpios = {list};\n\t\t{RTC}"))]).map(|_| ());
    assert_eq!(rtc("<0>"), Ok(()));
    let words = rtc("<0>, <&gpio 1 0>").unwrap_err();
    assert!(words.contains("/rtc@d0000000 needs /soc/gpio@200000 (cs-gpios)"), "{words}");
    assert_eq!(rtc("<0x9999>, <&gpio 1 0>"), Ok(()));
}

/// The reset line of a provider is not its clock of the same number.
#[test]
fn only_clocks_become_fixed_clocks() {
    let mut plan = with(&["/rtc@d0000000"]);
    fix(&mut plan, "/soc/cprman@101000", &[19], 48_000_000);
    let line = |property: &str| {
        let changes = [
            ("#clock-cells = <1>;", "#clock-cells = <1>; #reset-cells = <1>;"),
            (RTC, &*format!("{property}\n\t\tvdd-supply")),
        ];
        written(&plan, &changes)
    };
    let tree = line("clocks = <&cprman 19>;").unwrap();
    assert!(at(&tree, "/clock-cprman-19").is_some() && at(&tree, "/soc/cprman@101000").is_none());
    let words = line("resets = <&cprman 19>;").unwrap_err();
    assert!(words.contains("/rtc@d0000000 needs /soc/cprman@101000 (resets)"), "{words}");
    // Set-up of clocks is left to the guest unless it is that of a fixed one.
    let assigned = |of: &str| {
        let tree =
            line(&format!("clocks = <&cprman 19>; assigned-clocks = {of}; assigned-clock-rates = <1>;"));
        at(&tree.unwrap(), "/rtc@d0000000").unwrap().property("assigned-clock-rates").is_some()
    };
    assert!(assigned("<&osc>") && !assigned("<&cprman 19>"));
}

#[test]
fn every_enabled_child_comes_with_a_device() {
    let mut plan = with(&["/soc/i2c@804000", "/soc/gpio@200000"]);
    let enabled = [("reg = <0x50>;\n\t\t\t\tstatus = \"disabled\";", "reg = <0x50>;")];
    let children = |changes: &[(&str, &str)]| {
        let tree = written(&plan, changes).unwrap();
        let bus = at(&tree, "/soc/i2c@804000").unwrap();
        bus.children().map(|child| child.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(children(&[]), ["sensor@48"]);
    assert_eq!(children(&enabled), ["sensor@48", "eeprom@50"]);
    // Nobody's but the partition's: not the next device on the bus.
    plan = with(&["/soc/serial@215000"]);
    let tree = written(&plan, &[]).unwrap();
    assert!(at(&tree, "/soc/serial@215000").is_some() && at(&tree, "/soc/mmc@300000").is_none());
}

#[test]
fn the_console_keeps_its_options_and_first_place() {
    let mut plan = with(&["/soc/serial@201000", "/soc/serial@215000", "/soc/gpio@200000"]);
    fix(&mut plan, "/soc/cprman@101000", &[19], 48_000_000);
    for (console, stdout, second) in [
        ("/soc/serial@215000", "/soc/serial@215000:115200n8", None),
        ("/soc/serial@201000", "/soc/serial@201000", Some("/soc/serial@215000")),
    ] {
        plan.partitions[0].console = Console::Device(console.into());
        let tree = written(&plan, &[]).unwrap();
        assert_eq!(text(at(&tree, "/chosen").unwrap(), "stdout-path"), Some(stdout));
        let aliases = at(&tree, "/aliases").unwrap();
        assert_eq!(text(aliases, "serial0"), Some(console));
        assert_eq!(text(aliases, "serial1"), second);
        assert_eq!(text(aliases, "mmc0"), None, "somebody else's");
    }
}

/// A new phandle is above all others; where there is no number above, the lowest that is free.
#[test]
fn phandles_run_out_last() {
    let mut plan = with(&["/soc/serial@201000", "/soc/gpio@200000"]);
    fix(&mut plan, "/soc/cprman@101000", &[19], 48_000_000);
    let clock = |changes: &[(&str, &str)]| {
        let tree = written(&plan, changes).unwrap();
        let clock = value(at(&tree, "/clock-cprman-19").unwrap(), "phandle").and_then(cells).unwrap();
        let uart = value(at(&tree, "/soc/serial@201000").unwrap(), "clocks").and_then(cells).unwrap();
        assert_eq!(uart.first(), clock.first());
        clock[0]
    };
    let taken = |phandle: &str| clock(&[("regulator-name = \"in\";", &format!("phandle = <{phandle}>;"))]);
    assert_eq!(taken("0x1000"), 0x1001);
    let wrapped = taken("0xfffffffe");
    let host = changed("board", &[("regulator-name = \"in\";", "phandle = <0xfffffffe>;")]);
    let used = |number: u32| phandles(&host.root).contains(&number);
    assert!(!used(wrapped) && (1..wrapped).all(used), "{wrapped:#x}");
}

fn phandles(node: &Node<'_>) -> Vec<u32> {
    let own = value(node, "phandle").and_then(cells).unwrap_or_default();
    own.into_iter().chain(node.children().flat_map(phandles)).collect()
}

#[test]
fn a_tree_may_fill_its_place() {
    let mut plan = with(&["/rtc@d0000000"]);
    let size = guest_tree::write(&plan, 0, &host("board")).unwrap().len() as u64;
    for (room, fits) in [(size, true), (size - 1, false)] {
        plan.partitions[0].load.dtb_span = Some(ipa(0x4fe0_0000, room));
        assert_eq!(guest_tree::write(&plan, 0, &host("board")).is_ok(), fits);
    }
}
