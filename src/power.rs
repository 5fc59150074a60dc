//! The end: powering the machine off, parking it, and EL2's own faults.

use core::arch::asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use partita_abi::{psci, smccc};
use partita_model::lifecycle::PARKED;
use partita_model::plan::Conduit;
use partita_model::speculation::Firmware;

use crate::clock::Deadline;
use crate::{console, heap, uart};

/// The power manager of Raspberry Pi's chips (Linux: drivers/watchdog/bcm2835_wdt.c).
mod manager {
    pub const RSTC: usize = 0x1c;
    pub const RSTS: usize = 0x20;
    pub const WDOG: usize = 0x24;
    /// Every write has it, or is ignored.
    pub const PASSWORD: u32 = 0x5a << 24;
    /// RSTC: what happens when the watchdog ends; the value for a full reset.
    pub const CONFIGURATION: u32 = 3 << 4;
    pub const FULL_RESET: u32 = 2 << 4;
    /// RSTS: the partition to boot from, in every other bit. Firmware takes 63 as the wish to halt.
    pub const HALT: u32 = 0x555;
    /// About 150 us.
    pub const TICKS: u32 = 10;
}

static CONDUIT: AtomicU8 = AtomicU8::new(0);
/// The mapped registers of the power manager; 0: there is none.
static MANAGER: AtomicUsize = AtomicUsize::new(0);

/// Notes how firmware takes PSCI calls. Without it the machine can only be parked.
pub fn set_conduit(conduit: Option<Conduit>) {
    CONDUIT.store(conduit.map_or(0, |c| if c == Conduit::Smc { 1 } else { 2 }), Ordering::Relaxed);
}

/// Notes where the board's power manager is mapped, on every core.
pub fn set_manager(base: usize) {
    MANAGER.store(base, Ordering::Relaxed);
}

/// Calls firmware: PSCI for EL2's own needs, and the workarounds that the model lets a guest ask for, with an argument
/// that the model chose. None where firmware takes no calls.
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

/// What firmware answers of its workarounds (SMCCC_ARCH_FEATURES), if it takes SMC calls by a convention that has them
/// (DEN 0028, section 7: PSCI_FEATURES tells of SMCCC_VERSION, and that of ARCH_FEATURES).
pub fn workarounds() -> Firmware {
    let call =
        |function, argument: u32| firmware(function, [argument.into(), 0, 0]).unwrap_or(psci::NOT_SUPPORTED);
    let told = call(psci::VERSION, 0) >= 0x1_0000 && call(psci::FEATURES, smccc::VERSION) == 0;
    if !told || call(smccc::VERSION, 0) < 0x1_0001 {
        return Firmware::NONE;
    }
    Firmware {
        workaround_1: call(smccc::ARCH_FEATURES, smccc::ARCH_WORKAROUND_1),
        workaround_2: call(smccc::ARCH_FEATURES, smccc::ARCH_WORKAROUND_2),
        workaround_3: call(smccc::ARCH_FEATURES, smccc::ARCH_WORKAROUND_3),
    }
}

/// Powers the machine off, or parks this core where nothing can.
pub fn off() -> ! {
    uart::drain();
    firmware(psci::SYSTEM_OFF, [0; 3]);
    let manager = MANAGER.load(Ordering::Relaxed);
    if manager != 0 {
        reset_to_halt(manager);
    }
    log::info!("{PARKED}");
    uart::drain();
    park()
}

/// Has the power manager reset the chip, with a note for the firmware to stay off then.
fn reset_to_halt(base: usize) {
    use manager::{CONFIGURATION, FULL_RESET, HALT, PASSWORD, RSTC, RSTS, TICKS, WDOG};
    // SAFETY: the registers are mapped on every core, and nobody but EL2 has them; the machine is at its end.
    let read = |register: usize| unsafe { ((base + register) as *const u32).read_volatile() };
    let write = |register: usize, value: u32| {
        // SAFETY: as above.
        unsafe { ((base + register) as *mut u32).write_volatile(PASSWORD | value) };
    };
    // The upper byte reads as zero where it was not the password that was written last.
    write(RSTS, read(RSTS) & !PASSWORD | HALT);
    write(WDOG, TICKS);
    write(RSTC, read(RSTC) & !(PASSWORD | CONFIGURATION) | FULL_RESET);
    let deadline = Deadline::after_seconds(1);
    while !deadline.passed() {
        core::hint::spin_loop();
    }
}

/// Gives this core back to firmware, or parks it: no partition owns it.
pub fn core_off() -> ! {
    firmware(psci::CPU_OFF, [0; 3]);
    park()
}

/// Stops this core for good.
pub fn park() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::last_words();
    match heap::refusal() {
        Some(refusal) => log::error!("{refusal}"),
        None => log::error!("the hypervisor itself failed: {info}"),
    }
    off()
}
