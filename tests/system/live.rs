//! The tables that the cores use while partitions run, read from outside through QEMU's debugger stub: nothing here
//! believes what Partita says of itself, except where the plan puts things.

use std::collections::BTreeSet;
use std::process::Command;

use partita_tests::tables::{Leaf, Walk, join, walk};
use partita_tests::{A72_ONLY, Debugger, Machine, OTHER_CORE, On, Target, partita, root, system_tests};
use serde_json::Value;

const PLAN: &str = "tests/system/live.dtso";
const PAGE: u64 = 0x1000;
const STACK: u64 = 0x4000;

/// Registers of a target that EL2 and the guests share out.
struct Board {
    /// What EL2 maps on every core: of the interrupt controller, and the UART that it prints on.
    shared: &'static [(u64, u64)],
    /// The redistributor of core 0, which the others' follow.
    redistributor: Option<(u64, u64)>,
    /// All of the physical interrupt controller.
    controller: (u64, u64),
    /// What guests have of it: where they find it, where it is, its size.
    interface: Option<(u64, u64, u64)>,
}

/// The UART of virt.
const UART: (u64, u64) = (0x0900_0000, PAGE);

fn board(on: On) -> Board {
    if on.target() == Target::VirtGicv2 {
        // Distributor, CPU interface, virtual interface control; for guests the virtual CPU interface as
        // theirs.
        return Board {
            shared: &[(0x0800_0000, PAGE), (0x0801_0000, 2 * PAGE), (0x0803_0000, PAGE), UART],
            redistributor: None,
            controller: (0x0800_0000, 0x4_0000),
            interface: Some((0x0801_0000, 0x0804_0000, 2 * PAGE)),
        };
    }
    if on.target() == Target::Raspi4b {
        // The same at that board's places, the page of the mini-UART, and that of the power controller.
        return Board {
            shared: &[
                (0xff84_1000, PAGE),
                (0xff84_2000, 2 * PAGE),
                (0xff84_4000, PAGE),
                (0xfe21_5000, PAGE),
                (0xfe10_0000, PAGE),
            ],
            redistributor: None,
            controller: (0xff84_0000, 0x6000),
            interface: Some((0xff84_2000, 0xff84_6000, 2 * PAGE)),
        };
    }
    Board {
        shared: &[(0x0800_0000, 0x1_0000), UART],
        redistributor: Some((0x080a_0000, 0x2_0000)),
        controller: (0x0800_0000, 0x0100_0000),
        interface: None,
    }
}

/// Stage-1 descriptors at EL2 (DDI 0487 D8.3.2, D8.5).
const ATTR_INDEX: u64 = 7 << 2;
const READ_ONLY: u64 = 1 << 7;
const XN: u64 = 1 << 54;
/// What stage-2 leaves of each kind say, without bits 1:0 (D8.3.2): Normal write-back, inner shareable, read and write,
/// accessed; Device-nGnRE, read and write, accessed, never executed.
const MEMORY: u64 = 0xf << 2 | 3 << 6 | 3 << 8 | 1 << 10 | 1;
const DEVICE: u64 = 1 << 2 | 3 << 6 | 1 << 10 | 2 << 53 | 1;

/// A partition as `partita plan --json` tells it.
struct Partition {
    name: String,
    cores: Vec<usize>,
    memory: Vec<Leaf>,
    devices: Vec<Leaf>,
}

struct Plan {
    partitions: Vec<Partition>,
    hypervisor: (u64, u64),
    bundle: (u64, u64),
}

fn plan(on: On) -> Plan {
    let folder = tempfile::TempDir::new().expect("a folder for the test");
    let path = folder.path().join("live.dtso");
    let mut text = std::fs::read_to_string(root().join(PLAN)).expect("the plan");
    for (from, to) in on.changes(&root().join(PLAN)) {
        text = text.replace(from, to);
    }
    std::fs::write(&path, text).expect("the test's folder takes files");
    let mut command = Command::new(partita());
    command.args(["plan", "--json"]).args(on.args()).arg(&path);
    let output = command.output().expect("partita can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    let reserved = |what: &str| {
        let all = list(&json["board"]["reserved"]);
        let one = all.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("{what} has no place"));
        (number(&one["range"]["base"]), number(&one["range"]["size"]).next_multiple_of(PAGE))
    };
    let core = |path: &Value| {
        list(&json["board"]["cpus"]).iter().position(|cpu| cpu["path"] == *path).expect("a core of the board")
    };
    let leaf = |input, output, size, attributes| Leaf { input, output, size, attributes };
    let partition = |one: &Value| Partition {
        name: one["name"].as_str().expect("a name").to_owned(),
        cores: list(&one["cpus"]).iter().map(core).collect(),
        memory: list(&one["memory"])
            .iter()
            .map(|m| leaf(number(&m["guest"]), number(&m["host"]), number(&m["size"]), MEMORY))
            .collect(),
        devices: list(&one["devices"])
            .iter()
            .flat_map(|device| list(&device["registers"]))
            .map(|r| leaf(number(&r["base"]), number(&r["base"]), number(&r["size"]), DEVICE))
            .collect(),
    };
    Plan {
        partitions: list(&json["partitions"]).iter().map(partition).collect(),
        hypervisor: reserved("the hypervisor"),
        bundle: reserved("the bundle"),
    }
}

/// Where the hypervisor lies.
pub fn hypervisor(on: On) -> u64 {
    plan(on).hypervisor.0
}

/// Where the first memory of a partition lies.
pub fn memory(on: On, name: &str) -> u64 {
    let plan = plan(on);
    let partition = plan.partitions.iter().find(|partition| partition.name == name);
    partition.expect("a partition of the plan").memory[0].output
}

/// How many pages of the interrupt controller a partition has.
pub fn interface_leaves(on: On) -> u64 {
    board(on).interface.map_or(0, |(_, _, size)| size / PAGE)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> u64 {
    let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    value.as_u64().or_else(|| hex(value.as_str()?)).unwrap_or_else(|| panic!("{value} is no number"))
}

/// What one core has in use.
struct Core {
    number: usize,
    partition: usize,
    first: bool,
    el2: Walk,
    stack: u64,
    stage2: Walk,
    vttbr: u64,
}

fn look(debugger: &mut Debugger, plan: &Plan) -> Vec<Core> {
    let mut cores = Vec::new();
    for number in 0..debugger.cores() {
        let owner = plan.partitions.iter().position(|partition| partition.cores.contains(&number));
        let Some(partition) = owner else {
            // Nobody's: it was never started, or sleeps in EL2 (spin-table boards) without tables; no guest has a way
            // to it. EL1's register width is all that boot.S says there.
            assert_eq!(debugger.system(number, "TTBR0_EL2"), 0, "core {number} is nobody's");
            let controls = debugger.system(number, "HCR_EL2");
            assert!([0, 1 << 31].contains(&controls), "core {number} is nobody's: {controls:#x}");
            continue;
        };
        controls(debugger, number);
        let stack = debugger.el2_stack(number);
        let root = debugger.system(number, "TTBR0_EL2");
        let el2 = walk(root, 0, 48, |pa| debugger.table(pa));
        let (vttbr, vtcr) = (debugger.system(number, "VTTBR_EL2"), debugger.system(number, "VTCR_EL2"));
        assert_eq!(vtcr >> 14 & 3, 0, "stage 2 has a 4 KiB granule");
        let level = 2 - (vtcr >> 6 & 3) as u32;
        let bits = 64 - (vtcr & 0x3f) as u32;
        let stage2 = walk(vttbr & 0xffff_ffff_fffe, level, bits, |pa| debugger.table(pa));
        let first = plan.partitions[partition].cores[0] == number;
        cores.push(Core { number, partition, first, el2, stack, stage2, vttbr });
    }
    cores
}

/// EL2's own controls (DDI 0487 D24.2): each of these bits is a guard.
fn controls(debugger: &mut Debugger, core: usize) {
    let mut check = |register: &str, set: u64, clear: u64| {
        let value = debugger.system(core, register);
        assert_eq!(value & set, set, "{register} of core {core} is {value:#x}: these bits are set");
        assert_eq!(value & clear, 0, "{register} of core {core} is {value:#x}: these bits are clear");
    };
    // M, C, I, WXN; not A, EE.
    check("SCTLR_EL2", 1 | 1 << 2 | 1 << 12 | 1 << 19, 1 << 25);
    // T0SZ 16, write-back inner-shareable walks, 4 KiB granule (TG0 = 0), no top byte ignored.
    check("TCR_EL2", 16 | 1 << 8 | 1 << 10 | 3 << 12, 0x2f | 3 << 14 | 1 << 20);
    // VM SWIO PTW FMO IMO AMO, TID3 TSC TIDCP TACR TSW, RW; not DC, TGE, E2H, nor HCD, CD, ID.
    let hcr = 0x3f | 0x1f << 18 | 1 << 31;
    check("HCR_EL2", hcr, 1 << 12 | 1 << 27 | 1 << 34 | 1 << 29 | 1 << 32 | 1 << 33);
    // Trace; the performance monitors and their control register.
    check("CPTR_EL2", 1 << 20, 1 << 10);
    check("MDCR_EL2", 1 << 6 | 1 << 5, 0);
    // The physical timer and counter are the guest's.
    check("CNTHCTL_EL2", 3, 0);
}

fn machine(on: On, cpu: &str) -> (Plan, Vec<Core>) {
    let plan = plan(on);
    let mut running = Machine::run(on, PLAN).args(&["--cpu", cpu]).debugged().start();
    running.wait_for("[pair] tick ");
    running.wait_for("[single] tick ");
    let mut debugger = running.debugger();
    let cores = look(&mut debugger, &plan);
    assert_eq!(cores.iter().map(|core| core.number).collect::<Vec<_>>(), [0, 1, 3], "cores in use");
    (plan, cores)
}

fn within(leaf: &Leaf, (base, size): (u64, u64)) -> bool {
    leaf.output >= base && leaf.output + leaf.size <= base + size
}

/// What a core's EL2 maps.
fn el2(board: &Board, plan: &Plan, core: &Core) {
    let who = format!("EL2 on core {}", core.number);
    for leaf in &core.el2.leaves {
        for partition in &plan.partitions {
            for memory in &partition.memory {
                assert!(
                    !leaf.reaches(memory.output, memory.size),
                    "{who} maps memory of {}: {leaf:x?}",
                    partition.name
                );
            }
        }
        let writable = leaf.attributes & READ_ONLY == 0;
        assert!(!writable || leaf.attributes & XN != 0, "{who} can write and execute {leaf:x?}");
    }
    let (devices, memory): (Vec<_>, Vec<_>) =
        core.el2.leaves.iter().partition(|leaf| leaf.attributes & ATTR_INDEX == 0);

    let mut wanted: BTreeSet<_> = board.shared.iter().copied().collect();
    if let Some((base, size)) = board.redistributor {
        wanted.extend(plan.partitions[core.partition].cores.iter().map(|&n| (base + size * n as u64, size)));
    }
    let seen: BTreeSet<_> = join(&devices).iter().map(|leaf| (leaf.output, leaf.size)).collect();
    assert_eq!(seen, wanted, "{who}: the controller, the UART, the partition's own redistributors");
    assert!(devices.iter().all(|leaf| leaf.attributes & XN != 0), "{who} can execute a device");

    // The executable part is one piece, at the start of the image; nothing else in RAM is executable.
    let text: Vec<_> = join(&memory).into_iter().filter(|leaf| leaf.attributes & XN == 0).collect();
    assert_eq!(text.len(), 1, "{who}: one executable piece: {text:x?}");
    assert_eq!(text[0].output, plan.hypervisor.0, "{who}: the text is the start of the image");

    for leaf in &memory {
        let bundle = within(leaf, plan.bundle) || leaf.reaches(plan.bundle.0, plan.bundle.1);
        assert!(bundle || within(leaf, plan.hypervisor), "{who} maps what is not EL2's: {leaf:x?}");
        if bundle {
            assert!(core.first, "{who}: only a partition's first core reads the bundle");
            assert!(leaf.attributes & READ_ONLY != 0, "{who} can write to the bundle: {leaf:x?}");
        }
    }
    // Image, arenas and stack; the heap has 4 MiB, most of which nobody maps.
    let bytes: u64 = memory.iter().filter(|leaf| within(leaf, plan.hypervisor)).map(|leaf| leaf.size).sum();
    assert!(bytes <= 0x18_0000, "{who} maps {bytes:#x} bytes of the hypervisor");

    let stack: Vec<_> = join(&memory).into_iter().filter(|leaf| in_stack(leaf, core)).collect();
    assert_eq!(stack.len(), 1, "{who}: the stack pointer {:#x} is in a stack", core.stack);
    let (start, size) = (stack[0].input, stack[0].size);
    assert_eq!(size, STACK, "{who}: the stack alone, so that neither end goes over into something else");
    let neighbours =
        |at: u64| core.el2.leaves.iter().any(|leaf| leaf.input <= at && at < leaf.input + leaf.size);
    assert!(!neighbours(start - 1), "{who}: no guard below the stack");
    assert!(!neighbours(start + size), "{who}: no guard above the stack");
    assert!(stack[0].attributes & READ_ONLY == 0 && stack[0].attributes & XN != 0, "{who}: stack's rights");
}

/// A stack pointer may stand at the very top.
fn in_stack(leaf: &Leaf, core: &Core) -> bool {
    leaf.input < core.stack && core.stack <= leaf.input + leaf.size
}

/// What EL2 must not reach of others: the tables of other cores, all of stage 2, other cores' stacks.
fn apart(cores: &[Core]) {
    let ram = |core: &Core| -> Vec<Leaf> {
        core.el2.leaves.iter().copied().filter(|leaf| leaf.attributes & ATTR_INDEX != 0).collect()
    };
    for one in cores {
        let mine = ram(one);
        for other in cores {
            let tables = other.stage2.tables.iter();
            for table in tables.chain(other.el2.tables.iter().filter(|_| other.number != one.number)) {
                let reached = mine.iter().find(|leaf| leaf.reaches(*table, PAGE));
                assert_eq!(reached, None, "core {} reaches a table of core {}", one.number, other.number);
            }
            let stacks = ram(other);
            for page in stacks.iter().filter(|leaf| other.number != one.number && in_stack_of(leaf, other)) {
                let reached = mine.iter().find(|leaf| leaf.reaches(page.output, page.size));
                assert_eq!(reached, None, "core {} reaches the stack of core {}", one.number, other.number);
            }
        }
    }
}

fn in_stack_of(leaf: &Leaf, core: &Core) -> bool {
    let top = core.stack.next_multiple_of(STACK);
    leaf.input >= top - STACK && leaf.input < top
}

/// What the guest on a core reaches: exactly the plan's memory and devices.
fn stage2(board: &Board, plan: &Plan, cores: &[Core], core: &Core) {
    let partition = &plan.partitions[core.partition];
    let mut wanted: Vec<Leaf> = partition.memory.iter().chain(&partition.devices).copied().collect();
    if let Some((input, output, size)) = board.interface {
        wanted.push(Leaf { input, output, size, attributes: DEVICE });
    }
    wanted.sort_unstable();
    let seen = join(&core.stage2.leaves);
    assert_eq!(seen, join(&wanted), "what {} reaches from core {}", partition.name, core.number);
    assert_ne!(core.vttbr >> 48, 0, "a VMID that EL2 before the plan cannot have used");
    for other in cores {
        let same = other.partition == core.partition;
        assert_eq!(other.vttbr == core.vttbr, same, "one set of tables for each partition");
        assert_eq!(other.vttbr >> 48 == core.vttbr >> 48, same, "one VMID for each partition");
        for leaf in &seen {
            let tables = other.el2.tables.iter().chain(&other.stage2.tables);
            assert!(!tables.into_iter().any(|table| leaf.reaches(*table, PAGE)), "tables: {leaf:x?}");
            let mapped = other.el2.leaves.iter().find(|own| leaf.reaches(own.output, own.size));
            assert_eq!(mapped, None, "{} reaches what EL2 maps on core {}", partition.name, other.number);
        }
    }
    for leaf in &seen {
        assert!(!leaf.reaches(board.controller.0, board.controller.1), "the GIC: {leaf:x?}");
    }
}

fn isolation(on: On, cpu: &str) {
    let (board, (plan, cores)) = (board(on), machine(on, cpu));
    for core in &cores {
        el2(&board, &plan, core);
        stage2(&board, &plan, &cores, core);
    }
    apart(&cores);
}

system_tests! {
    fn no_partition_is_mapped_at_el2_on_cortex_a72(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        isolation(on, "cortex-a72");
    }

    fn no_partition_is_mapped_at_el2_on_max(on) [virt_gicv3: run, virt_gicv2: OTHER_CORE, raspi4b: A72_ONLY] {
        isolation(on, "max");
    }
}
