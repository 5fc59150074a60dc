//! What the boot loader hands over: a newc archive with SHA256SUMS, and the kernels in it.

use partita_model::addr::{Ipa, IpaSpan, Pa};
use partita_model::bundle::{self, Bundle, MAX_FILES, is_plain_name};
use partita_model::image::{Elf, Image};
use partita_model::plan::place::{ImageRequest, images};
use partita_model::plan::{Dtb, Files, Load, Memory};

use crate::check_words;
use crate::input::Input;

/// First byte: what the rest is.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 4 {
        0 => archive(input.rest()),
        1 => changed(input),
        2 => image(input.rest()),
        _ => placed(input),
    }
}

/// Any bytes as an archive. What is accepted is what an independent reader sees, as far as that reads.
fn archive(bytes: &[u8]) {
    let bundle = match Bundle::parse(bytes) {
        Ok(bundle) => bundle,
        Err(error) => return check_words(&error.to_string()),
    };
    let names: Vec<&str> = bundle.names().collect();
    assert!(names.len() <= MAX_FILES && names.contains(&bundle::SUMS));
    let other: Vec<_> = cpio_reader::iter_files(bytes).map(|entry| (entry.name(), entry.file())).collect();
    // It ends at a mode that it does not know, and looks at fields that mean nothing here.
    assert!(other.len() <= names.len(), "{names:?}");
    for (name, (other_name, other_file)) in names.iter().zip(other) {
        assert!(is_plain_name(name), "{name:?}");
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
        let file = bundle.get(name).expect("a file that it names");
        assert_eq!((*name, file), (other_name, other_file));
        // In place: nothing was copied, nothing is from elsewhere.
        assert!(bytes.as_ptr_range().contains(&file.as_ptr()) || file.is_empty());
        if let Err(error) = bundle.check(name) {
            check_words(&error.to_string());
        }
    }
}

/// A sound archive, then changes in a few bytes of it: so the sums are reached, and what follows them.
fn changed(mut input: Input<'_>) {
    const NAMES: [&str; 8] =
        [bundle::OVERLAY, "kernel", "initrd", bundle::SUMS, "TRAILER!!!", "a/b", "", "n\u{e9}\u{7f}"];
    let mut files: Vec<(&str, &[u8])> = Vec::new();
    for _ in 0..input.below(4) {
        let name = input.pick(&NAMES);
        let length = input.below(40);
        files.push((name, input.take(length)));
    }
    let mut bytes = match bundle::write(&files) {
        Ok(bytes) => bytes,
        Err(error) => return check_words(&error.to_string()),
    };
    {
        let bundle = Bundle::parse(&bytes).expect("what was written can be read");
        bundle.check_all().expect("and its sums are right");
        assert!(files.iter().all(|(name, file)| bundle.get(name) == Some(file)));
    }
    for _ in 0..input.below(4) {
        let at = usize::from(input.u16()) % bytes.len();
        match input.u8() {
            cut @ 0..=0x1f => bytes.truncate(at + usize::from(cut)),
            0x20..=0x3f => drop(bytes.splice(at..at, *b"0707")),
            to => bytes[at] = to,
        }
        if bytes.is_empty() {
            break;
        }
    }
    archive(&bytes);
}

/// Any bytes as a kernel.
fn image(file: &[u8]) {
    let image = match Image::parse("kernel", file) {
        Ok(image) => image,
        Err(error) => return check_words(&error.to_string()),
    };
    let len = file.len() as u64;
    match image {
        Image::Arm64 { text_offset, image_size } => {
            assert!(text_offset < 0x20_0000 && text_offset.is_multiple_of(8) && image_size >= len);
        }
        Image::Flat { len: flat } => assert_eq!(flat, len),
        Image::Elf(elf) => check_elf(&elf, len),
    }
}

fn check_elf(elf: &Elf, len: u64) {
    assert!(!elf.segments.is_empty());
    for segment in &elf.segments {
        assert!(segment.file_size <= segment.size && segment.size > 0);
        assert!(segment.offset.checked_add(segment.file_size).is_some_and(|end| end <= len));
    }
    assert!(elf.segments.is_sorted_by(|a, b| a.address + a.size <= b.address), "they overlap");
    let (low, high) = elf.bounds();
    assert!((low..high).contains(&elf.entry), "the entry lies outside");
}

/// One kernel, and a small second file.
struct Two<'a>(&'a [u8]);

impl Files for Two<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        match name {
            "kernel" => Some(self.0),
            "initrd" => Some(&[0x55; 300]),
            _ => None,
        }
    }
}

/// A kernel that is to be placed in a partition's memory, with what its node says.
fn placed(mut input: Input<'_>) {
    let flags = input.u8();
    let base = u64::from(input.pick(&[0_u8, 4, 8, 0x40])) << 28;
    let mut memory = Vec::new();
    let mut at = base;
    for _ in 0..=input.below(2) {
        let size = u64::from(input.u8()) << input.pick(&[12, 16, 20]);
        at += u64::from(input.u8() & 3) << input.pick(&[12, 21]);
        if size > 0 {
            memory.push(Memory { ipa: IpaSpan { base: Ipa(at), size }, pa: Pa(at ^ 1 << 36), numa: None });
        }
        at += size;
    }
    if memory.is_empty() {
        return;
    }
    let mut address = |bit: u8| (flags & bit != 0).then(|| base.wrapping_add(input.u32().into()));
    let request = ImageRequest {
        node: "/partitions/one",
        kernel: "kernel",
        initrd: (flags & 1 != 0).then_some("initrd"),
        load_address: address(2),
        entry: address(4),
        dtb_address: address(8),
        dtb: if flags & 0x10 == 0 { &Dtb::Generated } else { &Dtb::None },
        memory: &memory,
    };
    let file = input.rest();
    match images(&Two(file), &request) {
        Ok(load) => check_load(&load, &memory, file),
        Err(error) => {
            assert!(error.node.starts_with("/partitions/one"), "{}", error.node);
            check_words(&error.to_string());
        }
    }
}

/// What is put into memory lies in it, in what it comes from, and over nothing else.
fn check_load(load: &Load, memory: &[Memory], kernel: &[u8]) {
    let inside = |span: &IpaSpan| memory.iter().any(|entry| entry.ipa.contains_span(span));
    let mut spans: Vec<IpaSpan> = Vec::new();
    for piece in &load.pieces {
        let files = Two(kernel);
        let file = files.get(&piece.file).expect("a file that there is");
        let end = piece.offset.checked_add(piece.at.size).expect("no wrap");
        assert!(end <= file.len() as u64, "{piece:?} of {} bytes", file.len());
        spans.push(piece.at);
    }
    spans.extend(load.dtb_span);
    for (index, span) in spans.iter().enumerate() {
        assert!(inside(span), "{span} is outside");
        assert!(!spans[..index].iter().any(|other| other.overlaps(span)), "{span} is used twice");
    }
    if let Some(initrd) = load.initrd_span {
        assert!(spans.contains(&initrd));
    }
    assert!(inside(&IpaSpan { base: load.entry, size: 1 }), "entry {}", load.entry);
}
