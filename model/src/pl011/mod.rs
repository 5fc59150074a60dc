//! The emulated UART of a shared console: an Arm PL011 r1p5 (DDI 0183) whose line is a byte ring on one side and the
//! focused keyboard on the other.
//!
//! It never loses a byte and never makes anybody wait: a full output ring shows as a full transmit FIFO, and input is
//! taken only while there is room. Baud rate, parity and modem lines are kept as written and mean nothing; data is
//! sent whether or not a guest has enabled the UART, as bare-metal guests expect of a UART that firmware has used.

#[cfg(test)]
mod tests;

use arrayvec::ArrayVec;

/// Depth of either FIFO in revision r1p5; Linux derives it from the revision in the peripheral ID.
pub const FIFO: usize = 32;

/// Register offsets (DDI 0183, table 3-1).
mod reg {
    pub const DR: u64 = 0x00;
    pub const FR: u64 = 0x18;
    pub const ILPR: u64 = 0x20;
    pub const IBRD: u64 = 0x24;
    pub const FBRD: u64 = 0x28;
    pub const LCR_H: u64 = 0x2c;
    pub const CR: u64 = 0x30;
    pub const IFLS: u64 = 0x34;
    pub const IMSC: u64 = 0x38;
    pub const RIS: u64 = 0x3c;
    pub const MIS: u64 = 0x40;
    pub const ICR: u64 = 0x44;
    pub const DMACR: u64 = 0x48;
    pub const PERIPH_ID0: u64 = 0xfe0;
    pub const PCELL_ID3: u64 = 0xffc;
}

/// FR: receive FIFO empty.
const RXFE: u32 = 1 << 4;
/// FR: transmit FIFO full.
const TXFF: u32 = 1 << 5;
/// FR: receive FIFO full.
const RXFF: u32 = 1 << 6;
/// FR: transmit FIFO empty.
const TXFE: u32 = 1 << 7;
/// LCR_H: FIFOs enabled.
const FEN: u32 = 1 << 4;
/// Interrupts: receive level.
const RX: u32 = 1 << 4;
/// Interrupts: transmit level.
const TX: u32 = 1 << 5;
/// Interrupts: receive timeout.
const RT: u32 = 1 << 6;

/// PeriphID0..3 and PCellID0..3: part 0x011, designer 0x41, revision 3 (r1p5); 0xB105F00D.
const IDS: [u32; 8] = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/// The UART's state. It lives behind its partition's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pl011 {
    input: ArrayVec<u8, FIFO>,
    /// The transmit interrupt is latched: raised when the FIFO drains, lowered by ICR or by a FIFO that stays full.
    sent: bool,
    ilpr: u32,
    ibrd: u32,
    fbrd: u32,
    lcr_h: u32,
    cr: u32,
    ifls: u32,
    imsc: u32,
    dmacr: u32,
}

impl Default for Pl011 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pl011 {
    /// The UART after reset.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            input: ArrayVec::new_const(),
            sent: false,
            ilpr: 0,
            ibrd: 0,
            fbrd: 0,
            lcr_h: 0,
            cr: 0x300,
            ifls: 0x12,
            imsc: 0,
            dmacr: 0,
        }
    }

    /// A load of `width` bytes at `offset`. `room`: bytes that the output takes at present.
    ///
    /// After a load of DR there may be room for input that waits: call [`Self::receive`] again.
    pub fn read(&mut self, offset: u64, width: u8, room: usize) -> u64 {
        let value = match offset & !3 {
            reg::DR => u32::from(self.input.pop_at(0).unwrap_or(0)),
            reg::FR => self.flags(room),
            reg::ILPR => self.ilpr,
            reg::IBRD => self.ibrd,
            reg::FBRD => self.fbrd,
            reg::LCR_H => self.lcr_h,
            reg::CR => self.cr,
            reg::IFLS => self.ifls,
            reg::IMSC => self.imsc,
            reg::RIS => self.raised(),
            reg::MIS => self.raised() & self.imsc,
            reg::DMACR => self.dmacr,
            id @ reg::PERIPH_ID0..=reg::PCELL_ID3 => usize::try_from((id - reg::PERIPH_ID0) / 4)
                .ok()
                .and_then(|n| IDS.get(n))
                .copied()
                .unwrap_or(0),
            // RSR among them: no receive error ever happens here.
            _ => 0,
        };
        // A narrower load takes its lanes of the word. No register has more than 16 bits, so wider ones see all of it.
        let lanes = u64::from(value) >> (8 * (offset & 3));
        if width == 1 { lanes & 0xff } else { lanes }
    }

    /// A store of `width` bytes at `offset`: the byte to put out, if it makes one. `room` as in [`Self::read`]; a byte
    /// written to a full FIFO is lost, as in the real one.
    pub fn write(&mut self, offset: u64, width: u8, value: u64, room: usize) -> Option<u8> {
        // The peripheral bus has no byte strobes: a store to the first lane writes the register, others do nothing.
        if offset & 3 != 0 {
            return None;
        }
        // No register has more than 16 bits, so the masks below cut what is wider.
        let value = if width == 1 { value as u32 & 0xff } else { value as u32 };
        match offset {
            reg::DR => return self.send(value as u8, room),
            reg::ILPR => self.ilpr = value & 0xff,
            reg::IBRD => self.ibrd = value & 0xffff,
            reg::FBRD => self.fbrd = value & 0x3f,
            reg::LCR_H => self.lcr_h = value & 0xff,
            reg::CR => self.cr = value & 0xff87,
            reg::IFLS => self.ifls = value & 0x3f,
            reg::IMSC => self.imsc = value & 0x7ff,
            reg::ICR => self.sent &= value & TX == 0,
            reg::DMACR => self.dmacr = value & 7,
            // ECR: there is no error to clear. The rest is read-only or not there.
            _ => {}
        }
        None
    }

    fn send(&mut self, byte: u8, room: usize) -> Option<u8> {
        if room == 0 {
            self.sent = false;
            return None;
        }
        // The ring takes the byte at once, so the FIFO has drained to its trigger again, unless the ring is full now.
        self.sent = room > 1;
        Some(byte)
    }

    /// The output has room again, or still: raises the transmit interrupt that a full FIFO held back. To be called
    /// after the ring has been drained, when it was full.
    pub fn drained(&mut self, room: usize) {
        self.sent |= room >= FIFO;
    }

    /// Input: `false` when the FIFO is full; the byte is then to be offered again.
    #[must_use]
    pub fn receive(&mut self, byte: u8) -> bool {
        self.input.try_push(byte).is_ok()
    }

    /// Whether [`Self::receive`] would take a byte.
    #[must_use]
    pub fn can_receive(&self) -> bool {
        !self.input.is_full()
    }

    /// The level of the interrupt line (UARTINTR).
    #[must_use]
    pub fn line(&self) -> bool {
        self.raised() & self.imsc != 0
    }

    fn flags(&self, room: usize) -> u32 {
        // BUSY stays clear: what the ring has taken is sent as far as the guest is concerned.
        let full = if self.lcr_h & FEN != 0 { self.input.is_full() } else { !self.input.is_empty() };
        [(self.input.is_empty(), RXFE), (room == 0, TXFF), (full, RXFF), (room >= FIFO, TXFE)]
            .into_iter()
            .filter(|(set, _)| *set)
            .fold(0, |flags, (_, flag)| flags | flag)
    }

    /// The raw interrupt status. Receive interrupts are levels here: ICR does not hide input that is still there, so
    /// that a guest which clears before it reads loses nothing.
    fn raised(&self) -> u32 {
        let mut raised = 0;
        if self.sent {
            raised |= TX;
        }
        if !self.input.is_empty() {
            raised |= RT;
        }
        if self.input.len() >= self.receive_level() {
            raised |= RX;
        }
        raised
    }

    /// IFLS.RXIFLSEL: 1/8, 1/4, 1/2, 3/4, 7/8 of the FIFO; one byte while FIFOs are off.
    const fn receive_level(&self) -> usize {
        match (self.lcr_h & FEN != 0, self.ifls >> 3 & 7) {
            (false, _) => 1,
            (true, 0) => FIFO / 8,
            (true, 1) => FIFO / 4,
            (true, 2) => FIFO / 2,
            (true, 3) => FIFO * 3 / 4,
            (true, _) => FIFO * 7 / 8,
        }
    }
}
