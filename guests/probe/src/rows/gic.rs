//! The registers that both distributors have: what is the partition's own can be set and read back, all else reads zero and
//! ignores writes.

use partita_guest::gic::{self, Version};
use partita_guest::mmio::{read8, read32, read64, write8, write32, write64};

use crate::check::{Env, Outcome, Row};
use crate::irq::{
    self, CLEAR_ENABLE, CONFIG, GROUP, PRIORITY, ROUTE, SET_ACTIVE, SET_ENABLE, SET_PENDING, TARGETS, gicd,
    is_ours,
};
use crate::{ensure, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("gicd-own", own),
    Row::here("gicd-foreign", foreign),
    Row::here("gic-foreign-ppis", foreign_ppis),
];

/// How many interrupts the distributor has registers for.
pub fn lines() -> u32 {
    32 * ((read32(gicd() + 4) & 0x1f) + 1)
}

/// An own SPI's registers hold what is written.
fn own(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    for value in [true, false] {
        irq::set_bit(if value { SET_ENABLE } else { CLEAR_ENABLE }, spi);
        same!(irq::bit(SET_ENABLE, spi), value, "ISENABLER bit of {spi}");
        same!(irq::bit(CLEAR_ENABLE, spi), value, "ICENABLER bit of {spi}");
    }
    let priority = gicd() + PRIORITY + u64::from(spi);
    for value in [0xf8, 0x50, 0x00, irq::NORMAL] {
        write8(priority, value);
        same!(read8(priority) & 0xf0, value & 0xf0, "IPRIORITYR of {spi}");
    }
    let config = gicd() + CONFIG + u64::from(spi / 16) * 4;
    let shift = spi % 16 * 2;
    let old = read32(config);
    for value in [2, 0] {
        write32(config, old & !(3 << shift) | value << shift);
        same!(read32(config) >> shift & 3, value, "ICFGR of {spi}");
    }
    Ok(())
}

/// SPIs of others: no register shows or keeps a bit of them.
fn foreign(env: &Env) -> Outcome {
    let mut foreign = 0;
    for spi in 32..lines() {
        if is_ours(env.machine, spi) {
            continue;
        }
        foreign += 1;
        // IGROUPR has no set and clear forms.
        let group = gicd() + GROUP + u64::from(spi / 32) * 4;
        write32(group, read32(group) | 1 << (spi % 32));
        for register in [SET_ENABLE, SET_PENDING, SET_ACTIVE] {
            irq::set_bit(register, spi);
        }
        for register in [GROUP, SET_ENABLE, SET_PENDING, SET_ACTIVE] {
            ensure!(!irq::bit(register, spi), "bit of {spi} at GICD + {register:#x} is kept");
        }
        let priority = gicd() + PRIORITY + u64::from(spi);
        write8(priority, 0xff);
        same!(read8(priority), 0, "IPRIORITYR of {spi}");
        let config = gicd() + CONFIG + u64::from(spi / 16) * 4;
        write32(config, read32(config) | 2 << (spi % 16 * 2));
        same!(read32(config) >> (spi % 16 * 2) & 3, 0, "ICFGR of {spi}");
        if gic::version() == Version::V3 {
            let route = gicd() + ROUTE + u64::from(spi) * 8;
            write64(route, 1);
            same!(read64(route), 0, "IROUTER of {spi}");
        }
        let targets = gicd() + TARGETS + u64::from(spi);
        write8(targets, 0xff);
        same!(read8(targets), 0, "ITARGETSR of {spi}");
    }
    ensure!(foreign > 0, "the tree names every SPI up to {}", lines());
    Ok(())
}

/// The hypervisor's own PPIs (maintenance 25, its timer 26, virtual EL2 timer 28) cannot be seen or enabled.
fn foreign_ppis(env: &Env) -> Outcome {
    let frame = gic::private_frame(0);
    for intid in [25, 26, 28] {
        if is_ours(env.machine, intid) {
            continue;
        }
        for register in [SET_ENABLE, SET_PENDING, SET_ACTIVE] {
            write32(frame + register, 1 << intid);
            same!(
                read32(frame + register) >> intid & 1,
                0,
                "bit of PPI {intid} at its frame + {register:#x}"
            );
        }
    }
    Ok(())
}
