//! SGIs to everybody: only the partition's own cores get any. That the victim got none, it counts itself.

use partita_guest::mmio::write32;
use partita_guest::rows::irq::{self, count, gicd, total};
use partita_guest::rows::{Env, Outcome};
use partita_guest::{cpu, gic};

use crate::table::Row;
use crate::{code, ensure, same};

const TARGETS: &str = "an SGI's targets are looked up among the partition's own cores";
const NOTHING: &str = "nobody gets one, least of all the sender or the victim";

pub const ROWS: &[Row] = &[
    Row::new("sgi1r-foreign", "ICC_SGI1R_EL1 to every affinity but ours", NOTHING, TARGETS, sgi1r).v3(),
    Row::new("asgi1r-foreign", "ICC_ASGI1R_EL1 to every affinity but ours", NOTHING, TARGETS, asgi1r).v3(),
    Row::new("sgi0r-foreign", "ICC_SGI0R_EL1 to every affinity, ours too", NOTHING, TARGETS, sgi0r).v3(),
    Row::new("sgi1r-others", "ICC_SGI1R_EL1 with IRM, every number", NOTHING, TARGETS, others).v3(),
    Row::new("sgir-foreign", "GICD_SGIR to every CPU interface but ours", NOTHING, TARGETS, sgir).v2(),
    Row::new("sgir-others", "GICD_SGIR to all others, every number", NOTHING, TARGETS, sgir_others).v2(),
];

const SGI1R: code::Register = (3, 0, 12, 11, 5);
const ASGI1R: code::Register = (3, 0, 12, 11, 6);
const SGI0R: code::Register = (3, 0, 12, 11, 7);
const IRM: u64 = 1 << 40;

/// All SGIs are taken here while `attack` runs, and afterwards none has come.
fn nobody(attack: impl Fn() -> Outcome) -> Outcome {
    (0..16).for_each(irq::enable);
    cpu::unmask_interrupts();
    attack()?;
    irq::settle(3);
    for sgi in 0..16 {
        same!(count(0, sgi), 0, "SGIs {sgi} that came here");
    }
    same!(total(0), 0, "interrupts that came here");
    Ok(())
}

/// Writes a register with every affinity that has one field set, and with some that have several; `own` leaves out the
/// targets that are the partition's.
fn affinities(env: &Env, register: code::Register, own: bool) -> Outcome {
    let cores = env.machine.cores.len();
    let foreign = if own { !0 } else { !0 << cores } & 0xffff;
    let send = |sgi: u64, affinity: [u64; 3], range: u64, list: u64| {
        let [aff3, aff2, aff1] = affinity;
        let value = aff3 << 48 | range << 44 | aff2 << 32 | sgi << 24 | aff1 << 16 | list;
        let fault = code::write(register, value);
        ensure!(fault.is_none(), "writing {value:#x}: {fault:x?}");
        Ok(())
    };
    for sgi in 0..16 {
        send(sgi, [0; 3], 0, foreign)?;
    }
    for level in 1..=0xff {
        for affinity in [[level, 0, 0], [0, level, 0], [0, 0, level], [level; 3]] {
            send(level & 15, affinity, 0, 0xffff)?;
        }
    }
    for range in 1..16 {
        send(range, [0; 3], range, 0xffff)?;
    }
    Ok(())
}

fn sgi1r(env: &Env) -> Outcome {
    nobody(|| affinities(env, SGI1R, false))
}

fn asgi1r(env: &Env) -> Outcome {
    nobody(|| affinities(env, ASGI1R, false))
}

fn sgi0r(env: &Env) -> Outcome {
    nobody(|| affinities(env, SGI0R, true))
}

/// The other core of ours is off.
fn others(_: &Env) -> Outcome {
    nobody(|| {
        for value in (0..16).map(|sgi| IRM | sgi << 24 | 0xff_00ff_00f0_ffff) {
            let fault = code::write(SGI1R, value);
            ensure!(fault.is_none(), "writing {value:#x}: {fault:x?}");
        }
        Ok(())
    })
}

const SGIR: u64 = 0xf00;

fn sgir(env: &Env) -> Outcome {
    let foreign = (0xff << env.machine.cores.len()) & 0xff;
    nobody(|| {
        for sgi in 0..16 {
            for targets in (1..=0xff).filter(|targets| targets & !foreign == 0) {
                write32(gicd() + SGIR, targets << 16 | sgi);
            }
            write32(gicd() + SGIR, 3 << 24 | 0xff << 16 | sgi); // a filter that is reserved
        }
        Ok(())
    })
}

fn sgir_others(_: &Env) -> Outcome {
    nobody(|| {
        for sgi in 0..16 {
            write32(gicd() + SGIR, 1 << 24 | 0xff << 16 | sgi);
        }
        ensure!(gic::highest_pending() >= 1020, "something is pending");
        Ok(())
    })
}
