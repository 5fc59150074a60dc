//! The table. Ordered by core; within a core by number.

use super::Answer::{Avoided, Done, Firmware, Guests, Open};
use super::{Answer, Erratum};
use crate::midr::{self, Kind};

/// Where the numbers and releases are from.
pub(super) const SOURCES: &str = "Arm's Software Developers Errata Notices of each core (SDEN-859515 for Cortex-A72, \
     EPM-048406 for Cortex-A53, SDEN-885747 for Neoverse-N1, ...); Linux, `Documentation/arch/arm64/silicon-errata.rst` and \
     `arch/arm64/Kconfig`; Trusted Firmware-A, `docs/design/cpu-specific-build-macros.rst`";

const ALL: (u8, u8) = (0, 0xff);

const fn row(
    kind: Kind,
    number: &'static str,
    releases: (u8, u8),
    what: &'static str,
    answer: Answer,
) -> Erratum {
    Erratum { number, kind, releases, what, answer }
}

const SPECULATIVE_AT: &str = "an AT executed speculatively while a guest's registers are half switched puts wrong entries into the TLB";
const NEVER_SWITCHED: Answer = Avoided(
    "a core never changes its guest; VTTBR_EL2 is set once, before EL1's registers are reset and the TLB is dropped",
);
const REPEAT_TLBI: &str =
    "accesses by old entries may be outstanding on other cores after a broadcast TLBI and DSB";
const LOCAL_TLBI: Answer = Avoided(
    "EL2 changes its own tables only, each core its own, with local TLBI; stage 2 never changes under a guest. A guest \
     repeats its own",
);
const AARCH32: Answer =
    Avoided("AArch32 is hidden, and a partition whose EL0 enters it all the same is stopped");
const HARDWARE_DIRTY: &str = "hardware updates of the dirty state go wrong without break-before-make";
const NO_HARDWARE_DIRTY: Answer =
    Guests("stage 2 has neither HA nor HD (VTCR_EL2); a guest decides for its stage 1");
const TRACE_BUFFER: &str =
    "the trace buffer writes outside its bounds, or loses what is written to its registers";
const NO_TRACE: Answer = Avoided("trace is hidden and trapped (MDCR_EL2.E2TB, TTRF; CPTR_EL2.TTA)");
const CLEANS: &str = "a cache clean (DC CVAC, CVAU) can corrupt or lose data that another core writes";
const INVALIDATES: Answer =
    Done("EL2 cleans with DC CIVAC only, which is not affected; a guest does likewise");
const SSBS: &str = "MSR SSBS, #0 takes effect late, so that speculative loads still bypass stores";
const SSBS_BY_ENTRY: Answer = Guests("EL2 never writes SSBS: an exception clears it (SCTLR_EL2.DSSBS = 0)");
const BREAK_BEFORE_MAKE: &str =
    "changing a block's size without break-before-make livelocks, although BBM says 2";
const BREAKS_BEFORE: Answer = Guests("EL2 breaks before it makes; stage 2 never changes");

pub(super) static ERRATA: &[Erratum] = &[
    row(midr::CORTEX_A53, "819472, 824069, 826319, 827319", (0x00, 0x02), CLEANS, INVALIDATES),
    row(
        midr::CORTEX_A53,
        "835769",
        (0x00, 0x04),
        "a 64-bit multiply-accumulate right after a load or store gives a wrong result",
        Open("EL2 itself may compute a wrong address: the compiler's stable options cannot build around it"),
    ),
    row(
        midr::CORTEX_A53,
        "843419",
        (0x00, 0x04),
        "a load or store after an ADRP in the last two words of a page uses a wrong address",
        Done("linked with --fix-cortex-a53-843419"),
    ),
    row(
        midr::CORTEX_A53,
        "845719",
        (0x00, 0x04),
        "a load at AArch32 EL0 returns data of an AArch64 EL1 load",
        AARCH32,
    ),
    row(
        midr::CORTEX_A53,
        "855873",
        (0x03, 0x04),
        "a cache clean can lose a later store of another core",
        Firmware("sets CPUACTLR_EL1.ENDCCASCI; EL2 cleans with DC CIVAC only, as that bit would make it"),
    ),
    row(midr::CORTEX_A55, "1024718", (0x00, 0x10), HARDWARE_DIRTY, NO_HARDWARE_DIRTY),
    row(midr::CORTEX_A55, "1530923", (0x00, 0x20), SPECULATIVE_AT, NEVER_SWITCHED),
    row(midr::CORTEX_A55, "2441007", ALL, REPEAT_TLBI, LOCAL_TLBI),
    row(
        midr::CORTEX_A57,
        "832075",
        (0x00, 0x12),
        "exclusives on memory mixed with loads from devices deadlock the core",
        Open("a guest can hang its core, so that its partition cannot be stopped; other cores go on"),
    ),
    row(
        midr::CORTEX_A57,
        "834220",
        (0x00, 0x12),
        "a stage 1 fault of a load across a page boundary is reported as one of stage 2",
        Guests("the guest gets an external abort, or its device's answer, for the fault that was its own"),
    ),
    row(
        midr::CORTEX_A57,
        "852523",
        (0x00, 0x12),
        "restoring AArch32 registers of a guest out of order corrupts others",
        AARCH32,
    ),
    row(midr::CORTEX_A57, "1319537", ALL, SPECULATIVE_AT, NEVER_SWITCHED),
    row(
        midr::CORTEX_A57,
        "1742098",
        ALL,
        "an AES instruction at AArch32 EL0 that is interrupted gives a wrong result",
        AARCH32,
    ),
    row(
        midr::CORTEX_A72,
        "853709",
        (0x00, 0x02),
        "restoring AArch32 registers of a guest out of order corrupts others",
        AARCH32,
    ),
    row(
        midr::CORTEX_A72,
        "859971",
        (0x00, 0x03),
        "an instruction prefetch with a wrong attribute can deadlock or read a device",
        Firmware("sets CPUACTLR_EL1's bit 32; EL2 maps devices execute-never, as stage 2 does"),
    ),
    row(midr::CORTEX_A72, "1319367", ALL, SPECULATIVE_AT, NEVER_SWITCHED),
    row(
        midr::CORTEX_A72,
        "1655431",
        ALL,
        "an AES instruction at AArch32 EL0 that is interrupted gives a wrong result (1742098 of Cortex-A57)",
        AARCH32,
    ),
    row(
        midr::CORTEX_A73,
        "858921",
        ALL,
        "a read of the counter while its lower half wraps may be off by 2^32",
        Done("EL2 reads twice and keeps the first where bit 32 differs; a guest does likewise"),
    ),
    row(midr::CORTEX_A76, "1165522", (0x00, 0x20), SPECULATIVE_AT, NEVER_SWITCHED),
    row(
        midr::CORTEX_A76,
        "1188873, 1418040",
        (0x00, 0x31),
        "AArch32 reads of the timers corrupt a register",
        AARCH32,
    ),
    row(midr::CORTEX_A76, "1286807", (0x00, 0x30), REPEAT_TLBI, LOCAL_TLBI),
    row(
        midr::CORTEX_A76,
        "1463225",
        (0x00, 0x31),
        "a single step over SVC can raise the step exception in the kernel that handles it",
        Guests("debug exceptions go to EL1 (MDCR_EL2.TDE = 0), and none is taken at EL2"),
    ),
    row(midr::CORTEX_A76, "3324349", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_A76, "4193800", ALL, REPEAT_TLBI, LOCAL_TLBI),
    row(midr::CORTEX_A76AE, "4193801", ALL, REPEAT_TLBI, LOCAL_TLBI),
    row(
        midr::NEOVERSE_N1,
        "1349291",
        ALL,
        "a corrected or contained error can be reported as an uncontained one",
        Avoided("every SError is the guest's on whose core it was taken; EL2 does not judge its kind"),
    ),
    row(
        midr::NEOVERSE_N1,
        "1418040",
        (0x00, 0x31),
        "AArch32 reads of the timers corrupt a register",
        AARCH32,
    ),
    row(
        midr::NEOVERSE_N1,
        "1542419",
        (0x30, 0x40),
        "with CTR_EL0.DIC a core may execute old instructions after another one has replaced them",
        Done(
            "a core drops its instruction cache (IC IALLU) before it enters a guest; a guest traps CTR_EL0 for EL0",
        ),
    ),
    row(midr::NEOVERSE_N1, "3324349", ALL, SSBS, SSBS_BY_ENTRY),
    row(
        midr::CORTEX_A77,
        "1508412",
        (0x00, 0x10),
        "a store exclusive or a read of PAR_EL1 with a device load deadlocks the core",
        Open(
            "a guest can hang its core, so that its partition cannot be stopped, unless firmware has patched r1p0; other \
             cores go on",
        ),
    ),
    row(midr::CORTEX_A77, "3324348", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_A77, "4193798", ALL, REPEAT_TLBI, LOCAL_TLBI),
    row(midr::CORTEX_A78, "3324344", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_A78, "4193791", ALL, REPEAT_TLBI, LOCAL_TLBI),
    row(midr::CORTEX_A78AE, "4193793", ALL, REPEAT_TLBI, LOCAL_TLBI),
    row(midr::CORTEX_A78C, "3324346, 3324347", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_A78C, "4193794", ALL, REPEAT_TLBI, LOCAL_TLBI),
    row(midr::CORTEX_X1, "3324344", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_X1C, "3324346", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::NEOVERSE_V1, "3324341", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_A510, "1902691, 2038923, 2064142", (0x00, 0x02), TRACE_BUFFER, NO_TRACE),
    row(midr::CORTEX_A510, "2051678", (0x00, 0x02), HARDWARE_DIRTY, NO_HARDWARE_DIRTY),
    row(
        midr::CORTEX_A510,
        "2077057",
        (0x00, 0x02),
        "a trapped pointer authentication instruction during a single step by EL2 leaves SPSR_EL1 in SPSR_EL2",
        Avoided("EL2 never steps a guest (MDCR_EL2.TDE = 0), and pointer authentication does not trap"),
    ),
    row(midr::CORTEX_A510, "2441009", (0x00, 0x11), REPEAT_TLBI, LOCAL_TLBI),
    row(
        midr::CORTEX_A510,
        "2457168",
        (0x00, 0x11),
        "a counter of the activity monitors counts by the wrong clock",
        Avoided("the activity monitors are hidden and trapped (CPTR_EL2.TAM)"),
    ),
    row(
        midr::CORTEX_A510,
        "2658417",
        (0x00, 0x11),
        "BFMMLA and VMMLA can give a wrong result",
        Guests("its numbers, not its isolation; a kernel hides BF16 from its processes"),
    ),
    row(midr::CORTEX_A710, "2054223", (0x00, 0x20), TRACE_BUFFER, NO_TRACE),
    row(midr::CORTEX_A710, "2119858, 2224489", (0x00, 0x20), TRACE_BUFFER, NO_TRACE),
    row(midr::CORTEX_A710, "3324338", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_A710, "3696244", (0x00, 0x21), BREAK_BEFORE_MAKE, BREAKS_BEFORE),
    row(midr::CORTEX_X2, "2119858, 2224489", (0x00, 0x20), TRACE_BUFFER, NO_TRACE),
    row(midr::CORTEX_X2, "3324338", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_X2, "3696244", (0x00, 0x21), BREAK_BEFORE_MAKE, BREAKS_BEFORE),
    row(midr::NEOVERSE_N2, "2067961, 2139208, 2253138", (0x00, 0x00), TRACE_BUFFER, NO_TRACE),
    row(midr::NEOVERSE_N2, "3324339", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::NEOVERSE_N2, "3696250", (0x00, 0x03), BREAK_BEFORE_MAKE, BREAKS_BEFORE),
    row(
        midr::CORTEX_A715,
        "2645198",
        (0x00, 0x10),
        "ESR and FAR of an abort are wrong after a page became executable without break-before-make",
        Guests("a guest's stage 1 only: stage 2 and EL2's tables never change a right"),
    ),
    row(midr::CORTEX_A715, "3456084", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_X3, "3324335", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::NEOVERSE_V2, "3324336", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::NEOVERSE_V2, "3696242", ALL, BREAK_BEFORE_MAKE, BREAKS_BEFORE),
    row(
        midr::CORTEX_A520,
        "2966298",
        (0x00, 0x01),
        "a speculative unprivileged load can leak privileged data through the cache",
        Guests("between its EL0 and its EL1; what EL2 maps is not in the guest's translation regime"),
    ),
    row(midr::CORTEX_A720, "3456091", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_X4, "3194386", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::NEOVERSE_V3, "3312417", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_X925, "3324334", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::CORTEX_A725, "3456106", ALL, SSBS, SSBS_BY_ENTRY),
    row(midr::NEOVERSE_N3, "3456111", ALL, SSBS, SSBS_BY_ENTRY),
    row(
        midr::THUNDERX,
        "23154",
        ALL,
        "a read of ICC_IAR1_EL1 is not ordered with what follows it",
        Open("the interrupt path does not wait for it, so an interrupt may be lost"),
    ),
    row(
        midr::THUNDERX,
        "30115",
        (0x00, 0x12),
        "a guest's writes to the GIC's group registers reach the physical interface",
        Open("a guest can turn its core's interrupts off, so that its partition cannot be stopped"),
    ),
    row(
        midr::CARMEL,
        "CnP",
        ALL,
        "a TLBI of one core leaves entries that are shared by CnP",
        Avoided("EL2's TTBR0_EL2 and VTTBR_EL2 have CnP clear; a guest decides for its stage 1"),
    ),
    row(midr::FALKOR, "1009", ALL, "a DSB completes before the broadcast TLBI before it", LOCAL_TLBI),
    row(midr::AMPERE1, "AC03_CPU_38", ALL, HARDWARE_DIRTY, NO_HARDWARE_DIRTY),
    row(midr::AMPERE1A, "AC04_CPU_10", ALL, HARDWARE_DIRTY, NO_HARDWARE_DIRTY),
];
