//! What the tool makes of a good plan: JSON, drawing, guest trees, bundle, and the pages about itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::world::{World, expected};

const GOOD: &str = "good.dtso --platform qemu-virt";

#[test]
fn json_keeps_its_schema() {
    let world = World::new();
    let (out, _) = world.expect(0, &format!("plan {GOOD} --json"));
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["schema"], 1);
    expected("good.json", &out);
    let (out, _) = world.expect(0, "devices --json --platform qemu-virt");
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["schema"], 1);
    expected("devices.json", &out);
}

#[test]
fn what_makes_room_for_pinned_memory_is_shown() {
    let world = World::new();
    let plan = fs::read_to_string(world.path("plans/good.dtso")).expect("a plan");
    let pinned = plan.replacen("0x4000000>;", "0x4000000>;\n\t\t\t\thost-base;", 1);
    world.write("plans/pinned.dtso", pinned.as_bytes());
    let (text, err) = world.expect(0, "check pinned.dtso --platform qemu-virt");
    assert_eq!(err, "");
    let lines: Vec<_> = text.lines().skip_while(|line| *line != "moved at boot").take(4).collect();
    let expected = [
        "moved at boot",
        "  what            from                   to",
        "  the hypervisor  0x40200000-0x405fffff  0x7fc00000-0x7fffffff",
        "",
    ];
    assert_eq!(lines, expected, "{text}");
    let (json, _) = world.expect(0, "check pinned.dtso --platform qemu-virt --json");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let range = |base| serde_json::json!({ "base": base, "size": 0x40_0000 });
    let step = serde_json::json!({
        "what": "the hypervisor", "from": range("0x40200000"), "to": range("0x7fc00000"),
    });
    assert_eq!(value["moves"], serde_json::json!([step]));
}

#[test]
fn notes_are_said_about_the_data_and_no_part_of_it() {
    let world = World::new();
    let plan = fs::read_to_string(world.path("plans/good.dtso")).expect("a plan");
    let noted = plan.replacen("cpus = <0 1>;", "cpus = <0 1>;\n\t\t\tstop = \"best-effort\";", 1);
    world.write("plans/noted.dtso", noted.as_bytes());
    const NOTE: &str = "first: stop is guaranteed, not only best-effort, because interrupts are mediated";
    for command in ["check", "plan"] {
        let (out, err) = world.expect(0, &format!("{command} noted.dtso --platform qemu-virt"));
        assert_eq!(err, format!("note: {NOTE}\n"), "{command}");
        expected("good.txt", &out);
        let (out, err) = world.expect(0, &format!("{command} noted.dtso --platform qemu-virt --json"));
        assert_eq!(err, "", "{command}");
        let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(value["notes"], serde_json::json!([NOTE]), "{command}");
    }
}

#[test]
fn devices_are_listed_with_their_mates() {
    let (out, _) = World::new().expect(0, "devices --platform qemu-virt");
    expected("devices.txt", &out);
}

#[test]
fn the_drawing_is_well_formed_and_names_everything() {
    let world = World::new();
    let (out, err) = world.expect(0, &format!("plan {GOOD} --svg plan.svg"));
    assert_eq!((out.as_str(), err.as_str()), ("", ""));
    let svg = fs::read_to_string(world.path("plans/plan.svg")).expect("the drawing");
    let document = roxmltree::Document::parse(&svg).expect("well-formed XML");
    let words: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
    for word in ["first", "second", "core 0x3", "/pl031@9010000", "SPI 2", "quiet \"<&>\"", "the hypervisor"]
    {
        assert!(words.contains(&word), "no {word:?} in the drawing");
    }
    // Nothing lies outside the page.
    let root = document.root_element();
    let number = |node: roxmltree::Node<'_, '_>, name: &str| -> u32 {
        node.attribute(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    for node in document.descendants().filter(|node| node.has_tag_name("rect")) {
        assert!(number(node, "x") + number(node, "width") <= number(root, "width"));
        assert!(number(node, "y") + number(node, "height") <= number(root, "height"));
    }
    assert!(!svg.contains("http://") || svg.matches("http://").count() == 1, "only the namespace is named");
}

/// A device that no SMMU guards is a note, a column, a line of JSON, and red in the drawing.
#[test]
fn trusted_devices_are_marked_everywhere() {
    let world = World::new();
    let plan = fs::read_to_string(world.path("plans/good.dtso")).expect("a plan");
    let trust = "devices = \"/virtio_mmio@a000000\", \"/virtio_mmio@a000200\";\n\
                 dma-trusted = \"/virtio_mmio@a000000\", \"/virtio_mmio@a000200\";";
    let plan = plan.replacen("devices = \"/pl031@9010000\";", trust, 1).replacen(
        "0x4000000>;",
        "0x4000000>;\nhost-base;",
        1,
    );
    world.write("plans/trust.dtso", plan.as_bytes());
    let (out, err) = world.expect(0, "check trust.dtso --platform qemu-virt");
    let note = "note: first: UNGUARDED DMA: /virtio_mmio@a000000 can read and write all memory at \
                0x40000000-0x7fffffff, and no SMMU stops it: Partita itself and partition second are at the mercy of \
                what runs in first";
    assert!(err.lines().any(|line| line == note), "{err}");
    assert!(out.contains("UNGUARDED DMA\n") && out.contains("0x40000000-0x7fffffff\n"), "{out}");
    let (out, _) = world.expect(0, "plan trust.dtso --platform qemu-virt --json");
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let device = &value["partitions"][0]["devices"][0];
    assert_eq!(device["unguarded-dma"][0]["base"], "0x40000000");
    world.expect(0, "plan trust.dtso --platform qemu-virt --svg plan.svg");
    let svg = fs::read_to_string(world.path("plans/plan.svg")).expect("the drawing");
    let document = roxmltree::Document::parse(&svg).expect("well-formed XML");
    let words: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
    for word in [
        "first can read and write others' memory through /virtio_mmio@a000000 and others: DMA that no SMMU guards",
        "unguarded, reaches 0x40000000-0x7fffffff",
        "within reach of unguarded DMA by first",
    ] {
        assert!(words.contains(&word), "no {word:?} in the drawing");
    }
}

/// PCI functions, on the tree that the model's tests have of QEMU virt.
#[test]
fn pci_functions_are_shown() {
    let world = World::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tree = Command::new("dtc")
        .args(["-q", "-I", "dts", "-O", "dtb"])
        .arg(root.join("model/tests/data/virt.dts"))
        .output()
        .expect("dtc");
    world.write("plans/virt.dtb", &tree.stdout);
    world.write("plans/pci.dtso", &fs::read(root.join("tests/plans/good/pci.dtso")).expect("a plan"));
    world.write("plans/flat.bin", b"flat");
    let (text, _) = world.expect(0, "check pci.dtso --platform qemu-virt --dtb virt.dtb");
    let shown: Vec<_> = text.lines().skip_while(|line| *line != "PCI functions").take(13).collect();
    let wanted = [
        "PCI functions",
        "  function                partition  interrupt  DMA as",
        "  /pcie@10000000/00:02.0  one        SPI 5      stream 0x10 of /smmuv3@9050000",
        "  /pcie@10000000/00:02.3  one        SPI 5      stream 0x13 of /smmuv3@9050000",
        "  /pcie@10000000/00:06.0  one        SPI 5      stream 0x30 of /smmuv3@9050000",
        "  /pcie@10000000/00:01.0  two        SPI 4      stream 0x8 of /smmuv3@9050000",
        "",
        "PCI windows",
        "  bridge          partition  on the bus                 host                       size",
        "  /pcie@10000000  one        0x10000000-0x1fffffff      0x10000000-0x1fffffff      256 MiB",
        "  /pcie@10000000  one        0x8000000000-0xbfffffffff  0x8000000000-0xbfffffffff  256 GiB",
        "  /pcie@10000000  two        0x20000000-0x2fffffff      0x20000000-0x2fffffff      256 MiB",
        "  /pcie@10000000  two        0xc000000000-0xffffffffff  0xc000000000-0xffffffffff  256 GiB",
    ];
    assert_eq!(shown, wanted, "{text}");
    let (json, _) = world.expect(0, "check pci.dtso --platform qemu-virt --dtb virt.dtb --json");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let part = &value["partitions"][1]["pci"][0];
    assert_eq!(part["bridge"], "/pcie@10000000");
    assert_eq!(part["functions"][0]["name"], "/pcie@10000000/00:01.0");
    assert_eq!(part["windows"][0]["host"]["base"], "0x20000000");
    let (text, _) = world.expect(0, "devices --platform qemu-virt --dtb virt.dtb");
    let sets: Vec<_> = text.lines().skip_while(|line| !line.starts_with("PCI functions of")).collect();
    assert_eq!(sets.len(), 6, "{text}");
    assert!(sets[2].starts_with("  SPI 3      00:00, 00:04, 00:08, 00:0c, 00:10, "), "{text}");
}

#[test]
fn guest_trees_are_written() {
    let world = World::new();
    world.expect(0, &format!("dtb {GOOD} first -o first.dtb"));
    let blob = fs::read(world.path("plans/first.dtb")).expect("the tree");
    assert_eq!(&blob[..4], [0xd0, 0x0d, 0xfe, 0xed]);
    let output = world.run(&format!("dtb {GOOD} first"));
    assert_eq!(output.stdout, blob);
    let (source, _) = world.expect(0, &format!("dtb {GOOD} first --dts"));
    assert!(source.starts_with("/dts-v1/;") && source.contains("pl031@9010000"), "{source}");
    let (_, err) = world.expect(1, &format!("dtb {GOOD} third"));
    assert_eq!(err, "error: the plan has no partition \"third\"; it has first, second\n");
}

#[test]
fn a_build_is_whole_and_reproducible() {
    let world = World::new();
    let (sums, _) = world.expect(0, &format!("build {GOOD} -o a"));
    world.expect(0, &format!("build {GOOD} -o b"));
    for name in ["partita-image", "bundle.cpio", "SHA256SUMS"] {
        let read = |folder: &str| fs::read(world.path(&format!("plans/{folder}/{name}"))).expect("a file");
        assert_eq!(read("a"), read("b"), "{name}");
    }
    assert_eq!(sums.lines().count(), 2);
    let mut check = Command::new("sha256sum");
    check.args(["--quiet", "-c", "SHA256SUMS"]).current_dir(world.path("plans/a"));
    assert!(check.status().expect("sha256sum").success());
    let archive = fs::read(world.path("plans/a/bundle.cpio")).expect("the bundle");
    let files: Vec<_> =
        cpio_reader::iter_files(&archive).map(|file| (file.name().to_owned(), file.file())).collect();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["partitions.dtbo", "SHA256SUMS", "first.bin", "second.bin"]);
    assert_eq!(files[2].1, [1; 5000]);
    // An image that a boot loader knows: the magic at byte 56.
    let image = fs::read(world.path("plans/a/partita-image")).expect("the image");
    assert_eq!(&image[56..60], b"ARM\x64");
}

#[test]
fn the_tool_describes_itself() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let (script, _) = world.expect(0, &format!("completions {shell}"));
        assert!(script.contains("log-dir") && script.contains("no-firmware"), "{shell}");
    }
    world.expect(0, "man pages");
    for page in ["partita.1", "partita-run.1", "partita-check.1", "partita-image.1"] {
        assert!(world.path(&format!("plans/pages/{page}")).is_file(), "{page}");
    }
    world.expect(0, "--help");
    world.expect(0, "--version");
}
