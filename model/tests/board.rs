//! Boards that are not QEMU virt: buses with `ranges`, spin-table cores, two-cell core numbers, several redistributor
//! regions, timers by name, RAM in pieces. The trees are cut down from real ones and compiled by dtc.
#![cfg(not(miri))] // they start dtc

mod common;

use common::{compile_text, virt};
use partita_model::addr::{Pa, PaSpan, Span};
use partita_model::dt::{self, Index};
use partita_model::plan::{Board, Conduit, CpuEnable, Gic, PlanError, Reserved, UartKind, devices};

fn tree(source: &str) -> partita_model::dt::Tree<'static> {
    dt::parse(&compile_text(source)).unwrap().into_owned()
}

fn board(source: &str) -> Result<Board, PlanError> {
    Board::new(&tree(source), &[], &[])
}

fn span(base: u64, size: u64) -> PaSpan {
    Span { base: Pa(base), size }
}

const SOC: &str = r#"/dts-v1/;
/memreserve/ 0x0 0x1000;
/ {
	#address-cells = <2>; #size-cells = <1>; interrupt-parent = <&gic>;
	aliases { serial0 = &uart1; serial1 = &uart0; };
	chosen { stdout-path = "serial1:115200n8"; };
	memory@0 { device_type = "memory"; reg = <0x0 0x0 0x3b400000>, <0x0 0x40000000 0xbc000000>, <0x0 0x3b400000 0x0>; };
	reserved-memory {
		#address-cells = <2>; #size-cells = <1>; ranges;
		linux,cma { compatible = "shared-dma-pool"; size = <0x4000000>; reusable; };
		atf@10000 { reg = <0x0 0x10000 0x1001>; no-map; };
		off@20000 { reg = <0x0 0x20000 0x1000>; status = "disabled"; };
	};
	soc {
		compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>;
		ranges = <0x7e000000 0x0 0xfe000000 0x01800000>, <0x7c000000 0x0 0xfc000000 0x02000000>,
			<0x40000000 0x0 0xff800000 0x00800000>;
		gic: interrupt-controller@40041000 {
			interrupt-controller; #interrupt-cells = <3>; compatible = "arm,gic-400";
			reg = <0x40041000 0x1000>, <0x40042000 0x2000>, <0x40044000 0x2000>, <0x40046000 0x2000>;
		};
		uart0: serial@7e201000 {
			compatible = "arm,pl011", "arm,primecell"; reg = <0x7e201000 0x200>; interrupts = <0 121 4>;
		};
		uart2: serial@7e201400 {
			compatible = "arm,pl011", "arm,primecell"; reg = <0x7e201400 0x200>; interrupts = <0 121 4>;
		};
		uart1: serial@7e215040 {
			compatible = "brcm,bcm2835-aux-uart"; reg = <0x7e215040 0x40>; interrupts = <0 93 4>;
		};
		i2c@7e205000 {
			compatible = "brcm,bcm2711-i2c"; reg = <0x7e205000 0x200>; interrupts = <0 117 4>;
			#address-cells = <1>; #size-cells = <0>;
			eeprom@50 { reg = <0x50>; };
		};
		lost@10000000 { reg = <0x10000000 0x1000>; };
	};
	timer { compatible = "arm,armv8-timer"; interrupts = <1 13 0xf08>, <1 14 0xf08>, <1 11 0xf08>, <1 10 0xf08>; };
	cpus {
		#address-cells = <1>; #size-cells = <0>;
		cpu@0 { device_type = "cpu"; reg = <0>; enable-method = "spin-table"; cpu-release-addr = <0x0 0xd8>; };
		cpu@1 { device_type = "cpu"; reg = <1>; enable-method = "spin-table"; cpu-release-addr = <0xe0>; };
		cpu@2 { device_type = "cpu"; reg = <2>; enable-method = "spin-table"; cpu-release-addr = <0x0 0xe8>; status = "fail"; };
		cpu-map { };
	};
};"#;

#[test]
fn a_bus_with_ranges_and_spin_tables() {
    let board = board(SOC).unwrap();
    assert_eq!(
        board.gic,
        Gic::V2 {
            path: "/soc/interrupt-controller@40041000".into(),
            dist: span(0xff84_1000, 0x1000),
            cpu: span(0xff84_2000, 0x2000),
            hyp: span(0xff84_4000, 0x2000),
            vcpu: span(0xff84_6000, 0x2000),
        }
    );
    let cores: Vec<_> = board.cpus.iter().map(|cpu| (cpu.mpidr, cpu.enable)).collect();
    assert_eq!(cores, [(0, CpuEnable::SpinTable(Pa(0xd8))), (1, CpuEnable::SpinTable(Pa(0xe0)))]);
    assert_eq!(board.ram, [span(0, 0x3b40_0000), span(0x4000_0000, 0xbc00_0000)]);
    let reserved: Vec<_> = board.reserved.iter().map(|it| (it.span, it.what.as_str())).collect();
    assert_eq!(
        reserved,
        [
            (span(0, 0x1000), "the release address of /cpus/cpu@0"),
            (span(0, 0x1000), "the release address of /cpus/cpu@1"),
            (span(0, 0x1000), "a memory reservation of the firmware"),
            (span(0x1_0000, 0x1001), "/reserved-memory/atf@10000")
        ]
    );
    let uart = board.uart.unwrap();
    assert_eq!((uart.kind, uart.span, uart.intid), (UartKind::Pl011, span(0xfe20_1000, 0x200), Some(153)));
    assert_eq!((board.psci, board.timer_ppis), (None, [29, 30, 27, 26]));
    assert_eq!(board.power, None);
}

#[test]
fn the_other_uart_and_what_shares_with_it() {
    let source = SOC.replace("serial1:115200n8", "serial0:115200n8");
    let tree = tree(&source);
    let board = Board::new(&tree, &[], &[]).unwrap();
    assert_eq!(board.uart.as_ref().unwrap().kind, UartKind::MiniUart);
    let offers = devices::list(&tree, &board);
    let offer = |path: &str| offers.iter().find(|offer| offer.path == path).unwrap();
    let uart = offer("/soc/serial@7e201000");
    assert_eq!(uart.page_mates, ["/soc/serial@7e201400"]);
    assert_eq!(uart.interrupt_mates, ["/soc/serial@7e201400"]);
    assert_eq!((uart.dma, uart.disabled, &uart.why_not), (false, false, &None));
    assert_eq!(uart.regs, [span(0xfe20_1000, 0x200)]);
    assert!(offer("/soc/serial@7e215040").why_not.as_ref().unwrap().contains("Partita prints on it"));
    assert!(!offers.iter().any(|offer| offer.path.contains("eeprom") || offer.path.contains("memory")));
}

#[test]
fn what_powers_the_board_off() {
    let with = |node: &str| {
        let tree = tree(&SOC.replace("lost@10000000", &format!("{node} lost@10000000")));
        let board = Board::new(&tree, &[], &[]).unwrap();
        let offers = devices::list(&tree, &board);
        let why = offers.into_iter().find(|offer| offer.path == "/soc/watchdog@7e100000").unwrap().why_not;
        (board.power.map(|power| (power.path, power.span)), why.unwrap())
    };
    let watchdog =
        |says: &str| format!("watchdog@7e100000 {{ {says} reg = <0x7e100000 0x114>, <0x7e00a000 0x24>; }};");
    let known = "compatible = \"brcm,bcm2711-pm\", \"brcm,bcm2835-pm-wdt\";";
    let (power, why) = with(&watchdog(&format!("{known} system-power-controller;")));
    assert_eq!(power, Some(("/soc/watchdog@7e100000".into(), span(0xfe10_0000, 0x114))));
    assert!(why.contains("it powers the whole board off"), "{why}");
    // Only what says so, and only what is known.
    assert_eq!(with(&watchdog(known)).0, None);
    let (power, why) = with(&watchdog("compatible = \"acme,power\"; system-power-controller;"));
    assert!(power.is_none() && why.contains("it powers the whole board off"), "{why}");
    assert_eq!(with(&watchdog(&format!("{known} system-power-controller; status = \"disabled\";"))).0, None);
    let short = "watchdog@7e100000 { compatible = \"brcm,bcm2835-pm-wdt\"; system-power-controller; reg = <0x7e100000 0x24>; };";
    assert_eq!(with(short).0, None);
}

#[test]
fn what_is_read_first_is_what_the_board_has() {
    let watchdog = "watchdog@7e100000 { compatible = \"brcm,bcm2711-pm\", \"brcm,bcm2835-pm-wdt\"; \
                    system-power-controller; reg = <0x7e100000 0x114>; }; lost@10000000";
    for source in [SOC.replace("lost@10000000", watchdog).as_str(), SERVER] {
        let tree = tree(source);
        let board = Board::new(&tree, &[], &[]).unwrap();
        assert_eq!(Board::stdout(&Index::new(&tree)), board.uart);
        assert_eq!(Board::memory(&tree).unwrap(), board.ram);
        assert_eq!(Board::conduit(&Index::new(&tree)), board.psci);
        assert_eq!(Board::power(&Index::new(&tree)), board.power);
        assert_eq!(board.uart.is_some(), board.power.is_some());
        assert!(board.gic.path().contains("/interrupt-controller@"));
    }
}

#[test]
fn a_core_is_known_by_its_name_or_its_type() {
    let cores =
        |source: &str| board(source).unwrap().cpus.iter().map(|cpu| cpu.path.clone()).collect::<Vec<_>>();
    let both = ["/cpus/cpu@0", "/cpus/cpu@100000100"];
    assert_eq!(cores(SERVER), both);
    assert_eq!(cores(&SERVER.replace("device_type = \"cpu\"; ", "")), both);
    assert_eq!(cores(&SERVER.replace("cpu@100000100 {", "core@1 {")), ["/cpus/cpu@0", "/cpus/core@1"]);
    let neither = SERVER.replace("cpu@100000100 { device_type = \"cpu\";", "core@1 {");
    assert_eq!(cores(&neither), ["/cpus/cpu@0"]);
}

#[test]
fn how_a_core_starts() {
    let first = |source: &str| board(source).unwrap().cpus[0].enable;
    let silent = SERVER.replace("enable-method = \"psci\";", "");
    let smc = |source: &str| source.replace("\"hvc\"", "\"smc\"");
    // EL2 calls firmware by SMC only; trees with one core leave the method out.
    assert_eq!((first(&smc(SERVER)), first(SERVER)), (CpuEnable::Psci, CpuEnable::Unknown));
    assert_eq!((first(&smc(&silent)), first(&silent)), (CpuEnable::Psci, CpuEnable::Unknown));
    for bad in ["<0x0 0x0>", "<0x0 0xd4>", "<0x1 0x2 0x3>"] {
        let error =
            board(&SOC.replace("cpu-release-addr = <0x0 0xd8>", &format!("cpu-release-addr = {bad}")))
                .unwrap_err();
        assert!(error.to_string().starts_with("/cpus/cpu@0: cpu-release-addr"), "{bad}: {error}");
    }
}

#[test]
fn a_uart_that_cannot_be_driven_is_none() {
    let uart = |source: String| board(&source).unwrap().uart;
    let first =
        |from: &str, to: &str| uart(SOC.replace("serial1:115200n8", "serial0:115200n8").replace(from, to));
    assert!(first("", "").is_some());
    assert_eq!(first("brcm,bcm2835-aux-uart", "acme,uart"), None);
    // Its enable register would lie in the page before.
    assert_eq!(first("0x7e215040 0x40", "0x7e215000 0x40"), None);
    assert_eq!(first("0x7e215040 0x40", "0x7e21503f 0x40"), None);
    assert_eq!(first("interrupts = <0 93 4>;", "interrupts = <0 93 4>; status = \"disabled\";"), None);
    // It is driven without its interrupt where that is none of the GIC's.
    for (specifier, intid) in [("<0 93 4>", Some(125)), ("<1 3 4>", None), ("<0 988 4>", None)] {
        let found = first("interrupts = <0 93 4>", &format!("interrupts = {specifier}")).unwrap();
        assert_eq!(found.intid, intid, "{specifier}");
    }
}

#[test]
fn memory_is_known_by_its_name_or_its_type() {
    let ram = |from: &str, to: &str| board(&SERVER.replace(from, to)).map(|board| board.ram);
    let low = span(0x8000_0000, 0x8000_0000);
    let (second, high) = ("memory@100000000 { device_type = \"memory\";", span(0x1_0000_0000, 0x8000_0000));
    let both = [Span::between(low.base, high.end())];
    assert_eq!(ram(second, "memory@100000000 {").unwrap(), both);
    assert_eq!(ram(second, "ram@100000000 { device_type = \"memory\";").unwrap(), both);
    assert_eq!(ram(second, "memory {").unwrap(), both);
    assert_eq!(ram(second, "memory-controller@100000000 {").unwrap(), [low]);
    assert_eq!(ram(second, "memory@100000000 { status = \"disabled\";").unwrap(), [low]);
    // Only at the root: elsewhere it is a device's.
    assert_eq!(ram("psci {", "bus { #address-cells = <2>; #size-cells = <2>; ranges; memory@1 { reg = <0x2 0x0 0x0 0x1000>; }; }; psci {").unwrap(), both);
}

#[test]
fn what_is_reserved_of_nothing_is_nothing() {
    let none = Reserved::fixed(span(0x8000_0000, 0), "nothing");
    assert_eq!(Board::new(&tree(SERVER), &[], &[none]).unwrap().reserved, []);
}

const SERVER: &str = r#"/dts-v1/;
/ {
	#address-cells = <2>; #size-cells = <2>; interrupt-parent = <&gic>;
	memory@80000000 { device_type = "memory"; reg = <0x0 0x80000000 0x0 0x80000000>; };
	memory@100000000 { device_type = "memory"; reg = <0x1 0x0 0x0 0x80000400>; };
	psci { compatible = "arm,psci-1.0"; method = "hvc"; };
	timer {
		compatible = "arm,armv8-timer";
		interrupt-names = "virt", "hyp-phys", "phys";
		interrupts = <1 11 8 0>, <1 10 8 0>, <1 14 8 0>;
	};
	gic: interrupt-controller@2f000000 {
		compatible = "arm,gic-v3"; #interrupt-cells = <4>; interrupt-controller;
		#redistributor-regions = <2>; redistributor-stride = <0x0 0x40000>;
		reg = <0x0 0x2f000000 0x0 0x10000>, <0x0 0x2f100000 0x0 0x200000>, <0x1f 0x0 0x0 0x200000>,
			<0x0 0x2c000000 0x0 0x2000>;
	};
	cpus {
		#address-cells = <2>; #size-cells = <0>;
		cpu@0 { device_type = "cpu"; reg = <0x0 0x0>; enable-method = "psci"; };
		cpu@100000100 { device_type = "cpu"; reg = <0x1 0x80000100>; enable-method = "psci"; };
	};
};"#;

#[test]
fn a_server_without_uart() {
    let board = board(SERVER).unwrap();
    let Gic::V3 { redists, stride, .. } = &board.gic else { panic!("{:?}", board.gic) };
    assert_eq!(*redists, [span(0x2f10_0000, 0x20_0000), span(0x1f_0000_0000, 0x20_0000)]);
    assert_eq!(*stride, 0x4_0000);
    assert_eq!(board.ram, [span(0x8000_0000, 0x1_0000_0000)]);
    // Bits of MPIDR that are no affinity are masked.
    let cores: Vec<_> = board.cpus.iter().map(|cpu| cpu.mpidr).collect();
    assert_eq!(cores, [0, 0x1_0000_0100]);
    assert_eq!((board.psci, board.uart, board.timer_ppis), (Some(Conduit::Hvc), None, [0, 30, 27, 26]));
}

#[test]
fn ram_from_the_caller_and_what_is_occupied() {
    let bundle = Reserved::fixed(span(0x8000_0000, 0x100), "the bundle");
    let ram = [span(0x4000_0000, 0x1000), span(0x4000_1000, 0x1000), span(0x5000_0800, 0x900)];
    let board = Board::new(&tree(SERVER), &ram, std::slice::from_ref(&bundle)).unwrap();
    assert_eq!(board.ram, [span(0x4000_0000, 0x2000), span(0x5000_1000, 0)][..1]);
    assert_eq!(board.reserved, [bundle]);
}

#[test]
fn what_is_malformed_is_named() {
    let broken = [
        ("reg = <0x0 0x0>; enable", "reg = <0x0>; enable", "/cpus/cpu@0: reg"),
        ("reg = <0x1 0x80000100>", "reg = <0x0 0x0>", "/cpus/cpu@100000100: reg"),
        ("\"phys\"", "\"fizz\"", "/timer: interrupts"),
        ("regions = <2>", "regions = <9>", "/interrupt-controller@2f000000: reg"),
        ("regions = <2>", "regions = <0>", "/interrupt-controller@2f000000: reg"),
        ("<0x0 0x40000>", "<0x0 0x0>", "/interrupt-controller@2f000000: redistributor-stride"),
        ("<0x0 0x40000>", "<0x10>", "/interrupt-controller@2f000000: redistributor-stride"),
        ("\"arm,gic-v3\"", "\"vendor,gic\"", "/: the board's tree has no usable interrupt controller"),
        ("0x1 0x0 0x0 0x80000400", "0x1 0x0 0x0", "/memory@100000000: reg"),
    ];
    for (from, to, words) in broken {
        let error = board(&SERVER.replace(from, to)).unwrap_err().to_string();
        assert!(error.starts_with(words), "{to}: {error}");
    }
}

#[test]
fn gicv2_needs_whole_frames() {
    let gic = |from: &str, to: &str| board(&SOC.replace(from, to)).map(|board| board.gic);
    assert!(gic("<0x40046000 0x2000>", "<0x40046000 0x2000>").is_ok());
    for (from, to) in [
        ("<0x40046000 0x2000>", "<0x40046000 0x1800>"),
        ("<0x40042000 0x2000>", "<0x40042000 0x1000>"),
        ("<0x40041000 0x1000>", "<0x40041000 0x800>"),
        ("<0x40044000 0x2000>", "<0x40044800 0x2000>"),
        // What reaches into the pages of an interface, which partitions have.
        ("<0x40041000 0x1000>", "<0x40041000 0x1001>"),
        ("<0x40044000 0x2000>", "<0x40043000 0x1000>"),
        ("<0x40044000 0x2000>", "<0x40044000 0x2001>"),
        (", <0x40046000 0x2000>", ""),
    ] {
        let error = gic(from, to).unwrap_err().to_string();
        assert!(error.starts_with("/soc/interrupt-controller@40041000: reg"), "{to}: {error}");
    }
}

/// What shares a page goes together; what is below one another does so anyway and is no mate.
#[test]
fn mates_are_neither_above_nor_below() {
    let nodes = "mfd@7e300000 { reg = <0x7e300000 0x100>; #address-cells = <1>; #size-cells = <1>; ranges;
            part@7e300100 { reg = <0x7e300100 0x100>; }; };
        other@7e300200 { reg = <0x7e300200 0x100>; };";
    let tree = tree(&SOC.replace("lost@10000000 { reg = <0x10000000 0x1000>; };", nodes));
    let offers = devices::list(&tree, &Board::new(&tree, &[], &[]).unwrap());
    let mates = |path: &str| &offers.iter().find(|offer| offer.path == path).unwrap().page_mates;
    assert_eq!(*mates("/soc/mfd@7e300000"), ["/soc/other@7e300200"]);
    assert_eq!(*mates("/soc/mfd@7e300000/part@7e300100"), ["/soc/other@7e300200"]);
    assert_eq!(*mates("/soc/other@7e300200"), ["/soc/mfd@7e300000", "/soc/mfd@7e300000/part@7e300100"]);
}

/// Next to what Partita keeps nothing can be given, unless that is disabled.
#[test]
fn who_shares_with_what_partita_keeps() {
    let why = |status: &str| {
        let nodes = format!(
            "iommu@7e400000 {{ compatible = \"arm,smmu-v3\"; reg = <0x7e400000 0x20000>; #iommu-cells = <1>; {status} }};
            near@7e41f800 {{ compatible = \"arm,pl031\"; reg = <0x7e41f800 0x100>; }};"
        );
        let tree = tree(&SOC.replace("lost@10000000 { reg = <0x10000000 0x1000>; };", &nodes));
        let offers = devices::list(&tree, &Board::new(&tree, &[], &[]).unwrap());
        offers.into_iter().find(|offer| offer.path == "/soc/near@7e41f800").unwrap().why_not
    };
    let words = why("").unwrap();
    assert!(words.contains("/soc/iommu@7e400000 is in its set, which Partita keeps"), "{words}");
    assert_eq!(why("status = \"disabled\";"), None);
}

#[test]
fn what_qemu_virt_offers() {
    let tree = dt::parse(virt()).unwrap();
    let board = Board::new(&tree, &[], &[]).unwrap();
    assert_eq!(Board::maintenance(&Index::new(&tree)), Some(25));
    let offers = devices::list(&tree, &board);
    let givable: Vec<_> =
        offers.iter().filter(|offer| offer.why_not.is_none()).map(|offer| offer.path.as_str()).collect();
    assert_eq!(givable, ["/pl061@9030000", "/pcie@10000000", "/pl031@9010000", "/flash@0"]);
    // The bridge comes with its windows and its four interrupts, and is known to the SMMU by all that can be behind it.
    let bridge = offers.iter().find(|offer| offer.path == "/pcie@10000000").unwrap();
    let intids: Vec<_> = bridge.spis.iter().map(|spi| (spi.intid, spi.edge)).collect();
    assert_eq!(intids, [(35, false), (36, false), (37, false), (38, false)]);
    assert_eq!(
        bridge.regs,
        [
            span(0x40_1000_0000, 0x1000_0000),
            span(0x3eff_0000, 0x1_0000),
            span(0x1000_0000, 0x2eff_0000),
            span(0x80_0000_0000, 0x80_0000_0000)
        ]
    );
    assert_eq!((bridge.dma, bridge.streams.len(), bridge.reach.len()), (true, 1, 0));
    assert_eq!(bridge.streams[0].to_string(), "0x0-0xffff");
    let virtio = offers.iter().find(|offer| offer.path == "/virtio_mmio@a000200").unwrap();
    assert!(virtio.dma && virtio.page_mates.len() == 7);
}
