//! What SMMUs know devices by: `iommus`, and `iommu-map` of PCI bridges, on trees compiled by dtc.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use partita_model::dt::{self, Index};
use partita_model::plan::{Board, Streams, streams_of};
use proptest::prelude::*;

fn tree(below: &str) -> partita_model::dt::Tree<'static> {
    let source = format!(
        r#"/dts-v1/;
        / {{
            #address-cells = <2>; #size-cells = <2>; interrupt-parent = <&gic>;
            gic: gic {{
                compatible = "arm,gic-v3"; interrupt-controller; #interrupt-cells = <3>; #address-cells = <0>;
                reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>;
            }};
            one: iommu@9050000 {{
                compatible = "arm,smmu-v3"; reg = <0 0x9050000 0 0x20000>; #iommu-cells = <1>; dma-coherent;
                interrupts = <0 74 1>, <0 77 1>; interrupt-names = "eventq", "gerror";
            }};
            off: iommu@9070000 {{
                compatible = "arm,smmu-v3"; reg = <0 0x9070000 0 0x20000>; #iommu-cells = <1>; status = "disabled";
            }};
            two: iommu@9090000 {{
                compatible = "arm,smmu-v3"; reg = <0 0x9090000 0 0x40000>; #iommu-cells = <1>;
                interrupts = <0 80 1>; interrupt-names = "combined";
            }};
            old: iommu@90f0000 {{ compatible = "arm,mmu-500"; reg = <0 0x90f0000 0 0x10000>; #iommu-cells = <1>; }};
            {below}
        }};"#
    );
    let mut dtc = Command::new("dtc")
        .args(["-q", "-@", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dtc is needed (device-tree-compiler)");
    dtc.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = dtc.wait_with_output().unwrap();
    assert!(output.status.success());
    dt::parse(&output.stdout).unwrap().into_owned()
}

type Found = Result<Option<Vec<Streams>>, &'static str>;

/// The streams of the node /d with these properties.
fn streams(properties: &str, requester: Option<u16>) -> Found {
    let tree = tree(&format!("d {{ {properties} }};"));
    let index = Index::new(&tree);
    streams_of(&index, &Board::smmus(&Index::new(&tree)).unwrap(), index.find("/d").unwrap(), requester)
}

fn run(smmu: usize, first: u32, count: u32) -> Streams {
    Streams { smmu, first, count }
}

#[test]
fn smmus_are_read() {
    let smmus = Board::smmus(&Index::new(&tree(""))).unwrap();
    let paths: Vec<_> = smmus.iter().map(|smmu| smmu.path.as_str()).collect();
    assert_eq!(paths, ["/iommu@9050000", "/iommu@9090000"]);
    let lines = |smmu: usize| {
        let intid = |spi: Option<partita_model::plan::Spi>| spi.map(|spi| (spi.intid, spi.edge));
        (intid(smmus[smmu].event), intid(smmus[smmu].error))
    };
    assert_eq!(lines(0), (Some((106, true)), Some((109, true))));
    assert_eq!(lines(1), (Some((112, true)), Some((112, true))));
    assert_eq!((smmus[0].coherent, smmus[1].coherent), (true, false));
    assert_eq!(smmus[1].span.size, 0x2_0000);
    for (reg, cells, property) in [(0x1_0000, 1, "reg"), (0x2_0000, 2, "#iommu-cells")] {
        let bad = format!(
            r#"bad {{ compatible = "arm,smmu-v3"; reg = <0 0xa000000 0 {reg}>; #iommu-cells = <{cells}>; }};"#
        );
        let error = Board::smmus(&Index::new(&tree(&bad))).unwrap_err();
        assert_eq!((error.node.as_str(), error.property.as_deref()), ("/bad", Some(property)), "{error}");
    }
}

#[test]
fn devices_name_their_streams() {
    assert_eq!(streams("", None), Ok(None));
    assert_eq!(streams("iommus = <&one 5>;", None), Ok(Some(vec![run(0, 5, 1)])));
    let two = streams("iommus = <&two 7>, <&one 6>, <&one 5>;", None);
    assert_eq!(two, Ok(Some(vec![run(0, 5, 2), run(1, 7, 1)])));
    // All of its DMA must be behind an SMMU that is driven.
    assert_eq!(streams("iommus = <&one 5>, <&off 6>;", None), Ok(None));
    assert_eq!(streams("iommus = <&old 5>;", None), Ok(None));
    for bad in ["iommus = <0x1234 5>;", "iommus = <&one>;", "iommus = [00];", "iommus;"] {
        assert_eq!(streams(bad, None), Err("iommus"), "{bad}");
    }
}

#[test]
fn bridges_map_requesters() {
    let whole = "iommu-map = <0x0 &one 0x0 0x10000>;";
    assert_eq!(streams(whole, None), Ok(Some(vec![run(0, 0, 0x1_0000)])));
    assert_eq!(streams(whole, Some(0x10)), Ok(Some(vec![run(0, 0x10, 1)])));
    let moved = "iommu-map = <0x0 &one 0x100 0x8>, <0x8 &two 0x0 0xfff8>;";
    assert_eq!(streams(moved, Some(0x7)), Ok(Some(vec![run(0, 0x107, 1)])));
    assert_eq!(streams(moved, Some(0x9)), Ok(Some(vec![run(1, 1, 1)])));
    assert_eq!(streams(moved, None), Ok(Some(vec![run(0, 0x100, 8), run(1, 0, 0xfff8)])));
    // Up to the very last stream.
    let last = "iommu-map = <0x0 &one 0xffff0000 0x10000>;";
    assert_eq!(streams(last, Some(0xffff)), Ok(Some(vec![run(0, 0xffff_ffff, 1)])));
    let joined = "iommu-map = <0x0 &one 0x40 0x8000>, <0x8000 &one 0x8040 0x8000>;";
    assert_eq!(streams(joined, None), Ok(Some(vec![run(0, 0x40, 0x1_0000)])));
    // Only the buses that are there.
    let narrow = format!("{whole} bus-range = <1 1>;");
    assert_eq!(streams(&narrow, None), Ok(Some(vec![run(0, 0x100, 0x100)])));
}

#[test]
fn requesters_that_a_map_leaves_out_are_unguarded() {
    let hole = "iommu-map = <0x0 &one 0x0 0x10>, <0x11 &one 0x11 0xffef>;";
    assert_eq!(streams(hole, None), Ok(None));
    assert_eq!(streams(hole, Some(0x10)), Ok(None));
    assert_eq!(streams(hole, Some(0x11)), Ok(Some(vec![run(0, 0x11, 1)])));
    assert_eq!(streams("iommu-map = <0x0 &off 0x0 0x10000>;", None), Ok(None));
    assert_eq!(streams("iommu-map = <0x0 &one 0x0 0x8>, <0x8 &old 0x0 0xfff8>;", None), Ok(None));
}

#[test]
fn a_mask_makes_functions_one() {
    let masked = "iommu-map-mask = <0xfff8>; iommu-map = <0x0 &one 0x0 0x10000>;";
    assert_eq!(streams(masked, Some(0x17)), Ok(Some(vec![run(0, 0x10, 1)])));
    let bus = "iommu-map-mask = <0x0>; iommu-map = <0x0 &one 0x42 0x1>;";
    assert_eq!(streams(bus, Some(0x17)), Ok(Some(vec![run(0, 0x42, 1)])));
    assert_eq!(streams(bus, None), Ok(Some(vec![run(0, 0x42, 1)])));
}

#[test]
fn maps_that_cannot_be_understood_are_told() {
    for bad in
        ["<0 &one 0>", "<0 0x1234 0 1>", "<0 &one 0 0>", "<0 &one 0xffffffff 2>", "<0xffffffff &one 0 2>"]
    {
        assert_eq!(streams(&format!("iommu-map = {bad};"), None), Err("iommu-map"), "{bad}");
    }
    let range = "iommu-map = <0 &one 0 0x10000>; bus-range = <2 1>;";
    assert_eq!(streams(range, None), Err("bus-range"));
}

#[test]
fn runs_in_words() {
    assert_eq!([1, 2, 16].map(|count| run(0, 8, count).to_string()), ["0x8", "0x8-0x9", "0x8-0x17"]);
}

proptest! {
    #[test]
    fn runs_know_what_they_share(a in 0u32..40, n in 1u32..20, b in 0u32..40, m in 1u32..20) {
        let (these, those) = (run(0, a, n), run(0, b, m));
        let both = (0..60).find(|id| these.contains(0, *id) && those.contains(0, *id));
        prop_assert_eq!(these.common(&those), both);
        prop_assert_eq!(these.common(&run(1, b, m)), None);
    }
}
