//! The emulated watchdog: the generic watchdog of Arm's SBSA and BSA (DEN 0029, appendix "Generic Watchdog"; DEN 0094, the
//! same), architecture revision 1, whose offset register has 48 bits.
//!
//! A counter runs towards a compare value. When it is beyond that the watchdog refreshes itself with its first signal, WS0, an
//! interrupt of the guest's; when it is beyond the new value too, the second one, WS1, fails the partition. A store to the
//! refresh register, the offset register or the control register is an explicit refresh, which takes both back.
//!
//! Nothing here runs by itself: every call brings the state up to the moment that it names, as if the comparison had been made
//! at each tick until then. [`Watchdog::deadline`] says when the next call is due.

#[cfg(test)]
mod tests;

/// One of the two pages of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Control, offset and compare value.
    Control,
    /// The refresh register alone.
    Refresh,
}

impl Frame {
    /// Whether a store there is a refresh by its register: a sign of life of the guest's.
    #[must_use]
    pub fn is_refreshed_by(self, offset: u64, width: u8) -> bool {
        self == Self::Refresh && offset == reg::WRR && width == 4
    }
}

/// Register offsets.
mod reg {
    /// Control frame: control and status,
    pub const WCS: u64 = 0x000;
    /// offset, bits 31..0 and 47..32,
    pub const WOR: u64 = 0x008;
    pub const WOR_HIGH: u64 = 0x00c;
    /// compare value, bits 31..0 and 63..32.
    pub const WCV: u64 = 0x010;
    pub const WCV_HIGH: u64 = 0x014;
    /// Refresh frame: a store of anything refreshes.
    pub const WRR: u64 = 0x000;
    /// Both frames: identification.
    pub const W_IIDR: u64 = 0xfcc;
}

/// WCS: enabled; WS0; WS1. The last two cannot be written.
const ENABLED: u64 = 1 << 0;
const WS0: u64 = 1 << 1;
const WS1: u64 = 1 << 2;
/// What WOR has of 64 bits in revision 1.
const OFFSET: u64 = (1 << 48) - 1;
/// W_IIDR: architecture revision 1 (bits 19..16). Product, revision and implementer are 0: nobody has that JEP106 code, and this
/// is no product of one who has.
const IIDR: u64 = 1 << 16;

/// The watchdog's state. It lives behind its partition's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdog {
    enabled: bool,
    ws0: bool,
    ws1: bool,
    offset: u64,
    compare: u64,
    /// The tick up to which it has been brought.
    seen: u64,
    /// The virtual CPU that stored last. Its core's timer is the one to set: it need not ask another.
    driver: usize,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new()
    }
}

impl Watchdog {
    /// The watchdog after reset: disabled.
    #[must_use]
    pub const fn new() -> Self {
        Self { enabled: false, ws0: false, ws1: false, offset: 0, compare: 0, seen: 0, driver: 0 }
    }

    /// A load or store of `width` bytes by a virtual CPU when the counter reads `now`. The value is a load's; 0 for a store.
    ///
    /// Registers have 32 bits, and two of those that belong together can be had at once. Whatever else is tried reads as zero and
    /// ignores writes.
    pub fn access(
        &mut self,
        vcpu: usize,
        frame: Frame,
        offset: u64,
        width: u8,
        write: Option<u64>,
        now: u64,
    ) -> u64 {
        self.advance(now);
        let Some(shape) = Shape::of(offset, width) else { return 0 };
        match write {
            Some(value) => {
                self.store(vcpu, frame, offset, shape, value);
                0
            }
            None => self.load(frame, offset, shape),
        }
    }

    fn load(&self, frame: Frame, offset: u64, shape: Shape) -> u64 {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        match (frame, offset, shape) {
            (_, reg::W_IIDR, Shape::Word) => IIDR,
            (Frame::Refresh, ..) => 0,
            (_, reg::WCS, Shape::Word) => {
                flag(self.enabled, ENABLED) | flag(self.ws0, WS0) | flag(self.ws1, WS1)
            }
            (_, reg::WOR, _) => shape.cut(self.offset),
            (_, reg::WOR_HIGH, Shape::Word) => self.offset >> 32,
            (_, reg::WCV, _) => shape.cut(self.compare),
            (_, reg::WCV_HIGH, Shape::Word) => self.compare >> 32,
            _ => 0,
        }
    }

    fn store(&mut self, vcpu: usize, frame: Frame, offset: u64, shape: Shape, value: u64) {
        match (frame, offset, shape) {
            (Frame::Refresh, reg::WRR, Shape::Word) => {}
            (Frame::Control, reg::WCS, Shape::Word) => self.enabled = value & ENABLED != 0,
            (Frame::Control, reg::WOR, _) => self.offset = shape.low(self.offset, value) & OFFSET,
            (Frame::Control, reg::WOR_HIGH, Shape::Word) => self.offset = high(self.offset, value) & OFFSET,
            // The only stores that are no refresh: the signals stay as they are.
            (Frame::Control, reg::WCV, _) => {
                (self.compare, self.driver) = (shape.low(self.compare, value), vcpu);
                return;
            }
            (Frame::Control, reg::WCV_HIGH, Shape::Word) => {
                (self.compare, self.driver) = (high(self.compare, value), vcpu);
                return;
            }
            _ => return,
        }
        (self.ws0, self.ws1, self.driver) = (false, false, vcpu);
        self.compare = self.seen.wrapping_add(self.offset);
    }

    /// Brings the state up to the moment at which the counter reads `now`.
    pub fn advance(&mut self, now: u64) {
        // Two signals, so two rounds.
        while self.enabled && !self.ws1 {
            // It is beyond the compare value from the next tick on, but what was written takes effect after it was.
            let last = self.compare.max(self.seen);
            if last >= now {
                break;
            }
            self.seen = last + 1;
            if self.ws0 {
                // The compare value stays, and says since when.
                self.ws1 = true;
            } else {
                self.ws0 = true;
                self.compare = self.seen.wrapping_add(self.offset);
            }
        }
        self.seen = self.seen.max(now);
    }

    /// The level of the first signal's interrupt line.
    #[must_use]
    pub const fn line(&self) -> bool {
        self.ws0
    }

    /// Whether the second signal is there: the partition has failed.
    #[must_use]
    pub const fn has_expired(&self) -> bool {
        self.ws1
    }

    /// When [`Self::advance`] is due, if the core of this virtual CPU is the one to see to that: no earlier call can make a
    /// difference.
    #[must_use]
    pub fn deadline(&self, vcpu: usize) -> Option<u64> {
        let runs = self.enabled && !self.ws1 && self.driver == vcpu;
        self.compare.max(self.seen).checked_add(1).filter(|_| runs)
    }
}

/// What an access takes: one register, or two that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Word,
    Pair,
}

impl Shape {
    fn of(offset: u64, width: u8) -> Option<Self> {
        match width {
            4 if offset.is_multiple_of(4) => Some(Self::Word),
            8 if offset.is_multiple_of(8) => Some(Self::Pair),
            _ => None,
        }
    }

    /// As much of a value as a load from its lower half has.
    const fn cut(self, value: u64) -> u64 {
        match self {
            Self::Word => value & 0xffff_ffff,
            Self::Pair => value,
        }
    }

    /// A value after a store to its lower half, or to all of it.
    const fn low(self, old: u64, value: u64) -> u64 {
        match self {
            Self::Word => old & !0xffff_ffff | value & 0xffff_ffff,
            Self::Pair => value,
        }
    }
}

/// A value after a store to its upper half.
const fn high(old: u64, value: u64) -> u64 {
    old & 0xffff_ffff | value << 32
}
