//! Guards that a test build can take away, one at a time, so that the tests can be seen to miss it.
//!
//! Only with the feature `weaken`, which no release has: without it [`removed`] is a constant `false`, and what it
//! guards is compiled as if it were not there. With it, the word `weaken=NAME` in /chosen bootargs of the firmware's
//! tree names the guard; EL2 says so, and isolates nobody. Each guard has a row of the attack suite, or an oracle outside
//! the machine, that fails without it: tests/src/attack/removals.rs.

mod controls;

pub(crate) use controls::weakened;

/// Makes the enum, its list, and its names.
macro_rules! guards {
    ($($(#[doc = $doc:literal])+ $guard:ident = $name:literal;)+) => {
        /// A guard: something without which a partition could do or see what is not its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Guard {
            $($(#[doc = $doc])+ $guard,)+
        }

        impl Guard {
            /// All of them.
            pub const ALL: &[Guard] = &[$(Guard::$guard,)+];

            /// Its name in bootargs and in tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Guard::$guard => $name,)+
                }
            }

            /// What is gone when it is removed.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Guard::$guard => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

guards! {
    /// Stage 2: other partitions' memory is not mapped (it then is, at its host addresses).
    Stage2Memory = "stage2-memory";
    /// Stage 2: a mapping of memory ends where the plan says (it then is one page longer).
    Stage2End = "stage2-end";
    /// Stage 2: EL2's image is not mapped (it then is, at its host address).
    Stage2Hypervisor = "stage2-hypervisor";
    /// Stage 2: other partitions' devices are not mapped.
    Stage2Device = "stage2-device";
    /// Stage 2: the physical distributor is not mapped.
    Stage2Distributor = "stage2-distributor";
    /// Stage 2: the physical redistributors are not mapped (GICv3).
    Stage2Redistributors = "stage2-redistributors";
    /// Stage 2: what a guest finds as its CPU interface is the virtual one, GICC_DIR's page included (GICv2).
    Stage2Interface = "stage2-interface";
    /// Stage 2: the virtual interface control is not mapped (GICv2).
    Stage2InterfaceControl = "stage2-interface-control";
    /// Stage 2: each partition has a VMID of its own.
    Vmid = "vmid";
    /// EL2's own tables map no partition's memory.
    El2Memory = "el2-memory";
    /// SMMU: a partition's streams are translated by its stage 2 (they then are not translated).
    SmmuStage2 = "smmu-stage2";
    /// SMMU: a stream that no partition has is aborted (it then is let through).
    SmmuStream = "smmu-stream";
    /// An SMMU that guards no device of the plan refuses everything (it then stays as firmware left it).
    SmmuClosed = "smmu-closed";
    /// The tables for DMA have RAM only (they then have the distributor, too).
    SmmuDevices = "smmu-devices";
    /// SMMU: each partition's streams have a VMID of their own.
    SmmuVmid = "smmu-vmid";
    /// SMMU: a partition's streams are aborted from its end on.
    SmmuEnd = "smmu-end";
    /// PCI: what firmware left running is silenced at boot, before any partition's memory is filled.
    PciSilence = "pci-silence";
    /// PCI: configuration space of functions that a partition does not have reads as ones and takes no writes.
    PciOwner = "pci-owner";
    /// PCI: a partition's cores map the configuration space of its own functions (they then map the whole bus).
    PciPages = "pci-pages";

    /// HCR_EL2.TSC: SMC traps.
    HcrTsc = "hcr-tsc";
    /// HCR_EL2.TID3: the ID registers trap.
    HcrTid3 = "hcr-tid3";
    /// HCR_EL2.TID1: SMIDR_EL1 and the like trap.
    HcrTid1 = "hcr-tid1";
    /// HCR_EL2.TIDCP: implementation-defined registers trap.
    HcrTidcp = "hcr-tidcp";
    /// HCR_EL2.TACR: ACTLR_EL1 traps.
    HcrTacr = "hcr-tacr";
    /// HCR_EL2.TSW: set/way cache maintenance traps.
    HcrTsw = "hcr-tsw";
    /// HCR_EL2.TLOR: the LORegion registers trap.
    HcrTlor = "hcr-tlor";
    /// HCR_EL2.TERR: RAS error records trap.
    HcrTerr = "hcr-terr";
    /// HCR_EL2.IMO and FMO: physical interrupts, and SGIs that a guest generates, are EL2's.
    HcrImo = "hcr-imo";
    /// HCRX_EL2: what is new since Armv8.7 stays off.
    Hcrx = "hcrx";
    /// CPTR_EL2.TTA: trace registers trap.
    CptrTta = "cptr-tta";
    /// CPTR_EL2.TSM: SME traps.
    CptrTsm = "cptr-tsm";
    /// MDCR_EL2.TPM and TPMCR: the performance monitors trap.
    MdcrTpm = "mdcr-tpm";
    /// HSTR_EL2: AArch32 accesses to CP15 from EL0 trap.
    Hstr = "hstr";
    /// Fine-grained traps are at zero, which traps TPIDR2_EL0 and what else has an enable bit there.
    FineGrained = "fine-grained";
    /// What the guest's ID registers do not show is undefined when it traps.
    HiddenUndefined = "hidden-undefined";
    /// ID registers show a guest only what is on the allow-list.
    IdFilter = "id-filter";
    /// An exception from AArch32 stops the partition.
    Aarch32Stop = "aarch32-stop";

    /// Distributor: bits of other owners' SPIs read as zero and ignore writes.
    GicForeignSpi = "gic-foreign-spi";
    /// Redistributor or banked registers: PPIs that are not the guest's (EL2's timer, maintenance) do not exist.
    GicForeignPpi = "gic-foreign-ppi";
    /// GICD_ICFGR1: PPIs' triggers are not the guest's, as a machine may have one register for all cores (GICv2).
    GicPpiTrigger = "gic-ppi-trigger";
    /// GICD_IROUTER and GICD_ITARGETSR: a target is one of the partition's own virtual CPUs.
    GicRoute = "gic-route";
    /// Redistributors end with the partition's own virtual CPUs (GICv3).
    GicRedistributor = "gic-redistributor";
    /// ICC_SGI1R_EL1: an affinity that is not the partition's names nobody (GICv3).
    SgiAffinity = "sgi-affinity";
    /// The same in the path without Rust.
    FastSgiAffinity = "fast-sgi-affinity";
    /// The path without Rust rings no doorbell beyond the partition's own (GICv3).
    FastSgiPeer = "fast-sgi-peer";
    /// The path without Rust answers loads in the frames of the interrupt controller only.
    FastMirrorPage = "fast-mirror-page";

    /// Supervision: an index is one of those that the partition manages (it then is the partition's number in the plan).
    ManagesNamed = "manages-named";
    /// Supervision: a guest cannot write what it is shown of the partitions that it manages.
    ManagesReadOnly = "manages-read-only";
    /// Supervision: a guest cannot execute what it is shown.
    ManagesNoCode = "manages-no-code";
    /// Supervision: what is shown of a partition ends with its area (it then is one page longer).
    ManagesEnd = "manages-end";

    /// PSCI: a target is looked at whole, not by its low byte.
    PsciTarget = "psci-target";
    /// PSCI: an entry is an address in the partition's RAM.
    PsciEntry = "psci-entry";
    /// PSCI: SYSTEM_OFF is the partition's own, not the machine's.
    PsciSystemOff = "psci-system-off";
    /// HVC and SMC with an immediate other than 0 are nobody's.
    CallImmediate = "call-immediate";
    /// A call of a guest's never reaches firmware.
    CallFirmware = "call-firmware";

    /// A stray data access is an abort, not skipped.
    AbortData = "abort-data";
    /// A stray fetch is an abort, not skipped.
    AbortFetch = "abort-fetch";
    /// An access whose syndrome does not tell all is refused, not guessed.
    AbortUndecodable = "abort-undecodable";
    /// Memory is cleared before a launch.
    MemoryClear = "memory-clear";
    /// A partition whose watchdog expires fails.
    WatchdogFails = "watchdog-fails";
    /// A partition's end disarms its watchdog (it then is the next life's, which it ends).
    WatchdogEnd = "watchdog-end";
    /// What a guest prints is cleaned of what steers a terminal.
    ConsoleClean = "console-clean";
    /// What a guest prints has its partition's name in front.
    ConsoleName = "console-name";
    /// A plan in which two partitions own a core is refused.
    PlanCore = "plan-core";
    /// A plan in which two partitions own a device is refused.
    PlanDevice = "plan-device";
    /// A plan in which two partitions' memory is pinned to the same place is refused.
    PlanMemory = "plan-memory";
}

impl Guard {
    /// The guard of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|guard| guard.name() == name)
    }
}

/// Number of the guard that is removed, plus 1; 0: none.
#[cfg(feature = "weaken")]
static REMOVED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Whether a guard is removed.
#[must_use]
#[inline(always)]
#[cfg(feature = "weaken")]
pub fn removed(guard: Guard) -> bool {
    REMOVED.load(core::sync::atomic::Ordering::Relaxed) == guard as u8 + 1
}

/// Whether a guard is removed: never, in this build.
#[must_use]
#[inline(always)]
#[cfg(not(feature = "weaken"))]
pub const fn removed(_: Guard) -> bool {
    false
}

/// Removes a guard, for as long as the machine runs.
#[cfg(feature = "weaken")]
pub fn remove(guard: Guard) {
    REMOVED.store(guard as u8 + 1, core::sync::atomic::Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_words() {
        for (index, guard) in Guard::ALL.iter().enumerate() {
            let name = guard.name();
            assert_eq!(*guard as usize, index);
            assert_eq!(Guard::by_name(name), Some(*guard), "{name} is the name of one guard");
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(plain), "{name}");
            assert!(guard.what().ends_with('.'), "{name}: {}", guard.what());
        }
    }

    #[test]
    #[cfg(not(feature = "weaken"))]
    fn nothing_is_removed() {
        assert!(Guard::ALL.iter().all(|guard| !removed(*guard)));
    }
}
