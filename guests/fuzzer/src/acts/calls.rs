//! Hypercalls: PSCI and SMCCC by every function and near it, with arguments that mean something or not. What would end the
//! partition, or put this core to sleep, is left out.

use core::arch::asm;

use partita_abi::{psci, smccc};

use crate::world::World;

unsafe extern "C" {
    static fuzzer_calls: [u32; 2];
    static fuzzer_calls_end: [u32; 2];
}

const FUNCTIONS: [u32; 16] = [
    psci::VERSION,
    psci::CPU_SUSPEND,
    psci::CPU_ON,
    psci::AFFINITY_INFO,
    psci::MIGRATE,
    psci::MIGRATE_INFO_TYPE,
    psci::FEATURES,
    smccc::VERSION,
    smccc::ARCH_FEATURES,
    smccc::ARCH_SOC_ID,
    smccc::ARCH_WORKAROUND_1,
    smccc::ARCH_WORKAROUND_2,
    smccc::ARCH_WORKAROUND_3,
    smccc::TRNG_VERSION,
    smccc::VENDOR_HYP,
    smccc::VENDOR_HYP_CALL_COUNT,
];

/// One call.
pub fn one(world: &mut World) {
    let memory = world.machine.memory.first().map_or(0, |(base, _)| *base);
    let random = &mut world.random;
    let function = match random.below(8) {
        0 => random.any() as u32,
        1 => 0x8000_0000 | random.any() as u32 & 0x7f00_ffff,
        2 => psci::VERSION | random.any() as u32 & (psci::SMC64 | 0x3f),
        3 => smccc::VENDOR_HYP | random.any() as u32 & 0xffff,
        _ => random.pick(&FUNCTIONS) | random.pick(&[0, 0, psci::SMC64]),
    };
    let mut arguments = [0; 8];
    arguments[0] = u64::from(function) | if random.once_in(8) { random.any() << 32 } else { 0 };
    for argument in &mut arguments[1..] {
        *argument = match random.below(4) {
            0 => random.below(4) | random.pick(&[0, 1 << 31, 1 << 8]),
            1 => u64::from(random.pick(&FUNCTIONS)),
            2 => memory + random.below(1 << 24),
            _ => random.value(),
        };
    }
    let which = if random.once_in(8) {
        random.below((&raw const fuzzer_calls_end as u64 - &raw const fuzzer_calls as u64) / 8)
    } else {
        random.below(2)
    };
    match function & !psci::SMC64 {
        psci::SYSTEM_OFF | psci::SYSTEM_RESET | psci::CPU_OFF if which < 2 => return,
        // Bits of power_state that must be zero: refused before anything sleeps (DEN 0022, 5.4.2).
        psci::CPU_SUSPEND => arguments[1] |= 1 << 20,
        _ => {}
    }
    let code = &raw const fuzzer_calls as u64 + 8 * which;
    world.attempt(true, || call(code, &mut arguments));
}

fn call(code: u64, x: &mut [u64; 8]) {
    // SAFETY: an HVC or SMC and a return. The conventions let a call change what a C function may (DEN 0028, 2.6).
    unsafe {
        asm!("blr {code}", code = in(reg) code,
            inlateout("x0") x[0], inlateout("x1") x[1], inlateout("x2") x[2], inlateout("x3") x[3],
            inlateout("x4") x[4], inlateout("x5") x[5], inlateout("x6") x[6], inlateout("x7") x[7],
            clobber_abi("C"));
    }
}
