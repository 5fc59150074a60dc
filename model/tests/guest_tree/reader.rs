//! The trees as an independent reader sees them: the `fdt` crate, which shares no code with ours.

use fdt::Fdt;
use partita_model::guest_tree;
use partita_model::plan::{ClearMemory, Console, Gic};

use crate::boards::{board, fix, give, host, ipa, pa, virt};

#[test]
fn linux_finds_what_it_boots_from() {
    let mut plan = virt("linux", 2);
    give(&mut plan, "/pl031@9010000");
    plan.partitions[0].bootargs = "console=ttyAMA0".into();
    plan.partitions[0].load.initrd_span = Some(ipa(0x4800_0000, 0x12_3456));
    plan.partitions[0].clear_memory = ClearMemory::OnReuse;
    let blob = guest_tree::write(&plan, 0, &host("virt")).expect("a tree");
    let tree = Fdt::new(&blob).expect("readable");
    assert_eq!(tree.total_size(), blob.len());
    assert_eq!(tree.root().model(), "Partita partition linux");
    assert_eq!(tree.root().compatible().all().collect::<Vec<_>>(), ["partita,guest", "linux,dummy-virt"]);
    assert_eq!(tree.chosen().bootargs(), Some("console=ttyAMA0"));
    assert_eq!(tree.chosen().stdout().map(|node| node.name), Some("pl011@9000000"));
    assert_eq!(tree.cpus().map(|cpu| cpu.ids().first()).collect::<Vec<_>>(), [0, 1]);
    let memory: Vec<_> = tree.memory().regions().map(|r| (r.starting_address as usize, r.size)).collect();
    assert_eq!(memory, [(0x4000_0000, Some(0x1000_0000))]);
    let chosen = tree.find_node("/chosen").expect("/chosen");
    let number = |name| chosen.property(name).and_then(|p| p.as_usize());
    assert_eq!(number("linux,initrd-start"), Some(0x4800_0000));
    assert_eq!(number("linux,initrd-end"), Some(0x4812_3456));
    let clock = tree.find_node("/pl031@9010000").expect("the device");
    assert_eq!(
        clock.property("interrupts").map(|p| p.value),
        Some(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4][..])
    );
    assert_eq!(clock.reg().expect("reg").next().map(|r| r.starting_address as usize), Some(0x901_0000));
    let provider = clock.property("clocks").and_then(|p| p.as_usize()).expect("a clock");
    assert!(tree.find_phandle(provider as u32).is_some_and(|node| node.name == "apb-pclk"));
}

/// Every reference that we know of leads somewhere, and no two nodes share a phandle.
#[test]
fn phandles_are_unique_and_lead_somewhere() {
    let mut plan = board("one");
    for path in ["/soc/serial@201000", "/soc/gpio@200000", "/soc/i2c@804000", "/rtc@d0000000"] {
        give(&mut plan, path);
    }
    fix(&mut plan, "/soc/cprman@101000", &[19], 48_000_000);
    plan.partitions[0].guest_tree = Some("/partitions/one/guest-tree".into());
    let blob = guest_tree::write(&plan, 0, &host("board")).expect("a tree");
    let tree = Fdt::new(&blob).expect("readable");
    let mut phandles = Vec::new();
    let mut wanted = Vec::new();
    for node in tree.all_nodes() {
        for property in node.properties() {
            let cell = || property.value.first_chunk().map(|cell| u32::from_be_bytes(*cell));
            match property.name {
                "phandle" => phandles.extend(cell()),
                "clocks" | "pinctrl-0" | "vcc-supply" | "vin-supply" | "vdd-supply" | "gpio" | "gpios"
                | "interrupt-parent" | "gpio-ranges" => wanted.extend(cell()),
                _ => {}
            }
        }
    }
    let count = phandles.len();
    phandles.sort_unstable();
    phandles.dedup();
    assert_eq!(phandles.len(), count, "a phandle is used twice");
    assert!(wanted.len() >= 8 && wanted.iter().all(|phandle| phandles.contains(phandle)), "{wanted:x?}");
    assert!(tree.find_node("/soc/serial@201000/bluetooth").is_none(), "a disabled child");
    assert!(tree.find_node("/soc/mmc@300000").is_none(), "a device of somebody else");
    assert!(tree.find_node("/partitions").is_none(), "the plan itself");
}

/// A redistributor for each virtual CPU, and the console's own interrupt and clock.
#[test]
fn the_interrupt_controller_has_as_many_redistributors_as_cores() {
    for cpus in 1..=4 {
        let mut plan = virt("cores", cpus);
        plan.partitions[0].console =
            Console::Shared { base: partita_model::addr::Ipa(0xa00_0000), intid: 72 };
        let blob = guest_tree::write(&plan, 0, &host("virt")).expect("a tree");
        let tree = Fdt::new(&blob).expect("readable");
        let gic = tree.find_compatible(&["arm,gic-v3"]).expect("the controller");
        assert_eq!(gic.reg().expect("reg").nth(1).and_then(|r| r.size), Some(cpus * 0x2_0000));
        assert!(gic.children().next().is_none(), "no ITS");
        let console = tree.find_node("/pl011@a000000").expect("the console");
        assert_eq!(
            console.property("interrupts").map(|p| p.value),
            Some(&[0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 4][..])
        );
    }
}

/// GICv2's binding differs: two frames, and timer interrupts that name their cores.
#[test]
fn the_older_controller_is_described_in_its_own_way() {
    let mut plan = virt("older", 2);
    plan.board.gic = Gic::V2 {
        path: "/intc@8000000".into(),
        dist: pa(0x800_0000, 0x1_0000),
        cpu: pa(0x801_0000, 0x1_0000),
        hyp: pa(0x803_0000, 0x1_0000),
        vcpu: pa(0x804_0000, 0x1_0000),
    };
    let blob = guest_tree::write(&plan, 0, &host("virt")).expect("a tree");
    let tree = Fdt::new(&blob).expect("readable");
    let gic = tree.find_compatible(&["arm,gic-400"]).expect("the controller");
    let frames: Vec<_> = gic.reg().expect("reg").map(|r| (r.starting_address as usize, r.size)).collect();
    assert_eq!(frames, [(0x800_0000, Some(0x1000)), (0x801_0000, Some(0x2000))]);
    let timer = tree.find_compatible(&["arm,armv8-timer"]).expect("the timer");
    let flags = timer.property("interrupts").map(|p| p.value[8..12].to_vec());
    assert_eq!(flags, Some(vec![0, 0, 0x03, 0x04]), "cores 0 and 1, level-sensitive");
}
