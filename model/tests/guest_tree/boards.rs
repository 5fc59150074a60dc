//! The boards under test, and plans for them that are made by hand, so that the writer is tested apart from the
//! planner.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use partita_model::addr::{Ipa, IpaSpan, Pa, PaSpan};
use partita_model::dt::{self, Tree};
use partita_model::plan::*;

/// A file below model/tests.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// dtc's output for an input, and its warnings. Set-up installs dtc.
pub fn dtc(arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    use std::io::Write;
    let mut child = Command::new("dtc")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc runs (package device-tree-compiler)");
    child.stdin.take().expect("a pipe").write_all(input).expect("dtc reads");
    let output = child.wait_with_output().expect("dtc ends");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "dtc: {words}");
    (output.stdout, words)
}

/// A board's tree, from its source in model/tests/data.
pub fn host(name: &str) -> Tree<'static> {
    changed(name, &[])
}

/// The same with parts of its source replaced.
pub fn changed(name: &str, changes: &[(&str, &str)]) -> Tree<'static> {
    let mut source = std::fs::read_to_string(file(&format!("data/{name}.dts"))).expect("the board's source");
    for (from, to) in changes {
        assert!(source.contains(from), "{from} is not in {name}.dts");
        source = source.replacen(from, to, 1);
    }
    let (blob, _) = dtc(&["-q", "-I", "dts", "-O", "dtb"], source.as_bytes());
    dt::parse(&blob).expect("dtc writes trees").into_owned()
}

/// A plan for QEMU virt with one partition on the first `cpus` cores and 256 MiB.
pub fn virt(name: &str, cpus: usize) -> Plan {
    let cores = ["/cpus/cpu@0", "/cpus/cpu@1", "/cpus/cpu@2", "/cpus/cpu@3"];
    let gic = Gic::V3 {
        path: "/intc@8000000".into(),
        dist: pa(0x800_0000, 0x1_0000),
        redists: vec![pa(0x80a_0000, 0xf6_0000)],
        stride: 0,
    };
    plan(name, &cores, cpus, gic)
}

/// A plan for the made-up board with one partition on both cores.
pub fn board(name: &str) -> Plan {
    let gic = Gic::V3 {
        path: "/soc/interrupt-controller@40040000".into(),
        dist: pa(0xff84_0000, 0x1_0000),
        redists: vec![pa(0xff86_0000, 0x4_0000)],
        stride: 0,
    };
    let mut plan = plan(name, &["/cpus/cpu@0", "/cpus/cpu@100"], 2, gic);
    plan.partitions[0].console = Console::None;
    plan
}

/// Gives a device. The writer looks at nothing but its path.
pub fn give(plan: &mut Plan, path: &str) {
    plan.partitions[0].devices.push(Device {
        path: path.into(),
        regs: vec![],
        spis: vec![],
        dma: vec![],
        streams: vec![],
    });
}

/// Makes an output of a clock provider a fixed clock.
pub fn fix(plan: &mut Plan, provider: &str, output: &[u32], hz: u32) {
    plan.partitions[0].fixed_clocks.push(FixedClock { provider: provider.into(), output: output.into(), hz });
}

fn plan(name: &str, cores: &[&str], owned: usize, gic: Gic) -> Plan {
    let cpus = cores.iter().enumerate().map(|(number, path)| Cpu {
        mpidr: number as u64,
        path: (*path).into(),
        enable: CpuEnable::Psci,
        owner: (number < owned).then_some((0, number)),
    });
    let memory = Memory { ipa: ipa(0x4000_0000, 0x1000_0000), pa: Pa(0x5000_0000), numa: None };
    Plan {
        board: Board {
            pci: Vec::new(),
            cpus: cpus.collect(),
            ram: vec![pa(0x4000_0000, 0x4000_0000)],
            reserved: vec![],
            gic,
            uart: None,
            psci: Some(Conduit::Smc),
            power: None,
            timer_ppis: [29, 30, 27, 26],
            smmus: Vec::new(),
        },
        partitions: vec![Partition {
            pci: Vec::new(),
            name: name.into(),
            path: format!("/partitions/{name}"),
            cpus: (0..owned).collect(),
            memory: vec![memory],
            devices: vec![],
            mmio: vec![],
            spis: vec![],
            streams: vec![],
            fixed_clocks: vec![],
            console: Console::Shared { base: Ipa(0x900_0000), intid: 33 },
            supervisor: None,
            watchdog: None,
            bootargs: String::new(),
            load: Load {
                kernel: "kernel".into(),
                initrd: None,
                pieces: vec![],
                entry: Ipa(0x4000_0000),
                initrd_span: None,
                dtb_span: Some(ipa(0x4fe0_0000, 0x20_0000)),
            },
            dtb: Dtb::Generated,
            interrupt_path: InterruptPath::Mediated,
            bell: None,
            start: Start::Auto,
            restart: Restart::Never,
            restart_limit: (5, 60),
            clear_memory: ClearMemory::Always,
            guest_tree: None,
        }],
        moves: vec![],
        notes: vec![],
    }
}

/// A physical range.
pub fn pa(base: u64, size: u64) -> PaSpan {
    PaSpan::new(Pa(base), size).expect("a range")
}

/// A guest's range.
pub fn ipa(base: u64, size: u64) -> IpaSpan {
    IpaSpan::new(Ipa(base), size).expect("a range")
}
