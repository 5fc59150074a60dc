//! Every file of the corpus, through the same functions as under the fuzzer: what was found once is not found again.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use partita_fuzz::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Replays a target's corpus; all of it, and then says which files fail.
fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let files = files(&corpus().join(name));
    assert!(files.len() >= 10, "a corpus of {} files", files.len());
    let failing: Vec<_> = files
        .iter()
        .filter(|file| {
            let bytes = fs::read(file).expect("a file");
            assert!(bytes.len() <= 4096, "{}: too large for a corpus in the repository", file.display());
            catch_unwind(|| (target.run)(&bytes)).is_err()
        })
        .collect();
    assert!(failing.is_empty(), "of {} files {failing:#?} fail", files.len());
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        /// No target without its replay, its binary and its corpus, nor the other way round.
        #[test]
        fn none_is_left_out() {
            let replayed = BTreeSet::from([$(stringify!($name).to_string()),*]);
            let targets = TARGETS.iter().map(|target| target.name.to_string()).collect();
            let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
            let folder = |name: &str| files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).into_iter().map(stem);
            assert_eq!(replayed, targets);
            assert_eq!(replayed, folder("libfuzzer/fuzz_targets").collect());
            assert_eq!(replayed, folder("corpus").collect());
        }
    };
}

targets!(plan bundle gic power console trap);
