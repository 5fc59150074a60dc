//! The distributor: every offset, every width, every value. Interrupts that are not the partition's are not there.

use partita_guest::exception::catch;
use partita_guest::mmio::{read8, read32, read64, write8, write16, write32, write64};
use partita_guest::rows::irq::{self, gicd, is_ours};
use partita_guest::rows::{Env, Outcome, cores};
use partita_guest::{gic, timer};

use crate::code::run;
use crate::owned::{DATA, read_whole};
use crate::table::Row;
use crate::{ensure, same};

const FILTER: &str = "the virtual distributor masks every access to the partition's own interrupts";
const ABSENT: &str = "bits of other interrupts read as zero, and nothing happens to them";

pub const ROWS: &[Row] = &[
    Row::new("read-every-offset", "reads of every width at every offset", "an answer", FILTER, read_all),
    Row::new(
        "write-every-offset",
        "writes of every width and of wild values at every offset",
        "an answer",
        FILTER,
        write_all,
    ),
    Row::new("foreign-enable", "enabling every interrupt", ABSENT, FILTER, |env| {
        foreign(env, irq::SET_ENABLE)
    }),
    Row::new("foreign-pending", "making every interrupt pending", ABSENT, FILTER, |env| {
        foreign(env, irq::SET_PENDING)
    }),
    Row::new("foreign-active", "making every interrupt active", ABSENT, FILTER, |env| {
        foreign(env, irq::SET_ACTIVE)
    }),
    Row::new(
        "foreign-disable",
        "disabling and clearing every interrupt, in turn",
        "nobody else misses one",
        FILTER,
        clear,
    ),
    Row::new("foreign-group", "changing every interrupt's group", "nobody else misses one", FILTER, group),
    Row::new("foreign-priority", "a priority for every interrupt", ABSENT, FILTER, priority),
    Row::new("foreign-config", "edge and level of every interrupt", ABSENT, FILTER, config),
    Row::new(
        "private-config",
        "edge and level of the PPIs, by a register that a GICv2 may have once for all cores",
        "they stay as the board has them; GICv3 has them in each redistributor",
        FILTER,
        private_config,
    ),
    Row::new(
        "routes",
        "routes of every interrupt to every core there could be",
        "own cores only, own interrupts only",
        FILTER,
        routes,
    ),
    Row::new(
        "control",
        "GICD_CTLR with every bit, off and on",
        "others' interrupts come all the same",
        FILTER,
        control,
    ),
    Row::new(
        "messages",
        "SETSPI, CLRSPI and their secure ones for every interrupt",
        "nothing",
        FILTER,
        messages,
    ),
    Row::new(
        "undecodable",
        "pairs, write-back, exclusives, atomics and vectors on registers",
        "external abort",
        "an access that its syndrome does not describe is not emulated",
        undecodable,
    ),
    Row::new(
        "straddling",
        "accesses that cross registers or the end",
        "external abort or this core's own alignment fault",
        FILTER,
        straddling,
    ),
    Row::new(
        "from-all-cores",
        "writes of every register from all cores at once",
        "an answer to each",
        FILTER,
        from_all_cores,
    ),
];

/// Bytes of the distributor, by its version.
fn size(env: &Env) -> u64 {
    if env.machine.gicd_size != 0 { env.machine.gicd_size.min(0x1_0000) } else { 0x1000 }
}

fn read_all(env: &Env) -> Outcome {
    let fault = read_whole(gicd(), size(env));
    ensure!(fault.is_none_or(|fault| fault.class() == DATA && !fault.serror), "{fault:x?}");
    Ok(())
}

fn write_all(env: &Env) -> Outcome {
    let (base, size) = (gicd(), size(env));
    for value in [!0, 0x5555_5555_5555_5555, 0] {
        let (_, fault) = catch(|| {
            (0..size).for_each(|offset| write8(base + offset, value as u8));
            (0..size).step_by(2).for_each(|offset| write16(base + offset, value as u16));
            (0..size).step_by(4).for_each(|offset| write32(base + offset, value as u32));
            (0..size).step_by(8).for_each(|offset| write64(base + offset, value));
        });
        ensure!(fault.is_none_or(|fault| fault.class() == DATA && !fault.serror), "{value:#x}: {fault:x?}");
    }
    again(env)
}

/// Sets up the controller as it was before the row.
fn again(env: &Env) -> Outcome {
    gic::init(env.machine);
    irq::quiet();
    Ok(())
}

/// The words of a one-bit register that are the SPIs'.
fn words() -> impl Iterator<Item = u64> {
    1..=u64::from(read32(gicd() + 4) & 0x1f)
}

/// The bits of a word that are the partition's.
fn own(env: &Env, word: u64) -> u32 {
    (0..32).filter(|bit| is_ours(env.machine, word as u32 * 32 + bit)).fold(0, |bits, bit| bits | 1 << bit)
}

fn foreign(env: &Env, register: u64) -> Outcome {
    for word in words() {
        write32(gicd() + register + word * 4, !0);
        let seen = read32(gicd() + register + word * 4);
        let own = own(env, word);
        ensure!(seen & !own == 0, "word {word} of {register:#x}: {seen:#x}, and ours are {own:#x}");
    }
    irq::settle(2);
    again(env)
}

fn clear(env: &Env) -> Outcome {
    for _ in 0..50 {
        for register in [irq::CLEAR_ENABLE, irq::CLEAR_PENDING, irq::CLEAR_ACTIVE] {
            for word in 0..32 {
                write32(gicd() + register + word * 4, !0);
            }
        }
    }
    again(env)
}

/// IGROUPR, and IGRPMODR of GICv3 (IHI 0069, 12.9.17 and .18).
fn group(env: &Env) -> Outcome {
    for value in [0, !0] {
        for word in 0..32 {
            write32(gicd() + irq::GROUP + word * 4, value);
            write32(gicd() + 0xd00 + word * 4, value);
        }
        irq::settle(2);
    }
    again(env)
}

fn priority(env: &Env) -> Outcome {
    for intid in 32..1020u32 {
        let at = gicd() + irq::PRIORITY + u64::from(intid);
        write8(at, 0);
        write8(at, 0xf8);
        let seen = read8(at);
        ensure!(seen == 0 || is_ours(env.machine, intid), "priority of interrupt {intid}: {seen:#x}");
    }
    again(env)
}

fn config(env: &Env) -> Outcome {
    for word in 2..64u64 {
        for value in [0, !0] {
            write32(gicd() + irq::CONFIG + word * 4, value);
        }
        let seen = read32(gicd() + irq::CONFIG + word * 4);
        for field in 0..16u32 {
            let intid = word as u32 * 16 + field;
            let set = seen >> (field * 2) & 3;
            ensure!(set == 0 || is_ours(env.machine, intid), "configuration of interrupt {intid}: {set}");
        }
    }
    again(env)
}

/// What was written to ICFGR1 stays there for some ticks of the victim's, were it taken.
fn private_config(env: &Env) -> Outcome {
    let at = gicd() + irq::CONFIG + 4;
    let before = read32(at);
    write32(at, before ^ 0xaaaa_aaaa);
    let seen = read32(at);
    timer::spin(timer::frequency() / 20);
    write32(at, before);
    same!(seen, before, "ICFGR1");
    again(env)
}

/// ITARGETSR of GICv2, IROUTER of GICv3. An own SPI that is routed to a foreign core comes to nobody else: the victim
/// counts what it gets.
fn routes(env: &Env) -> Outcome {
    let spi = irq::own_spi(env.machine);
    if gic::version() == gic::Version::V2 {
        for intid in 32..1020u32 {
            let at = gicd() + irq::TARGETS + u64::from(intid);
            write8(at, 0xff);
            let (seen, cores) = (read8(at), (1u32 << env.machine.cores.len()) - 1);
            ensure!(seen == 0 || is_ours(env.machine, intid), "targets of interrupt {intid}: {seen:#x}");
            ensure!(u32::from(seen) & !cores == 0, "targets of interrupt {intid}: {seen:#x}");
        }
    } else {
        for intid in 32..1020u32 {
            let at = gicd() + irq::ROUTE + u64::from(intid) * 8;
            for value in [2, 0xff, 0x100, 0xff_00ff_ffff, 1 << 31, 0] {
                write64(at, value);
                let seen = read64(at);
                ensure!(seen == 0 || is_ours(env.machine, intid), "route of interrupt {intid}: {seen:#x}");
            }
        }
    }
    if let Some(spi) = spi {
        irq::enable(spi);
        for core in env.machine.cores.len()..8 {
            gic::route(spi, core, core as u64);
            irq::set_bit(irq::SET_PENDING, spi);
            irq::settle(1);
        }
    }
    again(env)
}

fn control(env: &Env) -> Outcome {
    for value in (0..32).map(|bit| 1 << bit).chain([!0, 0]) {
        write32(gicd(), value);
        timer::spin(timer::frequency() / 200);
    }
    again(env)
}

/// GICD_SETSPI_NSR, CLRSPI_NSR, SETSPI_SR, CLRSPI_SR (IHI 0069, 12.9.4): in GICv2 there is nothing.
fn messages(env: &Env) -> Outcome {
    for spi in 0..1024 {
        for register in [0x40, 0x48, 0x50, 0x58] {
            write32(gicd() + register, spi);
        }
    }
    ensure!(gic::highest_pending() >= 1020, "interrupt {} is pending", gic::highest_pending());
    again(env)
}

fn undecodable(env: &Env) -> Outcome {
    let forms = [
        ("ldp x1, x2, [x0]", 0xa940_0801),
        ("stp x1, x2, [x0]", 0xa900_0801),
        ("str w1, [x0], #4", 0xb800_4401),
        ("ldr w1, [x0, #4]!", 0xb840_4c01),
        ("ldxr w1, [x0]", 0x885f_7c01),
        ("str q0, [x0]", 0x3d80_0000),
        ("st1 {v0.16b}, [x0]", 0x4c00_7000),
    ];
    let before = read32(gicd());
    for (name, form) in forms {
        for offset in [0, irq::SET_ENABLE, irq::SET_PENDING, irq::PRIORITY, size(env) - 64] {
            let (_, fault) = run(form, gicd() + offset);
            ensure!(
                fault.is_some_and(|fault| fault.class() == DATA && !fault.serror),
                "{name} at {offset:#x}: {fault:x?}"
            );
        }
    }
    same!(read32(gicd()), before, "GICD_CTLR afterwards");
    Ok(())
}

fn straddling(env: &Env) -> Outcome {
    let end = gicd() + size(env);
    for at in [gicd() + 0x7f, gicd() + 0x101, gicd() + 0xfff, end - 1, end - 3, end - 7] {
        for form in [0xf940_0001, 0xf900_0001, 0xb940_0001, 0xb900_001f] {
            let (_, fault) = run(form, at);
            ensure!(
                fault.is_none_or(|fault| fault.class() == DATA && !fault.serror),
                "{form:#x} at {at:#x}: {fault:x?}"
            );
        }
    }
    again(env)
}

fn hammer() {
    for value in [!0, 0] {
        for offset in (0x80..0xd00).step_by(4) {
            write32(gicd() + offset, value);
        }
    }
}

fn from_all_cores(env: &Env) -> Outcome {
    for _ in 0..5 {
        cores::start_others(env, hammer)?;
        hammer();
        cores::join(env)?;
    }
    again(env)
}
