//! How large the hypervisor is.

use std::process::Command;

use serde_json::Value;
use tempfile::NamedTempFile;

use super::{Figures, PLAN};
use crate::reach::Image;
use crate::{On, build, exits};

/// Bytes of the linked image's code, of that which exits can come to, and of its constants; of the file that a boot loader
/// loads; and of the RAM on a board of four cores that no partition can have because it is the hypervisor's.
pub fn image(on: On) -> Figures {
    let plan = plan(on, PLAN, &[("cpus = <0>", "cpus = <0 1 2 3>")]);
    let plan = plan.unwrap_or_else(|why| panic!("{why}"));
    let reserved = plan["board"]["reserved"].as_array().expect("the plan says what is reserved");
    let own = reserved.iter().filter(|entry| entry["what"] == "the hypervisor");
    let kept: u64 = own.filter_map(|entry| entry["range"]["size"].as_u64()).sum();
    let size = |name| {
        let section = build::section(name);
        section.end - section.start
    };
    let exits = 4 * exits::reached(&Image::new(&build::image())).instructions as u64;
    [
        ("image-text", size(".text")),
        ("image-exits", exits),
        ("image-rodata", size(".rodata")),
        ("image-file", build::image_file()),
        ("ram-kept", kept),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What `partita plan` says of a plan in which each pair of `changes` is what to replace and by what. It fetches what images
/// are missing, as every command does.
pub(super) fn plan(on: On, plan: &str, changes: &[(&str, &str)]) -> Result<Value, String> {
    let mut text = std::fs::read_to_string(on.plan(plan)).expect("the plan is there");
    for (from, to) in changes {
        assert!(text.contains(from), "{plan} has no {from}");
        text = text.replace(from, to);
    }
    let changed = NamedTempFile::with_suffix(".dtso").expect("a file for the plan");
    std::fs::write(changed.path(), text).expect("a file for the plan");
    let mut command = Command::new(build::partita());
    let output = command.args(["plan", "--json"]).args(on.args()).arg(changed.path()).output();
    let output = output.expect("partita can be run");
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(words.lines().next().unwrap_or("partita plan failed").to_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("--json prints JSON"))
}
