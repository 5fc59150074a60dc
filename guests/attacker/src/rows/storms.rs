//! Storms of interrupts, from one core and from all. The attacker must not lose one of its own either, nor see one twice.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use partita_guest::exception::catch;
use partita_guest::rows::irq::{self, count, total};
use partita_guest::rows::{Env, Outcome, cores};
use partita_guest::{cpu, gic, timer};

use crate::table::Row;
use crate::{ensure, same};

const OWN: &str = "own interrupts each as often as they should, and nobody else notices";
pub(super) const BOUND: &str = "no exit waits for anybody or takes longer than its bound";
const OVERFLOW: &str = "what finds no list register waits with its partition";

pub const ROWS: &[Row] = &[
    Row::new("timers", "both timers due all the time", OWN, BOUND, timers),
    Row::new("timers-everywhere", "the same on every core", OWN, BOUND, timers_everywhere),
    Row::new("list-registers", "every SGI, both timers and a device at once", OWN, OVERFLOW, list_registers),
    Row::new(
        "one-group",
        "all that with one group let through at the CPU interface, with none, with the other",
        OWN,
        OVERFLOW,
        one_group,
    )
    .v3(),
    Row::new("never-ended", "the same, acknowledged and never ended", OWN, OVERFLOW, never_ended),
    Row::new(
        "never-deactivated",
        "ended by priority only, and never deactivated",
        OWN,
        OVERFLOW,
        never_deactivated,
    ),
    Row::new(
        "priorities",
        "each with a priority of its own, and the mask up and down",
        OWN,
        OVERFLOW,
        priorities,
    ),
    Row::new("sgi-self", "SGIs to itself as fast as they go", OWN, BOUND, sgi_self),
    Row::new("sgi-all", "SGIs from all cores to all cores as fast as they go", OWN, BOUND, sgi_all),
    Row::new(
        "enable-toggle",
        "a pending interrupt enabled and disabled again and again",
        OWN,
        BOUND,
        enable_toggle,
    ),
    Row::new(
        "pending-toggle",
        "an interrupt made pending and taken back again and again",
        OWN,
        BOUND,
        pending_toggle,
    ),
    Row::new("route-toggle", "a pending interrupt sent from core to core", OWN, BOUND, route_toggle),
];

/// For how many milliseconds a storm blows.
const BLOWS: u64 = 300;

static END: AtomicU64 = AtomicU64::new(0);
pub(super) static WRONG: AtomicU32 = AtomicU32::new(0);
static VIRTUAL: AtomicU32 = AtomicU32::new(0);
static PHYSICAL: AtomicU32 = AtomicU32::new(0);

pub(super) fn begin(env: &Env) {
    VIRTUAL.store(env.machine.virtual_timer, Ordering::SeqCst);
    PHYSICAL.store(env.machine.physical_timer, Ordering::SeqCst);
    WRONG.store(0, Ordering::SeqCst);
    END.store(timer::now() + timer::frequency() / 1000 * BLOWS, Ordering::SeqCst);
}

pub(super) fn blows() -> bool {
    timer::now() < END.load(Ordering::SeqCst)
}

/// The handler stops a timer; it is due again at once.
fn due_all_the_time() {
    let (first, second) = (VIRTUAL.load(Ordering::SeqCst), PHYSICAL.load(Ordering::SeqCst));
    irq::enable(first);
    irq::enable(second);
    cpu::unmask_interrupts();
    while blows() {
        timer::set_virtual(0);
        timer::set_physical(0);
    }
    cpu::mask_interrupts();
    timer::stop_virtual();
    timer::stop_physical();
    let core = cpu::index();
    if total(core) as u32 != count(core, first) + count(core, second) || total(core) == 0 {
        WRONG.fetch_add(1, Ordering::SeqCst);
    }
}

fn due_all_the_time_secondary() {
    irq::quiet_secondary();
    due_all_the_time();
}

fn timers(env: &Env) -> Outcome {
    begin(env);
    due_all_the_time();
    same!(WRONG.load(Ordering::SeqCst), 0, "cores with other interrupts, or none");
    Ok(())
}

fn timers_everywhere(env: &Env) -> Outcome {
    begin(env);
    cores::start_others(env, due_all_the_time_secondary)?;
    due_all_the_time();
    cores::join(env)?;
    same!(WRONG.load(Ordering::SeqCst), 0, "cores with other interrupts, or none");
    Ok(())
}

/// Everything that a core can have pending, by number: SGIs, timers, a device.
fn everything(env: &Env) -> impl Iterator<Item = u32> {
    (0..16).chain([env.machine.virtual_timer, env.machine.physical_timer]).chain(irq::own_spi(env.machine))
}

/// All of it pending and enabled, with interrupts masked.
fn all_pending(env: &Env) {
    everything(env).for_each(irq::enable);
    timer::set_virtual(0);
    timer::set_physical(0);
    if let Some(spi) = irq::own_spi(env.machine) {
        gic::route(spi, 0, env.machine.cores[0]);
        irq::set_bit(irq::SET_PENDING, spi);
    }
    (0..16).for_each(|sgi| gic::send(sgi, 1));
}

/// Takes by hand what is there, each once; `end` is what is done to it then.
fn take_all(env: &Env, end: impl Fn(u32)) -> Outcome {
    let mut seen = [false; 1024];
    for _ in everything(env) {
        let Some(taken) = irq::take() else {
            let missing = everything(env).find(|one| !seen[*one as usize]);
            crate::fail!("{missing:?} did not come")
        };
        ensure!(everything(env).any(|one| one == taken), "{taken} is nobody's");
        ensure!(!core::mem::replace(&mut seen[taken as usize], true), "{taken} came twice");
        if taken == env.machine.virtual_timer {
            timer::stop_virtual();
        } else if taken == env.machine.physical_timer {
            timer::stop_physical();
        }
        end(taken);
        // It uses the physical timer's enable bit for that.
        irq::look_again(env);
        irq::enable(env.machine.physical_timer);
    }
    Ok(())
}

fn list_registers(env: &Env) -> Outcome {
    for _ in 0..50 {
        all_pending(env);
        take_all(env, gic::end)?;
        ensure!(irq::nothing_to_take(), "one came too many");
    }
    Ok(())
}

/// What is let through at the CPU interface: ICC_IGRPEN0_EL1 and ICC_IGRPEN1_EL1.
fn let_through(group0: u64, group1: u64) {
    // SAFETY: this core's own; a hypervisor that traps them is an answer, too.
    let _ = catch(|| unsafe { asm!("msr S3_0_C12_C12_6, {}", "isb", in(reg) group0) });
    // SAFETY: as above.
    let _ = catch(|| unsafe { asm!("msr S3_0_C12_C12_7, {}", "isb", in(reg) group1) });
}

/// More than there are list registers wait, and whoever waits for what changes must not be told of what does not.
fn one_group(env: &Env) -> Outcome {
    all_pending(env);
    for (group0, group1) in [(1, 0), (0, 0), (1, 1), (1, 0), (0, 1)] {
        let_through(group0, group1);
        let (start, mut turns) = (timer::now(), 0_u64);
        while timer::now() - start < timer::frequency() / 100 {
            turns += 1;
        }
        ensure!(turns > 100, "{turns} turns of a loop in 10 ms with groups {group0} and {group1}");
    }
    take_all(env, gic::end)
}

/// Each more urgent than the one before, or it would wait for that one's end.
fn never_ended(env: &Env) -> Outcome {
    // Numbers that come first by number come last by priority, with 16 levels and no subpriority.
    for intid in everything(env) {
        irq::set_priority(intid, 0xf0 - (intid as u8 & 0xf) * 0x10);
    }
    all_pending(env);
    let mut taken = 0;
    while taken < 24 && gic::acknowledge().is_some() {
        taken += 1;
    }
    ensure!(taken > 0, "none came");
    // Another round on top of what is active.
    (0..16).for_each(|sgi| gic::send(sgi, 1));
    irq::settle(2);
    timer::stop_virtual();
    timer::stop_physical();
    Ok(())
}

fn never_deactivated(env: &Env) -> Outcome {
    gic::set_split(true);
    for _ in 0..4 {
        all_pending(env);
        let mut rounds = 0;
        while let Some(taken) = gic::acknowledge() {
            gic::end(taken);
            rounds += 1;
            ensure!(rounds < 64, "interrupt {} comes for ever", taken.intid());
        }
        timer::stop_virtual();
        timer::stop_physical();
    }
    // One by one, and those twice that are not active any more.
    for intid in everything(env).chain(everything(env)) {
        // Who has the physical GICC has no GICC_DIR.
        let (_, fault) = catch(|| gic::deactivate(intid));
        if fault.is_some() {
            irq::set_bit(irq::CLEAR_ACTIVE, intid);
        }
    }
    gic::set_split(false);
    Ok(())
}

fn priorities(env: &Env) -> Outcome {
    for round in 0..16u8 {
        for intid in everything(env) {
            irq::set_priority(intid, (intid as u8).wrapping_mul(round) << 4);
        }
        gic::set_mask(0);
        all_pending(env);
        for mask in (0..16).map(|mask| mask << 4) {
            gic::set_mask(mask);
        }
        gic::set_mask(gic::ALL);
        everything(env).for_each(|intid| irq::set_priority(intid, gic::NORMAL));
        take_all(env, gic::end)?;
    }
    Ok(())
}

fn sgi_self(env: &Env) -> Outcome {
    begin(env);
    (0..16).for_each(irq::enable);
    cpu::unmask_interrupts();
    let mut sent = 0;
    while blows() {
        let sgi = sent % 16;
        gic::send(sgi, 1);
        sent += 1;
        let there = irq::within(10_000, || total(0) as u32 >= sent);
        ensure!(there, "SGI {sgi}, the {sent}th, did not come");
    }
    irq::settle(2);
    same!(total(0) as u32, sent, "SGIs that came");
    Ok(())
}

fn send_to_all() {
    let all = 0xff;
    cpu::unmask_interrupts();
    while blows() {
        (0..16).for_each(|sgi| gic::send(sgi, all));
    }
}

fn send_to_all_secondary() {
    irq::quiet_secondary();
    send_to_all();
}

/// The list names cores that are not ours, too.
fn sgi_all(env: &Env) -> Outcome {
    (0..16).for_each(irq::enable);
    begin(env);
    cores::start_others(env, send_to_all_secondary)?;
    send_to_all();
    cores::join(env)?;
    let sgis: u32 = (0..16).map(|sgi| count(0, sgi)).sum();
    ensure!(sgis > 0, "none came");
    same!(total(0) as u32, sgis, "interrupts, and SGIs");
    Ok(())
}

fn enable_toggle(env: &Env) -> Outcome {
    let timer = env.machine.virtual_timer;
    timer::set_virtual(0);
    for _ in 0..1000 {
        irq::set_bit(irq::SET_ENABLE, timer);
        irq::set_bit(irq::CLEAR_ENABLE, timer);
    }
    irq::enable(timer);
    same!(irq::take(), Some(timer), "interrupt");
    timer::stop_virtual();
    gic::end(timer);
    irq::look_again(env);
    ensure!(irq::nothing_to_take(), "it came twice");
    Ok(())
}

fn pending_toggle(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { crate::skip!("no device of its own") };
    gic::route(spi, 0, env.machine.cores[0]);
    irq::enable(spi);
    for _ in 0..1000 {
        irq::set_bit(irq::SET_PENDING, spi);
        irq::clear_pending(spi);
    }
    irq::settle(1);
    ensure!(irq::nothing_to_take(), "one came that was taken back");
    irq::set_bit(irq::SET_PENDING, spi);
    same!(irq::take(), Some(spi), "interrupt");
    gic::end(spi);
    irq::look_again(env);
    ensure!(irq::nothing_to_take(), "it came twice");
    Ok(())
}

fn sit() {
    irq::quiet_secondary();
    while blows() {
        core::hint::spin_loop();
    }
}

fn route_toggle(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { crate::skip!("no device of its own") };
    begin(env);
    cores::start_others(env, sit)?;
    irq::enable(spi);
    cpu::unmask_interrupts();
    let mut sent = 0;
    let came = || (0..env.machine.cores.len()).map(|core| count(core, spi)).sum::<u32>();
    while blows() {
        for (core, affinity) in env.machine.cores.iter().enumerate() {
            gic::route(spi, core, *affinity);
        }
        irq::set_bit(irq::SET_PENDING, spi);
        sent += 1;
        gic::route(spi, 0, env.machine.cores[0]);
        if !irq::within(1000, || came() >= sent) {
            break;
        }
    }
    cpu::mask_interrupts();
    cores::join(env)?;
    same!(came(), sent, "interrupts of the device on all cores");
    Ok(())
}
