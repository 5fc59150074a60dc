//! The rest of the interrupt controller: redistributors of GICv3, CPU interface of GICv2, and the frames that are EL2's.

use partita_guest::exception::catch;
use partita_guest::gic::gicc;
use partita_guest::mmio::{read8, read16, read32, read64, write8, write16, write32, write64};
use partita_guest::rows::irq::{self, gicd, redistributor};
use partita_guest::rows::{Env, Outcome};
use partita_guest::{cpu, gic};

use super::edges::STAGE2;
use crate::owned::{DATA, Owned, aborted, read_whole};
use crate::table::Row;
use crate::{ensure, fail, same};

const FILTER: &str = "the virtual redistributor masks every access to the partition's own interrupts";
const ITS: &str = "there is no ITS, and no LPI";
const MIRROR: &str = "GICV shows this core's list registers only";
const PRIVATE: &str = "the private interrupts that are EL2's read as zero";

pub const ROWS: &[Row] = &[
    Row::new(
        "redist-read",
        "reads of every width at every offset of every own redistributor",
        "an answer",
        FILTER,
        redist_read,
    )
    .v3(),
    Row::new(
        "redist-write",
        "wild writes of every width at every offset of every own redistributor",
        "an answer",
        FILTER,
        redist_write,
    )
    .v3(),
    Row::new(
        "redist-beyond",
        "every redistributor that there could be behind ours",
        "external abort",
        STAGE2,
        redist_beyond,
    )
    .v3(),
    Row::new("lpi-tables", "LPIs enabled, with tables in foreign memory", "nothing is kept", ITS, lpi).v3(),
    Row::new("lpi-inject", "GICR_SETLPIR, CLRLPIR, INVLPIR and INVALLR", "nothing", ITS, lpi_inject).v3(),
    Row::new("its", "the translation service's frames", "external abort", STAGE2, its).v3(),
    Row::new(
        "sleep",
        "GICR_WAKER and PWRR: own redistributors asleep",
        "an answer, and they wake",
        FILTER,
        sleep,
    )
    .v3(),
    Row::new(
        "private-foreign",
        "EL2's own private interrupts enabled, pending, active, cleared",
        "they read as zero, and EL2 keeps them",
        PRIVATE,
        private,
    ),
    Row::new(
        "interface-read",
        "reads of every width at every offset of GICC",
        "an answer",
        MIRROR,
        interface_read,
    )
    .v2(),
    Row::new(
        "interface-write",
        "wild writes of every width at every offset of GICC",
        "an answer",
        MIRROR,
        interface_write,
    )
    .v2(),
    Row::new("interface-beyond", "the pages behind GICC", "external abort", STAGE2, interface_beyond).v2(),
    Row::new(
        "hypervisor-frames",
        "GICH, its aliases, and GICV at its own address",
        "external abort",
        STAGE2,
        hypervisor_frames,
    )
    .v2(),
    Row::new(
        "foreign-end",
        "EOI and DIR of every interrupt, none of which is active here",
        "nobody else's interrupt ends",
        MIRROR,
        foreign_end,
    ),
    Row::new(
        "forged-priorities",
        "active priorities forged, then every interrupt ended",
        "nobody else's interrupt ends",
        MIRROR,
        forged,
    ),
];

/// Bytes of one redistributor: its RD and SGI frames (IHI 0069, 12.10).
const FRAMES: u64 = 0x2_0000;

fn redist_read(env: &Env) -> Outcome {
    for core in 0..env.machine.cores.len() {
        let base = redistributor(core);
        let (_, fault) = catch(|| {
            // Both frames are the same kind of registers up to 0x1000, and IDs at the end.
            for frame in [0, 0x1_0000] {
                for page in [0, 0xf000] {
                    let at = base + frame + page;
                    (0..0x1000).for_each(|offset| {
                        read8(at + offset);
                    });
                    (0..0x1000).step_by(2).for_each(|offset| {
                        read16(at + offset);
                    });
                }
            }
            (0..FRAMES).step_by(4).for_each(|offset| {
                read32(base + offset);
            });
            (0..FRAMES).step_by(8).for_each(|offset| {
                read64(base + offset);
            });
        });
        ensure!(fault.is_none_or(|fault| fault.class() == DATA && !fault.serror), "core {core}: {fault:x?}");
    }
    Ok(())
}

fn redist_write(env: &Env) -> Outcome {
    for core in 0..env.machine.cores.len() {
        let base = redistributor(core);
        for value in [!0, 0x5555_5555_5555_5555, 0] {
            let (_, fault) = catch(|| {
                for at in [base, base + 0x1_0000] {
                    (0..0x1000).for_each(|offset| write8(at + offset, value as u8));
                    (0..0x1000).step_by(2).for_each(|offset| write16(at + offset, value as u16));
                }
                (0..FRAMES).step_by(4).for_each(|offset| write32(base + offset, value as u32));
                (0..FRAMES).step_by(8).for_each(|offset| write64(base + offset, value));
            });
            ensure!(
                fault.is_none_or(|fault| fault.class() == DATA && !fault.serror),
                "{value:#x}: {fault:x?}"
            );
        }
    }
    again(env)
}

fn again(env: &Env) -> Outcome {
    gic::init(env.machine);
    irq::quiet();
    Ok(())
}

fn redist_beyond(env: &Env) -> Outcome {
    let owned = Owned::new(env);
    for core in env.machine.cores.len()..123 {
        let base = redistributor(core);
        for at in [base, base + 0x14, base + 0x1_0100, base + 0x1_0200, base + 0x1_fffc] {
            if !owned.has(at) {
                aborted("read", at, DATA, catch(|| read32(at)).1)?;
                aborted("write", at, DATA, catch(|| write32(at, !0)).1)?;
            }
        }
    }
    Ok(())
}

/// GICR_CTLR.EnableLPIs, GICR_PROPBASER, GICR_PENDBASER (IHI 0069, 12.11): with LPIs, the redistributor would read and write
/// memory by itself.
fn lpi(env: &Env) -> Outcome {
    for core in 0..env.machine.cores.len() {
        let base = redistributor(core);
        same!(read64(base + 8) & 3, 0, "GICR_TYPER.PLPIS and VLPIS");
        for table in [0x0, 0x4000_0000, 0x5000_0000, 0x7fff_0000] {
            write64(base + 0x70, table | 0x1f);
            write64(base + 0x78, table);
            write32(base, 1);
            same!(read32(base) & 1, 0, "GICR_CTLR.EnableLPIs");
            same!(read64(base + 0x70), 0, "GICR_PROPBASER");
            same!(read64(base + 0x78), 0, "GICR_PENDBASER");
        }
    }
    again(env)
}

fn lpi_inject(env: &Env) -> Outcome {
    for core in 0..env.machine.cores.len() {
        let base = redistributor(core);
        for lpi in [0, 32, 1023, 8192, 0xffff, !0] {
            for register in [0x40, 0x48, 0xa0, 0xb0] {
                write64(base + register, lpi);
            }
        }
    }
    ensure!(gic::highest_pending() >= 1020, "interrupt {} is pending", gic::highest_pending());
    Ok(())
}

/// Between distributor and redistributors where QEMU's machine has it; otherwise there is nothing, which aborts too.
fn its(env: &Env) -> Outcome {
    let owned = Owned::new(env);
    for at in (0..0x2_0000).step_by(0x1000).map(|offset| gicd() + 0x8_0000 + offset) {
        if !owned.has(at) {
            aborted("read", at, DATA, catch(|| read32(at)).1)?;
            // GITS_TRANSLATER is at 0x40 of the second frame.
            aborted("write", at + 0x40, DATA, catch(|| write32(at + 0x40, 0)).1)?;
        }
    }
    Ok(())
}

fn sleep(env: &Env) -> Outcome {
    for core in 0..env.machine.cores.len() {
        let base = redistributor(core);
        for value in [2, !0, 0] {
            write32(base + 0x14, value);
            write32(base + 0x24, value);
        }
    }
    again(env)
}

/// All SGIs and PPIs, of which only some are a partition's: EL2 has its timer, its maintenance interrupt and its kick.
fn private(env: &Env) -> Outcome {
    let frame = gic::private_frame(0);
    let mine = 1 << env.machine.virtual_timer | 1 << env.machine.physical_timer;
    // The PPIs of EL2: maintenance (25), hypervisor timer (26), virtual hypervisor timer (28) and secure timer (29).
    let hidden = (1 << 25 | 1 << 26 | 1 << 28 | 1 << 29) & !mine;
    for register in [irq::SET_ENABLE, irq::SET_PENDING, irq::SET_ACTIVE] {
        write32(frame + register, hidden);
        let seen = read32(frame + register);
        ensure!(seen & hidden == 0, "register {register:#x} reads {seen:#x}, of which {hidden:#x} is EL2's");
    }
    for register in [irq::CLEAR_ENABLE, irq::CLEAR_PENDING, irq::CLEAR_ACTIVE] {
        write32(frame + register, !0);
    }
    again(env)
}

/// GICC's two pages.
const INTERFACE: u64 = 0x2000;

fn interface_read(_: &Env) -> Outcome {
    let fault = read_whole(gicc(), INTERFACE);
    ensure!(fault.is_none_or(|fault| fault.class() == DATA), "{fault:x?}");
    Ok(())
}

fn interface_write(env: &Env) -> Outcome {
    let base = gicc();
    for value in [!0, 0x5555_5555_5555_5555, 0] {
        let (_, fault) = catch(|| {
            (0..INTERFACE).for_each(|offset| write8(base + offset, value as u8));
            (0..INTERFACE).step_by(4).for_each(|offset| write32(base + offset, value as u32));
            (0..INTERFACE).step_by(8).for_each(|offset| write64(base + offset, value));
        });
        ensure!(fault.is_none_or(|fault| fault.class() == DATA), "{value:#x}: {fault:x?}");
    }
    again(env)
}

fn interface_beyond(env: &Env) -> Outcome {
    let owned = Owned::new(env);
    for at in (0..16).map(|page| (gicc() & !0xffff) + page * 0x1000) {
        if !owned.has(at) {
            aborted("read", at, DATA, catch(|| read32(at)).1)?;
            aborted("write", at, DATA, catch(|| write32(at, 0)).1)?;
        }
    }
    Ok(())
}

/// Where virt and raspi4b have them.
fn hypervisor_frames(env: &Env) -> Outcome {
    let owned = Owned::new(env);
    let virt = [0x0803_0000, 0x0803_0f00, 0x0804_0000, 0x0804_1000];
    let raspi4b = [0xff84_4000, 0xff84_5000, 0xff84_5200, 0xff84_5e00, 0xff84_6000, 0xff84_7000];
    for at in virt.into_iter().chain(raspi4b).filter(|at| !owned.has(*at)) {
        aborted("read", at, DATA, catch(|| read32(at)).1)?;
        aborted("write", at, DATA, catch(|| write32(at, !0)).1)?;
    }
    Ok(())
}

fn end_all() {
    for split in [false, true] {
        gic::set_split(split);
        for intid in 0..1020 {
            // SAFETY of the driver's own kind: it writes the number to EOIR and DIR, whatever is active. GICC_DIR is not there
            // for who has the physical GICC.
            gic::end(gic::Taken::from(intid));
            let (_, _fault) = catch(|| gic::deactivate(gic::Taken::from(intid)));
        }
    }
    gic::set_split(false);
}

fn foreign_end(env: &Env) -> Outcome {
    end_all();
    irq::settle(5);
    let Some(own) = irq::own_spi(env.machine) else { fail!("the tree has no SPI for the attacker") };
    ensure!(!irq::bit(irq::SET_ACTIVE, own), "its own interrupt is active afterwards");
    again(env)
}

/// GICC_APR0, or ICC_AP1R0_EL1 and ICC_AP0R0_EL1.
fn forged(env: &Env) -> Outcome {
    for value in [!0, 0x5555_5555, 1, 1 << 31] {
        if gic::version() == gic::Version::V2 {
            write32(gicc() + 0xd0, value);
            write32(gicc() + 0xe0, value);
        } else {
            for register in [(3, 0, 12, 8, 4), (3, 0, 12, 9, 0)] {
                crate::code::write(register, u64::from(value));
            }
        }
        end_all();
        irq::settle(2);
    }
    gic::forget_active();
    if gic::version() == gic::Version::V2 {
        // The other one of the two that were forged.
        write32(gicc() + 0xe0, 0);
    }
    cpu::mask_interrupts();
    again(env)
}
