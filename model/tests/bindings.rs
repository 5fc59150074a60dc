//! The published binding (docs/bindings) against dt-validate: it accepts every good plan and catches mistakes of form.
//! scripts/dt-schema finds or fetches dt-validate; where it cannot be had the test says so and passes.
#![cfg(not(miri))] // they start dtc

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, plans_dir};
use partita_model::dt::{self, Node, Property, Tree};

/// Plans of tests/plans whose mistake is one of form, which the binding has to catch. What only the board or the
/// images show is not among them.
const WRONG_IN_FORM: &[&str] = &[
    "cells-missing",
    "cells-three",
    "compatible-missing",
    "console-word",
    "cpus-both",
    "cpus-empty",
    "cpus64-odd",
    "device-numbers",
    "direct-guaranteed",
    "direct-watchdog",
    "kernel-folder",
    "kernel-missing",
    "kernel-number",
    "kernel-outside",
    "later-bandwidth",
    "later-registers",
    "later-virtio-net",
    "load-address-cells",
    "memory-no-reg",
    "memory-property",
    "memory-type",
    "name-upper-case",
    "node-misspelt",
    "node-no-address",
    "property-misspelt",
    "property-unknown",
    "restart-limit-cells",
    "start-word",
    "tree-partitions-compatible",
    "tree-partitions-property",
    "watchdog-value",
];

#[test]
fn the_binding_accepts_good_plans_and_catches_mistakes() {
    let found = Command::new(root().join("scripts/dt-schema")).output().expect("scripts/dt-schema runs");
    if !found.status.success() {
        let reason = String::from_utf8_lossy(&found.stderr);
        println!("skipped: no dt-validate. {}", reason.trim());
        return;
    }
    let tools = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());

    let words = run(Command::new(tools.join("dt-doc-validate")).arg("-u").args([bindings(), bindings()]));
    assert_eq!(words, "", "the binding itself is malformed");

    let mut good = sources(&plans_dir().join("good"));
    for platform in sources(&root().join("platforms")) {
        good.extend(sources(&platform));
    }
    assert!(good.len() >= 8, "only {} good plans are there", good.len());
    for (plan, words) in validate(&tools, &good) {
        assert_eq!(words, "", "{plan} is good, says the planner");
    }

    let bad: Vec<PathBuf> =
        WRONG_IN_FORM.iter().map(|name| plans_dir().join(name).with_extension("dtso")).collect();
    let missed: Vec<String> = validate(&tools, &bad)
        .into_iter()
        .filter(|(_, words)| words.is_empty())
        .map(|(plan, _)| plan)
        .collect();
    assert_eq!(missed, Vec::<String>::new(), "the binding misses these mistakes");
}

/// What dt-validate says of each plan.
fn validate(tools: &Path, plans: &[PathBuf]) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bindings");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let mut blobs = BTreeMap::new();
    for (number, plan) in plans.iter().enumerate() {
        // Two plans of one name may lie in two folders.
        let blob = folder.join(format!("{number}-{}.dtb", plan.file_stem().unwrap().to_string_lossy()));
        fs::write(&blob, partitions_alone(&compile(plan))).expect("a blob");
        blobs.insert(plan.display().to_string(), blob);
    }
    let words = run(Command::new(tools.join("dt-validate")).arg("-s").arg(bindings()).args(blobs.values()));
    let of = |blob: &PathBuf| {
        let blob = blob.display().to_string();
        words.lines().filter(|line| line.starts_with(&blob)).map(|line| format!("{line}\n")).collect()
    };
    blobs.iter().map(|(plan, blob)| (plan.clone(), of(blob))).collect()
}

/// The overlay's /partitions as the only node of a tree.
fn partitions_alone(overlay: &[u8]) -> Vec<u8> {
    let overlay = dt::parse(overlay).expect("dtc writes trees");
    let mut tree = Tree::default();
    for (name, value) in [("compatible", "partita,plan\0"), ("model", "a plan\0")] {
        tree.root.add_property(Property::new(name, value.as_bytes()));
    }
    for name in ["#address-cells", "#size-cells"] {
        tree.root.add_property(Property::new(name, 2u32.to_be_bytes().to_vec()));
    }
    let contents = overlay.root.children().filter_map(|fragment| fragment.child("__overlay__"));
    for partitions in contents.filter_map(|root| root.child("partitions")) {
        tree.root.add_child(Node::clone(partitions));
    }
    tree.to_dtb()
}

/// All that a command says. dt-validate's status does not tell; what it cannot decode it says on stderr.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("dt-schema's tools run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("Traceback"), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr
}

/// The plans in a folder, or its folders if it has no plans.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let plans = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "dtso");
    let mut found: Vec<PathBuf> = all.iter().filter(plans).cloned().collect();
    if found.is_empty() {
        found = all.into_iter().filter(|path| path.is_dir()).collect();
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn bindings() -> PathBuf {
    root().join("docs/bindings")
}
