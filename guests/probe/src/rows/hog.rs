//! A partition that does nothing but what costs the hypervisor time. Whoever starts it watches the neighbours.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_guest::exception::catch;
use partita_guest::{args, gic, mmio, psci, timer};

use crate::check::{Env, Outcome, Row};
use crate::irq::{CLEAR_ENABLE, SET_ENABLE, gicd};
use crate::{cores, ensure};

pub const ALONE: &[Row] = &[Row::here("hog", hog)];

static END: AtomicU64 = AtomicU64::new(0);
static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// Every kind of exit, in turn, as fast as it goes.
fn exit_all_the_time() {
    while timer::now() < END.load(Ordering::SeqCst) && !cores::given_up() {
        psci::call64(0x8600_1234, [0; 3]);
        psci::cpu_on(u64::MAX, 0, 0);
        psci::affinity_info(0, 0);
        for register in [SET_ENABLE, CLEAR_ENABLE] {
            for word in 0..8 {
                mmio::write32(gicd() + register + word * 4, !0);
            }
        }
        for at in [0, 0x0a00_0000, 0x7fff_f000] {
            catch(|| mmio::read32(at));
        }
        gic::send_to_others(15); // who are in here too, with interrupts masked
        // SAFETY: cleaning and invalidating keeps the contents.
        unsafe { asm!("dc cisw, {}", in(reg) 0u64, options(nostack)) };
        ROUNDS.fetch_add(1, Ordering::Relaxed);
    }
}

/// On all cores, for `seconds=` (default 5).
fn hog(env: &Env) -> Outcome {
    let seconds = args::get(env.machine.bootargs, "seconds").and_then(args::number).unwrap_or(5);
    END.store(timer::now() + seconds * timer::frequency(), Ordering::SeqCst);
    cores::start_others(env, exit_all_the_time)?;
    exit_all_the_time();
    cores::join(env)?;
    let rounds = ROUNDS.load(Ordering::Relaxed);
    ensure!(rounds > 10, "only {rounds} rounds in {seconds} s");
    Ok(())
}
