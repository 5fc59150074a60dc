//! PCI functions of two partitions on QEMU virt: what the plan gives, and the trees that the guests get.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::{Images, compile, plan_on_virt, plans_dir};
use partita_model::guest_tree;
use partita_model::plan::pci::{BridgeOffer, list};
use partita_model::plan::{Planned, Streams};

fn planned() -> Planned<'static> {
    plan_on_virt(&compile(&plans_dir().join("good/pci.dtso")), &Images).expect("a good plan")
}

#[test]
fn functions_come_with_stream_interrupt_and_windows() {
    let plan = planned().plan;
    let bridge = &plan.board.pci[0];
    assert_eq!((bridge.path.as_str(), bridge.buses), ("/pcie@10000000", (0, 0xff)));
    let [one, two] = plan.partitions.as_slice() else { panic!("two partitions") };
    let numbers = |partition: &partita_model::plan::Partition| -> Vec<String> {
        partition.pci[0].functions.iter().map(|function| function.address.to_string()).collect()
    };
    assert_eq!(
        (numbers(one), numbers(two)),
        (["00:02.0", "00:02.3", "00:06.0"].map(String::from).to_vec(), vec!["00:01.0".to_string()])
    );
    // A requester ID is the stream; runs that touch are one.
    assert_eq!(one.streams, [0x10, 0x13, 0x30].map(|id| Streams::one(0, id)));
    assert_eq!(two.streams, [Streams::one(0, 8)]);
    let spis = |partition: &partita_model::plan::Partition| -> Vec<u32> {
        partition.spis.iter().map(|spi| spi.intid - 32).collect()
    };
    assert_eq!((spis(one), spis(two)), (vec![5], vec![4]));
    let spans = |partition: &partita_model::plan::Partition| -> Vec<String> {
        partition.mmio.iter().map(ToString::to_string).collect()
    };
    assert_eq!(spans(one), ["0x10000000-0x1fffffff", "0x8000000000-0xbfffffffff"]);
    assert_eq!(spans(two), ["0x20000000-0x2fffffff", "0xc000000000-0xffffffffff"]);
}

#[test]
fn guests_see_a_bridge_with_their_part() {
    let Planned { plan, tree } = planned();
    let blob = guest_tree::write(&plan, 0, &tree).expect("a tree");
    let mut dtc = Command::new("dtc")
        .args(["-I", "dtb", "-O", "dts"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc is needed (device-tree-compiler)");
    dtc.stdin.take().unwrap().write_all(&blob).unwrap();
    let output = dtc.wait_with_output().unwrap();
    // dtc knows by its name's number where a bridge has to be; QEMU's is not there either.
    let warnings = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = warnings.lines().filter(|line| !line.contains("simple_bus_reg")).collect();
    assert_eq!(ours, [""; 0]);
    let text = String::from_utf8(output.stdout).unwrap();
    let node = text.split("\tpcie@10000000 {").nth(1).and_then(|rest| rest.split("\n\t};").next()).unwrap();
    let golden = "
\t\tcompatible = \"pci-host-ecam-generic\";
\t\tdevice_type = \"pci\";
\t\t#address-cells = <0x03>;
\t\t#size-cells = <0x02>;
\t\treg = <0x40 0x10000000 0x00 0x100000>;
\t\tbus-range = <0x00 0x00>;
\t\tranges = <0x2000000 0x00 0x10000000 0x00 0x10000000 0x00 0x10000000 0x3000000 0x80 0x00 0x80 0x00 0x40 0x00>;
\t\t#interrupt-cells = <0x01>;
\t\tinterrupt-map-mask = <0xfff800 0x00 0x00 0x07>;
\t\tinterrupt-map = <0x1000 0x00 0x00 0x01 0x8005 0x00 0x00 0x00 0x05 0x04 0x3000 0x00 0x00 0x01 0x8005 0x00 0x00 0x00 0x05 0x04>;
\t\tlinux,pci-domain = <0x00>;
\t\tdma-coherent;";
    assert_eq!(node, golden);
    assert!(!text.contains("smmu") && !text.contains("its"), "{text}");
}

#[test]
fn slots_share_four_interrupts() {
    let Planned { plan, tree } = planned();
    let bridges = list(&tree, &plan.board);
    let [BridgeOffer { path, bus: 0, guarded: true, lines }] = bridges.as_slice() else {
        panic!("{bridges:?}")
    };
    assert_eq!(path, "/pcie@10000000");
    let found: Vec<(u32, usize, &[u8])> = lines
        .iter()
        .map(|line| (line.spi.unwrap().intid - 32, line.devices.len(), &line.devices[..2]))
        .collect();
    assert_eq!(found, [(3, 8, &[0, 4][..]), (4, 8, &[1, 5]), (5, 8, &[2, 6]), (6, 8, &[3, 7])]);
}
