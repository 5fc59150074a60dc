//! The console: a PL011 found through /chosen's stdout-path, or where there is none such an SBSA UART. Printing holds a lock with interrupts masked, so lines of
//! several cores and of interrupt handlers do not mix.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use spin::mutex::SpinMutex;

use crate::{cpu, mmio};

// PL011 registers (DDI 0183, section 3.3).
const DR: u64 = 0x00;
const FR: u64 = 0x18;
const LCRH: u64 = 0x2c;
const CR: u64 = 0x30;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const LCRH_8N1_FIFO: u32 = 0x70;
const CR_ENABLE: u32 = 0x301;

/// Registers of the UART, 0 while there is none.
static BASE: AtomicU64 = AtomicU64::new(0);
static LOCK: SpinMutex<()> = SpinMutex::new(());

/// The UART's base address; 0 when the machine has none.
pub fn base() -> u64 {
    BASE.load(Ordering::Relaxed)
}

/// Uses the PL011 at `base` from now on.
pub fn init(base: u64) {
    mmio::write32(base + LCRH, LCRH_8N1_FIFO);
    mmio::write32(base + CR, CR_ENABLE);
    BASE.store(base, Ordering::Relaxed);
}

/// Takes the console from whoever holds it: for the last words before power-off.
pub fn force() {
    cpu::mask_interrupts();
    // SAFETY: nobody who still holds the lock will be heard again; at worst two lines mix.
    unsafe { LOCK.force_unlock() };
}

/// Uses the SBSA UART at `base` from now on: a PL011 of which there are only DR, FR and the interrupt registers, set up by
/// whoever made it (Server Base System Architecture, "SBSA Generic UART").
pub fn init_sbsa(base: u64) {
    BASE.store(base, Ordering::Relaxed);
}

/// One received byte, if there is one.
pub fn receive() -> Option<u8> {
    let base = base();
    (base != 0 && mmio::read32(base + FR) & FR_RXFE == 0).then(|| mmio::read32(base + DR) as u8)
}

struct Uart(u64);

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0 == 0 {
            return Ok(());
        }
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(byte);
        }
        Ok(())
    }
}

impl Uart {
    fn put(&self, byte: u8) {
        while mmio::read32(self.0 + FR) & FR_TXFF != 0 {
            core::hint::spin_loop();
        }
        mmio::write32(self.0 + DR, u32::from(byte));
    }
}

/// What `println!` calls.
pub fn print(text: fmt::Arguments) {
    cpu::with_interrupts_masked(|| {
        let _guard = LOCK.lock();
        // A UART cannot fail; only a `Display` can, and then its words are cut.
        let _ = Uart(base()).write_fmt(text);
    });
}

/// Prints one line on the console.
#[macro_export]
macro_rules! println {
    ($($words:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($words)*))) };
}
