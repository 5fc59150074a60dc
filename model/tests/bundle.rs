//! The bundle: what is written is read back (by ours and by cpio_reader), and everything else is refused clearly.

use partita_model::bundle::{self, Bundle, BundleError, MAX_FILES, SUMS};
use partita_model::plan::Files;
use proptest::prelude::*;

const FILES: [(&str, &[u8]); 3] =
    [("vmlinuz", b"a kernel"), ("partitions.dtbo", b"an overlay"), ("initramfs.cpio.gz", b"x")];

fn sample() -> Vec<u8> {
    bundle::write(&FILES).unwrap()
}

/// An archive of these members as they are, with a mode each.
fn archive(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, mode, data) in members.iter().chain(&[("TRAILER!!!", 0, &b""[..])]) {
        let (size, name_size) = (data.len(), name.len() + 1);
        let zeros = "0".repeat(32);
        out.extend(
            format!("07070100000001{mode:08X}{zeros}{size:08X}{zeros}{name_size:08X}00000000{name}\0")
                .bytes(),
        );
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn refused(archive: &[u8]) -> BundleError {
    Bundle::parse(archive).unwrap_err()
}

/// What EL2 looks at again before a partition's images are loaded once more.
#[test]
fn a_file_is_whole_or_not() {
    // Longer than a step of the sum, and not a multiple of it.
    let long = vec![0x5a; (64 << 10) + 3];
    let archive = bundle::write(&[("long", &long), ("short", b"")]).unwrap();
    let bundle = Bundle::parse(&archive).unwrap();
    let sum = bundle.sum("long").expect("it has one");
    let mut calls = 0;
    assert!(bundle::is_whole(&long, &sum, || calls += 1));
    assert_eq!(calls, 2, "once for each step");
    for at in [0, 64 << 10, long.len() - 1] {
        let mut damaged = long.clone();
        damaged[at] ^= 1;
        assert!(!bundle::is_whole(&damaged, &sum, || {}), "{at}");
    }
    assert!(!bundle::is_whole(&long[1..], &sum, || {}));
    assert!(bundle::is_whole(b"", &bundle.sum("short").expect("it has one"), || {}));
    assert!(!bundle::is_whole(b"", &sum, || {}));
    assert_eq!((bundle.sum(SUMS), bundle.sum("other")), (None, None));
}

#[test]
fn written_is_read_in_place() {
    let archive = sample();
    let bundle = Bundle::parse(&archive).unwrap();
    assert_eq!(bundle.names().collect::<Vec<_>>(), ["partitions.dtbo", SUMS, "vmlinuz", "initramfs.cpio.gz"]);
    for (name, data) in FILES {
        let found = bundle.get(name).unwrap();
        assert_eq!(found, data);
        assert!(archive.as_ptr_range().contains(&found.as_ptr()), "{name} was copied");
        assert_eq!(Files::get(&bundle, name), Some(data));
        bundle.check(name).unwrap();
    }
    bundle.check_all().unwrap();
    assert_eq!(bundle.get("nothing"), None);
    assert_eq!(bundle.check("nothing"), Err(BundleError::Missing("nothing".into())));
    assert_eq!(archive, sample(), "not reproducible");
}

#[test]
fn cpio_reader_agrees() {
    let archive = sample();
    let theirs: Vec<_> = cpio_reader::iter_files(&archive).collect();
    let bundle = Bundle::parse(&archive).unwrap();
    assert_eq!(theirs.iter().map(|e| e.name()).collect::<Vec<_>>(), bundle.names().collect::<Vec<_>>());
    // No two names are links to one file.
    let inodes: std::collections::BTreeSet<_> = theirs.iter().map(|entry| entry.ino()).collect();
    assert_eq!(inodes.len(), theirs.len());
    for entry in theirs {
        assert_eq!(bundle.get(entry.name()), Some(entry.file()));
        assert_eq!(entry.mode().bits(), 0o100_644);
        assert_eq!((entry.uid(), entry.gid(), entry.mtime(), entry.nlink()), (0, 0, 0, 1));
    }
}

#[test]
fn sums_are_sha256sums() {
    let archive = bundle::write(&[("a", b"abc"), ("e", b"")]).unwrap();
    let sums = Bundle::parse(&archive).unwrap().get(SUMS).unwrap();
    // FIPS 180-4's example, and the empty message.
    assert_eq!(
        std::str::from_utf8(sums).unwrap(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  e\n"
    );
    let only_sums = bundle::write(&[]).unwrap();
    assert_eq!(Bundle::parse(&only_sums).unwrap().names().collect::<Vec<_>>(), [SUMS]);
}

#[test]
fn binary_marks_upper_case_and_no_last_line_feed_are_fine() {
    let sums = b"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD *a";
    let archive = archive(&[(SUMS, 0o100_644, sums), ("a", 0o100_755, b"abc")]);
    Bundle::parse(&archive).unwrap().check_all().unwrap();
}

#[test]
fn every_cut_is_noticed() {
    let archive = sample();
    // The last bytes may be padding, without which the trailer is still whole.
    for len in 0..archive.len() - 3 {
        let error = refused(&archive[..len]);
        let cut = matches!(error, BundleError::Truncated(_) | BundleError::TruncatedFile(_));
        assert!(cut || len == 0, "{len}: {error}");
    }
    let mut padded = archive.clone();
    padded.resize(archive.len().next_multiple_of(512), 0);
    Bundle::parse(&padded).unwrap();
    padded.extend(&archive);
    assert!(matches!(refused(&padded), BundleError::AfterTrailer(_)));
}

#[test]
fn other_files_are_named() {
    for (bytes, words) in [
        (&b""[..], "an empty file"),
        (b"\x1f\x8b\x08", "a gzip file"),
        (b"070707000", "old format"),
        (b"\xd0\x0d\xfe\xed", "a device tree"),
        (&[0; 600], "zeros"),
        (b"hello", "something else"),
    ] {
        let error = refused(bytes).to_string();
        assert!(error.contains(words) && error.contains("partita build"), "{error}");
    }
}

#[test]
fn bad_members() {
    let of = |name: &str, mode| refused(&archive(&[(name, mode, b"")]));
    for name in ["a/b", "..", ".", "/a", "a b", "a\nb", "\\a", "x\0y", ""] {
        assert_eq!(of(name, 0o100_644), BundleError::BadName(name.into()));
    }
    assert_eq!(of(&"x".repeat(256), 0o100_644), BundleError::BadName("x".repeat(256)));
    for mode in [0o040_755, 0o120_777, 0o020_600, 0] {
        assert_eq!(of("thing", mode), BundleError::NotAFile("thing".into()));
    }
    let file = ("a", 0o100_644, &b"1"[..]);
    assert_eq!(refused(&archive(&[file, file])), BundleError::Twice("a".into()));
    let names: Vec<String> = (0..=MAX_FILES).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|n| (n.as_str(), 0o100_644, &b""[..])).collect();
    assert_eq!(refused(&archive(&many)), BundleError::TooManyFiles);
    let mut bad = archive(&[file]);
    bad[20] = b'+';
    assert_eq!(refused(&bad), BundleError::BadHeader(0));
}

#[test]
fn bad_sums() {
    let with = |sums: &str| {
        let archive = archive(&[("a", 0o100_644, b"abc"), (SUMS, 0o100_644, sums.as_bytes())]);
        Bundle::parse(&archive).and_then(|bundle| bundle.check_all())
    };
    let good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n";
    assert_eq!(with(good), Ok(()));
    assert_eq!(with(""), Err(BundleError::NotListed("a".into())));
    assert_eq!(with(&format!("{good}{good}")), Err(BundleError::ListedTwice("a".into())));
    assert_eq!(with(&format!("{good}\n")), Err(BundleError::BadSumsLine(2)));
    assert_eq!(with(&good.replace("  ", " ")), Err(BundleError::BadSumsLine(1)));
    assert_eq!(with(&good.replace("ba78", "xa78")), Err(BundleError::BadSumsLine(1)));
    assert_eq!(with(&good.replace('\n', "\r\n")), Err(BundleError::BadSumsLine(1)));
    assert_eq!(with(&good.replace("  a", "  b")), Err(BundleError::ListedButMissing("b".into())));
    assert_eq!(with(&good.replace("  a", "  SHA256SUMS")), Err(BundleError::ListedButMissing(SUMS.into())));
    assert_eq!(with(&good.replace("ba78", "ba79")), Err(BundleError::Damaged("a".into())));
    assert_eq!(refused(&archive(&[("a", 0o100_644, b"")])), BundleError::NoSums);
}

#[test]
fn unreadable_is_not_written() {
    assert_eq!(bundle::write(&[("a/b", b"")]), Err(BundleError::BadName("a/b".into())));
    assert_eq!(bundle::write(&[(SUMS, b"")]), Err(BundleError::BadName(SUMS.into())));
    // A name that is listed twice is doubled in the archive first.
    assert_eq!(bundle::write(&[("a", b""), ("a", b"")]), Err(BundleError::Twice("a".into())));
}

proptest! {
    #[test]
    fn round_trip(files in proptest::collection::btree_map("[a-z0-9._-]{1,20}", proptest::collection::vec(any::<u8>(), 0..70), 0..8)) {
        let files: Vec<_> =
            files.iter().filter(|(n, _)| bundle::is_plain_name(n)).map(|(n, d)| (n.as_str(), d.as_slice())).collect();
        let archive = bundle::write(&files).unwrap();
        let bundle = Bundle::parse(&archive).unwrap();
        bundle.check_all().unwrap();
        prop_assert_eq!(bundle.names().count(), files.len() + 1);
        for (name, data) in files {
            prop_assert_eq!(bundle.get(name), Some(data));
        }
    }

    #[test]
    fn damage_never_panics_nor_passes(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let good = sample();
        let mut bad = good.clone();
        for (at, byte) in changes {
            bad[at.index(good.len())] = byte;
        }
        // Whatever is still accepted and passes its sums has the very files that were written.
        if let Ok(bundle) = Bundle::parse(&bad) && bundle.check_all().is_ok() {
            for (name, data) in FILES {
                prop_assert_eq!(bundle.get(name), Some(data));
            }
        }
    }

    #[test]
    fn noise_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic: bool) {
        if magic {
            bytes.splice(0..bytes.len().min(6), *b"070701");
        }
        let _ = Bundle::parse(&bytes).map(|b| b.check_all()).map_err(|e| e.to_string());
    }
}
