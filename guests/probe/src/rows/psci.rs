//! PSCI and SMCCC as a partition gets them.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use partita_abi::{psci as id, smccc};
use partita_guest::cpu::MAX_CORES;
use partita_guest::exception::catch;
use partita_guest::psci::{affinity_info, call32, call64, cpu_on, cpu_suspend};
use partita_guest::{cpu, gic, psci, start, timer};

use crate::check::{Env, Outcome, Row};
use crate::{cores, ensure, irq, mrs, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("psci-version", version),
    Row::here("psci-features", features),
    Row::here("smccc-identity", smccc_identity),
    Row::here("psci-both-conduits", both_conduits),
    Row::here("call-unknown", unknown),
    Row::here("call-immediate", immediate),
    Row::here("call-keeps-registers", keeps_registers),
    Row::new("cpu-on-all", on_all),
    Row::new("cpu-on-bad-target", bad_target),
    Row::here("cpu-on-bad-entry", bad_entry),
    Row::new("cpu-off-on", off_on),
    Row::new("affinity-info", info),
    Row::new("suspend-standby", standby),
    Row::new("suspend-pending", suspend_pending),
    Row::here("suspend-power-down", power_down),
    Row::here("migrate", migrate),
];

const OK: i64 = 0;
const ON: i64 = 0;
const OFF: i64 = 1;
const UNSUPPORTED: u32 = id::NOT_SUPPORTED as u32;

fn version(env: &Env) -> Outcome {
    let version = call32(id::VERSION, [0; 3])[0];
    ensure!(version >= 0x1_0000, "PSCI_VERSION answers {version:#x}");
    if !env.native {
        same!(version, id::VERSION_1_1, "PSCI_VERSION");
    }
    Ok(())
}

/// What is offered, and that nothing else is.
fn features(_: &Env) -> Outcome {
    let offered = [
        id::VERSION,
        id::CPU_SUSPEND,
        id::CPU_SUSPEND | id::SMC64,
        id::CPU_OFF,
        id::CPU_ON,
        id::CPU_ON | id::SMC64,
        id::AFFINITY_INFO,
        id::AFFINITY_INFO | id::SMC64,
        id::MIGRATE_INFO_TYPE,
        id::SYSTEM_OFF,
        id::SYSTEM_RESET,
        id::FEATURES,
        smccc::VERSION,
    ];
    for function in offered {
        let answer = call32(id::FEATURES, [function, 0, 0])[0] as i32;
        ensure!(answer >= 0, "PSCI_FEATURES({function:#x}) answers {answer}");
    }
    for function in
        [id::MIGRATE, 0x8400_0007, 0x8400_000b, 0x8400_001f, 0xc400_0002, smccc::TRNG_VERSION, 0, !0]
    {
        same!(call32(id::FEATURES, [function, 0, 0])[0], UNSUPPORTED, "PSCI_FEATURES({function:#x})");
    }
    Ok(())
}

fn smccc_identity(_: &Env) -> Outcome {
    let version = call32(smccc::VERSION, [0; 3])[0];
    same!(version, smccc::VERSION_1_2, "SMCCC_VERSION");
    same!(call32(smccc::ARCH_FEATURES, [smccc::VERSION, 0, 0])[0], 0, "ARCH_FEATURES(SMCCC_VERSION)");
    same!(
        call32(smccc::ARCH_FEATURES, [0x8000_1234, 0, 0])[0],
        UNSUPPORTED,
        "ARCH_FEATURES of an unknown function"
    );
    same!(call32(smccc::TRNG_VERSION, [0; 3])[0], UNSUPPORTED, "TRNG_VERSION");
    same!(call32(smccc::VENDOR_HYP_UID, [0; 3]), smccc::UID, "UID");
    let revision = call32(smccc::VENDOR_HYP_REVISION, [0; 3]);
    same!([revision[0], revision[1]], [smccc::REVISION_MAJOR, smccc::REVISION_MINOR], "revision");
    Ok(())
}

/// Runs `work` by SMC and by HVC.
fn by_each(work: impl Fn(&'static str) -> Outcome) -> Outcome {
    let usual = psci::by_smc();
    let mut outcome = Ok(());
    for smc in [false, true] {
        psci::use_smc(smc);
        outcome = outcome.and_then(|()| work(if smc { "SMC" } else { "HVC" }));
    }
    psci::use_smc(usual);
    outcome
}

/// HVC and SMC are answered alike, whatever the tree names.
fn both_conduits(env: &Env) -> Outcome {
    by_each(|by| {
        same!(call32(id::VERSION, [0; 3])[0], id::VERSION_1_1, "PSCI_VERSION by {by}");
        same!(affinity_info(env.machine.cores[0], 0), ON, "AFFINITY_INFO by {by}");
        same!(call32(smccc::VERSION, [0; 3])[0], smccc::VERSION_1_2, "SMCCC_VERSION by {by}");
        Ok(())
    })
}

/// Functions that nobody offers: NOT_SUPPORTED, in every range and by both conduits.
fn unknown(_: &Env) -> Outcome {
    by_each(|by| {
        for function in [
            0x0000_0000,
            0x0000_0001,
            0x3fff_ffff,
            0x8000_4321,
            0x8100_0000,
            0x8200_0000,
            0x8300_0000,
            0x8400_0007,
            0x8400_0014,
            0x8400_00ff,
            0x8500_0000,
            0x8600_1234,
            0x8700_0000,
            0xb200_0000,
            0xbf00_ff01,
            0xc200_0000,
            0xc300_0000,
            0xc400_0063,
            0xc600_0007,
            0xff00_0000,
            0xffff_ffff,
        ] {
            let args = [0x1111_1111_1111_1111, 0x4000_0000, !0];
            same!(call64(function, args)[0] as u32, UNSUPPORTED, "{function:#x} by {by}");
        }
        // Pseudo-random identifiers in the ranges of nobody (owners 7 to 47 are reserved; DEN 0028, table 6-1).
        let mut state = 0x2545_f491u32;
        for _ in 0..500 {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let function = 0x8000_0000 | state & 0x4000_ffff | (7 + state % 40) << 24;
            same!(
                call64(function, [u64::from(state), !0, 1])[0] as u32,
                UNSUPPORTED,
                "{function:#x} by {by}"
            );
        }
        Ok(())
    })
}

/// HVC and SMC with an immediate other than 0 are no SMCCC calls: refused or undefined, never more.
fn immediate(_: &Env) -> Outcome {
    let (hvc, smc) = (0xd400_0002u32, 0xd400_0003);
    for (name, form) in [("HVC", hvc), ("SMC", smc)] {
        for number in [1u32, 0x4a48, 0xffff] {
            let (value, fault) = crate::code::run(form | number << 5, u64::from(id::VERSION));
            let refused = value as u32 == UNSUPPORTED || fault.is_some_and(|fault| fault.is_undefined());
            ensure!(refused, "{name} #{number:#x}: x0 {value:#x}, {fault:x?}");
        }
    }
    Ok(())
}

/// x4 to x30 survive a call (DEN 0028, 2.6: from SMCCC 1.1 on, x4 to x17 too).
fn keeps_registers(_: &Env) -> Outcome {
    let wrong: u64;
    // SAFETY: the registers that the block changes are named; x19 and x29 are put back.
    unsafe {
        core::arch::asm!(
            "mov x20, x19", "mov x21, x29",
            "mov x4, #4", "mov x5, #5", "mov x6, #6", "mov x7, #7", "mov x8, #8", "mov x9, #9", "mov x10, #10",
            "mov x11, #11", "mov x12, #12", "mov x13, #13", "mov x14, #14", "mov x15, #15", "mov x16, #16",
            "mov x17, #17", "mov x19, #19", "mov x22, #22", "mov x28, #28", "mov x29, #29", "mov x30, #30",
            "hvc #0",
            "eor x4, x4, #4", "sub x5, x5, #5", "sub x6, x6, #6", "sub x7, x7, #7", "sub x8, x8, #8", "sub x9, x9, #9",
            "sub x10, x10, #10", "sub x11, x11, #11", "sub x12, x12, #12", "sub x13, x13, #13", "sub x14, x14, #14",
            "sub x15, x15, #15", "sub x16, x16, #16", "sub x17, x17, #17", "sub x19, x19, #19", "sub x22, x22, #22",
            "sub x28, x28, #28", "sub x29, x29, #29", "sub x30, x30, #30",
            "orr x4, x4, x5", "orr x4, x4, x6", "orr x4, x4, x7", "orr x4, x4, x8", "orr x4, x4, x9", "orr x4, x4, x10",
            "orr x4, x4, x11", "orr x4, x4, x12", "orr x4, x4, x13", "orr x4, x4, x14", "orr x4, x4, x15",
            "orr x4, x4, x16", "orr x4, x4, x17", "orr x4, x4, x19", "orr x4, x4, x22", "orr x4, x4, x28",
            "orr x4, x4, x29", "orr x4, x4, x30",
            "mov x19, x20", "mov x29, x21",
            inout("x0") u64::from(id::VERSION) => _, out("x1") _, out("x2") _, out("x3") _, out("x4") wrong,
            out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _,
            out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _, out("x20") _, out("x21") _,
            out("x22") _, out("x28") _, out("x30") _,
        );
    }
    same!(wrong, 0, "bits that a call changed in x4 to x30");
    Ok(())
}

static SEEN: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];
static RELEASE: AtomicUsize = AtomicUsize::new(0);

fn say_who() {
    SEEN[cpu::index()].store(mrs!("mpidr_el1"), Ordering::SeqCst);
    while RELEASE.load(Ordering::SeqCst) == 0 && !cores::given_up() {
        core::hint::spin_loop();
    }
}

/// Every core starts where it was told, as itself, and is then ALREADY_ON.
fn on_all(env: &Env) -> Outcome {
    RELEASE.store(0, Ordering::SeqCst);
    SEEN.iter().for_each(|seen| seen.store(0, Ordering::SeqCst));
    cores::start_others(env, say_who)?;
    for (core, affinity) in env.machine.cores.iter().enumerate().skip(1) {
        ensure!(irq::within(10_000, || SEEN[core].load(Ordering::SeqCst) != 0), "core {core} did not start");
        same!(SEEN[core].load(Ordering::SeqCst) & cpu::AFFINITY, *affinity, "MPIDR_EL1 of core {core}");
        same!(affinity_info(*affinity, 0), ON, "AFFINITY_INFO of core {core}");
        same!(
            cpu_on(*affinity, start::secondary_entry(), core as u64),
            i64::from(id::ALREADY_ON),
            "second CPU_ON"
        );
    }
    let me = cpu_on(env.machine.cores[0], start::secondary_entry(), 0);
    same!(me, i64::from(id::ALREADY_ON), "CPU_ON of the caller");
    RELEASE.store(1, Ordering::SeqCst);
    cores::join(env)
}

/// Affinities that name no core of this partition.
fn strangers(env: &Env) -> impl Iterator<Item = u64> {
    let cores = env.machine.cores;
    (0..9)
        .chain([0x100, 0x103, 0x1_0000, 0x1_0000_0000, 0xff_00ff_ffff, 1 << 40, u64::MAX])
        .filter(move |affinity| !cores.contains(affinity))
}

/// Cores of others and of nobody: INVALID_PARAMETERS, and nothing happens.
fn bad_target(env: &Env) -> Outcome {
    for affinity in strangers(env) {
        let answer = cpu_on(affinity, start::secondary_entry(), 1);
        same!(answer, i64::from(id::INVALID_PARAMETERS), "CPU_ON({affinity:#x})");
    }
    Ok(())
}

/// Entries outside the partition's memory are refused.
fn bad_entry(env: &Env) -> Outcome {
    let Some(affinity) = env.machine.cores.get(1) else { skip!("needs 2 cores") };
    for entry in [0x0, env.machine.gicd, 0xffff_ffff_ffff_f000] {
        let answer = cpu_on(*affinity, entry, 1);
        same!(answer, i64::from(id::INVALID_ADDRESS), "CPU_ON with entry {entry:#x}");
    }
    same!(affinity_info(*affinity, 0), OFF, "AFFINITY_INFO afterwards");
    Ok(())
}

/// Off and on again, many times, each time from the entry.
fn off_on(env: &Env) -> Outcome {
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    RELEASE.store(1, Ordering::SeqCst);
    for round in 0..20 {
        SEEN.iter().for_each(|seen| seen.store(0, Ordering::SeqCst));
        cores::start_others(env, say_who)?;
        cores::join(env)?;
        for (core, seen) in SEEN.iter().enumerate().take(env.machine.cores.len()).skip(1) {
            ensure!(seen.load(Ordering::SeqCst) != 0, "round {round}: core {core} did not run");
        }
    }
    Ok(())
}

/// AFFINITY_INFO of own cores, of wild ones, and of levels that do not exist.
fn info(env: &Env) -> Outcome {
    for (core, affinity) in env.machine.cores.iter().enumerate() {
        let wanted = if core == 0 { ON } else { OFF };
        same!(affinity_info(*affinity, 0), wanted, "AFFINITY_INFO of core {core}");
    }
    for affinity in strangers(env) {
        same!(affinity_info(affinity, 0), i64::from(id::INVALID_PARAMETERS), "AFFINITY_INFO({affinity:#x})");
    }
    if env.native {
        return Ok(()); // QEMU answers for any level
    }
    for level in [4, 99, u64::MAX] {
        let answer = affinity_info(env.machine.cores[0], level);
        same!(answer, i64::from(id::INVALID_PARAMETERS), "AFFINITY_INFO of level {level}");
    }
    Ok(())
}

/// A standby state ends with the next interrupt, masked or not. It may end early, as WFI may (DEN 0022, CPU_SUSPEND): by an
/// interrupt of the hypervisor's own.
fn standby(env: &Env) -> Outcome {
    irq::enable(env.machine.virtual_timer);
    let mut slept = false;
    for _ in 0..5 {
        let due = timer::now() + timer::frequency() / 100;
        timer::set_virtual(due);
        let mut times = 0;
        while timer::now() < due {
            same!(cpu_suspend(0, 0, 0), OK, "CPU_SUSPEND");
            times += 1;
        }
        // None: the computer had something else to do until the timer was due.
        ensure!(times <= 20, "it took {times} calls, as if none slept");
        slept |= times != 0;
        same!(irq::take(), Some(env.machine.virtual_timer), "interrupt that ended it");
        timer::stop_virtual();
        gic::end(env.machine.virtual_timer);
    }
    ensure!(slept, "no call came in five times 10 ms");
    Ok(())
}

/// With an interrupt already pending it returns at once.
fn suspend_pending(_: &Env) -> Outcome {
    irq::enable(2);
    gic::send(2, 1);
    same!(cpu_suspend(0, 0, 0), OK, "CPU_SUSPEND");
    same!(irq::take(), Some(2), "interrupt");
    gic::end(2);
    Ok(())
}

const POWER_DOWN: u32 = 1 << 16;
static RESULT: AtomicU64 = AtomicU64::new(0);

fn suspend_self() {
    irq::quiet_secondary();
    cpu::mask_interrupts();
    let me = cpu::index();
    cpu::set_work(me, resumed);
    irq::enable(27);
    timer::set_virtual(timer::now() + timer::frequency() / 100);
    let refused = cpu_suspend(POWER_DOWN, start::secondary_entry(), me as u64);
    RESULT.store(refused as u64 | 1, Ordering::SeqCst);
}

fn resumed() {
    timer::stop_virtual();
    // SCTLR_EL1 as the entry found it is not visible any more, but the stack is new: the entry was taken.
    RESULT.store(2, Ordering::SeqCst);
}

/// A power-down state restarts at its entry.
fn power_down(env: &Env) -> Outcome {
    let Some(affinity) = env.machine.cores.get(1) else { skip!("needs 2 cores") };
    RESULT.store(0, Ordering::SeqCst);
    same!(cpu::start(1, *affinity, suspend_self), OK, "CPU_ON of core 1");
    ensure!(irq::within(10_000, || RESULT.load(Ordering::SeqCst) != 0), "core 1 never came back");
    same!(RESULT.load(Ordering::SeqCst), 2, "2 = it came back through its entry");
    cores::join(env)
}

/// No trusted OS, nothing to migrate.
fn migrate(_: &Env) -> Outcome {
    same!(call32(id::MIGRATE_INFO_TYPE, [0; 3])[0], 2, "MIGRATE_INFO_TYPE");
    same!(call32(id::MIGRATE, [0; 3])[0], UNSUPPORTED, "MIGRATE");
    let (_, fault) = catch(|| call64(id::CPU_SUSPEND | id::SMC64, [u64::MAX, 0, 0]));
    ensure!(fault.is_none(), "CPU_SUSPEND with a wild state: {fault:x?}");
    Ok(())
}
