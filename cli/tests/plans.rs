//! Every plan of tests/plans as a user checks it, on QEMU's own tree: each bad one exits 1 with exactly its words and
//! its place in the source, each good one exits 0. The model's tests have the plans' meaning; this one has what lies
//! between the user and the model: the board's tree, what is taken of its RAM, the source's lines.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is not there has no place in the source.
const WITHOUT_PLACE: &[&str] = &["tree-no-partitions"];

/// Two at a time: most of a check is waiting for dtc.
const AT_ONCE: usize = 2;

#[test]
fn every_plan_is_judged_as_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plans");
    // QEMU is asked for its tree by the first check only.
    let cache = tempfile::tempdir().expect("a scratch folder");
    let images = tempfile::tempdir().expect("a scratch folder");
    copy_images(&folder.join("images"), images.path());
    let bad = sources(&folder);
    let good = sources(&folder.join("good"));
    assert!(bad.len() >= 40 && good.len() >= 5, "{} bad plans, {} good ones", bad.len(), good.len());
    let check = |source: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partita"));
        command.args(["check", "--offline", "--platform", "qemu-virt", "--images"]);
        command.arg(images.path()).arg(source);
        command.env("PARTITA_CACHE", cache.path()).env_remove("PARTITA_ROOT");
        let output = command.output().expect("the tool");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut wrong = Vec::new();
    wrong.extend(judge_good(&good[0], check(&good[0])));
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut wrong = Vec::new();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                at if at < bad.len() => wrong.extend(judge_bad(&bad[at], check(&bad[at]))),
                at => match good.get(at - bad.len()) {
                    Some(source) => wrong.extend(judge_good(source, check(source))),
                    None => break wrong,
                },
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            wrong.extend(worker.join().expect("a worker"));
        }
    });
    assert!(wrong.is_empty(), "{} plans:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong with the answer to a bad plan, if anything is.
fn judge_bad(source: &Path, (status, words): (Option<i32>, String)) -> Option<String> {
    let expected = fs::read_to_string(source.with_extension("expected")).unwrap_or_default();
    let expected = expected.trim_end();
    let found = words.lines().find_map(|line| line.strip_prefix("error: "));
    let unplaced =
        source.file_stem().and_then(OsStr::to_str).is_some_and(|name| WITHOUT_PLACE.contains(&name));
    let placed = unplaced || words.lines().any(|line| is_place(line, source));
    (status != Some(1) || found != Some(expected) || !placed)
        .then(|| format!("{}: status {status:?}, expected {expected}\n{words}", source.display()))
}

fn judge_good(source: &Path, (status, words): (Option<i32>, String)) -> Option<String> {
    (status != Some(0)).then(|| format!("{}: status {status:?}\n{words}", source.display()))
}

/// Whether a line is ` --> FILE:LINE:COLUMN` with this file.
fn is_place(line: &str, source: &Path) -> bool {
    let Some(place) = line.trim_start().strip_prefix("--> ") else { return false };
    let mut parts = place.rsplitn(3, ':');
    let numbers = parts.by_ref().take(2).filter(|part| part.parse::<u32>().is_ok_and(|n| n > 0)).count();
    numbers == 2 && parts.next().is_some_and(|file| Path::new(file).file_name() == source.file_name())
}

/// Copies the files that plans name; trees are there as sources and are compiled.
fn copy_images(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("tests/plans/images") {
        let source = entry.expect("a folder's entry").path();
        let copy = to.join(source.file_name().expect("a name"));
        if source.extension() == Some(OsStr::new("dts")) {
            let mut dtc = Command::new("dtc");
            dtc.args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(copy.with_extension("dtb")).arg(&source);
            assert!(dtc.status().expect("dtc").success(), "{}", source.display());
        } else {
            fs::copy(&source, copy).expect("a copy");
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder's entry").path()).collect();
    found.retain(|path| path.extension() == Some(OsStr::new("dtso")));
    found.sort();
    found
}
