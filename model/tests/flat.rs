//! Trees in memory, compared with dtoolkit's own model of them: read, written, and with overlays applied.

mod common;

use std::path::Path;

use common::{compile, compile_text, virt};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::model::overlay::OverlayApplier;
use partita_model::dt;

/// Trees of several shapes; all with symbols, as dtc -@ writes them.
fn trees() -> Vec<Vec<u8>> {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plans/good");
    let plans =
        std::fs::read_dir(good).expect("the plans are there").map(|entry| entry.expect("an entry").path());
    let sources = plans.filter(|path| path.extension().is_some_and(|ending| ending == "dtso"));
    let mut trees: Vec<_> = sources.map(|path| compile(&path)).collect();
    assert!(trees.len() > 5, "{}", trees.len());
    trees.extend([virt().to_vec(), compile_text(BASE)]);
    trees
}

const BASE: &str = r#"/dts-v1/;
/memreserve/ 0x1000 0x2000;
/ {
	aliases { bus = "/soc"; };
	soc: soc { clk: clock { phandle = <5>; }; uart: uart@1000 { reg = <0x1000>; clocks = <&clk>; }; };
	__symbols__ { soc = "/soc"; clk = "/soc/clock"; uart = "/soc/uart@1000"; };
};"#;

fn theirs(blob: &[u8]) -> DeviceTree {
    DeviceTree::from_fdt(&Fdt::new(blob).expect("dtoolkit reads it"))
}

#[test]
fn trees_are_read_and_written_as_by_another() {
    for blob in trees() {
        assert_eq!(dt::parse(&blob).expect("we read it").to_dtb(), theirs(&blob).to_dtb());
    }
}

fn apply<'a>(base: &'a [u8], overlay: &'a [u8]) -> Result<dt::Tree<'a>, dt::NotApplied> {
    dt::apply(dt::parse(base).unwrap(), dt::parse(overlay).unwrap(), [base, overlay])
}

/// Fragments that only add; fragments by label, by path, by alias and for new nodes; references to the tree, to the overlay, and new symbols.
const OVERLAYS: [&str; 10] = [
    r#"&{/} { new { a = "b"; deep { c; }; }; soc { more; uart@1000 { reg = <0x2000>; d = "e"; }; }; };"#,
    r#"&{/} { one { a; }; }; &{/} { one { b; c { }; }; aliases { bus = "/one"; }; };"#,
    r#"&{/} { one: one { phandle = <5>; }; };"#,
    r#"&{/} { one { phandle = <5>; }; };"#,
    r#"&{/} { one { two { linux,phandle = <5>; }; }; };"#,
    r#"&uart { status = "disabled"; child { clocks = <&clk>, <&soc 1>; }; };"#,
    r#"&{/} { new: new { phandle = <1>; self = <&new>; }; soc { uart@1000 { reg = <0x2000>; peer = <&new>; }; }; };"#,
    r#"/ { fragment@7 { target-path = "bus"; __overlay__ { more { }; }; }; };"#,
    r#"/ { fragment@7 { target-path = "soc"; __overlay__ { a = "b"; }; }; fragment@8 { target = <5>; __overlay__ { c; }; }; };"#,
    r#"&soc { inner: inner { deep: deep { r = <&inner &deep &uart>; }; }; }; &uart { again = <&deep>; };"#,
];

#[test]
fn nodes_are_equal_by_what_they_have() {
    let tree = |source: &str| {
        dt::parse(&compile_text(&format!("/dts-v1/;\n/ {{ {source} }};"))).unwrap().into_owned()
    };
    let same = [tree("a = \"b\"; c { d; };"), tree("a = \"b\"; c { d; };")];
    assert_eq!(same[0].root, same[1].root);
    for other in [
        "a = \"x\"; c { d; };",
        "x = \"b\"; c { d; };",
        "a = \"b\"; c { x; };",
        "a = \"b\"; x { d; };",
        "c { d; };",
    ] {
        assert_ne!(tree(other).root, same[0].root, "{other}");
    }
    let mut less = tree("a = \"b\"; e; c { d; };");
    assert_eq!(less.root.remove_property("f"), None);
    assert_eq!(less.root.remove_property("e"), Some(dt::Property::new("e", b"".to_vec())));
    assert_eq!(less.root, same[0].root);
}

/// Structure and strings, and what a header that lies comes to.
#[test]
fn content_is_what_the_header_says() {
    let blob = virt();
    let field = |at: usize| u64::from(u32::from_be_bytes(blob[at..at + 4].try_into().unwrap()));
    let (strings, structure) = (field(32), field(36));
    assert!(strings > 0x100 && structure > 0x1000 && strings + structure < blob.len() as u64);
    assert_eq!(dt::content(blob), strings + structure);
    let mut lies = blob.to_vec();
    lies[36..40].fill(0xff);
    assert_eq!(dt::content(&lies), lies.len() as u64);
    assert_eq!(dt::content(&blob[..39]), strings.min(39));
    assert_eq!(dt::content(&blob[..32]), 0);
}

#[test]
fn a_name_is_to_blame_only_where_it_is_a_property_s() {
    let blob = compile_text("/dts-v1/;\n/ { abcdefgh = \"x\"; };");
    let at = blob.windows(8).position(|bytes| bytes == b"abcdefgh").expect("its name");
    let mut name = blob.clone();
    name[at] = b'/';
    let mut token = blob.clone();
    token[field(&blob, 8)..][..4].fill(0x77);
    let why = |blob: &[u8]| dt::parse(blob).map(|_| ()).expect_err("malformed");
    assert!(why(&name).is_property_name(), "{}", why(&name));
    assert!(!why(&token).is_property_name(), "{}", why(&token));
    assert!(!why(&blob[..20]).is_property_name());
}

fn field(blob: &[u8], at: usize) -> usize {
    u32::from_be_bytes(blob[at..at + 4].try_into().unwrap()) as usize
}

#[test]
fn overlays_are_applied_as_by_another() {
    let base = compile_text(BASE);
    for text in OVERLAYS {
        let overlay = compile_text(&format!("/dts-v1/;\n/plugin/;\n{text}"));
        let ours = apply(&base, &overlay).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let mut other = theirs(&base);
        OverlayApplier::new(&mut other).apply_overlay_tree(theirs(&overlay)).expect("dtoolkit applies it");
        assert_eq!(ours.to_dtb(), other.to_dtb(), "{text}");
    }
}

#[test]
fn what_another_refuses_is_refused() {
    let base = compile_text(BASE);
    for text in [
        "&nobody { };",
        r#"&{/nowhere} { };"#,
        "/ { fragment@0 { target = <77>; __overlay__ { }; }; };",
        "/ { fragment@0 { __overlay__ { }; }; };",
        r#"/ { fragment@0 { target-path = "x"; __overlay__ { }; }; };"#,
        "&soc { n { phandle = <0xfffffffb>; }; };",
        r#"&soc { }; / { __fixups__ { uart = "/fragment@0/__overlay__:none:0"; }; };"#,
        r#"&soc { a = <1>; }; / { __fixups__ { uart = "/fragment@0/__overlay__:a:4"; }; };"#,
        "&soc { a = <1>; }; / { __local_fixups__ { fragment@0 { __overlay__ { a = <4>; }; }; }; };",
        "&soc { a = <1>; }; / { __local_fixups__ { fragment@0 { none { a = <0>; }; }; }; };",
    ] {
        let overlay = compile_text(&format!("/dts-v1/;\n/plugin/;\n{text}"));
        let other = OverlayApplier::new(&mut theirs(&base)).apply_overlay_tree(theirs(&overlay));
        assert!(other.is_err(), "dtoolkit takes {text}");
        assert!(apply(&base, &overlay).is_err(), "{text}");
    }
}

/// Every byte of a small tree changed: we read nothing that dtoolkit refuses, and what both read is the same.
#[test]
fn damaged_trees_are_refused_where_another_refuses() {
    let blob = compile_text(BASE);
    let mut read = 0;
    for at in 0..blob.len() {
        for change in [0x01, 0x04, 0x20, 0x80, 0xff] {
            let mut damaged = blob.clone();
            damaged[at] ^= change;
            let Ok(ours) = dt::parse(&damaged) else { continue };
            let size = dt::total_size(&damaged).unwrap();
            let other =
                Fdt::new(&damaged[..size]).unwrap_or_else(|error| panic!("byte {at} ^ {change:#x}: {error}"));
            let other = DeviceTree::from_fdt(&other);
            assert_eq!(ours.to_dtb(), other.to_dtb(), "byte {at} ^ {change:#x}");
            read += 1;
        }
    }
    assert!(read > 100, "{read}");
}
