//! Golden texts: what dtc reads in the trees, down to the last property. dtc may not find anything to warn of.

use partita_model::addr::Ipa;
use partita_model::dt::Tree;
use partita_model::guest_tree;
use partita_model::plan::*;

use crate::boards::{board, dtc, file, fix, give, host, ipa, virt};

/// Compares a plan's first tree with its golden text.
fn check(name: &str, plan: &Plan, host: &Tree<'_>) {
    let blob = guest_tree::write(plan, 0, host).expect("a tree");
    assert_eq!(blob, guest_tree::write(plan, 0, host).expect("a tree"), "one plan, one tree");
    let (text, warnings) = dtc(&["-I", "dtb", "-O", "dts"], &blob);
    // A bus is called `soc`, without an address, on real boards too.
    let ours = warnings.lines().find(|line| !line.contains("/soc: node has a reg or ranges property"));
    assert_eq!(ours, None, "dtc warns of {name}");
    let text = String::from_utf8(text).expect("dtc writes text");
    let golden = file(&format!("golden/tree-{name}.dts"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).expect("the golden text is written");
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(text == expected, "{} differs; the tree is now:\n{text}", golden.display());
}

#[test]
fn linux_with_two_cores_an_initrd_and_a_clock() {
    let mut plan = virt("linux", 2);
    give(&mut plan, "/pl031@9010000");
    let partition = &mut plan.partitions[0];
    partition.bootargs = "console=ttyAMA0 quiet".into();
    partition.load.initrd_span = Some(ipa(0x4800_0000, 0x12_3456));
    check("linux", &plan, &host("virt"));
}

#[test]
fn metronome_without_devices() {
    check("metronome", &virt("metronome", 1), &host("virt"));
}

#[test]
fn a_watchdog() {
    let mut plan = virt("watchdog", 1);
    plan.partitions[0].watchdog =
        Some(Watchdog { control: Ipa(0x911_0000), refresh: Ipa(0x912_0000), intid: 32 });
    check("watchdog", &plan, &host("virt"));
}

#[test]
fn a_console_of_its_own() {
    let mut plan = virt("own-console", 1);
    give(&mut plan, "/pl011@9000000");
    plan.partitions[0].console = Console::Device("/pl011@9000000".into());
    check("own-console", &plan, &host("virt"));
}

#[test]
fn memory_in_pieces_and_no_console() {
    let mut plan = virt("pieces", 1);
    let partition = &mut plan.partitions[0];
    partition.console = Console::None;
    partition.memory[0].numa = Some(0);
    partition.memory.push(Memory {
        ipa: ipa(0x1_0000_0000, 0x20_0000),
        numa: Some(1),
        ..partition.memory[0]
    });
    check("pieces", &plan, &host("virt"));
}

#[test]
fn a_supervisor() {
    let mut plan = virt("boss", 1);
    let second = |at: u64| Managed { partition: 1, rank: 0, area: ipa(at, 0x2000) };
    let worker = Partition { name: "worker".into(), ..plan.partitions[0].clone() };
    plan.partitions.push(worker);
    plan.partitions[0].supervisor =
        Some(Supervisor { registers: ipa(0x910_0000, 0x1000), managed: vec![second(0x910_1000)] });
    check("supervisor", &plan, &host("virt"));
}

/// One-cell root, bus, pins below a given controller, a fixed clock instead of a provider, a disabled child, a
/// guest-tree that adds to a given device.
#[test]
fn a_uart_behind_clocks_and_pins() {
    let mut plan = board("one");
    give(&mut plan, "/soc/serial@201000");
    give(&mut plan, "/soc/gpio@200000");
    fix(&mut plan, "/soc/cprman@101000", &[19], 48_000_000);
    let partition = &mut plan.partitions[0];
    partition.console = Console::Device("/soc/serial@201000".into());
    partition.guest_tree = Some("/partitions/one/guest-tree".into());
    check("board-uart", &plan, &host("board"));
}

/// References of references, an I2C bus with a disabled chip, a device at a root of one cell.
#[test]
fn a_clock_behind_regulators() {
    let mut plan = board("two");
    give(&mut plan, "/soc/i2c@804000");
    give(&mut plan, "/rtc@d0000000");
    give(&mut plan, "/soc/gpio@200000");
    check("board-i2c", &plan, &host("board"));
}
