//! What a fuzzer does to the model: one function a target, from bytes to a pass or a panic.
//!
//! A target asserts what must hold, not only that nothing panics. The functions are plain code for any compiler: the
//! binaries in libfuzzer/ call them under the engine, tests/replay.rs calls them with every file of the corpus.

pub mod bundle;
pub mod console;
pub mod gic;
pub mod input;
pub mod plan;
pub mod power;
pub mod trap;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its binary and its corpus.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "plan", run: plan::run },
    Target { name: "bundle", run: bundle::run },
    Target { name: "gic", run: gic::run },
    Target { name: "power", run: power::run },
    Target { name: "console", run: console::run },
    Target { name: "trap", run: trap::run },
];

/// A dozen paths of nodes, which may lie deep.
const MOST_WORDS: usize = 8000;

/// Words for a person: not empty, not endless, and nothing in them that a terminal would obey, whatever the input held.
fn check_words(words: &str) {
    assert!(!words.is_empty() && words.len() < MOST_WORDS, "{} bytes of words", words.len());
    assert!(!words.contains(|c: char| c.is_control()), "a control character in {words:?}");
}
