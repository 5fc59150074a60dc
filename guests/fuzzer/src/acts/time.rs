//! Timers at any setting, and waiting for them.

use core::arch::asm;

use partita_guest::{cpu, gic, timer};

use crate::world::{self, World};

/// Sets one of the timers somehow.
pub fn timers(world: &mut World) {
    let now = timer::now();
    let at = match world.random.below(4) {
        0 => world.random.any(),
        1 => now,
        _ => now.wrapping_add(world.random.below(20_000)),
    };
    let (control, which) = (world.random.below(8), world.random.below(4));
    // SAFETY: the partition's own timers; what comes of them is an interrupt.
    world.attempt(false, || unsafe {
        match which {
            0 => asm!("msr cntv_cval_el0, {}", "msr cntv_ctl_el0, {}", in(reg) at, in(reg) control, options(nostack)),
            1 => asm!("msr cntp_cval_el0, {}", "msr cntp_ctl_el0, {}", in(reg) at, in(reg) control, options(nostack)),
            2 => asm!("msr cntv_tval_el0, {}", "msr cntv_ctl_el0, {}", in(reg) at, in(reg) control, options(nostack)),
            _ => asm!("msr cntkctl_el1, {}", in(reg) at & 0x3ff, options(nostack)),
        }
    });
}

/// Waits for an interrupt that is certain to come, as nobody can disable it meanwhile.
pub fn wait(world: &mut World) {
    world::alone(world.machine.cores.len(), || {
        world.calm();
        gic::enable(world.machine.virtual_timer, true);
        timer::set_virtual(timer::now() + world.random.below(50_000));
        if world.random.once_in(2) {
            // SAFETY: waits for an event, which SEVL has just made.
            unsafe { asm!("sevl", "wfe", options(nostack)) };
        }
        cpu::wait();
        world.take_interrupts();
    });
}
