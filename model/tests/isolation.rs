//! docs/isolation.md against the project: every file, item, row, test and guard that a claim rests on is there, and no
//! guard and no surface of the attacker is without a claim.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust sources below a folder, as one text each.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = read(&path);
                found.push((path, text));
            }
        }
    }
    found
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The page's evidence: the heading of the claim, and the line without its mark.
struct Page(String);

impl Page {
    fn open() -> Self {
        Self(read(&root().join("docs/isolation.md")))
    }

    /// The quoted words of all lines of a kind (`- code: ...`, which may go on in lines that begin with two spaces).
    fn evidence(&self, kind: &str) -> Vec<(&str, &str)> {
        let (mut claim, mut within, mut found) = ("", false, Vec::new());
        let mark = format!("- {kind}: ");
        for line in self.0.lines() {
            if let Some(heading) = line.strip_prefix("### ") {
                (claim, within) = (heading, false);
            } else if line.starts_with(&mark) {
                within = true;
            } else if !line.starts_with("  ") {
                within = false;
            }
            if within {
                found.extend(quoted(line).map(|word| (claim, word)));
            }
        }
        assert!(!found.is_empty(), "docs/isolation.md has no line \"{mark}...\"");
        found
    }
}

/// Whether a name stands in a text as a word.
fn has_word(text: &str, name: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(inner) && !text[at + name.len()..].starts_with(inner))
}

#[test]
fn code_is_where_claims_say() {
    let page = Page::open();
    let mut file = (String::new(), String::new());
    for (claim, word) in page.evidence("code") {
        if word.contains('/') {
            file = (word.to_owned(), read(&root().join(word)));
        } else {
            assert!(has_word(&file.1, word), "{claim}: {} has no {word}", file.0);
        }
    }
}

/// Names of rows of the attacking guests: `surface/row`, and plain ones of the probe.
fn rows() -> BTreeSet<String> {
    let named = |folder: &str| -> BTreeSet<String> {
        let sources = sources(folder);
        let literals = sources.iter().flat_map(|(_, text)| text.split('"').skip(1).step_by(2));
        let is_name = |word: &&str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '/')
        };
        literals.filter(is_name).map(str::to_owned).collect()
    };
    named("guests/probe/src").into_iter().chain(named("guests/attacker/src")).collect()
}

#[test]
fn rows_are_in_the_guests() {
    let (page, rows) = (Page::open(), rows());
    for (claim, word) in page.evidence("rows") {
        // A surface and a row, as the attacker prints them; the sources have both apart.
        for part in word.split('/').filter(|part| *part != "*") {
            let found = match part.strip_suffix('*') {
                Some(start) => rows.iter().any(|row| row.starts_with(start)),
                None => rows.contains(part),
            };
            assert!(found, "{claim}: no guest has a row or surface {part}");
        }
    }
}

#[test]
fn tests_are_there() {
    let page = Page::open();
    let places = ["tests/system", "tests/src", "tests/fuzz", "model/src", "model/tests", "cli/tests"];
    let sources: Vec<_> = places.into_iter().flat_map(sources).collect();
    for (claim, word) in page.evidence("tests") {
        let (module, name) = word.rsplit_once("::").unwrap_or(("", word));
        let module = module.rsplit("::").next().unwrap_or_default();
        let there = sources.iter().any(|(path, text)| {
            let path = path.to_string_lossy();
            path.contains(module) && (has_word(text, &format!("fn {name}")))
        });
        assert!(there, "{claim}: no test {word}");
    }
}

#[test]
fn guards_and_claims_name_each_other() {
    let page = Page::open();
    let claimed: BTreeSet<&str> = page.evidence("guards").into_iter().map(|(_, word)| word).collect();
    let guards: BTreeSet<&str> = partita_model::weaken::Guard::ALL.iter().map(|guard| guard.name()).collect();
    let unknown: Vec<_> = claimed.difference(&guards).collect();
    assert!(unknown.is_empty(), "claims name guards that no build can take away: {unknown:?}");
    let idle: Vec<_> = guards.difference(&claimed).collect();
    assert!(idle.is_empty(), "no claim rests on these guards: {idle:?}");
}
