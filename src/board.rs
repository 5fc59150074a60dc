//! EL2's own interrupts, noted once by the first core.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::gic::{DOORBELL, KICK, Own};

static MAINTENANCE: AtomicU64 = AtomicU64::new(0);
static UART: AtomicU64 = AtomicU64::new(0);
static TIMER: AtomicU64 = AtomicU64::new(0);

/// Notes EL2's own interrupts: the PPIs of the virtual interface's maintenance and of EL2's timer, and the UART's SPI (0: none).
pub fn set(maintenance: u32, timer: u32, uart: u32) {
    MAINTENANCE.store(maintenance.into(), Ordering::Relaxed);
    TIMER.store(timer.into(), Ordering::Relaxed);
    UART.store(uart.into(), Ordering::Relaxed);
}

/// The PPI of the virtual interface's maintenance interrupt.
pub fn maintenance_intid() -> u32 {
    MAINTENANCE.load(Ordering::Relaxed) as u32
}

/// The PPI of EL2's physical timer.
pub fn timer_intid() -> u32 {
    TIMER.load(Ordering::Relaxed) as u32
}

/// The private interrupts that are EL2's own on the cores of a partition, which has a watchdog or not.
pub fn own_interrupts(watchdog: bool) -> Own {
    let own = Own { enabled: 1 << KICK | 1 << DOORBELL | 1 << maintenance_intid(), urgent: 1 << KICK };
    let timer = if watchdog { 1 << timer_intid() } else { 0 };
    Own { enabled: own.enabled | timer, urgent: own.urgent | timer }
}

/// The interrupt of EL2's UART; 0 if it has none.
pub fn uart_intid() -> u32 {
    UART.load(Ordering::Relaxed) as u32
}
