//! The trees of every good plan, through the planner: an independent reader finds in them what the plan says.
#![cfg(not(miri))] // they start dtc

mod common;

use std::fs;

use common::{Images, compile, plan_on_virt, plans_dir};
use fdt::Fdt;
use partita_model::guest_tree;
use partita_model::plan::{Console, Dtb};

#[test]
fn trees_say_what_the_plan_says() {
    let mut trees = 0;
    for entry in fs::read_dir(plans_dir().join("good")).expect("good plans") {
        let source = entry.expect("a plan").path();
        if source.extension().is_none_or(|extension| extension != "dtso") {
            continue;
        }
        let planned = plan_on_virt(&compile(&source), &Images).expect("a good plan");
        for (number, partition) in planned.plan.partitions.iter().enumerate() {
            if partition.dtb != Dtb::Generated {
                continue;
            }
            let name = format!("{}: {}", source.display(), partition.name);
            let blob = guest_tree::write(&planned.plan, number, &planned.tree)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let tree = Fdt::new(&blob).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert_eq!(tree.cpus().count(), partition.cpus.len(), "{name}");
            let memory: u64 = tree
                .find_all_nodes("/memory")
                .flat_map(|node| node.reg().expect("reg"))
                .filter_map(|region| region.size)
                .map(|size| size as u64)
                .sum();
            assert_eq!(memory, partition.memory.iter().map(|memory| memory.ipa.size).sum::<u64>(), "{name}");
            assert_eq!(tree.chosen().bootargs().unwrap_or_default(), partition.bootargs, "{name}");
            assert_eq!(tree.chosen().stdout().is_some(), partition.console != Console::None, "{name}");
            for device in &partition.devices {
                assert!(tree.find_node(&device.path).is_some(), "{name}: {}", device.path);
            }
            assert!(tree.find_node("/partitions").is_none(), "{name}");
            trees += 1;
        }
    }
    assert!(trees >= 5, "only {trees} trees were written");
}
