//! `partita check`: good plans, bad plans with their exact words and places, and inputs that are missing.

use super::world::{World, expected};

#[test]
fn a_good_plan_is_printed() {
    let (out, err) = World::new().expect(0, "check good.dtso --platform qemu-virt");
    expected("good.txt", &out);
    assert_eq!(err, "");
}

/// What a bad plan's error begins with, where it points, and the source that is underlined. The rest of the words are
/// the plan's own, and tested with the plan.
const BAD: [(&str, &str, &str, &str); 8] = [
    ("core-taken", "/partitions/second: cpus: core 0x1 belongs", "core-taken.dtso:25:4", "cpus"),
    ("missing-file", "/partitions/second: kernel: ", "missing-file.dtso:26:13", "\"missing.bin\""),
    ("missing-property", "/partitions/first: cpus: ", "missing-property.dtso:7:3", "first"),
    ("no-such-device", "/partitions/first: devices: ", "no-such-device.dtso:14:32", "\"/nothing@1\""),
    ("outside-fragment", "/: ", "outside-fragment.dtso:3:1", "/"),
    ("unknown-property", "/partitions/second: restrat: ", "unknown-property.dtso:27:4", "restrat"),
    ("included", "/partitions/first/memory@40000000: reg: ", "part.dtsi:11:5", "reg"),
    ("syntax", "syntax error", "syntax.dtso:26:4", "k"),
];

#[test]
fn bad_plans_have_their_words_and_their_place() {
    let world = World::new();
    for (name, words, place, underlined) in BAD {
        let (out, err) = world.expect(1, &format!("check {name}.dtso --platform qemu-virt"));
        assert_eq!(out, "");
        assert!(err.starts_with(&format!("error: {words}")), "{name}: {err}");
        let lines: Vec<_> = err.lines().collect();
        let [_, arrow, _, source, marks] = lines.as_slice() else { panic!("{name}: {err}") };
        assert_eq!(arrow.trim_start(), format!("--> {place}"), "{name}");
        let (at, length) = (marks.find('^').expect("marks"), marks.matches('^').count());
        assert_eq!(source.get(at..at + length), Some(underlined), "{name}");
    }
}

#[test]
fn a_compiled_plan_has_words_without_place() {
    let world = World::new();
    let args = ["-@", "-q", "-I", "dts", "-O", "dtb", "-o", "core-taken.dtbo", "core-taken.dtso"];
    let dtc = std::process::Command::new("dtc").args(args).current_dir(world.path("plans")).status();
    assert!(dtc.expect("dtc").success());
    let (_, err) = world.expect(1, "check core-taken.dtbo --platform qemu-virt");
    let (_, with_place) = world.expect(1, "check core-taken.dtso --platform qemu-virt");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert_eq!(err.lines().next(), with_place.lines().next());
}

#[test]
fn a_merged_tree_is_a_plan_too() {
    let world = World::new();
    let script = "dtc -@ -q -I dts -O dtb -o good.dtbo good.dtso && fdtoverlay -i ../board.dtb -o merged.dtb good.dtbo";
    let made =
        std::process::Command::new("sh").args(["-c", script]).current_dir(world.path("plans")).status();
    assert!(made.expect("sh").success());
    let (merged, err) = world.expect(0, "check merged.dtb");
    assert_eq!(err, "");
    let (overlay, _) = world.expect(0, "check good.dtso --platform qemu-virt");
    // The sizes of bundle and tree differ, and fdtoverlay adds new nodes in front of others: nothing else.
    let partitions = |text: &str| {
        let mut lines: Vec<_> =
            text.split("\nmemory\n").next().into_iter().flat_map(str::lines).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(partitions(&merged), partitions(&overlay));
    world.expect(2, "check merged.dtb --dtb ../board.dtb");
    let (_, err) = world.expect(1, "check good.dtso --platform qemu-virt --dtb merged.dtb");
    assert!(err.contains("--dtb merged.dtb: that tree has /partitions already"), "{err}");
}

#[test]
fn inputs_that_are_not_there_are_named() {
    let world = World::new();
    let (_, err) = world.expect(1, "check nothing.dtso");
    assert!(err.starts_with("error: nothing.dtso: No such file"), "{err}");
    let (_, err) = world.expect(1, "check good.dtso --platform moon");
    assert_eq!(err, "error: platform \"moon\": no such folder of platforms/; there are: qemu-virt\n");
    let (_, err) = world.expect(1, "check good.dtso --images nowhere");
    assert!(err.ends_with("error: --images: nowhere is no folder\n"), "{err}");
    world.write("plans/cut.dtbo", &[0xd0, 0x0d, 0xfe, 0xed, 0, 0]);
    let (_, err) = world.expect(1, "check cut.dtbo");
    assert!(err.starts_with("error: cut.dtbo: not a whole flattened device tree"), "{err}");
    world.write("plans/noise.dtso", &[0xff, 0xfe, 0, 1]);
    let (_, err) = world.expect(1, "check noise.dtso");
    assert!(err.starts_with("error: noise.dtso: neither a device tree blob nor UTF-8"), "{err}");
}

#[test]
fn a_kit_file_that_may_not_be_fetched_is_explained() {
    let world = World::new();
    let plan = std::fs::read_to_string(world.path("plans/good.dtso")).expect("a plan");
    world.write("plans/kit.dtso", plan.replace("first.bin", "vmlinuz").as_bytes());
    let (_, err) = world.expect(1, "check kit.dtso --platform qemu-virt --offline");
    assert!(err.starts_with("error: /partitions/first: kernel: "), "{err}");
    assert!(err.contains("help: vmlinuz is not in ") && err.contains("--offline"), "{err}");
}

#[test]
fn the_board_is_the_user_s_choice() {
    let world = World::new();
    let (_, err) = world.expect(0, "check good.dtso");
    assert_eq!(err, "note: no platform is named; qemu-virt is assumed\n");
    let (_, err) = world.expect(0, "check -q good.dtso");
    assert_eq!(err, "");
    let (stated, err) = world.expect(0, "check good.dtso --dtb ../board.dtb --ram 0x40000000+512M");
    assert_eq!(err, "");
    assert!(stated.contains("linux") || stated.contains("first"), "{stated}");
    let (_, err) = world.expect(1, "check good.dtso --dtb ../board.dtb --ram 0x40000000+32M");
    assert!(err.contains("/partitions/first"), "{err}");
}

#[test]
fn usage_and_missing_tools_have_their_statuses() {
    let world = World::new();
    for args in
        ["check", "check good.dtso --ram 1", "run good.dtso --gic 4", "check good.dtso --gic 1", "nonsense"]
    {
        world.expect(2, args);
    }
    let status =
        world.command("check good.dtso --platform qemu-virt").env("PATH", world.path("bin")).output();
    let output = status.expect("the tool");
    assert_eq!(output.status.code(), Some(125));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.starts_with("error: dtc is not installed; `make setup` does it"), "{err}");
}
