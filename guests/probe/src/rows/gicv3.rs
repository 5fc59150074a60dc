//! What only a GICv3 has: affinity routing, redistributors, and the LPIs that nobody gets.

use partita_guest::exception::catch;
use partita_guest::gic::private_frame;
use partita_guest::mmio::{read8, read32, read64, write8, write32, write64};

use super::gic::lines;
use crate::check::{Env, Outcome, Row};
use crate::irq::{
    self, CLEAR_ENABLE, PRIORITY, ROUTE, SET_ENABLE, SET_PENDING, gicd, is_ours, redistributor as gicr,
};
use crate::{ensure, fail, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("gicd-identity", identity).v3(),
    Row::here("gicd-no-lpis", no_lpis).v3(),
    Row::new("gicd-route", route).v3(),
    Row::here("gicd-message-spi", message).v3(),
    Row::here("gicd-sweep", sweep).v3(),
    Row::new("gicr-identity", redistributors).v3(),
    Row::new("gicr-private", private).v3(),
    Row::here("gicr-no-lpis", redistributor_lpis).v3(),
    Row::here("gicr-sweep", redistributor_sweep).v3(),
];

const CTLR: u64 = 0x0;
const TYPER: u64 = 0x4;
const PIDR2: u64 = 0xffe8;
/// Bytes of one redistributor: its RD and SGI frames (IHI 0069, 12.10).
const FRAME: u64 = 0x2_0000;

/// It is a GICv3 with affinity routing, and it covers every SPI that the tree names.
fn identity(env: &Env) -> Outcome {
    same!(read32(gicd() + PIDR2) >> 4 & 0xf, 3, "GICD_PIDR2.ArchRev");
    ensure!(read32(gicd() + CTLR) & 0x10 != 0, "GICD_CTLR.ARE_NS is 0: {:#x}", read32(gicd() + CTLR));
    let beyond = (lines()..1020).find(|spi| is_ours(env.machine, *spi));
    ensure!(beyond.is_none(), "GICD_TYPER.ITLinesNumber covers {} but the tree names {beyond:?}", lines());
    Ok(())
}

/// No LPIs, no message-based SPIs, no extended ranges.
fn no_lpis(_: &Env) -> Outcome {
    let typer = read32(gicd() + TYPER);
    same!(typer >> 17 & 1, 0, "GICD_TYPER.LPIS");
    same!(typer >> 16 & 1, 0, "GICD_TYPER.MBIS");
    same!(typer >> 8 & 1, 0, "GICD_TYPER.ESPI");
    Ok(())
}

/// An own SPI's IROUTER takes every own core.
fn route(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    let route = gicd() + ROUTE + u64::from(spi) * 8;
    for affinity in env.machine.cores.iter().rev() {
        write64(route, *affinity);
        same!(read64(route), *affinity, "IROUTER of {spi}");
    }
    Ok(())
}

/// GICD_SETSPI_NSR does nothing, for own and foreign SPIs.
fn message(env: &Env) -> Outcome {
    for spi in [irq::own_spi(env.machine).unwrap_or(34), 40, 1019, 0, 0xffff_ffff] {
        write32(gicd() + 0x40, spi);
        if (32..lines()).contains(&spi) {
            ensure!(!irq::bit(SET_PENDING, spi), "GICD_SETSPI_NSR made {spi} pending");
        }
    }
    Ok(())
}

/// Whether an offset of the distributor is a register that may read as something.
fn known(offset: u64) -> bool {
    matches!(offset, 0x0 | 0x4 | 0x8 | 0xc | 0x80..0x100 | 0x100..0xd00 | 0x6100..0x7fe0 | 0xffd0..0x1_0000)
}

/// Every word of the distributor can be read and written at the guest's own risk only: never an abort, and unknown ones are zero.
fn sweep(_: &Env) -> Outcome {
    for offset in (0..0x1_0000u64).step_by(4) {
        let (value, fault) = catch(|| read32(gicd() + offset));
        ensure!(fault.is_none(), "reading GICD + {offset:#x}: {fault:x?}");
        if !known(offset) {
            same!(value, 0, "GICD + {offset:#x}");
            let (_, fault) = catch(|| write32(gicd() + offset, !0));
            ensure!(fault.is_none(), "writing GICD + {offset:#x}: {fault:x?}");
            same!(read32(gicd() + offset), 0, "GICD + {offset:#x} after a write");
        }
    }
    Ok(())
}

/// GICR_TYPER names the cores as the tree does, in order, and the last one says so.
fn redistributors(env: &Env) -> Outcome {
    let count = env.machine.cores.len();
    for (core, affinity) in env.machine.cores.iter().enumerate() {
        let typer = read64(gicr(core) + 8);
        let packed = affinity & 0xff_ffff | affinity >> 32 << 24;
        same!(typer >> 32, packed, "GICR_TYPER affinity of core {core}");
        same!(typer >> 8 & 0xffff, core as u64, "GICR_TYPER processor number of core {core}");
        if !env.native {
            same!(typer >> 4 & 1 == 1, core + 1 == count, "GICR_TYPER.Last of core {core}");
        }
        same!(read32(gicr(core) + PIDR2) >> 4 & 0xf, 3, "GICR_PIDR2.ArchRev of core {core}");
        let high = read32(gicr(core) + 12);
        same!(u64::from(high), packed, "upper half of GICR_TYPER of core {core} by itself");
    }
    same!(read32(gicr(0) + 0x14) & 4, 0, "GICR_WAKER.ChildrenAsleep of core 0");
    Ok(())
}

/// SGIs and timers of this core hold what is written; so do another own core's.
fn private(env: &Env) -> Outcome {
    for core in 0..env.machine.cores.len() {
        let frame = private_frame(core);
        for intid in [0, 7, 15, env.machine.virtual_timer, env.machine.physical_timer] {
            let bit = 1 << intid;
            write32(frame + SET_ENABLE, bit);
            ensure!(read32(frame + SET_ENABLE) & bit != 0, "enable bit of {intid} on core {core} stays 0");
            write32(frame + CLEAR_ENABLE, bit);
            ensure!(read32(frame + SET_ENABLE) & bit == 0, "enable bit of {intid} on core {core} stays 1");
            let priority = frame + PRIORITY + u64::from(intid);
            for value in [0xf0, 0x30, irq::NORMAL] {
                write8(priority, value);
                same!(read8(priority) & 0xf0, value, "priority of {intid} on core {core}");
            }
        }
    }
    Ok(())
}

/// LPIs cannot be switched on.
fn redistributor_lpis(_: &Env) -> Outcome {
    write32(gicr(0), 1);
    same!(read32(gicr(0)) & 1, 0, "GICR_CTLR.EnableLPIs");
    for offset in [0x70, 0x78] {
        write64(gicr(0) + offset, !0);
        same!(read64(gicr(0) + offset), 0, "GICR + {offset:#x}");
    }
    same!(read64(gicr(0) + 8) & 1, 0, "GICR_TYPER.PLPIS");
    Ok(())
}

/// Every word of the own redistributors can be read without an abort.
fn redistributor_sweep(env: &Env) -> Outcome {
    for core in 0..env.machine.cores.len() {
        for offset in (0..FRAME).step_by(4) {
            let (value, fault) = catch(|| read32(gicr(core) + offset));
            if let Some(fault) = fault {
                fail!("reading GICR {core} + {offset:#x}: {fault:x?}");
            }
            let known = matches!(offset, 0x0..0x80 | 0xffd0..0x1_0000 | 0x1_0080..0x1_0d00);
            ensure!(known || value == 0, "GICR {core} + {offset:#x} reads {value:#x}");
        }
    }
    Ok(())
}
