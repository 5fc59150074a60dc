//! docs/overlay.md against the parser: its tables hold every word with its value and default, and no other; and what
//! it says is not there yet is refused as such.
#![cfg(not(miri))] // they start dtc

mod common;

use std::fs;
use std::path::Path;

use common::{Images, compile, plan_on_virt};
use partita_model::plan::vocabulary::{MEMORY, PARTITION, PARTITIONS, SUBNODES, Word};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/overlay.md");
    fs::read_to_string(path).expect("docs/overlay.md")
}

/// The rows of the first table below a heading, without its head.
fn table<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) =
        page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_tables_hold_what_the_parser_knows() {
    let page = page();
    for (heading, words) in [
        ("Properties of `partitions`", PARTITIONS),
        ("Properties of a partition", PARTITION),
        ("Subnodes of a partition", SUBNODES),
        ("Properties of `memory@*`", MEMORY),
    ] {
        let rows = table(&page, heading);
        let expected: Vec<Vec<String>> = words.iter().map(row).collect();
        let found: Vec<Vec<&str>> = rows.iter().map(|row| row[..3].to_vec()).collect();
        assert_eq!(found, expected, "{heading}: first three columns");
        for (row, word) in rows.iter().zip(words) {
            assert_eq!(row[3] == "not yet", !word.supported, "{heading}: {}", word.name);
        }
    }
}

fn row(word: &Word) -> Vec<String> {
    vec![format!("`{}`", word.name), word.value.to_owned(), word.default.to_owned()]
}

#[test]
fn what_is_not_there_yet_is_refused_as_such() {
    let later: Vec<_> = PARTITION.iter().filter(|word| !word.supported).collect();
    assert!(!later.is_empty());
    for word in later {
        let property = word.name.replace('*', "-net");
        let words = plan_with(&property).expect_err("a refusal");
        assert!(words.contains("not supported yet"), "{property}: {words}");
    }
    assert_eq!(plan_with("start = \"auto\""), Ok(()), "the plan around them is good");
}

/// Plans a partition with one property more.
fn plan_with(property: &str) -> Result<(), String> {
    let source = format!(
        "/dts-v1/; /plugin/; &{{/}} {{ partitions {{ compatible = \"partita,partitions\";
            one {{ compatible = \"partita,partition\"; #address-cells = <2>; #size-cells = <2>; cpus = <0>;
                kernel = \"vmlinuz\"; devices = \"/pl031@9010000\"; stop = \"best-effort\"; {property};
                memory@40000000 {{ reg = <0 0x40000000 0 0x10000000>; host-base; }}; }};
            other {{ compatible = \"partita,partition\"; #address-cells = <2>; #size-cells = <2>; cpus = <1>;
                kernel = \"vmlinuz\"; memory@40000000 {{ reg = <0 0x40000000 0 0x10000000>; }}; }};
        }}; }};"
    );
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference.dtso");
    fs::write(&path, source).expect("a file");
    plan_on_virt(&compile(&path), &Images).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for page in ["README.md", "docs/overlay.md", "docs/tutorial.md", "docs/design.md"] {
        let path = root.join(page);
        let text = fs::read_to_string(&path).expect("a page");
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !file.is_empty() {
                assert!(path.with_file_name("").join(file).exists(), "{page} links to {target}");
            }
        }
    }
}
