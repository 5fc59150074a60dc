//! EL2's own interrupts, noted once by the first core.

use core::sync::atomic::{AtomicU64, Ordering};

static MAINTENANCE: AtomicU64 = AtomicU64::new(0);
static UART: AtomicU64 = AtomicU64::new(0);

/// Notes EL2's own interrupts: the maintenance PPI and the UART's SPI (0: none).
pub fn set(maintenance: u32, uart: u32) {
    MAINTENANCE.store(maintenance.into(), Ordering::Relaxed);
    UART.store(uart.into(), Ordering::Relaxed);
}

/// The PPI of the virtual interface's maintenance interrupt.
pub fn maintenance_intid() -> u32 {
    MAINTENANCE.load(Ordering::Relaxed) as u32
}

/// The interrupt of EL2's UART; 0 if it has none.
pub fn uart_intid() -> u32 {
    UART.load(Ordering::Relaxed) as u32
}
