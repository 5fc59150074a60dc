//! What the tests of plans share: trees compiled by dtc, files from tests/plans/images, and what every plan keeps.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use partita_model::addr::PaSpan;
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
pub fn plan_on_virt(overlay: &[u8], files: &dyn Files) -> Result<Planned, PlanError> {
    Plan::new(&Inputs { tree: virt(), overlay: Some(overlay), files, ram: &[], occupied: &[] })
}

/// What every plan keeps.
pub fn invariants(plan: &Plan) {
    let mut memory: Vec<(PaSpan, usize)> = Vec::new();
    let mut cores = Vec::new();
    let mut spis = Vec::new();
    let mut mmio: Vec<(PaSpan, usize)> = Vec::new();
    for (number, partition) in plan.partitions.iter().enumerate() {
        assert!(!partition.cpus.is_empty() && !partition.memory.is_empty());
        for (place, cpu) in partition.cpus.iter().enumerate() {
            assert_eq!(plan.board.cpus[*cpu].owner, Some((number, place)));
            cores.push(*cpu);
        }
        for entry in &partition.memory {
            let span = entry.physical();
            assert!(span.size > 0 && span.is_aligned(4096), "{span}");
            assert!(plan.board.ram.iter().any(|ram| ram.contains_span(&span)), "{span} is no RAM");
            assert!(!plan.board.reserved.iter().any(|it| it.span.overlaps(&span)), "{span} is reserved");
            memory.push((span, number));
        }
        spis.extend(partition.spis.iter().map(|spi| spi.intid));
        for span in &partition.mmio {
            assert!(span.is_aligned(4096), "{span}");
            assert!(!plan.board.ram.iter().any(|ram| ram.overlaps(span)), "{span} is RAM");
            assert!(!plan.board.gic.frames().iter().any(|frame| frame.overlaps(span)), "{span} is the GIC's");
            let low = |ipa| partita_model::addr::Pa(ipa);
            let hidden = |entry: &partita_model::plan::Memory| {
                PaSpan { base: low(entry.ipa.base.0), size: entry.ipa.size }.overlaps(span)
            };
            assert!(!partition.memory.iter().any(hidden), "{span} lies under guest RAM");
            mmio.push((*span, number));
        }
        for piece in &partition.load.pieces {
            let inside = partition.memory.iter().any(|entry| entry.ipa.contains_span(&piece.at));
            assert!(inside, "{:?} lies outside the partition's memory", piece.at);
        }
    }
    let count = cores.len();
    cores.sort_unstable();
    cores.dedup();
    assert_eq!(cores.len(), count, "a core has two owners");
    let count = spis.len();
    spis.sort_unstable();
    spis.dedup();
    assert_eq!(spis.len(), count, "an SPI has two owners");
    for spans in [&memory, &mmio] {
        for (place, (span, _)) in spans.iter().enumerate() {
            for (other, _) in spans.iter().skip(place + 1) {
                assert!(!span.overlaps(other), "{span} and {other}");
            }
        }
    }
}
