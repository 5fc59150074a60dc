//! Which guard, taken away, is missed by what: one entry for each guard of model/src/weaken/.

use partita_model::weaken::Guard;

use super::{Exceptions, streams};
use crate::{Debugger, Target};

/// What is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// The probe with these rows, beside a neighbour.
    Probe(&'static str),
    /// The attacker with these rows, beside its victim.
    Attack(&'static str),
    /// The warden with these rows, beside those that it manages.
    Warden(&'static str),
    /// The attacker with a device that does DMA and these rows, beside its victim; with these changes to the plan.
    Dma(&'static str, &'static [(&'static str, &'static str)]),
    /// The crasher with a watchdog, a life for each of these ways.
    Watchdog(&'static str),
    /// Two partitions with PCI functions each, and a function that nobody has, which firmware left running.
    Pci,
    /// tests/plans/NAME.dtso, a plan that is to be refused, with these words.
    Plan(&'static str, &'static str),
}

/// What tells that the guard is gone.
#[derive(Clone, Copy)]
pub enum Sign {
    /// The row says so itself.
    Row(&'static str),
    /// The row says so itself, or comes to no end, as what the guest now reaches is what EL2 works with.
    RowOrStand(&'static str),
    /// The hypervisor itself failed: what guards it was missing.
    Failed,
    /// The machine is off although the neighbour was not done.
    MachineOff,
    /// The console has what never comes out.
    Console(&'static str),
    /// A line of a partition's on the console has no name in front.
    Nameless(&'static str),
    /// The row runs, but nothing like this traps any more (the fields of a system register or instruction).
    Untrapped(&'static str, [u64; 5]),
    /// A look into the machine by QEMU's debugger stub.
    Seen(&'static str, fn(&mut Debugger) -> bool),
    /// What must be refused at boot is not.
    Accepted,
}

/// A guard, and what misses it.
pub struct Removal {
    /// The guard.
    pub guard: Guard,
    /// Where it is there: targets and their cores. The first is where `make test` looks.
    pub places: &'static [(Target, &'static str)],
    /// What is booted.
    pub scene: Scene,
    /// What is then to be seen.
    pub sign: Sign,
}

const A72: &str = "cortex-a72";
const V3: (Target, &str) = (Target::VirtGicv3, A72);
const V3_MAX: (Target, &str) = (Target::VirtGicv3, "max");
const V2: (Target, &str) = (Target::VirtGicv2, A72);
const V2_MAX: (Target, &str) = (Target::VirtGicv2, "max");
const PI: (Target, &str) = (Target::Raspi4b, A72);
const ALL: &[(Target, &str)] = &[V3, V2, PI];
/// On virt, where memory and devices are where the attacker's sweeps look for them.
const BOTH: &[(Target, &str)] = &[V3, V2];
const GICV3: &[(Target, &str)] = &[V3];
const GICV2: &[(Target, &str)] = &[V2, PI];
/// What only newer cores have.
const NEW: &[(Target, &str)] = &[V3_MAX, V2_MAX];
/// What has an SMMU.
const SMMU: &[(Target, &str)] = &[V3, V2];
/// Plans are for one board.
const VIRT: &[(Target, &str)] = &[V3];

const fn row(guard: Guard, places: &'static [(Target, &'static str)], row: &'static str) -> Removal {
    Removal { guard, places, scene: Scene::Probe(row), sign: Sign::Row(row) }
}

const fn sign(
    guard: Guard,
    places: &'static [(Target, &'static str)],
    rows: &'static str,
    sign: Sign,
) -> Removal {
    Removal { guard, places, scene: Scene::Probe(rows), sign }
}

const fn attack(guard: Guard, places: &'static [(Target, &'static str)], row: &'static str) -> Removal {
    Removal { guard, places, scene: Scene::Attack(row), sign: Sign::Row(row) }
}

const fn warden(guard: Guard, row: &'static str) -> Removal {
    Removal { guard, places: ALL, scene: Scene::Warden(row), sign: Sign::Row(row) }
}

const fn watchdog(guard: Guard, way: &'static str) -> Removal {
    Removal { guard, places: ALL, scene: Scene::Watchdog("refreshed,calm,starved"), sign: Sign::Row(way) }
}

const fn plan(guard: Guard, name: &'static str, words: &'static str) -> Removal {
    Removal { guard, places: VIRT, scene: Scene::Plan(name, words), sign: Sign::Accepted }
}

const fn dma(guard: Guard, changes: &'static [(&'static str, &'static str)], row: &'static str) -> Removal {
    Removal { guard, places: SMMU, scene: Scene::Dma(row, changes), sign: Sign::Row(row) }
}

const fn seen(guard: Guard, scene: Scene, what: &'static str, look: fn(&mut Debugger) -> bool) -> Removal {
    Removal { guard, places: SMMU, scene, sign: Sign::Seen(what, look) }
}

/// DC CISW, ACTLR_EL1 (DDI 0487, C5.3 and D24.2).
const DC_CISW: [u64; 5] = [1, 0, 7, 14, 2];
const ACTLR_EL1: [u64; 5] = [3, 0, 1, 0, 1];

/// In [`Scene::Pci`]: the device that nobody has.
pub const NOBODYS: u64 = 3;

/// All of them.
pub const REMOVALS: &[Removal] = &[
    attack(Guard::ManagesNamed, ALL, "calls/supervision"),
    warden(Guard::ManagesReadOnly, "area-written"),
    warden(Guard::ManagesEnd, "area-end"),
    warden(Guard::ManagesNoCode, "area-executed"),
    attack(Guard::Stage2Memory, BOTH, "memory/sweep-ram"),
    attack(Guard::Stage2Hypervisor, BOTH, "memory/sweep-ram"),
    attack(Guard::Stage2Device, BOTH, "memory/sweep-low-pages"),
    attack(Guard::Aarch32Stop, ALL, "endless/aarch32"),
    attack(Guard::Hstr, ALL, "endless/aarch32"),
    attack(Guard::FineGrained, NEW, "hidden/sme"),
    attack(Guard::GicRoute, GICV2, "gicd/routes"),
    attack(Guard::GicPpiTrigger, GICV2, "gicd/private-config"),
    Removal {
        guard: Guard::ConsoleClean,
        places: ALL,
        scene: Scene::Attack("console/escapes"),
        sign: Sign::Console("\u{1b}[2J"),
    },
    row(Guard::FastSgiAffinity, GICV3, "sgi-nobody"),
    sign(Guard::FastSgiPeer, GICV3, "sgi-nobody", Sign::Failed),
    sign(Guard::Hcrx, NEW, "memory-hold", Sign::Seen("HCRX_EL2.MSCEn is set", later_enabled)),
    row(Guard::Stage2End, ALL, "abort-reads"),
    // On raspi4b the guest's set-up of its distributor may already take the UART's interrupt from the console; so it may without
    // gic-foreign-spi.
    sign(Guard::Stage2Distributor, ALL, "gicd-foreign", Sign::RowOrStand("gicd-foreign")),
    row(Guard::Stage2Redistributors, GICV3, "abort-foreign-redistributor"),
    row(Guard::Stage2InterfaceControl, GICV2, "gicv2-hypervisor-registers"),
    row(Guard::Stage2Interface, GICV2, "spi-split-eoi"),
    sign(Guard::Vmid, ALL, "memory-hold", Sign::Seen("two cores of two partitions have one VMID", one_vmid)),
    Removal {
        guard: Guard::El2Memory,
        places: ALL,
        scene: Scene::Probe("mpidr"),
        sign: Sign::Console("EL2's own tables: mapped beyond the plan"),
    },
    // On raspi4b an SMC that does not trap goes to an EL3 that nobody programmed, and never comes back.
    row(Guard::HcrTsc, BOTH, "psci-both-conduits"),
    row(Guard::HcrTid3, ALL, "features-hidden"),
    row(Guard::HcrTid1, NEW, "features-shown-or-undefined"),
    row(Guard::HcrTidcp, ALL, "implementation-defined"),
    sign(Guard::HcrTacr, ALL, "actlr", Sign::Untrapped("ACTLR_EL1", ACTLR_EL1)),
    sign(Guard::HcrTsw, ALL, "cache-by-set-way", Sign::Untrapped("DC CISW", DC_CISW)),
    row(Guard::HcrTlor, NEW, "features-shown-or-undefined"),
    row(Guard::HcrTerr, NEW, "features-shown-or-undefined"),
    row(Guard::HcrImo, GICV3, "sgi-others"),
    row(Guard::CptrTsm, NEW, "features-shown-or-undefined"),
    sign(Guard::CptrTta, ALL, "memory-hold", Sign::Seen("CPTR_EL2.TTA is clear", no_trace_trap)),
    row(Guard::MdcrTpm, ALL, "features-shown-or-undefined"),
    row(Guard::HiddenUndefined, ALL, "features-shown-or-undefined"),
    row(Guard::IdFilter, ALL, "features-hidden"),
    sign(Guard::GicForeignSpi, ALL, "gicd-foreign", Sign::RowOrStand("gicd-foreign")),
    row(Guard::GicForeignPpi, ALL, "gic-foreign-ppis"),
    row(Guard::GicRedistributor, GICV3, "abort-foreign-redistributor"),
    row(Guard::SgiAffinity, GICV3, "sgi-nobody"),
    row(Guard::FastMirrorPage, GICV3, "abort-foreign-redistributor"),
    row(Guard::PsciTarget, ALL, "cpu-on-bad-target"),
    row(Guard::PsciEntry, ALL, "cpu-on-bad-entry"),
    sign(Guard::PsciSystemOff, ALL, "mpidr", Sign::MachineOff),
    row(Guard::CallImmediate, ALL, "call-immediate"),
    row(Guard::CallFirmware, ALL, "psci-features"),
    row(Guard::AbortData, ALL, "abort-writes"),
    row(Guard::AbortFetch, ALL, "abort-fetches"),
    row(Guard::AbortUndecodable, ALL, "abort-undecodable"),
    row(Guard::MemoryClear, ALL, "system-reset"),
    sign(Guard::ConsoleName, ALL, "mpidr", Sign::Nameless("probe: mpidr ok")),
    dma(Guard::SmmuStage2, ONE_TO_ONE, "dma/victim"),
    dma(Guard::SmmuStream, OTHER_STREAMS, "dma/victim"),
    dma(Guard::SmmuClosed, NO_STREAMS, "dma/victim"),
    // With its GICv2, QEMU itself ends by what a device's write to the distributor then does.
    Removal { places: GICV3, ..dma(Guard::SmmuDevices, &[], "dma/devices") },
    seen(Guard::SmmuVmid, Scene::Pci, "streams of two partitions have one VMID", one_vmid_for_streams),
    seen(
        Guard::SmmuEnd,
        Scene::Dma("dma/own", &[]),
        "a stream of a partition that is off reaches memory",
        open_stream,
    ),
    seen(Guard::PciSilence, Scene::Pci, "a function that nobody has masters the bus", master),
    Removal { guard: Guard::PciOwner, places: SMMU, scene: Scene::Pci, sign: Sign::Failed },
    Removal {
        guard: Guard::PciPages,
        places: SMMU,
        scene: Scene::Pci,
        sign: Sign::Console("EL2's own tables: mapped beyond the plan"),
    },
    watchdog(Guard::WatchdogFails, "starved"),
    watchdog(Guard::WatchdogEnd, "calm"),
    plan(Guard::PlanCore, "cpus-taken", "belongs to partition a already"),
    plan(Guard::PlanDevice, "device-taken", "belongs to partition a already"),
    plan(Guard::PlanMemory, "memory-pinned-twice", "overlaps /partitions/a"),
];

/// A board whose tree says that the SMMU knows what is behind the bridge by other streams than it does: nobody has those
/// that come.
pub const OTHER_STREAMS: &[(&str, &str)] = &[
    (
        "&{/} {",
        "&{/pcie@10000000} { iommu-map = <0x0 0x8007 0x100 0xff00>; bus-range = <0x0 0xfe>; }; &{/} {",
    ),
    ONE_TO_ONE[0],
    ONE_TO_ONE[1],
];
/// A board whose tree says that no SMMU is before the bridge, so that the one that is there guards nothing.
pub const NO_STREAMS: &[(&str, &str)] = &[
    ("&{/} {", "&{/pcie@10000000} { iommu-map = <0x0 0x8007 0x0 0x1>; }; &{/} {"),
    ("devices = \"/pcie@10000000\";", "devices = \"/pcie@10000000\"; dma-trusted = \"/pcie@10000000\";"),
    ONE_TO_ONE[0],
    ONE_TO_ONE[1],
];
/// The attacker's memory is where it sees it, so that a device which nothing translates for finds it too.
const ONE_TO_ONE: &[(&str, &str)] =
    &[("memory@80000000", "memory@60000000"), ("reg = <0x0 0x80000000", "reg = <0x0 0x60000000")];

/// VMIDs of cores that run guests of different partitions: the plan's first core is a partition's alone.
fn one_vmid(machine: &mut Debugger) -> bool {
    machine.system(0, "VTTBR_EL2") >> 48 == machine.system(1, "VTTBR_EL2") >> 48
}

/// STE.S2VMID of entries with different tables.
fn one_vmid_for_streams(machine: &mut Debugger) -> bool {
    let all = streams::entries(machine);
    all.iter().any(|one| all.iter().any(|other| one.root != other.root && one.vmid == other.vmid))
}

/// An entry that does not abort.
fn open_stream(machine: &mut Debugger) -> bool {
    streams::entries(machine).iter().any(|entry| entry.config != 0)
}

/// Where QEMU's virt machine has the configuration space of a device of the root bus.
pub const fn configuration(device: u64) -> u64 {
    0x40_1000_0000 + (device << 15)
}

/// Bus Master Enable in the command register (PCI 3.0, 6.2.2) of the device that nobody has.
fn master(machine: &mut Debugger) -> bool {
    machine.register32(configuration(NOBODYS) + 4) >> 2 & 1 != 0
}

/// HCRX_EL2.MSCEn: memory copy instructions work (DDI 0487, HCRX_EL2).
fn later_enabled(machine: &mut Debugger) -> bool {
    machine.system(1, "HCRX_EL2") >> 11 & 1 != 0
}

/// CPTR_EL2.TTA with E2H = 0 (DDI 0487, CPTR_EL2).
fn no_trace_trap(machine: &mut Debugger) -> bool {
    machine.system(1, "CPTR_EL2") >> 20 & 1 == 0
}

impl Sign {
    /// As a table has it.
    pub fn words(&self, scene: Scene) -> String {
        let (guest, rows) = match scene {
            Scene::Probe(rows) => ("probe", rows),
            Scene::Attack(rows) | Scene::Dma(rows, _) => ("attacker", rows),
            Scene::Warden(rows) => ("warden", rows),
            Scene::Plan(name, _) => ("plan", name),
            Scene::Pci => ("pci", "pci"),
            Scene::Watchdog(ways) => ("crasher", ways),
        };
        match self {
            Sign::Row(row) | Sign::RowOrStand(row) => format!("{guest} {row}"),
            Sign::Failed => format!("EL2 fails under {rows}"),
            Sign::MachineOff => "the machine is off before the neighbour is done".to_owned(),
            Sign::Console(words) => format!("console: \"{words}\""),
            Sign::Nameless(_) => "console: a line without a name".to_owned(),
            Sign::Untrapped(what, _) => format!("exceptions: {what} does not trap"),
            Sign::Seen(what, _) => format!("from outside: {what}"),
            Sign::Accepted => format!("plan {rows} is not refused"),
        }
    }

    /// Whether the exceptions are to be counted for it.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Sign::Untrapped(..))
    }

    /// Whether exceptions tell that the guard is gone.
    pub(super) fn untrapped(&self, exceptions: &Exceptions) -> bool {
        matches!(self, Sign::Untrapped(_, op) if exceptions.trapped(*op) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guard_is_missed_by_something() {
        for guard in Guard::ALL {
            let count = REMOVALS.iter().filter(|removal| removal.guard == *guard).count();
            assert_eq!(count, 1, "{}: {}", guard.name(), guard.what());
        }
        assert!(REMOVALS.iter().all(|removal| !removal.places.is_empty()));
    }
}
