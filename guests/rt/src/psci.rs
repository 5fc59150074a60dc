//! PSCI and SMCCC calls by the conduit that the tree names. Raw results, not enums: tests look at the numbers themselves.

use core::sync::atomic::{AtomicBool, Ordering};

use partita_abi::psci as id;
use smccc::{hvc32, hvc64, smc32, smc64};

/// Calls go by SMC instead of HVC.
static BY_SMC: AtomicBool = AtomicBool::new(false);

/// Says which instruction makes a call.
pub fn use_smc(yes: bool) {
    BY_SMC.store(yes, Ordering::Relaxed);
}

/// Whether calls go by SMC.
pub fn by_smc() -> bool {
    BY_SMC.load(Ordering::Relaxed)
}

/// A call in the 64-bit convention: x0..x3 of the answer.
pub fn call64(function: u32, args: [u64; 3]) -> [u64; 4] {
    let mut all = [0; 17];
    all[..3].copy_from_slice(&args);
    let answer = if by_smc() { smc64(function, all) } else { hvc64(function, all) };
    [answer[0], answer[1], answer[2], answer[3]]
}

/// A call in the 32-bit convention: w0..w3 of the answer.
pub fn call32(function: u32, args: [u32; 3]) -> [u32; 4] {
    let mut all = [0; 7];
    all[..3].copy_from_slice(&args);
    let answer = if by_smc() { smc32(function, all) } else { hvc32(function, all) };
    [answer[0], answer[1], answer[2], answer[3]]
}

/// CPU_ON: PSCI's status.
pub fn cpu_on(affinity: u64, entry: u64, context: u64) -> i64 {
    call64(id::CPU_ON | id::SMC64, [affinity, entry, context])[0] as i64
}

/// CPU_OFF; returns only if it was refused.
pub fn cpu_off() -> i64 {
    i64::from(call32(id::CPU_OFF, [0; 3])[0] as i32)
}

/// CPU_SUSPEND; returns for a standby state or when refused.
pub fn cpu_suspend(power_state: u32, entry: u64, context: u64) -> i64 {
    call64(id::CPU_SUSPEND | id::SMC64, [u64::from(power_state), entry, context])[0] as i64
}

/// AFFINITY_INFO: 0 on, 1 off, 2 on-pending, negative refused.
pub fn affinity_info(affinity: u64, level: u64) -> i64 {
    call64(id::AFFINITY_INFO | id::SMC64, [affinity, level, 0])[0] as i64
}

/// SYSTEM_OFF. Does not return: a machine that refuses it gets a core that sleeps for ever.
pub fn system_off() -> ! {
    call32(id::SYSTEM_OFF, [0; 3]);
    loop {
        crate::cpu::wait();
    }
}

/// SYSTEM_RESET; returns only if it was refused.
pub fn system_reset() -> i64 {
    i64::from(call32(id::SYSTEM_RESET, [0; 3])[0] as i32)
}
