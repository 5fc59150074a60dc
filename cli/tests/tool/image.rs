//! `partita image`: the card as other programs read it (mtools, fsck.fat, sha256sum), and what is not overwritten.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use super::world::World;

const CONTENTS: &str = "label BOARD\nhint The firmware lies elsewhere.\nkernel8.img image\nbundle.cpio bundle\nboard.dtb tree\n\
                        overlays/partitions.dtbo overlay\nconfig.txt file\nstart.elf firmware board-fw\n\
                        LICENCE licence board-fw copyright\n";
const IMAGE: &str = "image good.dtso --platform board";
/// Stands in for scripts/guest-packages: has one package.
const PACKAGES: &str = r#"#!/bin/sh
cache=$1; shift
for name; do
    case $name in
    board-fw:*) mkdir -p "$cache/firmware/board-fw"; echo "packaged ${name#*:}" > "$cache/firmware/board-fw/${name#*:}" ;;
    *) echo "guest-packages: no $name" >&2; exit 1 ;;
    esac
done
"#;

/// A world with a board that boots from cards.
fn world() -> World {
    let world = World::new();
    fs::create_dir_all(world.path("platforms/board/card")).expect("a folder");
    world.write("platforms/board/qemu.args", b"-M virt\n");
    world.write("platforms/board/card/contents", CONTENTS.as_bytes());
    world.write("platforms/board/card/config.txt", b"kernel=kernel8.img\n");
    fs::copy(world.path("board.dtb"), world.path("platforms/board/board.dtb")).expect("the tree");
    fs::create_dir(world.path("fw")).expect("a folder");
    world.write("fw/start.elf", &[3; 70_000]);
    world
}

fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    // Debian keeps fsck.fat where a user's path does not lead.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("MTOOLSRC", "/dev/null");
    command
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("scripts/setup --tests installs it");
    let out = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}\n{out}\n{}", String::from_utf8_lossy(&stderr));
    out
}

/// Where the partition begins, and its size, in sectors, by mtools' reading of the partition table.
fn partition(world: &World, image: &Path) -> (u64, u64) {
    let drives = format!("drive c: file=\"{}\" partition=1\n", image.display());
    world.write("mtoolsrc", drives.as_bytes());
    let mut command = tool("mpartition");
    let out = done(command.args(["-p", "c:"]).env("MTOOLSRC", world.path("mtoolsrc")));
    let words: Vec<_> = out.split_whitespace().collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option).expect("an option of mpartition");
        words[at + 1].parse().expect("a number")
    };
    (after("-b"), after("-l"))
}

/// Takes the files off a card, after fsck.fat has found nothing wrong with it.
fn unpack(world: &World, name: &str) -> std::path::PathBuf {
    let image = world.path("plans").join(name);
    let (start, length) = partition(world, &image);
    let bytes = fs::read(&image).expect("the image");
    assert_eq!(bytes.len() as u64, (start + length) * 512, "the partition reaches to the end");
    let alone = world.path("partition");
    fs::write(&alone, &bytes[start as usize * 512..]).expect("a file");
    let said = done(tool("fsck.fat").arg("-vn").arg(&alone));
    assert!(said.contains("\nChecking free cluster summary.\n") && said.lines().count() < 24, "{said}");
    let out = world.path(&format!("{name}.out"));
    fs::create_dir(&out).expect("a folder");
    let place = format!("{}@@{}", image.display(), start * 512);
    done(tool("mcopy").args(["-s", "-n", "-Q", "-i"]).args([&place, "::"]).arg(&out));
    out
}

#[test]
fn other_programs_find_every_file_on_the_card() {
    let world = world();
    let (text, err) = world.expect(0, &format!("{IMAGE} -o sd.img --firmware ../fw"));
    assert_eq!(err, "note: platforms/board/README.md tells how to flash it\n");
    assert!(text.ends_with("  sd.img\n"), "{text}");
    world.expect(0, "build good.dtso --platform board -o built");
    let out = unpack(&world, "sd.img");
    for (name, same) in [
        ("kernel8.img", "plans/built/partita-image"),
        ("bundle.cpio", "plans/built/bundle.cpio"),
        ("board.dtb", "platforms/board/board.dtb"),
        ("config.txt", "platforms/board/card/config.txt"),
        ("start.elf", "fw/start.elf"),
    ] {
        let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(read(&out.join(name)) == read(&world.path(same)), "{name}");
    }
    let bundle = fs::read(out.join("bundle.cpio")).expect("the bundle");
    let overlay = cpio_reader::iter_files(&bundle).find(|file| file.name() == "partitions.dtbo");
    let on_card = fs::read(out.join("overlays/partitions.dtbo")).expect("the overlay");
    assert_eq!(overlay.expect("the overlay").file(), on_card);
    done(Command::new("sha256sum").args(["--quiet", "--strict", "-c", "SHA256SUMS"]).current_dir(&out));
    assert_eq!(fs::read_to_string(out.join("SHA256SUMS")).expect("the sums").lines().count(), 6);
    done(
        Command::new("sh")
            .args(["-c", "printf %s \"$1\" | tail -n 1 | sha256sum --quiet -c", "sh", &text])
            .current_dir(world.path("plans")),
    );
}

#[test]
fn the_same_input_gives_the_same_card_wherever_it_lies() {
    let json = |world: &World, name: &str| {
        let (out, err) = world.expect(0, &format!("{IMAGE} --no-firmware --json -o {name}"));
        assert_eq!(err, "");
        serde_json::from_str::<serde_json::Value>(&out).expect("JSON")
    };
    let (one, two) = (world(), world());
    let (a, b) = (json(&one, "a.img"), json(&two, "b.img"));
    assert_eq!(a["schema"], 1);
    assert_eq!(
        (&a["image"], &a["label"], &a["size"]),
        (&"a.img".into(), &"BOARD".into(), &(64 << 20).into())
    );
    assert_eq!(a["files"][4]["name"], "config.txt");
    assert_eq!(a["sha256"], b["sha256"]);
    assert_eq!(a["volume-id"], b["volume-id"]);
    let read = |world: &World, name: &str| fs::read(world.path("plans").join(name)).expect("the image");
    assert!(read(&one, "a.img") == read(&two, "b.img"));
    // Another content is another volume.
    one.write("platforms/board/card/config.txt", b"kernel=kernel8.img\n\n");
    assert_ne!(json(&one, "a.img")["volume-id"], a["volume-id"]);
}

#[test]
fn the_size_is_as_told() {
    let world = world();
    world.expect(0, &format!("{IMAGE} --no-firmware -q -o sd.img --size 300M"));
    unpack(&world, "sd.img");
    assert_eq!(fs::metadata(world.path("plans/sd.img")).expect("the image").len(), 300 << 20);
    world.write("platforms/board/card/config.txt", &vec![0; 80 << 20]);
    let (_, err) = world.expect(2, &format!("{IMAGE} --no-firmware -o small.img --size 64M"));
    assert!(err.starts_with("error: --size 64M: these files need 8"), "{err}");
    assert!(!world.path("plans/small.img").exists());
}

#[test]
fn firmware_comes_from_packages_or_a_folder_or_is_said_to_be_missing() {
    let world = world();
    let (_, err) = world.expect(1, &format!("{IMAGE} -o sd.img --offline"));
    let expected = "\
error: the board needs its own firmware on the card (start.elf): it is not in the cache, and --offline forbids fetching it
 |
 = help: --firmware DIR takes them from a folder that has them by these names
 = help: The firmware lies elsewhere.
 = help: --no-firmware makes the card without them: QEMU needs none, and they can be copied onto it later
";
    assert_eq!(err, expected);
    fs::create_dir(world.path("empty")).expect("a folder");
    let (_, err) = world.expect(1, &format!("{IMAGE} -o sd.img --firmware ../empty"));
    assert!(err.contains("on the card (start.elf): ../empty lacks start.elf\n"), "{err}");
    let (_, err) = world.expect(2, &format!("{IMAGE} -o sd.img --firmware ../none"));
    assert_eq!(err, "error: --firmware: ../none is no folder\n");
    world.expect(2, &format!("{IMAGE} -o sd.img --firmware ../fw --no-firmware"));
    assert!(!world.path("plans/sd.img").exists());

    world.script("scripts/guest-packages", PACKAGES);
    world.expect(0, &format!("{IMAGE} -q -o sd.img"));
    // The second time nothing is fetched.
    world.expect(0, &format!("{IMAGE} -q -o sd.img --offline"));
    let out = unpack(&world, "sd.img");
    assert_eq!(fs::read_to_string(out.join("start.elf")).expect("firmware"), "packaged start.elf\n");
    assert_eq!(fs::read_to_string(out.join("LICENCE")).expect("its licence"), "packaged copyright\n");
}

#[test]
fn nothing_but_an_older_image_is_overwritten() {
    let world = world();
    let command = format!("{IMAGE} --no-firmware -q -o");
    let plan = fs::read(world.path("plans/good.dtso")).expect("the plan");
    let (_, err) = world.expect(2, &format!("{command} good.dtso"));
    let words = "error: good.dtso exists and is no card's image of Partita's; remove it first, or give another name\n";
    assert_eq!(err, words);
    assert_eq!(fs::read(world.path("plans/good.dtso")).expect("the plan"), plan);
    let (_, err) = world.expect(2, &format!("{command} ../plans"));
    assert_eq!(err, "error: ../plans is no regular file; give the name of one\n");
    done(Command::new("mkfifo").arg(world.path("plans/pipe")));
    let (_, err) = world.expect(2, &format!("{command} pipe"));
    assert_eq!(err, "error: pipe is no regular file; give the name of one\n");
    world.expect(2, &format!("{command} -"));

    world.expect(0, &format!("{command} sd.img"));
    symlink("sd.img", world.path("plans/link.img")).expect("a link");
    let first = fs::read(world.path("plans/sd.img")).expect("the image");
    // One that fails leaves what was there, and nothing beside it.
    world.expect(1, "image missing-file.dtso --platform board --no-firmware -o sd.img");
    assert!(fs::read(world.path("plans/sd.img")).expect("the image") == first);
    world.write("platforms/board/card/config.txt", b"# other\n");
    world.expect(0, &format!("{command} link.img"));
    assert!(fs::symlink_metadata(world.path("plans/link.img")).expect("the link").is_symlink());
    assert!(fs::read(world.path("plans/sd.img")).expect("the image") != first);
    let left = fs::read_dir(world.path("plans")).expect("the folder").flatten();
    assert!(left.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().contains(".partita")));
}

/// A device node of the test's own, which leads to no device; not everybody may make one.
#[test]
fn a_block_device_is_refused() {
    let world = world();
    let node = world.path("plans/card");
    let made = Command::new("mknod").arg(&node).args(["b", "7", "250"]).output().expect("mknod");
    if !made.status.success() {
        eprintln!("not tested: mknod needs root");
        return;
    }
    let (_, err) = world.expect(2, &format!("{IMAGE} --no-firmware -o card"));
    let words = "error: card is a block device, which this command never writes to; write a file and flash that: \
                 sudo dd if=sd.img of=card bs=4M conv=fsync status=progress\n";
    assert_eq!(err, words);
    let (_, err) = world.expect(2, &format!("{IMAGE} --no-firmware -o ./card"));
    assert!(err.starts_with("error: ./card is a block device"), "{err}");
}

#[test]
fn a_platform_says_what_is_on_its_card() {
    let world = world();
    let (_, err) = world.expect(1, "image good.dtso --platform qemu-virt -o sd.img");
    let words = "error: platform qemu-virt has no card: its folder lacks card/contents; `partita build` makes what other \
                 loaders take\n";
    assert_eq!(err, words);
    world.write("platforms/board/card/contents", b"kernel8.img image\nbundle.cpio bundel\n");
    let (_, err) = world.expect(1, &format!("{IMAGE} -o sd.img"));
    assert!(err.contains("card/contents:2: bundle.cpio: expected image, bundle, "), "{err}");
    // A merged tree is the board's and the plan's at once.
    world.write("platforms/board/card/contents", b"board.dtb tree\nplan.dtbo overlay\n");
    world.expect(0, "build good.dtso --platform board -o built");
    let merge = ["-i", "../board.dtb", "-o", "merged.dtb", "built.dtbo"];
    done(
        Command::new("dtc")
            .args(["-q", "-@", "-I", "dts", "-O", "dtb", "-o", "built.dtbo", "good.dtso"])
            .current_dir(world.path("plans")),
    );
    done(Command::new("fdtoverlay").args(merge).current_dir(world.path("plans")));
    world.expect(0, "image merged.dtb --platform board -q -o merged.img");
    let out = unpack(&world, "merged.img");
    let read = |path: &Path| fs::read(path).expect("a tree");
    assert!(read(&out.join("board.dtb")) == read(&world.path("plans/merged.dtb")));
    assert!(!out.join("plan.dtbo").exists());
}
