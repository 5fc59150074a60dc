//! The benchmark: what operations cost that may leave the guest, in ticks of the virtual counter. It runs alone on a machine,
//! in a partition, and under other hypervisors, and learns which GIC there is from the tree.
//!
//! Words of its bootargs: `repeat=N` (default 16) measurements of each row; `mark` sends an SGI to the second core between
//! two marks instead (see [`cpu::mark`]). It prints `bench: NAME MIN MAX` for each row, and powers off. `locks` writes the
//! distributor's registers that cores take turns at, for the SPI that `spi=INTID` says, each between two marks; `hammer`
//! does so on all its cores without an end.
#![no_std]
#![no_main]

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use partita_guest::gic::Version;
use partita_guest::mmio::write32;
use partita_guest::{Machine, args, cpu, gic, println, psci, timer};

global_asm!(include_str!("measure.S"));

unsafe extern "C" {
    fn measure_nothing(x0: u64) -> u64;
    fn measure_hvc(function: u64) -> u64;
    fn measure_smc(function: u64) -> u64;
    fn measure_load(address: u64) -> u64;
    fn measure_store(address: u64, value: u64) -> u64;
    fn measure_tlbi(page: u64) -> u64;
    fn measure_sgi_v3(value: u64) -> u64;
    fn measure_sgi_v2(value: u64, sgir: u64, gicc: u64) -> u64;
    fn send_sgi_v3(value: u64);
    fn send_sgi_v2(value: u64, sgir: u64);
    fn measure_timer(ahead: u64, gicc: u64) -> u64;
}

partita_guest::guest!(main = main, irq = irq);

/// The SGI that is measured.
const SGI: u32 = 3;
/// GICD_TYPER, GICD_SGIR, and ISENABLER0 of the frame with the private interrupts.
const GICD_TYPER: u64 = 0x004;
const GICD_SGIR: u64 = 0xf00;
const ICENABLER: u64 = 0x180;
const ICFGR: u64 = 0xc00;
const ISENABLER0: u64 = 0x100;
/// PSCI_VERSION and SMCCC_VERSION.
const PSCI_VERSION: u64 = 0x8400_0000;
const SMCCC_VERSION: u64 = 0x8000_0000;
/// SMCCC_ARCH_SOC_ID, which is not offered: the least that comes as far as Rust.
const SMCCC_SOC_ID: u64 = 0x8000_0002;

/// What [`turns`] is about.
static SPI: AtomicU32 = AtomicU32::new(0);
static GICD: AtomicU64 = AtomicU64::new(0);
static CAME: AtomicU32 = AtomicU32::new(0);

fn main(machine: &'static Machine) {
    let number = |name, default| args::get(machine.bootargs, name).and_then(args::number).unwrap_or(default);
    let repeat = number("repeat", 16);
    println!(
        "bench: counter at {} Hz, EL1 by {}",
        timer::frequency(),
        if psci::by_smc() { "SMC" } else { "HVC" }
    );
    gic::init(machine);
    gic::enable(SGI, true);
    SPI.store(number("spi", 0) as u32, Ordering::Relaxed);
    GICD.store(machine.gicd, Ordering::Relaxed);
    if args::get(machine.bootargs, "hammer").is_some() {
        machine
            .cores
            .iter()
            .enumerate()
            .skip(1)
            .for_each(|(core, affinity)| _ = cpu::start(core, *affinity, hammer));
        hammer();
    }
    if args::get(machine.bootargs, "locks").is_some() {
        // The others have come up meanwhile.
        timer::spin(timer::frequency() * 2);
        for (name, address, value, undo) in turns() {
            for _ in 0..repeat {
                undo();
                cpu::mark();
                write32(address, value);
                cpu::mark();
            }
            println!("bench: {name} {repeat}");
        }
        println!("bench: locks done");
        // Whoever watches ends the machine: the others do not.
        loop {
            cpu::wait();
        }
    }
    if args::get(machine.bootargs, "mark").is_some() {
        cpu::unmask_interrupts();
        return to_another(machine, repeat);
    }
    let row = |name: &str, measure: &dyn Fn() -> u64| {
        // The first one finds caches and translations cold.
        measure();
        let (mut min, mut max) = (u64::MAX, 0);
        for _ in 0..repeat {
            let value = measure();
            (min, max) = (min.min(value), max.max(value));
        }
        println!("bench: {name} {min} {max}");
    };
    // SAFETY: each sequence changes what a function may change. The registers read and written are the GIC's, by its
    // driver's leave: what is written is what is there.
    unsafe {
        row("nothing", &|| measure_nothing(0));
        if psci::by_smc() || args::get(machine.bootargs, "hypervisor").is_some() {
            row("psci-version-smc", &|| measure_smc(PSCI_VERSION));
        }
        if !psci::by_smc() || args::get(machine.bootargs, "hypervisor").is_some() {
            row("psci-version-hvc", &|| measure_hvc(PSCI_VERSION));
            row("smccc-version-hvc", &|| measure_hvc(SMCCC_VERSION));
            row("smccc-unknown-hvc", &|| measure_hvc(SMCCC_SOC_ID));
        }
        row("gicd-read", &|| measure_load(machine.gicd + GICD_TYPER));
        let isenabler = gic::private_frame(0) + ISENABLER0;
        row("isenabler-write-again", &|| measure_store(isenabler, 1 << SGI));
        row("isenabler-write", &|| {
            gic::enable(SGI, false);
            gic::enable(machine.physical_timer, false);
            measure_store(isenabler, 1 << SGI | 1 << machine.physical_timer)
        });
        // TLB maintenance for all cores, of an address that nobody uses.
        row("tlbi-for-all-cores", &|| measure_tlbi(1 << 35 >> 12));
        gic::enable(machine.virtual_timer, true);
        row("timer-latency", &|| measure_timer(10_000, gic::gicc()));
        row("sgi-self", &|| match gic::version() {
            // To oneself: by a list of this core alone; by TargetListFilter = 2 (IHI 0048, 4.3.15).
            Version::V3 => measure_sgi_v3(u64::from(SGI) << 24 | 1),
            Version::V2 => measure_sgi_v2(2 << 24 | u64::from(SGI), machine.gicd + GICD_SGIR, gic::gicc()),
        });
    }
}

/// What cores take turns at in the physical distributor (IHI 0069, 12.9.9 and 12.9.5): name, register, value, and what has
/// to come before, so that it changes something.
type Turn = (&'static str, u64, u32, fn());

/// The configuration of an SPI, and disabling it, which is waited for.
fn turns() -> [Turn; 2] {
    let spi = SPI.load(Ordering::Relaxed);
    [
        ("icfgr", register(ICFGR, spi / 16), 2 << (2 * (spi % 16)), || {
            write32(register(ICFGR, SPI.load(Ordering::Relaxed) / 16), 0);
        }),
        ("icenabler", register(ICENABLER, spi / 32), 1 << (spi % 32), || {
            gic::enable(SPI.load(Ordering::Relaxed), true);
        }),
    ]
}

fn register(offset: u64, word: u32) -> u64 {
    GICD.load(Ordering::Relaxed) + offset + u64::from(4 * word)
}

fn hammer() {
    loop {
        for (_, address, value, undo) in turns() {
            undo();
            write32(address, value);
        }
    }
}

/// Sends SGIs to the second core, which waits for them asleep, each between two marks.
fn to_another(machine: &'static Machine, repeat: u64) {
    let Some(affinity) = machine.cores.get(1) else {
        return println!("bench: there is no second core");
    };
    cpu::start(1, *affinity, receive);
    wait_for(1);
    for _ in 0..repeat {
        CAME.store(0, Ordering::SeqCst);
        timer::spin(timer::frequency() / 10_000);
        cpu::mark();
        // SAFETY: sends an SGI that the second core waits for.
        unsafe {
            match gic::version() {
                Version::V3 => send_sgi_v3(u64::from(SGI) << 24 | 1 << 1),
                Version::V2 => send_sgi_v2(1 << 1 << 16 | u64::from(SGI), machine.gicd + GICD_SGIR),
            }
        }
        wait_for(1);
        timer::spin(timer::frequency() / 10_000);
        cpu::mark();
    }
    println!("bench: marked {repeat}");
}

fn wait_for(count: u32) {
    while CAME.load(Ordering::SeqCst) != count {
        core::hint::spin_loop();
    }
}

fn receive() {
    gic::init_secondary();
    gic::enable(SGI, true);
    cpu::unmask_interrupts();
    CAME.store(1, Ordering::SeqCst);
    loop {
        cpu::wait();
    }
}

fn irq() {
    let Some(interrupt) = gic::acknowledge() else { return };
    CAME.store(1, Ordering::SeqCst);
    gic::end(interrupt);
}
