//! What the tests of plans share: trees compiled by dtc, files from tests/plans/images, and what every plan keeps.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub use partita_model::plan::testing::invariants;
use partita_model::plan::{Files, Inputs, Plan, PlanError, Planned};

/// The files of tests/plans/images; a source NAME.dts stands for NAME.dtb.
pub struct Images;

impl Files for Images {
    fn get(&self, name: &str) -> Option<&[u8]> {
        static FILES: OnceLock<HashMap<String, Vec<u8>>> = OnceLock::new();
        let files = FILES.get_or_init(|| {
            let entries = fs::read_dir(plans_dir().join("images")).expect("tests/plans/images");
            let read = entries.map(|entry| {
                let path = entry.expect("tests/plans/images").path();
                let (path, bytes) = match path.extension().is_some_and(|extension| extension == "dts") {
                    true => (path.with_extension("dtb"), compile(&path)),
                    false => (path.clone(), fs::read(&path).expect("an image")),
                };
                (path.file_name().expect("a file").to_string_lossy().into_owned(), bytes)
            });
            read.collect()
        });
        files.get(name).map(Vec::as_slice)
    }
}

/// tests/plans in the workspace.
pub fn plans_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plans")
}

/// Compiles a source with dtc.
pub fn compile(source: &Path) -> Vec<u8> {
    let output = Command::new("dtc")
        .args(["-q", "-@", "-I", "dts", "-O", "dtb"])
        .arg(source)
        .output()
        .expect("dtc is needed (device-tree-compiler)");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dtc refuses {}: {words}", source.display());
    output.stdout
}

/// Compiles a source that is a text.
pub fn compile_text(source: &str) -> Vec<u8> {
    let mut dtc = Command::new("dtc")
        .args(["-q", "-@", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dtc is needed (device-tree-compiler)");
    dtc.stdin.take().expect("a pipe").write_all(source.as_bytes()).expect("dtc reads");
    let output = dtc.wait_with_output().expect("dtc ends");
    assert!(output.status.success(), "dtc refuses this:\n{source}");
    output.stdout
}

/// QEMU virt's tree.
pub fn virt() -> &'static [u8] {
    static TREE: OnceLock<Vec<u8>> = OnceLock::new();
    TREE.get_or_init(|| compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/virt.dts")))
}

/// A plan on QEMU virt.
pub fn plan_on_virt(overlay: &[u8], files: &dyn Files) -> Result<Planned<'static>, PlanError> {
    let inputs = Inputs { tree: virt(), overlay: Some(overlay), files, ram: &[], occupied: &[] };
    Plan::new(&inputs).map(Planned::into_owned)
}
