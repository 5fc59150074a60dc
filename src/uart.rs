//! The physical UART that EL2 prints on. Kinds differ only here.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use partita_model::plan::UartKind;

use crate::clock::Deadline;

/// PL011 registers (DDI 0183, section 3.2).
mod pl011 {
    pub const DR: usize = 0x00;
    pub const FR: usize = 0x18;
    pub const LCR_H: usize = 0x2c;
    pub const CR: usize = 0x30;
    pub const IFLS: usize = 0x34;
    pub const IMSC: usize = 0x38;
    pub const ICR: usize = 0x44;
    pub const FR_RXFE: u32 = 1 << 4;
    pub const FR_TXFF: u32 = 1 << 5;
    pub const FR_BUSY: u32 = 1 << 3;
    pub const RX: u32 = 1 << 4;
    pub const TX: u32 = 1 << 5;
    pub const RT: u32 = 1 << 6;
}

/// BCM2835 mini-UART registers, as offsets from AUX_MU_IO_REG (BCM2711 peripherals, section 2.2).
mod mini {
    /// AUX_ENABLES of the block that it is in, and its own bit there: without it the other registers are dead.
    pub const BELOW_ENABLES: usize = 0x3c;
    pub const ENABLE: u32 = 1 << 0;
    pub const IO: usize = 0x00;
    pub const IER: usize = 0x04;
    pub const LCR: usize = 0x0c;
    pub const LSR: usize = 0x14;
    pub const CNTL: usize = 0x20;
    pub const LCR_8BIT: u32 = 3;
    pub const CNTL_BOTH: u32 = 3;
    pub const LSR_DATA: u32 = 1 << 0;
    pub const LSR_SPACE: u32 = 1 << 5;
    pub const LSR_IDLE: u32 = 1 << 6;
    /// As a 16550's, whatever the manual's table says; bit 2 (there the line status) has to be set with the receiver's.
    pub const IER_RX: u32 = 1 << 2 | 1 << 0;
    pub const IER_TX: u32 = 1 << 1;
}

/// Bytes that may be written after a transmit interrupt without looking again.
pub const STEP: usize = 16;

static BASE: AtomicUsize = AtomicUsize::new(0);
static KIND: AtomicU8 = AtomicU8::new(0);

/// Makes the UART at this mapped address the one to print on.
pub fn init(base: usize, kind: UartKind) {
    KIND.store(u8::from(kind == UartKind::MiniUart), Ordering::Relaxed);
    BASE.store(base, Ordering::Release);
    if kind == UartKind::Pl011 {
        // Firmware left it at the right speed; FIFOs on (LCR_H.FEN), transmitter and receiver on, no interrupts yet.
        write(pl011::IMSC, 0);
        write(pl011::LCR_H, read(pl011::LCR_H) | 0x70);
        write(pl011::CR, read(pl011::CR) | 0x301);
        write(pl011::ICR, 0x7ff);
        write(pl011::IFLS, 0);
    } else {
        let enables = (base - mini::BELOW_ENABLES) as *mut u32;
        // SAFETY: the registers lie in one page with their block's (BCM2711 peripherals, 2.1), which is mapped whole.
        unsafe { enables.write_volatile(enables.read_volatile() | mini::ENABLE) };
        // Firmware left it at the right speed. Eight bits, transmitter and receiver on, no interrupts yet.
        write(mini::IER, 0);
        write(mini::LCR, mini::LCR_8BIT);
        write(mini::CNTL, mini::CNTL_BOTH);
    }
}

/// Leaves the UART to somebody else: from here on there is none.
pub fn release() {
    drain();
    BASE.store(0, Ordering::Release);
}

/// Whether there is one.
pub fn present() -> bool {
    BASE.load(Ordering::Acquire) != 0
}

fn is_mini() -> bool {
    KIND.load(Ordering::Relaxed) != 0
}

fn read(register: usize) -> u32 {
    // SAFETY: `init` was given the mapped registers of a UART; reading them affects only the UART.
    unsafe { ((BASE.load(Ordering::Relaxed) + register) as *const u32).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as above; writing them affects only the UART.
    unsafe { ((BASE.load(Ordering::Relaxed) + register) as *mut u32).write_volatile(value) };
}

/// Whether a byte can be written at once. Without a UART always: what is written goes nowhere.
pub fn has_room() -> bool {
    if !present() {
        true
    } else if is_mini() {
        read(mini::LSR) & mini::LSR_SPACE != 0
    } else {
        read(pl011::FR) & pl011::FR_TXFF == 0
    }
}

/// Writes a byte. It waits for room only where the caller has not asked [`has_room`]: the first core at boot, and the
/// last words of a machine.
pub fn put(byte: u8) {
    if !has_room() {
        wait(has_room);
    }
    if present() {
        write(if is_mini() { mini::IO } else { pl011::DR }, byte.into());
    }
}

/// Acknowledges what the UART raised at its own registers; levels stay until they are served.
pub fn acknowledge() {
    if present() && !is_mini() {
        write(pl011::ICR, pl011::TX | pl011::RT);
    }
}

/// Reads a byte if there is one.
pub fn get() -> Option<u8> {
    if !present() {
        return None;
    }
    if is_mini() {
        return (read(mini::LSR) & mini::LSR_DATA != 0).then(|| read(mini::IO) as u8);
    }
    (read(pl011::FR) & pl011::FR_RXFE == 0).then(|| read(pl011::DR) as u8)
}

/// Chooses the interrupts: input always, output only while something waits to be sent.
pub fn interrupts(input: bool, output: bool) {
    if !present() {
    } else if is_mini() {
        write(mini::IER, if input { mini::IER_RX } else { 0 } | if output { mini::IER_TX } else { 0 });
    } else {
        let input = if input { pl011::RX | pl011::RT } else { 0 };
        write(pl011::IMSC, input | if output { pl011::TX } else { 0 });
    }
}

/// Waits until the last byte has left.
pub fn drain() {
    wait(|| {
        if is_mini() { read(mini::LSR) & mini::LSR_IDLE != 0 } else { read(pl011::FR) & pl011::FR_BUSY == 0 }
    });
}

/// Waits for the UART. One that does nothing for a second (its clock is off, or the other end holds it by flow control)
/// is taken for absent from then on: no word is worth a machine that hangs.
fn wait(ready: impl Fn() -> bool) {
    if !present() {
        return;
    }
    let deadline = Deadline::after_seconds(1);
    while !ready() {
        if deadline.passed() {
            BASE.store(0, Ordering::Release);
            return;
        }
        core::hint::spin_loop();
    }
}
