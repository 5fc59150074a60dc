//! Timers: own ones at their extremes, and nobody else's.

use partita_guest::rows::{Env, Outcome, irq};
use partita_guest::{cpu, gic, timer};

use crate::code::{self, Register};
use crate::table::Row;
use crate::{ensure, fail, mrs, same};

const LEVEL: &str = "offsets, controls and other levels' timers are EL2's and EL3's registers";
const OWN: &str = "a timer's interrupt is its own core's";

pub const ROWS: &[Row] = &[
    Row::new(
        "upper-timers",
        "EL2's and the secure timers, their offsets and controls",
        "undefined",
        LEVEL,
        upper,
    ),
    Row::new(
        "counters",
        "writes of the counters and of their frequency",
        "undefined, and they go on",
        LEVEL,
        counters,
    ),
    Row::new(
        "offset",
        "everything that might move the virtual offset",
        "both counts keep their distance",
        LEVEL,
        offset,
    ),
    Row::new(
        "kernel-control",
        "CNTKCTL_EL1 with every bit",
        "own state only, and both counts go on",
        LEVEL,
        kernel_control,
    ),
    Row::new(
        "extremes",
        "compare values and timer values at every extreme",
        "own interrupts, and no others",
        OWN,
        extremes,
    ),
    Row::new(
        "toggles",
        "timers switched on and off, masked and not, while due",
        "own interrupts, and no others",
        OWN,
        toggles,
    ),
    Row::new(
        "event-stream",
        "an event at every change of the lowest bits",
        "wakes this core, if anybody",
        LEVEL,
        event_stream,
    ),
];

const CNTKCTL: Register = (3, 0, 14, 1, 0);

fn upper(_: &Env) -> Outcome {
    for op1 in [4, 7] {
        for (crm, op2) in (0..16).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
            let register = (3, op1, 14, crm, op2);
            let (value, fault) = code::read(register);
            ensure!(
                fault.is_some_and(|fault| fault.is_undefined()),
                "{register:?} reads {value:#x}: {fault:x?}"
            );
            for value in [0, 1, 3, !0] {
                let fault = code::write(register, value);
                ensure!(
                    fault.is_some_and(|fault| fault.is_undefined()),
                    "{register:?} takes {value:#x}: {fault:x?}"
                );
            }
        }
    }
    Ok(())
}

/// CNTFRQ_EL0, CNTPCT_EL0, CNTVCT_EL0 and their self-synchronised forms.
fn counters(_: &Env) -> Outcome {
    let (frequency, before) = (timer::frequency(), timer::now());
    for op2 in [0, 1, 2, 5, 6] {
        for value in [0, !0] {
            let Some(fault) = code::write((3, 3, 14, 0, op2), value) else {
                fail!("counter {op2} takes {value:#x}")
            };
            ensure!(fault.is_undefined(), "writing counter {op2}: {fault:x?}");
        }
    }
    same!(timer::frequency(), frequency, "CNTFRQ_EL0");
    let after = timer::now();
    ensure!(after > before && after - before < 10 * frequency, "the count went from {before} to {after}");
    Ok(())
}

/// The smallest distance of the counts, read one after the other.
fn distance() -> i64 {
    let one = || timer::physical_now().wrapping_sub(timer::now()) as i64;
    (0..100).map(|_| one()).max().unwrap_or(0)
}

fn offset(_: &Env) -> Outcome {
    let before = distance();
    for register in [(3, 4, 14, 0, 3), (3, 4, 14, 0, 6), (3, 5, 14, 0, 3), (3, 4, 14, 1, 0)] {
        for value in [1 << 32, !0] {
            ensure!(code::write(register, value).is_some(), "{register:?} takes {value:#x}");
        }
    }
    let moved = distance().abs_diff(before);
    ensure!(moved < timer::frequency() / 10, "the counts' distance moved by {moved} ticks");
    Ok(())
}

fn kernel_control(_: &Env) -> Outcome {
    let (before, _) = code::read(CNTKCTL);
    for value in (0..64).map(|bit| 1 << bit).chain([!0]) {
        let fault = code::write(CNTKCTL, value);
        ensure!(fault.is_none(), "CNTKCTL_EL1 with {value:#x}: {fault:x?}");
        let (first, physical) = (timer::now(), timer::physical_now());
        timer::spin(10);
        ensure!(
            timer::now() > first && timer::physical_now() > physical,
            "a count stands still with {value:#x}"
        );
    }
    code::write(CNTKCTL, before);
    Ok(())
}

/// Nothing but what the two timers raise comes to this core.
fn only_timers(env: &Env) -> Outcome {
    irq::settle(3);
    cpu::mask_interrupts();
    let timers = irq::count(0, env.machine.virtual_timer) + irq::count(0, env.machine.physical_timer);
    same!(irq::total(0), timers as usize, "interrupts, and those of the timers");
    Ok(())
}

fn extremes(env: &Env) -> Outcome {
    irq::enable(env.machine.virtual_timer);
    irq::enable(env.machine.physical_timer);
    cpu::unmask_interrupts();
    // CNTP and CNTV: TVAL (op2 0), CTL (1), CVAL (2).
    for crm in [2, 3] {
        for (op2, values) in [
            (2, [0, 1, !0, 1 << 63, (1 << 63) - 1, 1 << 56]),
            (0, [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, !0]),
        ] {
            for value in values {
                for control in [1, 3, !0, 0] {
                    code::write((3, 3, 14, crm, op2), value);
                    code::write((3, 3, 14, crm, 1), control);
                }
            }
        }
    }
    only_timers(env)
}

fn toggles(env: &Env) -> Outcome {
    irq::enable(env.machine.virtual_timer);
    irq::enable(env.machine.physical_timer);
    cpu::unmask_interrupts();
    for _ in 0..500 {
        for crm in [2, 3] {
            code::write((3, 3, 14, crm, 2), 0);
            for control in [1, 3, 1, 0, 2] {
                code::write((3, 3, 14, crm, 1), control);
            }
        }
    }
    ensure!(irq::total(0) > 0, "no interrupt came at all");
    only_timers(env)
}

/// CNTKCTL_EL1.EVNTEN, with EVNTI = 0 (DDI 0487, D12.2.6).
fn event_stream(_: &Env) -> Outcome {
    let before = mrs!("cntkctl_el1");
    code::write(CNTKCTL, 1 << 2);
    timer::spin(timer::frequency() / 100);
    code::write(CNTKCTL, 1 << 2 | 1 << 3 | 1 << 17);
    timer::spin(timer::frequency() / 100);
    code::write(CNTKCTL, before);
    ensure!(gic::highest_pending() >= 1020, "an interrupt came of it");
    Ok(())
}
