//! Capabilities: the list that a function has, walked with a bound, and what of it a guest sees.

use arrayvec::ArrayVec;

use super::regs::{CAPABILITIES, COMMAND, CONVENTIONAL_END, DEVICE_SPECIFIC, HAS_CAPABILITIES, cap};
use super::{Address, Config};

/// Capabilities take at least a doubleword each, so there are no more (PCI 6.7).
const MOST: usize = ((CONVENTIONAL_END - DEVICE_SPECIFIC) / 4) as usize;
/// The same for extended ones, which are at 0x100 to 0xfff.
const MOST_EXTENDED: usize = 960;
/// As many as a guest sees at most: virtio has five or six.
const SHOWN: usize = 16;

/// A capability that is there: its ID and its first doubleword's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: u8,
    pub at: u16,
}

/// The capabilities in a function's list, as far as it makes sense.
pub fn list(function: Address, config: &mut impl Config) -> ArrayVec<Found, MOST> {
    let mut found: ArrayVec<Found, MOST> = ArrayVec::new();
    if config.read(function, COMMAND) >> 16 & u32::from(HAS_CAPABILITIES) == 0 {
        return found;
    }
    let mut at = config.read(function, CAPABILITIES) as u16 & 0xfc;
    while at >= DEVICE_SPECIFIC && !found.iter().any(|before| before.at == at) {
        let head = config.read(function, at);
        if head == u32::MAX || found.try_push(Found { id: head as u8, at }).is_err() {
            break;
        }
        at = (head >> 8) as u16 & 0xfc;
    }
    found
}

/// Calls for each extended capability: its ID and offset (PCIe 7.6.3).
pub fn extended<C: Config>(function: Address, config: &mut C, mut with: impl FnMut(&mut C, u16, u16)) {
    let mut at = CONVENTIONAL_END;
    for _ in 0..MOST_EXTENDED {
        let head = config.read(function, at);
        if head == 0 || head == u32::MAX {
            break;
        }
        with(config, head as u16, at);
        at = (head >> 20) as u16 & 0xffc;
        if at < CONVENTIONAL_END {
            break;
        }
    }
}

/// Device Capabilities: the function can be reset by itself (PCIe 7.5.3.3).
pub const FLR_CAPABLE: u32 = 1 << 28;

/// A capability as a guest sees it: to read, never to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    id: u8,
    at: u16,
    end: u16,
}

/// The capabilities that a guest sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View(ArrayVec<Shown, SHOWN>);

impl View {
    /// Of a function's list, what is on the list of what does no harm when it is read: PCI Express itself, and what
    /// belongs to the function's vendor (virtio says there where its registers are). Not: message-signalled
    /// interrupts, which no guest can receive; power states, whose end may reset the function behind our back; and
    /// whatever is not known.
    pub fn new(function: Address, config: &mut impl Config) -> Self {
        let mut view = Self::default();
        for Found { id, at } in list(function, config) {
            let head = config.read(function, at);
            let length = match id {
                // PCIe 7.5.3: 0x3c bytes from version 2 on, at least up to the link's registers before.
                cap::EXPRESS if head >> 16 & 0xf >= 2 => 0x3c,
                cap::EXPRESS => 0x14,
                // PCI 6.7 and appendix H: the byte after the pointer is the length.
                cap::VENDOR => (head >> 16) as u16 & 0xff,
                _ => continue,
            };
            let end = (at + length.max(4)).min(CONVENTIONAL_END);
            if view.0.try_push(Shown { id, at, end }).is_err() {
                break;
            }
        }
        view
    }

    /// Where the first one is; 0 where there is none.
    pub fn first(&self) -> u16 {
        self.0.first().map_or(0, |shown| shown.at)
    }

    /// The doubleword at `register`, of which `physical` is what the function says.
    pub fn read(&self, register: u16, physical: impl FnOnce() -> u32) -> u32 {
        let Some(place) = self.0.iter().position(|shown| (shown.at..shown.end).contains(&register)) else {
            return 0;
        };
        let (Some(shown), next) = (self.0.get(place), self.0.get(place + 1)) else { return 0 };
        let word = match shown.end - register {
            left @ 1..4 => physical() & !(u32::MAX << (8 * left)),
            _ => physical(),
        };
        match register - shown.at {
            0 => word & !0xff00 | u32::from(next.map_or(0, |next| next.at)) << 8,
            4 if shown.id == cap::EXPRESS => word & !FLR_CAPABLE,
            _ => word,
        }
    }
}
