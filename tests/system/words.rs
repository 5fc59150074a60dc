//! What the host refuses, the hypervisor refuses with the same words: every bad plan of tests/plans, booted.

use std::path::{Path, PathBuf};
use std::process::Command;

use partita_tests::{Target, bundle, compile, partita, qemu, root, system_tests};

const GICV3_PLANS: &str = "the plans are for a board with GICv3; the code that refuses them knows no board";
use tempfile::TempDir;

/// The hypervisor's image, from any good plan.
fn image(folder: &Path) -> PathBuf {
    let plan = root().join("platforms/qemu-virt/unikernels.dtso");
    let built = Command::new(partita()).args(["-q", "build"]).arg(plan).arg("-o").arg(folder).status();
    assert!(built.expect("partita can be run").success(), "partita build");
    folder.join("partita-image")
}

/// All that the plans may name; a source NAME.dts stands for NAME.dtb.
fn files() -> Vec<(String, Vec<u8>)> {
    let images = std::fs::read_dir(root().join("tests/plans/images")).expect("the plans' images are there");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let source = entry.expect("the folder can be read").path();
        let tree = source.extension().is_some_and(|extension| extension == "dts");
        let path = if tree { source.with_extension("dtb") } else { source.clone() };
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are text").to_owned();
        let bytes = if tree { Ok(compile(&source)) } else { std::fs::read(&source) };
        (name, bytes.expect("the images can be read"))
    };
    images.map(read).collect()
}

system_tests! {
    fn bad_plans(on) [virt_gicv3: run, virt_gicv2: GICV3_PLANS, raspi4b: GICV3_PLANS] {
        let folder = TempDir::new().expect("a folder for the test");
        let (image, files) = (image(folder.path()), files());
        let plans = std::fs::read_dir(root().join("tests/plans")).expect("tests/plans is there");
        let mut plans: Vec<_> = plans.filter_map(|entry| Some(entry.ok()?.path())).collect();
        plans.retain(|path| path.extension().is_some_and(|extension| extension == "expected"));
        plans.sort();
        assert!(plans.len() >= 40, "{} bad plans", plans.len());
        let mut wrong = Vec::new();
        for expected in plans {
            let words = std::fs::read_to_string(&expected).expect("the expectation can be read");
            let path = folder.path().join("bad.cpio");
            let bad = bundle(&compile(&expected.with_extension("dtso")), &files);
            std::fs::write(&path, bad).expect("the test's folder takes files");
            let outcome = qemu(on, &image, Some(&path)).limit(60).to_end();
            let wanted = format!("error: {}", words.trim());
            if !outcome.lines("partita").contains(&wanted.as_str()) || outcome.log.contains("\n[") {
                wrong.push(format!(
                    "{}\n  wanted: {wanted}\n  console: {}",
                    expected.display(),
                    outcome.log.trim()
                ));
            }
        }
        assert!(wrong.is_empty(), "{} plans are refused otherwise:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Entered at EL1, and on a board whose interrupt controller it does not know: one message, nothing
    /// started.
    fn wrong_machines(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "that machine has one controller, and starts at EL2"] {
        let folder = TempDir::new().expect("a folder for the test");
        let image = image(folder.path());
        let bundle = folder.path().join("bundle.cpio");
        let mut machine = qemu(on, &image, Some(&bundle)).args(&["-M", "virt,virtualization=off"]).start();
        machine.wait_for("partita: error: entered at EL1");
        drop(machine);
        let tree = folder.path().join("board.dtb");
        let dump = format!("dumpdtb={}", tree.display());
        qemu(on, &image, Some(&bundle)).args(&["-M", &dump]).limit(60).to_end();
        let source = Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts"]).arg(&tree).output();
        let source = String::from_utf8(source.expect("dtc can be run").stdout).expect("a source is text");
        let known = if on.target() == Target::VirtGicv2 { "\"arm,cortex-a15-gic\"" } else { "\"arm,gic-v3\"" };
        assert!(source.contains(known), "the board has {known}");
        let changed = folder.path().join("changed.dts");
        std::fs::write(&changed, source.replace(known, "\"arm,gic-v9\"")).expect("it takes files");
        std::fs::write(&tree, compile(&changed)).expect("it takes files");
        let other = ["-dtb", tree.to_str().expect("the folder's name is text")];
        let outcome = qemu(on, &image, Some(&bundle)).args(&other).limit(60).to_end();
        let missing = "no usable interrupt controller";
        outcome.check(outcome.log.contains(missing), "the error says what is missing");
        outcome.check(!outcome.log.contains("\n["), "nothing was started");
    }
}
