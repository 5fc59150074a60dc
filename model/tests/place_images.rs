//! Where images are placed in a partition's memory, and the words when they do not go.

use std::collections::BTreeMap;

use partita_model::addr::{Ipa, IpaSpan, Pa};
use partita_model::plan::place::{ImageRequest, images};
use partita_model::plan::{Dtb, Files, Load, Memory};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const RAM: u64 = 0x4000_0000;

#[derive(Default)]
struct Folder(BTreeMap<&'static str, Vec<u8>>);

impl Files for Folder {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

fn arm64(text_offset: u64, image_size: u64, len: usize) -> Vec<u8> {
    let mut file = vec![0; len];
    file[8..16].copy_from_slice(&text_offset.to_le_bytes());
    file[16..24].copy_from_slice(&image_size.to_le_bytes());
    file[0x38..0x3c].copy_from_slice(b"ARM\x64");
    file
}

/// An ELF executable with two segments of 0x100 bytes in the file: text, and data with 0x2000 bytes in memory.
fn elf(kind: u16, text: u64, data: u64) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([kind as u8, 0, 183, 0, 1, 0, 0, 0]);
    for word in [text + 0x40, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
    for (offset, address, size) in [(0x100_u64, text, 0x100_u64), (0x200, data, 0x2000)] {
        file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
        for word in [offset, address, address, 0x100, size, 0x1000] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(0x300, 0);
    file
}

fn tree(size: u32, len: usize) -> Vec<u8> {
    let mut file = vec![0xd0, 0x0d, 0xfe, 0xed];
    file.extend(size.to_be_bytes());
    file.resize(len, 0);
    file
}

fn folder() -> Folder {
    Folder(BTreeMap::from([
        ("vmlinuz", arm64(0, 0x20_0000, 0x18_0000)),
        ("old", arm64(0, 0, 0x1000)),
        ("flat", vec![0x40; 0x1234]),
        ("fixed", elf(2, RAM + 0x10_0000, RAM + 0x20_0000)),
        ("pie", elf(3, 0x800, 0x2000)),
        ("gzip", b"\x1f\x8b".to_vec()),
        ("initrd", vec![1; 0x1_2345]),
        ("big", vec![1; 3 << 20]),
        ("empty", vec![]),
        ("tree", tree(0x100, 0x108)),
    ]))
}

fn memory(list: &[(u64, u64)]) -> Vec<Memory> {
    list.iter()
        .map(|&(base, size)| Memory { ipa: IpaSpan::new(Ipa(base), size).unwrap(), pa: Pa(base), numa: None })
        .collect()
}

fn request<'a>(kernel: &'a str, memory: &'a [Memory]) -> ImageRequest<'a> {
    ImageRequest {
        node: "/partitions/a",
        kernel,
        initrd: None,
        load_address: None,
        entry: None,
        dtb_address: None,
        dtb: &Dtb::Generated,
        memory,
    }
}

fn place(request: &ImageRequest<'_>) -> Result<Load, String> {
    images(&folder(), request).map_err(|error| {
        assert_eq!(error.node, "/partitions/a");
        error.to_string().strip_prefix("/partitions/a: ").unwrap().to_owned()
    })
}

/// (base, size), for comparisons that read well.
fn at(span: Option<IpaSpan>) -> Option<(u64, u64)> {
    span.map(|span| (span.base.0, span.size))
}

fn pieces(load: &Load) -> Vec<(&str, u64, u64, u64)> {
    load.pieces.iter().map(|p| (p.file.as_str(), p.offset, p.at.base.0, p.at.size)).collect()
}

#[test]
fn linux() {
    let memory = memory(&[(RAM, 256 * MIB)]);
    let load = place(&ImageRequest { initrd: Some("initrd"), ..request("vmlinuz", &memory) }).unwrap();
    assert_eq!(load.entry, Ipa(RAM));
    assert_eq!(at(load.dtb_span), Some((RAM + 254 * MIB, 2 * MIB)));
    assert_eq!(at(load.initrd_span), Some((RAM + 254 * MIB - 0x1_3000, 0x1_2345)));
    assert_eq!(
        pieces(&load),
        [("vmlinuz", 0, RAM, 0x18_0000), ("initrd", 0, RAM + 254 * MIB - 0x1_3000, 0x1_2345)]
    );
    assert_eq!((load.kernel.as_str(), load.initrd.as_deref()), ("vmlinuz", Some("initrd")));
}

#[test]
fn arm64_images_count_from_two_mebibytes() {
    let memory = memory(&[(RAM + 0x1000, 16 * MIB)]);
    assert_eq!(place(&request("old", &memory)).unwrap().entry, Ipa(RAM + 2 * MIB + 0x8_0000));
    let with = |load_address| place(&ImageRequest { load_address, ..request("old", &memory) });
    assert_eq!(with(Some(RAM + 4 * MIB + 0x8_0000)).unwrap().entry, Ipa(RAM + 4 * MIB + 0x8_0000));
    assert_eq!(
        with(Some(RAM + 4 * MIB)).unwrap_err(),
        "load-address: 0x40400000 is not a multiple of 2 MiB plus the kernel's text_offset 0x80000; use an address \
         that is, or remove it"
    );
}

#[test]
fn flat_images() {
    let memory = memory(&[(RAM, 4 * MIB)]);
    let load = place(&request("flat", &memory)).unwrap();
    assert_eq!((load.entry, pieces(&load)), (Ipa(RAM), vec![("flat", 0, RAM, 0x1234)]));
    // A small memory gives a quarter to its tree.
    assert_eq!(at(load.dtb_span), Some((RAM + 3 * MIB, MIB)));
    let load = place(&ImageRequest {
        load_address: Some(RAM + 0x8000),
        entry: Some(RAM + 0x8100),
        dtb: &Dtb::None,
        ..request("flat", &memory)
    })
    .unwrap();
    assert_eq!((load.entry, load.dtb_span), (Ipa(RAM + 0x8100), None));
    assert_eq!(pieces(&load), [("flat", 0, RAM + 0x8000, 0x1234)]);
}

#[test]
fn u_boot_wants_its_tree_at_the_start() {
    let memory = memory(&[(RAM, 128 * MIB)]);
    let load = place(&ImageRequest {
        load_address: Some(RAM + 2 * MIB),
        dtb_address: Some(RAM),
        ..request("flat", &memory)
    })
    .unwrap();
    assert_eq!(load.entry, Ipa(RAM + 2 * MIB));
    assert_eq!(at(load.dtb_span), Some((RAM, 2 * MIB)));
    // With the kernel closer, the tree has less room.
    let load = place(&ImageRequest {
        load_address: Some(RAM + 0x8000),
        dtb_address: Some(RAM + 8),
        ..request("flat", &memory)
    });
    assert_eq!(at(load.unwrap().dtb_span), Some((RAM + 8, 0x7ff8)));
}

#[test]
fn elf_files() {
    let memory_here = memory(&[(RAM, 16 * MIB)]);
    let load = place(&request("fixed", &memory_here)).unwrap();
    assert_eq!(load.entry, Ipa(RAM + 0x10_0040));
    assert_eq!(
        pieces(&load),
        [("fixed", 0x100, RAM + 0x10_0000, 0x100), ("fixed", 0x200, RAM + 0x20_0000, 0x100)]
    );
    // What can be moved goes to the start of RAM, unless RAM is where it is linked to.
    let load = place(&request("pie", &memory_here)).unwrap();
    assert_eq!((load.entry, load.pieces[1].at.base), (Ipa(RAM + 0x840), Ipa(RAM + 0x2000)));
    let low = memory(&[(0, 16 * MIB)]);
    assert_eq!(place(&request("pie", &low)).unwrap().entry, Ipa(0x840));
    let moved = place(&ImageRequest { load_address: Some(0x10_0000), ..request("fixed", &low) }).unwrap();
    assert_eq!((moved.entry, moved.pieces[1].at.base), (Ipa(0x10_0040), Ipa(0x20_0000)));
    assert_eq!(
        place(&request("fixed", &low)).unwrap_err(),
        "kernel: \"fixed\" belongs at 0x40100000, where the partition has no memory (it has 0x0-0xffffff); give it \
         memory there, or use another address"
    );
}

/// What an ELF file has nothing for is memory, and no piece of the file.
#[test]
fn a_segment_without_bytes_is_no_piece() {
    let mut files = folder();
    let mut bss = elf(2, RAM + 0x10_0000, RAM + 0x20_0000);
    // p_filesz of the second program header.
    bss[64 + 56 + 32..][..8].fill(0);
    files.0.insert("bss", bss);
    let memory = memory(&[(RAM, 16 * MIB)]);
    let load = images(&files, &request("bss", &memory)).unwrap();
    assert_eq!(pieces(&load), [("bss", 0x100, RAM + 0x10_0000, 0x100)]);
}

/// A quarter of a small memory, in whole pages, at the end.
#[test]
fn the_trees_place_is_whole_pages() {
    let memory = memory(&[(RAM, 0x1f_f000)]);
    let load = place(&request("flat", &memory)).unwrap();
    assert_eq!(at(load.dtb_span), Some((RAM + 0x1f_f000 - 0x7_f000, 0x7_f000)));
}

/// A tree where the kernel is: the message says how much room it would have had.
#[test]
fn a_tree_over_the_kernel() {
    let memory = memory(&[(RAM, 4 * MIB)]);
    let error = place(&ImageRequest { dtb_address: Some(RAM), ..request("flat", &memory) }).unwrap_err();
    assert_eq!(
        error,
        "dtb-address: the device tree at 0x40000000-0x401fffff overlaps \"flat\" at 0x40000000-0x40001233; use other \
         addresses"
    );
}

/// From a header alone to all of the room, and not a byte beside.
#[test]
fn a_tree_may_have_any_size_that_fits() {
    let memory = memory(&[(RAM, 16 * MIB)]);
    for (size, fits) in [(39, false), (40, true), (0x20_0000, true), (0x20_0001, false)] {
        let mut files = folder();
        files.0.insert("t", tree(size, size as usize));
        let request = ImageRequest { dtb: &Dtb::File("t".into()), ..request("flat", &memory) };
        assert_eq!(images(&files, &request).is_ok(), fits, "{size:#x} bytes");
    }
}

#[test]
fn a_tree_from_the_bundle() {
    let memory = memory(&[(RAM, 16 * MIB)]);
    let with = |name: &str| place(&ImageRequest { dtb: &Dtb::File(name.into()), ..request("flat", &memory) });
    let load = with("tree").unwrap();
    assert_eq!(at(load.dtb_span), Some((RAM + 14 * MIB, 2 * MIB)));
    assert_eq!(pieces(&load)[1], ("tree", 0, RAM + 14 * MIB, 0x100));
    assert_eq!(
        with("flat").unwrap_err(),
        "dtb: \"flat\" is no device tree (it does not begin with the magic 0xd00dfeed); compile it with `dtc -I dts \
         -O dtb`"
    );
    assert!(with("gone").unwrap_err().starts_with("dtb: there is no file \"gone\"; put it beside"));
    let mut files = folder();
    for (size, len, words) in [
        (0x200, 0x100, "its header names another size than it has"),
        (0x20, 0x100, "its header names another size than it has"),
        (0x30_0000, 0x30_0000, "\"t\" needs 3 MiB from 0x40e00000 on, and there it has 2 MiB"),
    ] {
        files.0.insert("t", tree(size, len));
        let request = ImageRequest { dtb: &Dtb::File("t".into()), ..request("flat", &memory) };
        let error = images(&files, &request).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_ram_disk_finds_a_hole() {
    // The first entry is too small for it.
    let two = memory(&[(RAM, 4 * MIB), (0x8000_0000, 8 * MIB)]);
    let load = place(&ImageRequest { initrd: Some("big"), ..request("flat", &two) }).unwrap();
    assert_eq!(at(load.initrd_span), Some((0x8000_0000 + 5 * MIB, 3 * MIB)));
    // No higher than the window that the kernel lies in.
    let huge = memory(&[(RAM, 64 << 30)]);
    let load = place(&ImageRequest { initrd: Some("big"), ..request("vmlinuz", &huge) }).unwrap();
    assert_eq!(at(load.initrd_span), Some((RAM + (32 << 30) - 3 * MIB, 3 * MIB)));
    let small = memory(&[(RAM, 4 * MIB)]);
    assert_eq!(
        place(&ImageRequest { initrd: Some("big"), ..request("flat", &small) }).unwrap_err(),
        "initrd: \"big\" needs 3 MiB, and the largest piece of memory still free has 3064 KiB; give the partition \
         more memory"
    );
}

#[test]
fn refusals() {
    let small = memory(&[(RAM, 2 * MIB)]);
    let plain = request("flat", &small);
    for (request, error) in [
        (
            request("gone", &small),
            "kernel: there is no file \"gone\"; put it beside the other images, or mend the name",
        ),
        (
            request("gzip", &small),
            "kernel: \"gzip\" is compressed (gzip); unpack it with `gunzip` and use the result",
        ),
        (
            request("vmlinuz", &small),
            "kernel: \"vmlinuz\" needs 2 MiB from 0x40000000 on, and there it has 1536 KiB; give the partition more \
             memory",
        ),
        (
            ImageRequest { load_address: Some(0x1000), ..plain },
            "load-address: \"flat\" belongs at 0x1000, where the partition has no memory (it has \
             0x40000000-0x401fffff); give it memory there, or use another address",
        ),
        (
            ImageRequest { load_address: Some(RAM + 2), ..plain },
            "load-address: 0x40000002 is not a multiple of 0x4; use an address that is",
        ),
        (
            ImageRequest { load_address: Some(RAM + 2 * MIB - 0x1000), ..plain },
            "load-address: \"flat\" needs 5 KiB from 0x401ff000 on, and there it has 4 KiB; give the partition more \
             memory",
        ),
        (
            ImageRequest { entry: Some(RAM + 0x2000), ..plain },
            "entry: 0x40002000 does not lie in \"flat\"; use an address of the kernel, or remove it",
        ),
        (
            ImageRequest { entry: Some(RAM + 2), ..plain },
            "entry: 0x40000002 is not a multiple of 0x4; use an address that is",
        ),
        (
            ImageRequest { dtb_address: Some(RAM + 4), ..plain },
            "dtb-address: 0x40000004 is not a multiple of 0x8; use an address that is",
        ),
        (
            ImageRequest { dtb_address: Some(0), ..plain },
            "dtb-address: the device tree belongs at 0x0, where the partition has no memory (it has \
             0x40000000-0x401fffff); give it memory there, or use another address",
        ),
        (
            ImageRequest { dtb_address: Some(RAM + 0x1000), ..plain },
            "dtb-address: the device tree at 0x40001000-0x401fffff overlaps \"flat\" at 0x40000000-0x40001233; use \
             other addresses",
        ),
        (ImageRequest { initrd: Some("empty"), ..plain }, "initrd: \"empty\" is empty; copy it anew"),
        (
            ImageRequest { initrd: Some("gone"), ..plain },
            "initrd: there is no file \"gone\"; put it beside the other images, or mend the name",
        ),
    ] {
        assert_eq!(place(&request).unwrap_err(), error);
    }
    assert!(place(&request("flat", &[])).unwrap_err().contains("the partition has no memory (it has none)"));
    let tiny = memory(&[(RAM, 0x8000)]);
    assert!(place(&request("flat", &tiny)).unwrap_err().contains("the device tree needs 64 KiB"));
}

/// Everything lies in one entry of memory, and nothing on anything else.
fn sound(load: &Load, memory: &[Memory], dtb: &Dtb) {
    let within = |span: &IpaSpan| memory.iter().any(|m| m.ipa.contains_span(span));
    let mut spans: Vec<IpaSpan> =
        load.pieces.iter().filter(|p| !matches!(dtb, Dtb::File(f) if *f == p.file)).map(|p| p.at).collect();
    spans.extend(load.dtb_span);
    for (index, span) in spans.iter().enumerate() {
        assert!(within(span) && span.size > 0, "{span}");
        assert!(!spans[..index].iter().any(|other| other.overlaps(span)), "{spans:?}");
    }
    assert!(load.entry.0.is_multiple_of(4) && memory.iter().any(|m| m.ipa.contains(load.entry)));
    assert!(load.dtb_span.is_none_or(|span| span.size <= 2 * MIB && span.base.0.is_multiple_of(8)));
    assert!(load.initrd_span.is_none_or(|span| span.base.0.is_multiple_of(0x1000)));
}

fn address() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        3 => Just(None),
        3 => (0_u64..0x1000).prop_map(|n| Some(RAM + n * 0x1_0000)),
        1 => any::<u64>().prop_map(Some),
    ]
}

proptest! {
    #[test]
    fn sound_or_refused(
        kernel in prop::sample::select(vec!["vmlinuz", "old", "flat", "fixed", "pie"]),
        initrd in prop::sample::select(vec![None, Some("initrd"), Some("big")]),
        (load_address, entry, dtb_address) in (address(), address(), address()),
        dtb in prop::sample::select(vec![Dtb::Generated, Dtb::None, Dtb::File("tree".into())]),
        sizes in proptest::collection::vec(1_u64..0x3000, 0..3),
        wild in proptest::option::weighted(0.1, any::<(u64, u64)>()),
    ) {
        let mut base = RAM;
        let mut entries = memory(&[]);
        for size in sizes {
            entries.extend(memory(&[(base, size << 12)]));
            base += (size << 12) + 0x10_0000;
        }
        if let Some((base, size)) = wild {
            entries.push(Memory { ipa: IpaSpan { base: Ipa(base), size }, pa: Pa(0), numa: None });
        }
        let request = ImageRequest {
            node: "/n", kernel, initrd, load_address, entry, dtb_address, dtb: &dtb, memory: &entries,
        };
        match images(&folder(), &request) {
            Ok(load) => sound(&load, &entries, &dtb),
            Err(error) => prop_assert!(error.property.is_some() && error.to_string().contains(';')),
        }
    }
}
