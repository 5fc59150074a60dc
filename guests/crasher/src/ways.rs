//! How a partition can end: by which word or fault, and what its other core is in the midst of.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use partita_abi::supervision::call;
use partita_guest::mmio::{read64, write32};
use partita_guest::{Machine, console, cpu, gic, psci, timer};

use crate::watched;

/// A way to end. The first core does `first`, which does not come back; the second one, if it is started, does `second` once the
/// first is at it.
pub struct Way {
    /// Its name in the bootargs.
    pub name: &'static str,
    pub first: fn(&'static Machine),
    pub second: Option<fn()>,
}

pub const fn alone(name: &'static str, first: fn(&'static Machine)) -> Way {
    Way { name, first, second: None }
}

/// The second core powers the partition off while the first one is at something that it does not leave by itself.
const fn endless(name: &'static str, first: fn(&'static Machine)) -> Way {
    Way { name, first, second: Some(off) }
}

/// All of them.
pub const WAYS: &[Way] = &[
    alone("off", |_| psci::system_off()),
    Way { name: "off-beside-a-loop", first: |_| delayed_off(), second: Some(spin) },
    Way { name: "reset", first: |_| delayed_reset(), second: Some(spin) },
    Way { name: "cpus-off", first: |_| _ = psci::cpu_off(), second: Some(|| _ = psci::cpu_off()) },
    endless("sleep", masked_sleep),
    endless("suspended", suspended),
    endless("spin", |_| spin()),
    endless("unmappable-vectors", unmappable_vectors),
    endless("no-walks", no_walks),
    endless("interrupt-storm", interrupt_storm),
    endless("calls", |_| calls()),
    endless("aborts", aborts),
    endless("maintenance", |_| maintenance()),
    endless("set-way", |_| set_way()),
    endless("console-flood", |_| console_flood()),
    Way { name: "half-started", first: half_started, second: None },
    alone("aarch32", aarch32),
];

/// Those that only a test build of the hypervisor knows, by which it fails itself. They are gone only when they are named.
const FAULTS: &[Way] = &[
    Way { name: "fault", first: |_| hypervisor_fails(0), second: Some(spin) },
    Way { name: "fault-locked", first: |_| hypervisor_fails(1), second: Some(calls) },
    Way { name: "fault-shared", first: |_| hypervisor_fails(2), second: Some(spin) },
    Way { name: "fault-overflow", first: |_| hypervisor_fails(3), second: Some(spin) },
];

/// The way of this life: of those named, or of all.
pub fn nth(names: Option<&str>, life: usize) -> Option<&'static Way> {
    let Some(names) = names else { return WAYS.get(life % WAYS.len()) };
    let name = names.split(',').nth(life % names.split(',').count())?;
    WAYS.iter().chain(FAULTS).chain(MIXED).chain(watched::WAYS).find(|way| way.name == name)
}

/// The second core's part, and that the first one is about to do its own.
static SECOND: AtomicUsize = AtomicUsize::new(0);
static AT_IT: AtomicBool = AtomicBool::new(false);

/// Ends.
pub fn end(machine: &'static Machine, way: &Way) {
    if let (Some(second), Some(affinity)) = (way.second, machine.cores.get(1)) {
        SECOND.store(second as usize, Ordering::SeqCst);
        cpu::start(1, *affinity, other);
    }
    AT_IT.store(true, Ordering::SeqCst);
    (way.first)(machine);
}

/// With `stays`, when they are named: each core does its own part.
const MIXED: &[Way] = &[Way { name: "calls-beside-a-loop", first: |_| calls(), second: Some(beat_and_spin) }];

fn beat() {
    psci::call64(call::BEAT, [0; 3]);
}

fn beat_and_spin() {
    beat();
    spin();
}

/// Has all cores do the first one's part, and does not end.
pub fn stay(machine: &'static Machine, way: &Way) {
    static WORK: AtomicUsize = AtomicUsize::new(0);
    static MACHINE: AtomicUsize = AtomicUsize::new(0);
    fn also() {
        // SAFETY: `stay` stores one of these before it starts the core that comes here.
        let (work, machine) = unsafe {
            let [work, machine] = [&WORK, &MACHINE].map(|place| place.load(Ordering::SeqCst));
            (core::mem::transmute::<usize, fn(&'static Machine)>(work), &*(machine as *const Machine))
        };
        beat();
        work(machine);
    }
    if MIXED.iter().any(|mixed| mixed.name == way.name) {
        beat();
        return end(machine, way);
    }
    WORK.store(way.first as usize, Ordering::SeqCst);
    MACHINE.store(core::ptr::from_ref(machine) as usize, Ordering::SeqCst);
    if let Some(affinity) = machine.cores.get(1) {
        cpu::start(1, *affinity, also);
    }
    beat();
    (way.first)(machine);
}

fn other() {
    while !AT_IT.load(Ordering::SeqCst) {
        cpu::give_way();
    }
    // SAFETY: only `end` stores here, and it stores a `fn()`.
    let work: fn() = unsafe { core::mem::transmute(SECOND.load(Ordering::SeqCst)) };
    work();
}

/// Long enough for the first core to be in the midst of it.
fn pause() {
    timer::spin(timer::frequency() / 500);
}

fn off() {
    pause();
    psci::system_off()
}

fn delayed_off() {
    pause();
    psci::system_off()
}

fn delayed_reset() {
    pause();
    psci::system_reset();
}

/// Has EL2 fail. A release answers that there is no such call, and it goes on.
fn hypervisor_fails(how: u64) {
    pause();
    psci::call64(0xc600_fa11, [how, 0, 0]);
    partita_guest::println!("crasher: the hypervisor did not fail");
    spin();
}

/// Everything masked.
pub fn spin() {
    // SAFETY: does not come back.
    unsafe { asm!("msr daifset, #0xf", "b .", options(noreturn)) }
}

/// Nothing that the guest has could wake it.
pub fn masked_sleep(_: &'static Machine) {
    gic::set_mask(0);
    gic::set_signalling(false);
    // SAFETY: does not come back.
    unsafe { asm!("msr daifset, #0xf", "2:", "wfi", "b 2b", options(noreturn)) }
}

/// CPU_SUSPEND, power-down, with no interrupt to come.
fn suspended(_: &'static Machine) {
    psci::cpu_suspend(1 << 16, partita_guest::start::secondary_entry(), 0);
    spin();
}

/// A VBAR_EL1 that no table can map.
pub fn unmappable_vectors(_: &'static Machine) {
    // SAFETY: does not come back.
    unsafe {
        asm!("msr vbar_el1, {}", "isb", "udf #0", "b .", in(reg) 0x0008_0000_0000_0000u64, options(noreturn))
    }
}

/// TCR_EL1.EPD0 and EPD1: every fetch faults, and so do the vectors.
fn no_walks(_: &'static Machine) {
    // SAFETY: does not come back.
    unsafe {
        asm!(
            "mrs x0, tcr_el1",
            "orr x0, x0, #1 << 7",
            "orr x0, x0, #1 << 23",
            "msr tcr_el1, x0",
            "isb",
            "tlbi vmalle1",
            "dsb sy",
            "isb",
            "udf #0",
            "b .",
            options(noreturn)
        )
    }
}

/// A timer that is due for ever.
fn interrupt_storm(machine: &'static Machine) {
    gic::enable(machine.virtual_timer, true);
    timer::set_virtual(0);
    cpu::unmask_interrupts();
    loop {
        core::hint::spin_loop();
    }
}

/// The handler of that.
pub fn irq() {
    if let Some(taken) = gic::acknowledge() {
        watched::interrupt(taken.intid());
        gic::end(taken);
    }
}

fn calls() {
    loop {
        psci::call64(0x8600_1234, [!0; 3]);
    }
}

/// Loads of what is not there, whose handler returns to them.
fn aborts(machine: &'static Machine) {
    let Some(&(base, size)) = machine.memory.iter().next() else { return };
    loop {
        let _ = partita_guest::exception::catch(|| read64(base + size));
    }
}

fn maintenance() {
    // SAFETY: does not come back; nothing loses what it cannot get again.
    unsafe { asm!("2:", "tlbi vmalle1is", "ic ialluis", "dsb sy", "isb", "b 2b", options(noreturn)) }
}

/// DC CISW, which EL2 does by address over all of the partition's memory.
fn set_way() {
    // SAFETY: as above.
    unsafe { asm!("2:", "dc cisw, xzr", "b 2b", options(noreturn)) }
}

fn console_flood() {
    loop {
        // Without a look at the FIFO's flags.
        (0..60).for_each(|_| write32(console::base(), u32::from(b'#')));
        write32(console::base(), u32::from(b'\n'));
    }
}

/// The other core is started, and may not even have come.
fn half_started(machine: &'static Machine) {
    if let Some(affinity) = machine.cores.get(1) {
        cpu::start(1, *affinity, spin);
    }
    psci::system_off()
}

global_asm!(".balign 8", "crasher_aarch32:", ".inst 0xee1d0f70", ".inst 0xeafffffe");

unsafe extern "C" {
    static crasher_aarch32: u8;
}

/// EL0 in AArch32, by `MRC p15, 0, r0, c13, c0, 3`, which HSTR_EL2.T13 traps, and a branch to itself. Stage 1 is off, so that EL0 may
/// execute here. SPSR_EL1: M = 0x10, interrupts masked.
fn aarch32(_: &'static Machine) {
    let at = &raw const crasher_aarch32 as u64;
    // SAFETY: does not come back. Memory is as caches have it once they are cleaned.
    unsafe {
        asm!("dc civac, x1", "dsb sy", "mrs x0, sctlr_el1", "bic x0, x0, #1", "msr sctlr_el1, x0", "isb",
            "msr spsr_el1, x2", "msr elr_el1, x1", "eret", in("x1") at, in("x2") 0x1d0u64, options(noreturn))
    }
}
