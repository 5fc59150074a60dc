//! What only a GICv2 has: targets as a byte of CPU interfaces, banked private registers, a CPU interface in memory.

use core::sync::atomic::{AtomicU32, Ordering};

use partita_guest::exception::catch;
use partita_guest::gic::{gicc, gicd};
use partita_guest::mmio::{read8, read32, write8, write32};
use partita_guest::{cpu, gic};

use super::gic::lines;
use crate::check::{Env, Outcome, Row};
use crate::irq::{
    self, CLEAR_ENABLE, CLEAR_SGI, NORMAL, PRIORITY, SET_ENABLE, SET_PENDING, SET_SGI, TARGETS, count,
    is_ours,
};
use crate::{code, cores, ensure, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("gicv2-identity", identity).v2(),
    Row::here("gicv2-sweep", sweep).v2(),
    Row::new("gicv2-bytes", bytes).v2(),
    Row::new("gicv2-targets", targets).v2(),
    Row::here("gicv2-two-targets", two_targets).v2(),
    Row::new("gicv2-private", private).v2(),
    Row::new("gicv2-sgis-enabled", sgis_enabled).v2(),
    Row::new("gicv2-binary-point", binary_point).v2(),
    Row::new("gicv2-no-system-registers", no_system_registers).v2(),
    Row::here("gicv2-hypervisor-registers", hypervisor_registers).v2(),
];

const TYPER: u64 = 0x4;
const PIDR2: u64 = 0xfe8;
const SGIR: u64 = 0xf00;
/// GICC_IIDR.
const INTERFACE_ID: u64 = 0xfc;

fn interfaces(env: &Env) -> u8 {
    ((1_u32 << env.machine.cores.len()) - 1) as u8
}

fn target_of(intid: u32) -> u64 {
    gicd() + TARGETS + u64::from(intid)
}

/// It is a GICv2 with as many CPU interfaces as there are cores, and it covers every SPI that the tree names.
fn identity(env: &Env) -> Outcome {
    same!(read32(gicd() + PIDR2) >> 4 & 0xf, 2, "ICPIDR2.ArchRev");
    let typer = read32(gicd() + TYPER);
    same!(typer >> 5 & 7, env.machine.cores.len() as u32 - 1, "GICD_TYPER.CPUNumber");
    same!(typer >> 10 & 1, 0, "GICD_TYPER.SecurityExtn");
    same!(read32(gicc() + INTERFACE_ID) >> 16 & 0xf, 2, "architecture in GICC_IIDR");
    let beyond = (lines()..1020).find(|spi| is_ours(env.machine, *spi));
    ensure!(beyond.is_none(), "GICD_TYPER.ITLinesNumber covers {} but the tree names {beyond:?}", lines());
    Ok(())
}

/// Whether an offset of the distributor is a register that may read as something.
fn known(offset: u64) -> bool {
    matches!(offset, 0x0 | 0x4 | 0x8 | 0x80..0xd00 | 0xf10..0xf30 | 0xfd0..0x1000)
}

/// Every word of the distributor can be read and written at the guest's own risk only: never an abort, and unknown ones are zero.
fn sweep(_: &Env) -> Outcome {
    for offset in (0..0x1000u64).step_by(4) {
        let (value, fault) = catch(|| read32(gicd() + offset));
        ensure!(fault.is_none(), "reading GICD + {offset:#x}: {fault:x?}");
        if !known(offset) {
            same!(value, 0, "GICD + {offset:#x}");
            if offset == SGIR {
                continue;
            }
            let (_, fault) = catch(|| write32(gicd() + offset, !0));
            ensure!(fault.is_none(), "writing GICD + {offset:#x}: {fault:x?}");
            same!(read32(gicd() + offset), 0, "GICD + {offset:#x} after a write");
        }
    }
    Ok(())
}

/// Priorities, targets and sources by bytes and by words: the same registers (IHI 0048, 4.1.3).
fn bytes(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    let priorities = gicd() + PRIORITY + u64::from(spi & !3);
    let shift = spi % 4 * 8;
    write32(priorities, 0x5050_5050);
    same!(read8(gicd() + PRIORITY + u64::from(spi)), 0x50, "byte of a priority that was written as a word");
    write8(gicd() + PRIORITY + u64::from(spi), 0xa0);
    same!(read32(priorities) >> shift & 0xff, 0xa0, "priority in the word");
    let source = u8::from(gic::is_whole());
    write8(gicd() + SET_SGI + 6, 1);
    same!(read32(gicd() + SET_SGI + 4) >> 16 & 0xff, source.into(), "source of SGI 6 in the word");
    same!(read8(gicd() + CLEAR_SGI + 6), source, "source of SGI 6 where it is cleared");
    write32(gicd() + CLEAR_SGI + 4, !0);
    same!(read8(gicd() + SET_SGI + 6), 0, "source of SGI 6 after it was cleared as a word");
    if env.machine.cores.len() > 1 {
        write8(target_of(spi), 2);
        same!(read32(target_of(spi & !3)) >> shift & 0xff, 2, "target in the word");
        write8(target_of(spi), 1);
    }
    Ok(())
}

/// An SPI's targets are as many interfaces as there are; private ones name the core that asks, and are fixed. With one core
/// all of it reads zero and ignores writes (IHI 0048, 4.3.12).
fn targets(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    let all = interfaces(env);
    let one = env.machine.cores.len() == 1;
    for value in [0xff, all, 1, 0, all & 2, 1] {
        write8(target_of(spi), value);
        // QEMU's own keeps bits of interfaces that are not there.
        let seen = read8(target_of(spi)) & if env.native { all } else { 0xff };
        same!(seen, if one { 0 } else { value & all }, "ITARGETSR of {spi} after {value:#x}");
    }
    for intid in [0, 15, env.machine.physical_timer, env.machine.virtual_timer] {
        write8(target_of(intid), 0xfe);
        same!(read8(target_of(intid)), u8::from(!one), "ITARGETSR of {intid} on core 0");
    }
    Ok(())
}

static UP: cores::Barrier = cores::Barrier::new();
static SPI: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicU32 = AtomicU32::new(0);

fn listen() {
    irq::quiet_secondary();
    UP.meet(1);
    while STOP.load(Ordering::SeqCst) == 0 && !cores::given_up() {
        core::hint::spin_loop();
    }
}

/// An SPI with all cores as targets comes to one of them (IHI 0048, 1.4.3). QEMU's own lets two take it.
fn two_targets(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    let cores = env.machine.cores.len();
    if cores < 2 {
        skip!("needs 2 cores");
    }
    UP.reset();
    STOP.store(0, Ordering::SeqCst);
    cores::start_others(env, listen)?;
    ensure!(irq::within(10_000, || UP.arrived() == cores - 1), "{} cores came up", UP.arrived());
    write8(target_of(spi), interfaces(env));
    irq::enable(spi);
    cpu::unmask_interrupts();
    let total = || (0..cores).map(|core| count(core, spi)).sum::<u32>();
    for round in 1..=50 {
        irq::set_bit(SET_PENDING, spi);
        ensure!(irq::within(10_000, || total() >= round), "SPI {spi} did not come in round {round}");
        irq::settle(1);
        same!(total(), round, "SPIs on all cores");
    }
    write8(target_of(spi), 1);
    STOP.store(1, Ordering::SeqCst);
    cores::join(env)
}

static SEEN: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

/// What another core finds in its private registers, before and after it changes them.
fn change_private() {
    let (timer, me) = (SPI.load(Ordering::SeqCst), cpu::index());
    gic::init_secondary();
    let priority = gicd() + PRIORITY + u64::from(timer);
    SEEN[0].store(u32::from(read8(priority)), Ordering::SeqCst);
    SEEN[1].store(read32(gicd() + SET_ENABLE) >> timer & 1, Ordering::SeqCst);
    SEEN[2].store(u32::from(read8(target_of(timer))), Ordering::SeqCst);
    write8(priority, 0x20);
    write32(gicd() + SET_ENABLE, 1 << timer);
    write8(gicd() + SET_SGI + me as u64, 1);
    SEEN[3].store(read32(gicd() + SET_PENDING) & 0xffff, Ordering::SeqCst);
    write32(gicd() + CLEAR_SGI, !0);
    write32(gicd() + CLEAR_ENABLE, 1 << timer);
    UP.meet(1);
}

/// Each core has private registers of its own at the same addresses.
fn private(env: &Env) -> Outcome {
    let timer = env.machine.virtual_timer;
    for intid in [timer, env.machine.physical_timer] {
        irq::enable(intid);
        ensure!(irq::bit(SET_ENABLE, intid), "enable bit of {intid} stays 0");
        irq::set_bit(CLEAR_ENABLE, intid);
        ensure!(!irq::bit(SET_ENABLE, intid), "enable bit of {intid} stays 1");
        for value in [0xf0, 0x30, NORMAL] {
            irq::set_priority(intid, value);
            same!(read8(gicd() + PRIORITY + u64::from(intid)) & 0xf0, value, "priority of {intid}");
        }
    }
    if env.machine.cores.len() < 2 {
        skip!("needs 2 cores");
    }
    irq::set_priority(timer, 0x60);
    irq::enable(timer);
    SPI.store(timer, Ordering::SeqCst);
    UP.reset();
    same!(cpu::start(1, env.machine.cores[1], change_private), 0, "CPU_ON of core 1");
    ensure!(irq::within(10_000, || UP.arrived() > 0), "core 1 did not come up");
    cores::join(env)?;
    let [priority, enabled, target, pending] = SEEN.each_ref().map(|seen| seen.load(Ordering::SeqCst));
    same!((priority, enabled, target), (u32::from(NORMAL), 0, 2), "priority, enable and target on core 1");
    same!(pending, if gic::is_whole() { 2 } else { 0 }, "SGIs pending on core 1");
    same!(read8(gicd() + PRIORITY + u64::from(timer)), 0x60, "priority on core 0");
    ensure!(irq::bit(SET_ENABLE, timer), "core 1 disabled it on core 0");
    same!(read32(gicd() + SET_PENDING) & 0xffff, 0, "SGIs pending on core 0");
    Ok(())
}

/// SGIs cannot be disabled, nor made pending or cleared by the registers of the others (IHI 0048, 4.3.5 to 4.3.8).
fn sgis_enabled(_: &Env) -> Outcome {
    write32(gicd() + CLEAR_ENABLE, 0xffff);
    same!(read32(gicd() + SET_ENABLE) & 0xffff, 0xffff, "enable bits of the SGIs");
    write32(gicd() + SET_PENDING, 0xffff);
    same!(read32(gicd() + SET_PENDING) & 0xffff, 0, "pending SGIs after ISPENDR");
    gic::send(4, 1);
    write32(gicd() + irq::CLEAR_PENDING, 0xffff);
    same!(read32(gicd() + SET_PENDING) & 0xffff, 1 << 4, "pending SGIs after ICPENDR");
    same!(irq::take(), Some(4), "interrupt");
    gic::end(4);
    Ok(())
}

/// Priorities that differ only below the binary point do not preempt, but order.
fn binary_point(_: &Env) -> Outcome {
    // GICC_BPR = 5: bits 7 and 6 are the group priority (IHI 0048, 3.3.3).
    gic::set_binary_point(5);
    irq::set_priority(1, 0x50);
    irq::set_priority(2, 0x40);
    irq::set_priority(3, 0x30);
    gic::send(1, 1);
    same!(irq::take(), Some(1), "the first");
    gic::send(2, 1);
    ensure!(irq::nothing_to_take(), "one of the same group priority came");
    gic::send(3, 1);
    same!(irq::take(), Some(3), "one of a more urgent group");
    gic::end(3);
    gic::end(1);
    same!(irq::take(), Some(2), "the second");
    gic::end(2);
    Ok(())
}

/// No ID register shows GICv3's system registers, and they are undefined.
fn no_system_registers(_: &Env) -> Outcome {
    same!(crate::mrs!("id_aa64pfr0_el1") >> 24 & 0xf, 0, "ID_AA64PFR0_EL1.GIC");
    for (name, register) in [("ICC_SRE_EL1", (3, 0, 12, 12, 5)), ("ICC_PMR_EL1", (3, 0, 4, 6, 0))] {
        let (_, fault) = code::read(register);
        ensure!(fault.is_some_and(|fault| fault.is_undefined()), "reading {name}: {fault:x?}");
        let fault = code::write(register, 0);
        ensure!(fault.is_some_and(|fault| fault.is_undefined()), "writing {name}: {fault:x?}");
    }
    Ok(())
}

/// Whatever follows the distributor and the CPU interface: GICH, its aliases, GICV, the message frame.
fn hypervisor_registers(env: &Env) -> Outcome {
    let (distributor, interface) = (gicd() + env.machine.gicd_size, gicc() + 0x2000);
    let offsets = [0, 0x1000, 0x2000, 0x4000, 0xe000, 0xf000, 0x1_e000, 0x2_e000];
    for at in offsets.iter().flat_map(|offset| [distributor + offset, interface + offset]) {
        let ours = |base: u64, size: u64| (base..base + size).contains(&at);
        if ours(gicd(), env.machine.gicd_size) || ours(gicc(), 0x2000) {
            continue;
        }
        let (_, fault) = catch(|| read32(at));
        ensure!(fault.is_some_and(|fault| fault.is_external_abort()), "reading {at:#x}: {fault:x?}");
        let (_, fault) = catch(|| write32(at, 0));
        ensure!(fault.is_some_and(|fault| fault.is_external_abort()), "writing {at:#x}: {fault:x?}");
    }
    Ok(())
}
