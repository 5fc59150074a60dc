//! The end: powering the machine off, parking it, and EL2's own faults.

use core::arch::asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, Ordering};

use partita_abi::psci;
use partita_model::plan::Conduit;

use crate::uart;

static CONDUIT: AtomicU8 = AtomicU8::new(0);

/// Notes how firmware takes PSCI calls. Without it the machine can only be parked.
pub fn set_conduit(conduit: Option<Conduit>) {
    CONDUIT.store(conduit.map_or(0, |c| if c == Conduit::Smc { 1 } else { 2 }), Ordering::Relaxed);
}

/// Calls firmware: PSCI only, and only from EL2's own needs, never on a guest's behalf. None where there is no PSCI.
pub fn firmware(function: u32, arguments: [u64; 3]) -> Option<i32> {
    let [a, b, c] = arguments;
    let mut result = u64::from(function);
    match CONDUIT.load(Ordering::Relaxed) {
        // SAFETY: a call by the SMC calling convention (DEN 0028): x0..x17 may change, memory does not.
        1 => unsafe {
            asm!("smc #0", inout("x0") result, inout("x1") a => _, inout("x2") b => _, inout("x3") c => _,
                out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
                out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
                options(nostack));
        },
        _ => return None,
    }
    Some(result as i32)
}

/// Powers the machine off, or parks this core where nothing can.
pub fn off() -> ! {
    uart::drain();
    firmware(psci::SYSTEM_OFF, [0; 3]);
    log::info!("this board has no way to power off; parked");
    park()
}

/// Gives this core back to firmware, or parks it: no partition owns it.
pub fn core_off() -> ! {
    firmware(psci::CPU_OFF, [0; 3]);
    park()
}

/// Stops this core for good.
pub fn park() -> ! {
    loop {
        // SAFETY: waits; interrupts are masked at EL2.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    log::error!("the hypervisor itself failed: {info}");
    off()
}
