//! What a plan gives and what it says about it, on QEMU virt's tree with a few devices more.
#![cfg(not(miri))] // they start dtc

mod common;

use common::{Images, compile_text, plan_on_virt, virt};
use partita_model::addr::{Ipa, IpaSpan, Pa, PaSpan};
use partita_model::plan::{ClearMemory, Console, Files, Inputs, Memory, Movable, Plan, Reserved, Restart};

/// An overlay with these nodes beside the plan, and one partition with these properties.
fn overlay(nodes: &str, partition: &str) -> String {
    format!(
        "/dts-v1/; /plugin/; &{{/}} {{ {nodes} partitions {{ compatible = \"partita,partitions\"; {} }}; }};",
        guest("guest", 0, partition)
    )
}

fn guest(name: &str, core: u32, properties: &str) -> String {
    format!(
        "{name} {{ compatible = \"partita,partition\"; #address-cells = <2>; #size-cells = <2>; cpus = <{core}>;
            kernel = \"flat.bin\"; {properties}
            memory@40000000 {{ reg = <0x0 0x40000000 0x0 0x4000000>; }}; }};"
    )
}

fn planned(source: &str) -> Result<Plan, String> {
    let planned = plan_on_virt(&compile_text(source), &Images);
    planned.map(|planned| planned.plan).map_err(|error| error.to_string())
}

fn plan(nodes: &str, partition: &str) -> Result<Plan, String> {
    planned(&overlay(nodes, partition))
}

#[test]
fn what_is_no_device_cannot_be_given() {
    let reserved = "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; };";
    for (path, why) in [
        ("/", "it is the whole board"),
        ("/cpus", "cores are given by `cpus`"),
        ("/chosen", "it is no device"),
        ("/aliases", "it is no device"),
        ("/partitions", "it is the plan itself"),
        ("/partitions/guest", "it is the plan itself"),
        ("/reserved-memory", "it is memory that firmware has reserved"),
    ] {
        let words =
            plan(&format!("aliases {{ }}; {reserved}"), &format!("devices = \"{path}\";")).unwrap_err();
        assert!(words.starts_with("/partitions/guest: devices: ") && words.contains(why), "{path}: {words}");
    }
}

const EXPANDER: &str =
    "expander: expander@9100000 { compatible = \"arm,pl061\"; reg = <0x0 0x9100000 0x0 0x1000>;
        interrupt-controller; #interrupt-cells = <2>; interrupts = <0 60 4>; };
    button@9110000 { compatible = \"arm,pl031\"; reg = <0x0 0x9110000 0x0 0x1000>;
        interrupt-parent = <&expander>; interrupts = <3 1>; };";

/// An interrupt of another controller is no mistake: it needs that controller in the same partition.
#[test]
fn an_interrupt_of_another_controller_needs_it() {
    let words = plan(EXPANDER, "devices = \"/button@9110000\";").unwrap_err();
    assert!(words.contains("/button@9110000 needs /expander@9100000"), "{words}");
    let plan = plan(EXPANDER, "devices = \"/button@9110000\", \"/expander@9100000\";").unwrap();
    let spis: Vec<u32> = plan.partitions[0].spis.iter().map(|spi| spi.intid).collect();
    assert_eq!(spis, [92]);
}

const CLOCKED: &str = "clk: clk@9120000 { compatible = \"vendor,clk\"; reg = <0x0 0x9120000 0x0 0x1000>;
        #clock-cells = <0>; clock-frequency = <1000000>; };
    user@9130000 { compatible = \"arm,pl031\"; reg = <0x0 0x9130000 0x0 0x1000>; clocks = <&clk>; };";

#[test]
fn a_clock_is_fixed_once_and_not_given_too() {
    let once = plan(CLOCKED, "devices = \"/user@9130000\"; fixed-clocks = \"/clk@9120000\";").unwrap();
    assert_eq!(once.partitions[0].fixed_clocks.len(), 1);
    for twice in [
        "devices = \"/user@9130000\"; fixed-clocks = \"/clk@9120000\", \"/clk@9120000\";",
        "devices = \"/user@9130000\", \"/clk@9120000\"; fixed-clocks = \"/clk@9120000\";",
    ] {
        assert_eq!(
            plan(CLOCKED, twice).unwrap_err(),
            "/partitions/guest: fixed-clocks: \"/clk@9120000\" is named twice; remove one"
        );
    }
}

const BUS: &str = "outer { compatible = \"simple-bus\"; #address-cells = <1>; #size-cells = <1>;
    ranges = <0x0 0x0 0x9100000 0x100000>; inner@0 { compatible = \"arm,pl031\"; reg = <0x0 0x1000>; }; };";

#[test]
fn what_comes_with_a_bus_is_not_named_again() {
    for devices in ["\"/outer\", \"/outer/inner@0\"", "\"/outer/inner@0\", \"/outer\""] {
        assert_eq!(
            plan(BUS, &format!("devices = {devices};")).unwrap_err(),
            "/partitions/guest: devices: \"/outer/inner@0\" (it comes with \"/outer\") is named twice; remove one"
        );
    }
}

/// What is disabled below a device comes along as it is, and nothing is asked of it.
#[test]
fn a_disabled_part_may_be_anything() {
    let with = |status: &str| {
        plan(
            &BUS.replace(
                "reg = <0x0 0x1000>;",
                &format!("reg = <0x0 0x1000>; interrupts = <1 5 4>; {status}"),
            ),
            "devices = \"/outer\";",
        )
    };
    assert!(with("").unwrap_err().contains("/outer/inner@0"), "a private interrupt");
    assert_eq!(with("status = \"disabled\";").unwrap().partitions[0].devices.len(), 1);
}

#[test]
fn the_way_through_a_bus_must_be_whole() {
    let with = |ranges: &str| plan(&BUS.replace("0x100000>", ranges), "devices = \"/outer/inner@0\";");
    assert!(with("0x100000>").is_ok() && with("0x1000>").is_ok());
    for bad in ["0x100000 0x5>", "0x800>", "0x100000>, <0x0>"] {
        let words = with(bad).unwrap_err();
        assert!(
            words.contains("reg of /outer/inner@0") || words.contains("/outer/inner@0"),
            "{bad}: {words}"
        );
    }
}

/// What is on a bus is no part of it, even if the bus has registers too.
#[test]
fn a_bus_may_have_registers_of_its_own() {
    let own = BUS.replace("ranges = <", "reg = <0x0 0x9200000 0x0 0x1000>; ranges = <");
    let plan = plan(&own, "devices = \"/outer/inner@0\";").unwrap();
    assert_eq!(plan.partitions[0].mmio, [PaSpan::new(Pa(0x910_0000), 0x1000).unwrap()]);
}

#[test]
fn a_bus_and_what_is_on_it_have_one_owner() {
    for (first, second) in [("/outer", "/outer/inner@0"), ("/outer/inner@0", "/outer"), ("/outer", "/outer")]
    {
        let source = overlay(BUS, &format!("devices = \"{first}\";")).replace(
            "}; }; }; };",
            &format!("}}; }}; {} }}; }};", guest("other", 1, &format!("devices = \"{second}\";"))),
        );
        let words = planned(&source).unwrap_err();
        assert!(words.starts_with("/partitions/other: devices: ") && words.contains("guest"), "{words}");
    }
}

/// What is below something disabled is disabled, and the message says by what.
#[test]
fn what_a_disabled_bus_has() {
    let off = |from: &str| BUS.replace(from, &format!("{from} status = \"disabled\";"));
    let words = |nodes: &str| plan(nodes, "devices = \"/outer/inner@0\";").unwrap_err();
    let above = words(&off("compatible = \"simple-bus\";"));
    assert!(above.contains("/outer/inner@0 lies below /outer, which is disabled"), "{above}");
    let itself = words(&off("compatible = \"arm,pl031\";"));
    assert!(itself.contains("/outer/inner@0 is disabled"), "{itself}");
}

/// The same clock by its path and by an alias is the same.
#[test]
fn a_clock_by_two_names() {
    let nodes = format!("aliases {{ clk9 = \"/clk@9120000\"; }}; {CLOCKED}");
    let words = plan(&nodes, "devices = \"/user@9130000\"; fixed-clocks = \"/clk@9120000\", \"clk9\";");
    assert_eq!(
        words.unwrap_err(),
        "/partitions/guest: fixed-clocks: \"/clk@9120000\" is named twice; remove one"
    );
}

/// A device that is a bus itself has its masters behind its own `dma-ranges`.
#[test]
fn the_reach_of_a_bus_that_is_given_whole() {
    let engine = |size_cells: u32, ranges: &str| {
        let node = format!(
            "engine@9140000 {{ compatible = \"vendor,engine\"; reg = <0x0 0x9140000 0x0 0x1000>;
                #address-cells = <1>; #size-cells = <{size_cells}>; {ranges} }};"
        );
        let source = overlay(
            &node,
            "devices = \"/engine@9140000\"; dma-trusted = \"/engine@9140000\"; console = \"none\";",
        );
        planned(&source.replace("0x4000000>;", "0x4000000>; host-base;"))
    };
    let reach =
        |plan: &Plan| plan.partitions[0].devices[0].dma.iter().map(ToString::to_string).collect::<Vec<_>>();
    let partial = |plan: &Plan| plan.notes.iter().any(|note| note.contains("reaches only"));
    let some = engine(1, "dma-ranges = <0x0 0x0 0x40000000 0x200000>;").unwrap();
    assert_eq!((reach(&some), partial(&some)), (vec!["0x40000000-0x401fffff".to_string()], true));
    // All of the memory is no part of it, and a byte less is.
    let all = engine(1, "dma-ranges = <0x0 0x0 0x40000000 0x4000000>;").unwrap();
    assert_eq!((reach(&all), partial(&all)), (vec!["0x40000000-0x43ffffff".to_string()], false));
    let words = engine(1, "dma-ranges = <0x0 0x0 0x40000000>;").unwrap_err();
    assert!(words.contains("dma-ranges"), "{words}");
    // An entry and most of another.
    let words = engine(2, "dma-ranges = <0 0 0x40000000 0 0x200000 0x200000 0 0x40200000 0>;");
    assert!(words.as_ref().is_err_and(|words| words.contains("dma-ranges")), "{words:?}");
}

/// Who else is at the mercy of a trusted device: those whose memory it reaches, and Partita itself.
#[test]
fn whom_a_trusted_device_reaches() {
    let warning = |size: &str, hypervisor: u64| {
        let engine = format!(
            "engine@9140000 {{ compatible = \"vendor,engine\"; reg = <0x0 0x9140000 0x0 0x1000>;
                #address-cells = <1>; #size-cells = <1>; dma-ranges = <0x0 0x0 0x40000000 {size}>; }};"
        );
        let first = "devices = \"/engine@9140000\"; dma-trusted = \"/engine@9140000\";";
        let second = guest("other", 1, "").replace("0x4000000>;", "0x4000000>; host-base = <0 0x60000000>;");
        let source = overlay(&engine, first).replace("0x4000000>;", "0x4000000>; host-base;");
        let source = source.replacen("partita,partitions\";", &format!("partita,partitions\"; {second}"), 1);
        let span = |base| PaSpan::new(Pa(base), 0x10_0000).unwrap();
        let occupied = [
            Reserved::movable(span(hypervisor), Movable::Hypervisor),
            Reserved::movable(span(0x7000_0000), Movable::Bundle),
        ];
        let overlay = compile_text(&source);
        let inputs =
            Inputs { tree: virt(), overlay: Some(&overlay), files: &Images, ram: &[], occupied: &occupied };
        let plan = Plan::new(&inputs).unwrap().plan;
        let mut notes = plan.notes.into_iter().filter(|note| note.contains("UNGUARDED DMA"));
        let note = notes.next().unwrap();
        assert_eq!(notes.next(), None);
        note.split_once("no SMMU stops it").unwrap().1.to_string()
    };
    let mercy = "at the mercy of what runs in guest";
    assert_eq!(warning("0x10000000", 0x5000_0000), "");
    assert_eq!(warning("0x10000000", 0x4ff0_0000), format!(": Partita itself is {mercy}"));
    assert_eq!(warning("0x20000001", 0x6800_0000), format!(": partition other is {mercy}"));
    assert_eq!(
        warning("0x30000000", 0x5000_0000),
        format!(": Partita itself and partition other are {mercy}")
    );
}

/// dtc gives a node with a label a phandle, and that is no property of the plan's.
#[test]
fn a_partition_may_have_a_label() {
    let labelled = overlay("", "").replace("guest {", "lbl: guest {");
    assert_eq!(planned(&labelled).map(|plan| plan.partitions.len()), Ok(1));
}

/// Messages count bytes as they are there.
#[test]
fn numbers_of_a_wrong_length() {
    for (found, bytes) in [("0 1 0 2", 16), ("0", 4), ("0 1 2", 12)] {
        let words = plan("", &format!("load-address = <{found}>;")).unwrap_err();
        assert!(words.contains(&format!("but it has {bytes} bytes")), "{words}");
    }
    let odd = overlay("", "").replace("#size-cells = <2>;", "#size-cells = <1>;");
    let words = planned(&odd).unwrap_err();
    assert!(words.contains("bases of 2 and sizes of 1 cells") && words.contains("has 16 bytes"), "{words}");
}

#[test]
fn a_name_is_a_word() {
    let named = |name: &str| planned(&overlay("", "").replace("guest {", &format!("{name} {{"))).is_ok();
    let long = "a".repeat(31);
    assert!(named("a") && named("a-1") && named(&long));
    assert!(!named(&format!("{long}a")) && !named("1a") && !named("-a") && !named("aB") && !named("a_b"));
}

#[test]
fn words_of_clear_memory_and_restart() {
    let clear = |words: &str| plan("", words).unwrap().partitions[0].clear_memory;
    assert_eq!(clear(""), ClearMemory::Always);
    assert_eq!(clear("clear-memory = \"always\";"), ClearMemory::Always);
    assert_eq!(clear("clear-memory = \"on-reuse\";"), ClearMemory::OnReuse);
    let restart = |words: &str| {
        let planned = plan("", words).unwrap();
        (planned.partitions[0].restart, planned.partitions[0].restart_limit)
    };
    assert_eq!(restart(""), (Restart::Never, (5, 60)));
    assert_eq!(restart("restart = \"never\";"), (Restart::Never, (5, 60)));
    assert_eq!(restart("restart = \"on-failure\"; restart-limit = <3 10>;"), (Restart::OnFailure, (3, 10)));
    assert_eq!(restart("restart = \"always\"; restart-limit = <1000 0>;"), (Restart::Always, (1000, 0)));
    let direct = "interrupt-path = \"direct\"; stop = \"best-effort\"; restart = \"always\";";
    let warned =
        |words| plan("", words).unwrap().notes.iter().any(|note| note.contains("it is started again only"));
    assert!(warned(direct) && !warned("restart = \"always\";"));
}

#[test]
fn who_has_the_boards_uart() {
    let note = |plan: &Plan, words: &str| plan.notes.iter().any(|note| note.contains(words));
    let owner = plan("", "devices = \"/pl011@9000000\";").unwrap();
    assert_eq!(owner.partitions[0].console, Console::Device("/pl011@9000000".into()));
    assert_eq!(owner.uart_owner().map(|partition| partition.name.as_str()), Some("guest"));
    assert!(note(&owner, "it has the board's UART /pl011@9000000"));
    let nobody = plan("", "devices = \"/pl031@9010000\";").unwrap();
    assert!(matches!(nobody.partitions[0].console, Console::Shared { .. }));
    assert_eq!((nobody.uart_owner(), nobody.notes.len()), (None, 0));
    // Where Partita cannot print, a shared console is of no use, and only it.
    let silent = "chosen { stdout-path = \"/nothing\"; };";
    assert!(note(&plan(silent, "").unwrap(), "its shared console leads nowhere"));
    assert_eq!(plan(silent, "console = \"none\";").unwrap().notes, [""; 0]);
}

#[test]
fn what_belongs_to_a_shared_console_needs_one() {
    for property in ["console-base = <0x0 0x9000000>;", "console-interrupt = <5>;"] {
        let words = plan("", &format!("console = \"none\"; {property}")).unwrap_err();
        let name = property.split_once(' ').unwrap().0;
        assert!(words.starts_with(&format!("/partitions/guest: {name}: needs console")), "{words}");
    }
}

/// The fragment that a label stands in decides where that is, not the first one.
#[test]
fn labels_are_found_in_their_fragment() {
    let two = overlay("", "").replace("cpus = <0>", "cpus = <&unknown>");
    let source = two.replace("&{/} {", "&{/chosen} { other; }; &{/} {");
    let words = planned(&source).unwrap_err();
    assert!(words.starts_with("/partitions/guest: cpus: ") && words.contains("&unknown"), "{words}");
}

#[test]
fn a_guests_address_behind_its_memory() {
    let ipa = IpaSpan::new(Ipa(0x4000_0000), 0x10_0000).unwrap();
    let memory = Memory { ipa, pa: Pa(0x8020_0000), numa: None };
    assert_eq!(memory.translate(Ipa(0x4000_0000)), Some(Pa(0x8020_0000)));
    assert_eq!(memory.translate(Ipa(0x400f_ffff)), Some(Pa(0x802f_ffff)));
    assert_eq!((memory.translate(Ipa(0x4010_0000)), memory.translate(Ipa(0x3fff_ffff))), (None, None));
}

/// A tree of the user's own beside the images.
struct OwnTree(Vec<u8>);

impl Files for OwnTree {
    fn get(&self, name: &str) -> Option<&[u8]> {
        if name == "own.dtb" { Some(&self.0) } else { Images.get(name) }
    }
}

/// What the plan says to this tree; `cpus` and the controller are left to each test.
fn own(body: &str) -> Result<(), String> {
    let tree = compile_text(&format!("/dts-v1/; / {{ #address-cells = <2>; #size-cells = <2>; {body} }};"));
    let overlay = compile_text(&overlay("", "dtb = \"own.dtb\";"));
    plan_on_virt(&overlay, &OwnTree(tree)).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn cores_of_an_own_tree() {
    let cores = |nodes: &str| own(&format!("cpus {{ #address-cells = <1>; #size-cells = <0>; {nodes} }};"));
    assert_eq!(cores("cpu@0 { reg = <0>; enable-method = \"psci\"; }; cpu-map { };"), Ok(()));
    // Not started by anybody: the first core runs anyway.
    assert_eq!(cores("cpu@0 { device_type = \"cpu\"; reg = <0>; };"), Ok(()));
    for (bad, why) in [
        ("cpu@1 { reg = <1>; };", "is core 0x1, but the partition has 1"),
        ("core@1 { device_type = \"cpu\"; reg = <1>; };", "is core 0x1, but the partition has 1"),
        ("cpu@0 { reg = <0>; enable-method = \"spin-table\"; };", "started by \"spin-table\""),
        ("cpu@0 { reg = <0>; enable-method = <1>; };", "started by \"\""),
        ("cpu@0 { reg = <0 0>; };", "reg of /cpus/cpu@0 is not what it must be"),
    ] {
        let words = cores(bad).unwrap_err();
        assert!(words.contains(why), "{bad}: {words}");
    }
}

#[test]
fn memory_of_an_own_tree_lies_in_the_partitions() {
    let memory = |reg: &str| own(&format!("memory@40000000 {{ reg = <{reg}>; }};"));
    assert_eq!(memory("0x0 0x40000000 0x0 0x4000000"), Ok(()));
    assert_eq!(memory("0x0 0x40100000 0x0 0x100000"), Ok(()));
    assert!(memory("0x0 0x40000000 0x0 0x4001000").unwrap_err().contains("says that there is memory at"));
    assert!(memory("0x0 0x3ffff000 0x0 0x2000").is_err());
}
