//! Plans from tests/plans on QEMU virt's tree: each bad one is refused with exactly its message, each good one makes
//! a plan that keeps the invariants. They are compiled by dtc, as users do.
#![cfg(not(miri))] // they start dtc

mod common;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use partita_model::addr::{Pa, PaSpan};
use partita_model::guest_tree;
use partita_model::plan::{Files, Inputs, Movable, Plan, Reserved, own};
use partita_model::stage2::Kind;

use common::{Images, compile, invariants, plan_on_virt, plans_dir, virt};

#[test]
fn bad_plans_are_refused_with_their_message() {
    let mut wrong = Vec::new();
    let plans = sources(&plans_dir());
    for source in &plans {
        let expected = fs::read_to_string(source.with_extension("expected")).unwrap_or_default();
        let found = match plan_on_virt(&compile(source), &Images) {
            Ok(_) => "(accepted)".to_string(),
            Err(error) => error.to_string(),
        };
        if found != expected.trim_end_matches('\n') {
            let name = source.file_name().unwrap().to_string_lossy();
            wrong.push(format!("{name}\n  expected: {}\n  found:    {found}\n", expected.trim_end()));
            if std::env::var_os("PARTITA_BLESS").is_some() {
                fs::write(source.with_extension("expected"), format!("{found}\n")).unwrap();
            }
        }
    }
    assert!(plans.len() >= 40, "only {} bad plans are there", plans.len());
    assert!(wrong.is_empty(), "{} of {} bad plans:\n{}", wrong.len(), plans.len(), wrong.concat());
}

#[test]
fn good_plans_are_accepted() {
    let plans = sources(&plans_dir().join("good"));
    assert!(plans.len() >= 5, "only {} good plans are there", plans.len());
    for source in plans {
        let planned = plan_on_virt(&compile(&source), &Images)
            .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        invariants(&planned.plan);
        for partition in 0..planned.plan.partitions.len() {
            guest_tree::write(&planned.plan, partition, &planned.tree)
                .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        }
    }
}

/// What each good plan costs: what the hypervisor keeps of its heap and each partition's tables, in bytes, what is mapped for it
/// beside its memory, and its doorbell.
#[test]
fn what_plans_cost() {
    let mut text = String::new();
    for source in sources(&plans_dir().join("good")) {
        let overlay = compile(&source);
        let image = PaSpan::new(Pa(0x4020_0000), (1 << 20) + own::HEAP).expect("it has an end");
        let occupied = [Reserved::hypervisor(image)];
        let inputs =
            Inputs { tree: virt(), overlay: Some(&overlay), files: &Images, ram: &[], occupied: &occupied };
        let Ok(planned) = Plan::new(&inputs) else { continue };
        let Plan { board, partitions, .. } = &planned.plan;
        let name = source.file_stem().expect("a name").to_string_lossy();
        let heap = board.reserved.iter().find(|entry| entry.movable == Some(Movable::Hypervisor));
        let kept = heap.map_or(0, |entry| entry.heap);
        writeln!(text, "{name}: {kept:#x} of the heap").expect("a string");
        for partition in partitions {
            let tables = partition.table_bytes(&board.gic);
            let path = if partition.is_direct() { "direct" } else { "mediated" };
            let devices = partition.mappings(&board.gic);
            let devices = devices.iter().filter(|mapping| mapping.kind == Kind::Device);
            let devices: Vec<_> = devices.map(|one| format!("{} at {}", one.physical(), one.ipa)).collect();
            let bell = partition.bell.map_or(String::new(), |intid| format!(", doorbell {intid}"));
            let name = &partition.name;
            writeln!(text, "\t{name}: {path}, {tables:#x} of tables{bell}; {}", devices.join(", "))
                .expect("a string");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/costs.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).expect("it can be written");
    }
    let golden = fs::read_to_string(&path).expect("the golden file");
    assert_eq!(text, golden, "{} differs; UPDATE_GOLDEN=1 rewrites it", path.display());
}

/// Two buses narrow and move what the device below them reaches; a part of the partition's memory is enough.
#[test]
fn reach_is_followed_through_buses() {
    let overlay = compile(&plans_dir().join("good/dma-reach.dtso"));
    let plan = plan_on_virt(&overlay, &Images).expect("a good plan").plan;
    let reach: Vec<String> = plan.partitions[0].devices[0].dma.iter().map(ToString::to_string).collect();
    assert_eq!(reach, ["0x40000000-0x401fffff"]);
    assert!(plan.notes.iter().any(|note| note.contains("reaches only what of the memory lies at")));
    assert!(plan.notes.iter().any(|note| note.contains("UNGUARDED DMA")));
}

/// A DMA engine that comes along in a device's page is told of as if it had been given by name.
#[test]
fn trust_covers_what_comes_along() {
    let overlay = compile(&plans_dir().join("good/dma-mate.dtso"));
    let plan = plan_on_virt(&overlay, &Images).expect("a good plan").plan;
    assert!(!plan.partitions[0].devices[0].dma.is_empty());
    let unguarded = "UNGUARDED DMA: /rtc@9080000 can read and write all memory";
    assert!(plan.notes.iter().any(|note| note.contains(unguarded)), "{:?}", plan.notes);
}

/// Watchdogs are in nobody's way, and nothing of one partition's is in another's.
#[test]
fn watchdogs_are_apart() {
    let plan =
        plan_on_virt(&compile(&plans_dir().join("good/watchdog.dtso")), &Images).expect("a good plan").plan;
    let places: Vec<_> = plan
        .partitions
        .iter()
        .filter_map(|partition| partition.watchdog)
        .map(|watchdog| (watchdog.control.0, watchdog.refresh.0, watchdog.intid))
        .collect();
    let free = (0x911_0000, 0x912_0000, 32);
    // Above its RAM, which ends within 64 KiB, the console, and its device that supervises; SPI 0 is the console's.
    assert_eq!(places, [free, (0x932_0000, 0x933_0000, 33), free]);
}

/// Any file: what is not in tests/plans/images is a flat binary.
struct Any;

impl Files for Any {
    fn get(&self, name: &str) -> Option<&[u8]> {
        Images.get(name).or_else(|| Images.get("flat.bin"))
    }
}

#[test]
fn shipped_plans_are_accepted() {
    let plans = sources(&plans_dir().join("../../platforms/qemu-virt"));
    assert!(!plans.is_empty());
    for source in plans {
        let planned = plan_on_virt(&compile(&source), &Any)
            .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        invariants(&planned.plan);
        assert!(planned.plan.notes.is_empty(), "{:?}", planned.plan.notes);
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "dtso"));
    found.sort();
    found
}

/// A tree that a boot loader merged has the plan: an overlay that comes too is not read at all, and a note says so.
#[test]
fn a_merged_tree_is_used_as_it_is() {
    let plans = sources(&plans_dir().join("good"));
    let overlay = plan_on_virt(&compile(&plans[0]), &Images).unwrap();
    let tree = overlay.tree.to_dtb();
    let plan = |overlay| {
        Plan::new(&Inputs { tree: &tree, overlay, files: &Images, ram: &[], occupied: &[] }).unwrap().plan
    };
    let other = compile(&plans[1]);
    let (alone, beside, spoilt) = (plan(None), plan(Some(&other)), plan(Some(b"no tree")));
    let names = |plan: &Plan| plan.partitions.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&alone), names(&overlay.plan));
    assert_eq!(alone.notes, overlay.plan.notes);
    for plan in [beside, spoilt] {
        assert_eq!(names(&plan), names(&alone));
        assert!(plan.notes[0].contains("/partitions already and is used as it is"), "{:?}", plan.notes);
        assert_eq!(plan.notes[1..], alone.notes);
    }
}
