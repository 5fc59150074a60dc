//! Pages that users work from, against the tool and the files that they describe.

use std::fs;
use std::path::Path;

use super::world::World;

fn project(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_porting_guide_s_plan_is_good_on_a_board_that_has_no_folder() {
    let page = project("docs/porting.md");
    let plan = page.split("```dts\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a plan");
    let world = World::new();
    world.write("plans/porting.dtso", plan.as_bytes());
    world.write("plans/metronome", &[1; 100]);
    let board = "--dtb ../board.dtb --ram 0x40000000+1G";
    let (out, err) = world.expect(0, &format!("check porting.dtso {board}"));
    assert!(out.contains("\n  metronome "), "{out}");
    assert_eq!(err, "");
    world.expect(0, &format!("devices {board}"));
}

#[test]
fn the_porting_guide_names_every_word_of_a_card() {
    let page = project("docs/porting.md");
    let table: Vec<_> = page.split("### A card").nth(1).expect("the section").lines().collect();
    for origin in
        ["image", "bundle", "overlay", "tree", "file", "firmware PACKAGE [FILE]", "licence PACKAGE [FILE]"]
    {
        assert!(table.iter().any(|line| line.starts_with(&format!("| `{origin}` |"))), "{origin}");
    }
}

/// Each setting of Raspberry Pi's config.txt, also one that is offered in a comment, has its reason; and what it names lies
/// on the card.
#[test]
fn config_txt_is_explained_and_names_what_is_there() {
    let (page, contents) = (project("platforms/rpi4/README.md"), project("platforms/rpi4/card/contents"));
    let config = project("platforms/rpi4/card/config.txt");
    let reasons: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).collect();
    let settings = config.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    let mut named = Vec::new();
    for setting in settings {
        let quoted = format!("`{setting}`");
        assert!(reasons.iter().any(|(settings, _)| settings.contains(&quoted)), "{setting} is not explained");
        // The firmware reads no more of a line.
        assert!(setting.len() < 98, "{setting}");
        named.extend(setting.strip_prefix("kernel=").or_else(|| setting.strip_prefix("device_tree=")));
        named.extend(setting.strip_prefix("initramfs ").and_then(|rest| rest.split(' ').next()));
    }
    assert_eq!(named.len(), 3);
    let on_card: Vec<_> = contents.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in named.into_iter().chain(["start4.elf", "fixup4.dat", "overlays/partitions.dtbo"]) {
        assert!(on_card.contains(&name), "{name}");
    }
}
