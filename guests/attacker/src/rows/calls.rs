//! Hypercalls that are not PSCI's: every immediate, every range of SMCCC, Partita's own, and what comes back in registers.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use partita_abi::supervision::{call, code};
use partita_abi::{psci as id, smccc};
use partita_guest::rows::{Env, Outcome, cores};
use partita_guest::supervisor::Device;
use partita_guest::{psci, timer};

use super::forms::foreign;
use crate::table::Row;
use crate::{ensure, same};

const ALLOWED: &str = "calls are answered from a list, and none reaches firmware with what the guest said";

pub const ROWS: &[Row] = &[
    Row::new(
        "hvc-immediates",
        "HVC with every immediate",
        "not supported but for 0",
        "the immediate is looked at",
        hvc,
    ),
    Row::new("smc-immediates", "SMC with every immediate", "not supported but for 0", "HCR_EL2.TSC", smc),
    Row::new(
        "ranges",
        "every owner, convention and kind of call",
        "not supported, but what is offered",
        ALLOWED,
        ranges,
    ),
    Row::new(
        "firmware",
        "firmware's services: trusted OS, SDEI, TRNG, FF-A, vendors'",
        "not supported",
        ALLOWED,
        firmware,
    ),
    Row::new(
        "workarounds",
        "SMCCC_ARCH_WORKAROUND_1 to 4 with wild arguments",
        "an answer, nothing else",
        ALLOWED,
        workarounds,
    ),
    Row::new(
        "own-calls",
        "the whole range of Partita's own calls, with wild arguments",
        "not supported, but the queries",
        ALLOWED,
        own_calls,
    ),
    Row::new(
        "own-pointers",
        "Partita's calls and PSCI with foreign addresses in every register",
        "not supported, and memory stays",
        ALLOWED,
        own_pointers,
    ),
    Row::new(
        "supervision",
        "every call about another partition, with every index but its own, from every core",
        "no such index, whoever has that number, and nothing in registers",
        "an index is a place in the caller's own list",
        supervision,
    ),
    Row::new(
        "upper-identifier",
        "identifiers with the upper half set",
        "the lower half counts",
        ALLOWED,
        upper_identifier,
    ),
    Row::new(
        "no-leak",
        "what HVC and SMC leave in x4 to x30",
        "what was there before",
        "general registers are saved and restored whole",
        no_leak,
    ),
    Row::new(
        "storm",
        "calls from every core as fast as they go",
        "every one is answered",
        "no lock is held over a call",
        storm,
    ),
];

const NOT_SUPPORTED: u64 = u64::MAX;

/// 4,096 of the 65,536: all that have few bits set or few clear, and a walk through the others.
fn immediates(form: u32) -> Outcome {
    for immediate in 0..=u32::from(u16::MAX) {
        let telling = immediate < 64 || immediate.count_ones() <= 2 || immediate.count_ones() >= 14;
        if !telling && immediate % 17 != 0 {
            continue;
        }
        let (answer, fault) = crate::code::run(form | immediate << 5, u64::from(id::VERSION));
        ensure!(fault.is_none(), "immediate {immediate:#x}: {fault:x?}");
        let wanted = if immediate == 0 { u64::from(id::VERSION_1_1) } else { NOT_SUPPORTED };
        same!(answer, wanted, "PSCI_VERSION by immediate {immediate:#x}");
    }
    Ok(())
}

fn hvc(_: &Env) -> Outcome {
    immediates(0xd400_0002)
}

fn smc(_: &Env) -> Outcome {
    immediates(0xd400_0003)
}

/// What is offered, by its identifier; PSCI's range is another surface's, and supervision another row's.
fn offered(function: u32) -> bool {
    function & !id::SMC64 & !0x1f == id::VERSION
        || (call::COUNT..call::COUNT + call::CALLS).contains(&function)
        || matches!(
            function,
            smccc::VERSION
                | smccc::ARCH_FEATURES
                | smccc::ARCH_WORKAROUND_1
                | smccc::ARCH_WORKAROUND_2
                | smccc::ARCH_WORKAROUND_3
                | smccc::VENDOR_HYP_CALL_COUNT
                | smccc::VENDOR_HYP_UID
                | smccc::VENDOR_HYP_REVISION
        )
}

fn refused(function: u32, arguments: [u64; 3]) -> Outcome {
    if !offered(function) {
        let answer = psci::call64(function, arguments)[0];
        ensure!(
            answer as i32 == id::NOT_SUPPORTED,
            "function {function:#x} with {arguments:x?}: {answer:#x}"
        );
    }
    Ok(())
}

/// Numbers of functions that mean something somewhere.
const NUMBERS: [u32; 14] = [0, 1, 2, 3, 8, 0x20, 0x50, 0x60, 0x7fff, 0x8000, 0xff00, 0xff01, 0xff03, 0xffff];

/// Bit 31 fast or yielding, bit 30 64-bit, 29..24 the owner, 23..16 must be zero or are for SVE (DEN 0028, 2.5).
fn ranges(_: &Env) -> Outcome {
    for form in 0..4 {
        for owner in 0..64 {
            for (number, reserved) in
                NUMBERS.iter().flat_map(|number| [(number, 0), (number, 1), (number, 0xff)])
            {
                refused(form << 30 | owner << 24 | reserved << 16 | number, [!0; 3])?;
            }
        }
    }
    Ok(())
}

/// SDEI (0x20..), TRNG (0x50..), FF-A (0x60..), SPM and PCI (0x130), errata (0xf0..), trusted applications and trusted OS
/// (owners 48 to 63), silicon and OEM (owners 2 and 3).
fn firmware(_: &Env) -> Outcome {
    for number in (0x20..0x140).chain(0xf0..0x100) {
        for base in [0x8400_0000, 0xc400_0000] {
            refused(base | number, [0; 3])?;
        }
    }
    for owner in [0x82, 0x83, 0xb0, 0xb2, 0xbf, 0xc2, 0xc3, 0xf2, 0xff] {
        for number in 0..0x40 {
            refused(owner << 24 | number, [!0, 1, 0])?;
        }
    }
    Ok(())
}

fn workarounds(_: &Env) -> Outcome {
    for function in
        [smccc::ARCH_WORKAROUND_1, smccc::ARCH_WORKAROUND_2, smccc::ARCH_WORKAROUND_3, 0x8000_0004]
    {
        for argument in [0, 1, 2, !0, 1 << 63] {
            let answer = psci::call64(function, [argument, !0, !0])[0] as i32;
            ensure!(matches!(answer, 0 | id::NOT_SUPPORTED), "{function:#x} with {argument:#x}: {answer}");
        }
    }
    Ok(())
}

fn own_calls(_: &Env) -> Outcome {
    for base in [smccc::VENDOR_HYP, smccc::VENDOR_HYP | id::SMC64, smccc::VENDOR_HYP & !(1 << 31)] {
        for number in (0..0x400).chain(0xff00..0x1_0000) {
            refused(base | number, [!0, 1 << 63, 0x8000_0000_0000])?;
        }
    }
    let uid = psci::call64(smccc::VENDOR_HYP_UID, [!0; 3]);
    same!(uid, smccc::UID.map(u64::from), "the UID, whatever the arguments");
    Ok(())
}

fn own_pointers(env: &Env) -> Outcome {
    for page in foreign(env) {
        for number in 0..0x20 {
            refused(smccc::VENDOR_HYP | id::SMC64 | number, [page; 3])?;
        }
        // MEM_PROTECT_CHECK_RANGE, and PSCI_STAT_RESIDENCY.
        for function in [0xc400_0014, 0xc400_0010] {
            let answer = psci::call64(function, [page, 0x1000, page])[0];
            same!(answer as i32, id::NOT_SUPPORTED, "function {function:#x} at {page:#x}");
        }
    }
    Ok(())
}

/// How many it manages.
static MANAGED: AtomicU64 = AtomicU64::new(0);
/// The last call that was answered: its function, and the index.
static ANSWERED: (AtomicU32, AtomicU64) = (AtomicU32::new(0), AtomicU64::new(0));

fn every_index() {
    let wild =
        [0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 32 | 1, 1 << 63, 1 << 63 | 1, !0, !0 << 32];
    for index in (MANAGED.load(Ordering::SeqCst)..256).chain(wild) {
        for function in call::NAME..=call::RESTART {
            let [x0, rest @ ..] = psci::call64(function, [index, !0, !0]);
            // What has no answer leaves the registers.
            let silent = function > call::STATE || rest == [0; 3];
            if x0 as i64 != i64::from(code::NO_SUCH) || !silent {
                ANSWERED.1.store(index, Ordering::SeqCst);
                ANSWERED.0.store(function, Ordering::SeqCst);
                return;
            }
        }
    }
}

fn supervision(env: &Env) -> Outcome {
    ANSWERED.0.store(0, Ordering::SeqCst);
    let managed = Device::find(env.machine).map_or(0, |device| device.count as u64);
    MANAGED.store(managed, Ordering::SeqCst);
    let count = psci::call64(call::COUNT, [!0; 3]);
    same!([count[0], count[1]], [0, managed], "how many are managed");
    cores::start_others(env, every_index)?;
    every_index();
    cores::join(env)?;
    let (function, index) = (ANSWERED.0.load(Ordering::SeqCst), ANSWERED.1.load(Ordering::SeqCst));
    ensure!(function == 0, "function {function:#x} of {index:#x} is answered");
    Ok(())
}

fn upper_identifier(_: &Env) -> Outcome {
    for upper in [1 << 32, 0xdead_beef << 32, !0 << 32] {
        let answer: u64;
        // SAFETY: a call that answers in x0 to x3.
        unsafe {
            asm!("hvc #0", inlateout("x0") upper | u64::from(id::VERSION) => answer, lateout("x1") _, lateout("x2") _,
                lateout("x3") _, options(nostack))
        };
        same!(answer, u64::from(id::VERSION_1_1), "PSCI_VERSION with {upper:#x} above it");
    }
    Ok(())
}

/// Fills x4 to x30 with a pattern, calls, and counts what is different. x0 is the function before and the count after.
macro_rules! across {
    ($function:expr, $call:literal) => {{
        let mut wrong = u64::from($function);
        // SAFETY: x19 and x29 are put back; all others are named as clobbered.
        unsafe {
            asm!(
                "stp x19, x29, [sp, #-16]!",
                ".irp n, 4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
                "mov x\\n, #0x5a00 + \\n",
                ".endr",
                $call,
                "mov x0, xzr",
                ".irp n, 4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
                "mov x1, #0x5a00 + \\n",
                "cmp x1, x\\n",
                "cinc x0, x0, ne",
                ".endr",
                "ldp x19, x29, [sp], #16",
                inlateout("x0") wrong, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _,
                out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
                out("x14") _, out("x15") _, out("x16") _, out("x17") _, out("x18") _, out("x20") _, out("x21") _,
                out("x22") _, out("x23") _, out("x24") _, out("x25") _, out("x26") _, out("x27") _, out("x28") _,
                out("x30") _,
            )
        };
        wrong
    }};
}

fn no_leak(_: &Env) -> Outcome {
    for function in
        [id::VERSION, smccc::VERSION, smccc::VENDOR_HYP_UID, id::VERSION | 0x1f, 0x8600_1234, 0, !0]
    {
        same!(across!(function, "hvc #0"), 0, "registers that HVC {function:#x} changed");
        same!(across!(function, "smc #0"), 0, "registers that SMC {function:#x} changed");
    }
    same!(across!(0u32, "hvc #0xffff"), 0, "registers that HVC with an immediate changed");
    Ok(())
}

static END: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU32 = AtomicU32::new(0);

fn calls() {
    let mut function = 0x8000_0000;
    while timer::now() < END.load(Ordering::SeqCst) {
        function = 0x8000_0000 | (function * 5 + 0x0123_4567) & 0x7fff_ffff;
        if refused(function, [!0; 3]).is_err() {
            WRONG.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn storm(env: &Env) -> Outcome {
    WRONG.store(0, Ordering::SeqCst);
    END.store(timer::now() + timer::frequency() / 2, Ordering::SeqCst);
    cores::start_others(env, calls)?;
    calls();
    cores::join(env)?;
    same!(WRONG.load(Ordering::SeqCst), 0, "calls that were not refused");
    Ok(())
}
