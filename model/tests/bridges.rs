//! PCI host bridges as a tree describes them (Linux: host-generic-pci.yaml): their buses, their windows, what stands
//! before their functions, and which names are functions'.
#![cfg(not(miri))] // they start dtc

mod common;

use common::{Images, compile_text, plan_on_virt};
use partita_model::addr::{Pa, PciAddr};
use partita_model::dt;
use partita_model::plan::Board;
use partita_model::plan::pci::{Bridge, Window, list};

/// A board with a bridge that has these properties.
fn tree(properties: &str) -> partita_model::dt::Tree<'static> {
    let source = format!(
        r#"/dts-v1/;
        / {{
            #address-cells = <2>; #size-cells = <2>; interrupt-parent = <&gic>;
            cpus {{
                #address-cells = <1>; #size-cells = <0>;
                cpu@0 {{ device_type = "cpu"; compatible = "arm,cortex-a72"; reg = <0>; enable-method = "psci"; }};
            }};
            memory@40000000 {{ device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; }};
            psci {{ compatible = "arm,psci-1.0"; method = "smc"; }};
            timer {{ compatible = "arm,armv8-timer"; interrupts = <1 13 4>, <1 14 4>, <1 11 4>, <1 10 4>; }};
            gic: gic@8000000 {{
                compatible = "arm,gic-v3"; interrupt-controller; #interrupt-cells = <3>; #address-cells = <0>;
                reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>;
            }};
            smmu: iommu@9050000 {{
                compatible = "arm,smmu-v3"; reg = <0 0x9050000 0 0x20000>; #iommu-cells = <1>;
            }};
            pcie@20000000 {{
                compatible = "pci-host-ecam-generic"; device_type = "pci"; #address-cells = <3>;
                {properties}
            }};
        }};"#
    );
    dt::parse(&compile_text(&source)).unwrap().into_owned()
}

/// The board's only bridge, if it is one.
fn bridge(properties: &str) -> Option<Bridge> {
    let mut bridges = Board::new(&tree(properties), &[], &[]).unwrap().pci;
    assert!(bridges.len() < 2);
    bridges.pop()
}

/// The buses of a bridge with this much configuration space and this `bus-range`.
fn buses(base: u64, size: u64, range: &str) -> Option<(u8, u8)> {
    let reg = format!("#size-cells = <2>; reg = <{:#x} {:#x} 0 {size:#x}>;", base >> 32, base as u32);
    bridge(&format!("{reg} {range}")).map(|bridge| bridge.buses)
}

#[test]
fn buses_are_those_that_have_configuration_space() {
    const ECAM: u64 = 0x2000_0000;
    for (size, range, found) in [
        (0x1000_0000, "", Some((0, 0xff))),
        (0x10_0000, "", Some((0, 0))),
        (0x20_0000, "", Some((0, 1))),
        (0x2f_ffff, "", Some((0, 1))),
        (0x40_0000, "bus-range = <0x10 0x7f>;", Some((0x10, 0x13))),
        (0x40_0000, "bus-range = <0x10 0x11>;", Some((0x10, 0x11))),
        (0x40_0000, "bus-range = <0xfe 0xff>;", Some((0xfe, 0xff))),
        (0x1000_0000, "bus-range = <5 5>;", Some((5, 5))),
        // None that makes sense.
        (0xf_ffff, "", None),
        (0x1000_0000, "bus-range = <6 5>;", None),
        (0x1000_0000, "bus-range = <0 0x100>;", None),
        (0x1000_0000, "bus-range = <0>;", None),
    ] {
        assert_eq!(buses(ECAM, size, range), found, "{size:#x} bytes, {range}");
    }
    assert_eq!(buses(ECAM + 0x800, 0x1000_0000, ""), None, "no whole pages");
}

/// The windows of a bridge with these ranges.
fn windows(ranges: &str) -> Vec<Window> {
    let rest = "reg = <0 0x20000000 0 0x100000>;";
    let counts = if ranges.contains("#size-cells") { "" } else { "#size-cells = <2>;" };
    bridge(&format!("{rest} {counts} {ranges}")).unwrap().windows
}

fn window(space: u32, bus: u64, at: u64, size: u64) -> Window {
    Window { space, bus: PciAddr(bus), at: Pa(at), size }
}

#[test]
fn windows_are_memory_only() {
    let io = "<0x01000000 0 0x0 0 0x3eff0000 0 0x10000>";
    let memory = "<0x02000000 0 0x10000000 0 0x50000000 0 0x10000000>";
    let ahead = "<0x42000000 0 0x20000000 0 0x60000000 0 0x10000000>";
    let wide = "<0x43000000 0x80 0 0x80 0 0x80 0>";
    let found = windows(&format!("ranges = {io}, {memory}, {ahead}, {wide};"));
    assert_eq!(
        found,
        [
            window(0x0200_0000, 0x1000_0000, 0x5000_0000, 0x1000_0000),
            window(0x4200_0000, 0x2000_0000, 0x6000_0000, 0x1000_0000),
            window(0x4300_0000, 0x80_0000_0000, 0x80_0000_0000, 0x80_0000_0000),
        ]
    );
    assert_eq!(windows("ranges = <0x02000000 0 0x10000000 0 0x50000000 0 0>;"), [], "of no size");
}

/// Ranges that cannot be understood are no windows, not even those among them that could be.
#[test]
fn windows_that_make_no_sense() {
    let good = "<0x02000000 0 0x10000000 0 0x50000000 0 0x10000000>";
    assert_eq!(windows(&format!("ranges = {good};")).len(), 1);
    for bad in [
        "ranges;".to_string(),
        // A part of an entry more.
        format!("ranges = {good}, <0x02000000 0 0x20000000 0 0x60000000 0x10000000>;"),
        format!("ranges = {good}, <0x02000000 0 0x20000000>;"),
        // As many cells as entries of seven would have, but sizes are of one.
        format!("#size-cells = <1>; ranges = {good};"),
        // 32-bit memory that ends beyond 4 GiB.
        "ranges = <0x02000000 0 0xf0000000 0 0x50000000 0 0x10000001>;".to_string(),
        "ranges = <0x03000000 0xffffffff 0xf0000000 0 0x50000000 0 0x10000001>;".to_string(),
    ] {
        assert_eq!(windows(&bad), [], "{bad}");
    }
    assert_eq!(windows("ranges = <0x02000000 0 0xf0000000 0 0x50000000 0 0x10000000>;").len(), 1);
}

/// A bridge is offered when an SMMU stands before every function of its root bus, whichever number that bus has.
#[test]
fn a_bridge_is_guarded_by_its_own_bus() {
    let offered = |map: &str| {
        let tree = tree(&format!(
            "#size-cells = <2>; reg = <0 0x20000000 0 0x100000>; bus-range = <2 2>; iommu-map = {map};"
        ));
        let board = Board::new(&tree, &[], &[]).unwrap();
        let offers = list(&tree, &board);
        (offers[0].bus, offers[0].guarded)
    };
    assert_eq!(offered("<0x200 &smmu 0x200 0x100>"), (2, true));
    assert_eq!(offered("<0x0 &smmu 0x0 0x200>"), (2, false));
    assert_eq!(offered("<0x200 &smmu 0x200 0xff>"), (2, false));
}

/// A function's name ends as lspci prints it; a node's may have only letters that are digits, too.
#[test]
fn names_of_nodes_and_of_functions() {
    let give = |name: &str| {
        let source = format!(
            "/dts-v1/; /plugin/; &{{/}} {{
                b {{ compatible = \"vendor,b\"; }};
                partitions {{ compatible = \"partita,partitions\"; guest {{
                    compatible = \"partita,partition\"; #address-cells = <2>; #size-cells = <2>; cpus = <0>;
                    kernel = \"flat.bin\"; devices = \"{name}\";
                    memory@40000000 {{ reg = <0x0 0x40000000 0x0 0x4000000>; }};
                }}; }};
            }};"
        );
        plan_on_virt(&compile_text(&source), &Images).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(give("/pcie@10000000/00:02.0"), Ok(()));
    assert_eq!(give("/b"), Ok(()));
    for (name, words) in [
        ("/pcie@10000000/00:02.9", "00:02.9"),
        ("/pcie@10000000/00:02", "no node or alias \"/pcie@10000000/00:02\""),
        ("/pcie@10000000/c", "no node or alias \"/pcie@10000000/c\""),
    ] {
        let refused = give(name).unwrap_err();
        assert!(refused.contains(words), "{name}: {refused}");
    }
}
