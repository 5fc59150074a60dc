//! What every bare-metal guest of Partita needs before it can do its own work: an entry with an arm64 Image header, EL1
//! vectors, a console, and thin access to the GIC, the timers and PSCI. It learns the machine from its device tree and
//! assumes nothing of Partita, so the same guest also runs natively on a machine that starts it at EL1.
//!
//! It may not: schedule, allocate, or hide an exception that its guest did not ask to see.
#![no_std]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod args;
pub mod console;
pub mod cpu;
pub mod edu;
pub mod exception;
pub mod gic;
pub mod machine;
pub mod mmio;
pub mod psci;
pub mod rows;
pub mod start;
pub mod supervisor;
pub mod timer;
pub mod watchdog;

pub use machine::Machine;

/// Names the guest's main function and its interrupt handler. `main` gets the machine; returning from it powers the guest
/// off. The handler is called on the interrupted core with interrupts masked.
#[macro_export]
macro_rules! guest {
    (main = $main:path, irq = $irq:path) => {
        #[unsafe(no_mangle)]
        fn guest_main(machine: &'static $crate::Machine) {
            let main: fn(&'static $crate::Machine) = $main;
            main(machine)
        }
        #[unsafe(no_mangle)]
        fn guest_irq() {
            let irq: fn() = $irq;
            irq()
        }
    };
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    console::force();
    println!("guest: {info}");
    psci::system_off()
}
