//! Functions with configuration space as the specifications have it. The bus objects to every write that must never
//! happen, whichever test makes it.

use std::collections::BTreeMap;

use crate::addr::{PciAddr, PciSpan, Span};
use crate::pci::{Address, Config, Function, Host};

pub const BYTES: usize = 0x1000;
/// The partition's part of the bridge's windows.
pub const WINDOW: PciSpan = Span { base: PciAddr(0x1020_0000), size: 0x20_0000 };
pub const WINDOW_64: PciSpan = Span { base: PciAddr(0x80_0000_0000), size: 0x4000_0000 };

/// The common configuration of a virtio function behind its window (virtio 1.2, 4.1.4.3 and 4.1.4.9).
#[derive(Clone)]
struct Window {
    /// Where the window's capability is.
    at: usize,
    /// Which features were asked for, and features 32 to 63.
    select: u32,
    high: u32,
}

/// In which address register the common configuration is, and where in it.
const COMMON_BAR: u8 = 4;
const COMMON_OFFSET: u32 = 0x2010;

/// A function: its bytes, which bits can be written, and which are cleared by writing ones.
#[derive(Clone)]
pub struct Space {
    pub bytes: Vec<u8>,
    pub writable: Vec<u8>,
    pub clears: Vec<u8>,
    /// Index and size of each memory BAR, and whether it is of 64 bits.
    bars: Vec<(usize, u64, bool)>,
    /// Bytes that must never be other than zero: enables of what no guest may have.
    never: Vec<(usize, u8)>,
    /// Its PCI Express capability, if it has one.
    express: Option<usize>,
    /// What virtio's window through configuration space leads to.
    virtio: Option<Window>,
    pub resets: u32,
    /// For so many milliseconds after each reset nobody answers.
    pub asleep: u32,
    reset_at: u32,
    /// It resets its address registers whenever it is turned on, and goes on decoding.
    pub treacherous: bool,
    /// Where the next capability's offset goes, and where the next extended one does.
    link: usize,
    next: usize,
}

impl Space {
    /// A type 0 function without BARs, interrupt or capabilities.
    pub fn new(vendor: u16, device: u16) -> Self {
        let mut space = Self {
            bytes: vec![0; BYTES],
            writable: vec![0; BYTES],
            clears: vec![0; BYTES],
            bars: Vec::new(),
            never: Vec::new(),
            express: None,
            virtio: None,
            resets: 0,
            asleep: 0,
            reset_at: 0,
            treacherous: false,
            link: 0x34,
            next: 0x40,
        };
        space.set(0, u32::from(device) << 16 | u32::from(vendor));
        space.set(0x08, 0x0c03_3001);
        space.set(0x2c, 0x5678_1234);
        space.set(0x30, 0);
        space.writable[4..6].copy_from_slice(&0x0547_u16.to_le_bytes());
        space.clears[7] = 0xf9;
        space.writable[0xc..0xe].fill(0xff);
        space.writable[0x30..0x34].copy_from_slice(&0xffff_0001_u32.to_le_bytes());
        space.writable[0x3c] = 0xff;
        space
    }

    pub fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    pub fn half(&self, at: usize) -> u16 {
        self.word(at & !3).to_le_bytes()[at & 2..][..2]
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u16::from(*byte))
    }

    pub fn set(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub fn memory(mut self, index: usize, size: u64, wide: bool) -> Self {
        let mask = !(size - 1);
        let at = 0x10 + 4 * index;
        self.writable[at..at + 4].copy_from_slice(&(mask as u32 & !0xf).to_le_bytes());
        if wide {
            self.bytes[at] = 0xc;
            self.writable[at + 4..at + 8].copy_from_slice(&((mask >> 32) as u32).to_le_bytes());
        }
        self.bars.push((index, size, wide));
        self
    }

    pub fn io(mut self, index: usize) -> Self {
        let at = 0x10 + 4 * index;
        self.bytes[at] = 1;
        self.writable[at..at + 4].copy_from_slice(&0xffff_ffe0_u32.to_le_bytes());
        self
    }

    pub fn pin(mut self, pin: u8) -> Self {
        self.bytes[0x3d] = pin;
        self
    }

    /// Adds a capability of so many bytes.
    pub fn capability(&mut self, id: u8, length: usize) -> usize {
        let at = self.next;
        self.bytes[6] |= 0x10;
        self.bytes[self.link] = at as u8;
        self.bytes[at] = id;
        self.link = at + 1;
        self.next += length.next_multiple_of(4);
        at
    }

    pub fn msi(mut self) -> Self {
        let at = self.capability(0x05, 0x10);
        self.writable[at + 2..at + 0x10].fill(0xff);
        self.never.push((at + 2, 1));
        self
    }

    pub fn msi_x(mut self) -> Self {
        let at = self.capability(0x11, 0xc);
        self.writable[at + 3] = 0xc0;
        self.never.push((at + 3, 0x80));
        self
    }

    pub fn power(mut self) -> Self {
        let at = self.capability(0x01, 8);
        self.writable[at + 4] = 3;
        self
    }

    pub fn express(mut self, flr: bool) -> Self {
        let at = self.capability(0x10, 0x3c);
        self.bytes[at + 2] = 2;
        self.set(at + 4, if flr { 1 << 28 } else { 0 } | 0x8000);
        self.writable[at + 8..at + 10].fill(0xff);
        self.express = Some(at);
        self
    }

    pub fn vendor(mut self, body: &[u8]) -> Self {
        let at = self.capability(0x09, 3 + body.len());
        self.bytes[at + 2] = 3 + body.len() as u8;
        self.bytes[at + 3..at + 3 + body.len()].copy_from_slice(body);
        self.writable[at + 3..at + 3 + body.len()].fill(0xff);
        self
    }

    /// Extended capabilities: SR-IOV, ATS, page requests and PASID, all enabled by firmware.
    pub fn extended(mut self) -> Self {
        for (at, id, next, register, enable) in [
            (0x100, 0x10, 0x140, 8, 9),
            (0x140, 0xf, 0x150, 7, 0x80),
            (0x150, 0x13, 0x160, 4, 1),
            (0x160, 0x1b, 0, 6, 1),
        ] {
            self.set(at, next << 20 | 1 << 16 | id);
            self.writable[at + register] = 0xff;
            self.bytes[at + register] = enable;
            self.never.push((at + register, enable));
        }
        self
    }

    /// A virtio function with these features 32..63.
    pub fn virtio(self, high: u32) -> Self {
        // A table of MSI-X entries so long that the byte where virtio has its types says 1 (PCI 6.8.2.3).
        let mut space = Self::new(0x1af4, 0x1041).memory(COMMON_BAR.into(), 0x4000, true).pin(1).msi_x();
        space.bytes[0x43] = 1;
        let mut common = [1, COMMON_BAR, 7, 0, 0, 0, 0, 0, 0, 0x38, 0, 0, 0];
        common[5..9].copy_from_slice(&COMMON_OFFSET.to_le_bytes());
        space = space.vendor(&common);
        let at = space.next;
        space = space.vendor(&[5, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        space.virtio = Some(Window { at, select: 0, high });
        space
    }

    /// The register of the common configuration that virtio's window points at with all four bytes.
    fn pointed(&self) -> Option<u32> {
        let at = self.virtio.as_ref()?.at;
        let right = self.bytes[at + 4] == COMMON_BAR && self.word(at + 12) == 4;
        right.then(|| self.word(at + 8).wrapping_sub(COMMON_OFFSET))
    }

    fn bar(&self, index: usize, wide: bool) -> u64 {
        let at = 0x10 + 4 * index;
        let high = if wide { u64::from(self.word(at + 4)) } else { 0 };
        high << 32 | u64::from(self.word(at) & !0xf)
    }
}

/// The functions that there are.
#[derive(Clone, Default)]
pub struct Bus {
    pub functions: BTreeMap<Address, Space>,
    /// Those that may be written.
    pub owned: Vec<Address>,
    /// Whether what is enabled must be fit for a guest.
    pub guarded: bool,
    pub reads: u64,
    pub waited: u32,
}

impl Bus {
    pub fn add(&mut self, address: Address, space: Space) {
        self.functions.insert(address, space);
        self.owned.push(address);
    }

    /// A bridge with these buses behind it.
    pub fn add_bridge(&mut self, address: Address, secondary: u8, subordinate: u8) {
        let mut space = Space::new(0x1b36, 0xc);
        space.bytes[0xe] = 1;
        space.bytes[0x18..0x1b].copy_from_slice(&[address.bus(), secondary, subordinate]);
        self.add(address, space);
    }

    pub fn command(&self, address: Address) -> u16 {
        self.functions[&address].half(4)
    }

    /// A partition's view of these functions.
    pub fn host(&mut self, of: &[Address]) -> Host {
        let functions =
            of.iter().map(|address| Function::new(*address, of.len() > 1, true, self).unwrap()).collect();
        self.owned = of.to_vec();
        self.guarded = true;
        Host::new(0, 0x10_0000, 0, vec![WINDOW, WINDOW_64], functions)
    }

    /// What must hold after each write, once guests run.
    fn check(&self) {
        for (address, space) in &self.functions {
            let command = space.half(4);
            assert!(command & !0x406 == 0, "{address}: command {command:#x}");
            if command & 2 != 0 {
                for (index, size, wide) in &space.bars {
                    let base = space.bar(*index, *wide);
                    let inside = |window: &PciSpan| {
                        base >= window.base.0
                            && base - window.base.0 <= window.size - size.min(&window.size)
                            && *size <= window.size
                    };
                    assert!(
                        inside(&WINDOW) || inside(&WINDOW_64),
                        "{address}: BAR {index} decodes {base:#x}, {size:#x} bytes"
                    );
                }
            }
            for (at, bits) in &space.never {
                assert!(space.bytes[*at] & bits == 0, "{address}: {bits:#x} at {at:#x} is on");
            }
        }
    }
}

impl Config for Bus {
    fn read(&mut self, function: Address, register: u16) -> u32 {
        assert!(register.is_multiple_of(4) && usize::from(register) < BYTES);
        self.reads += 1;
        let Some(space) = self.functions.get(&function) else { return u32::MAX };
        if space.resets > 0 && self.waited - space.reset_at < space.asleep {
            return u32::MAX;
        }
        match &space.virtio {
            // Whatever the window points at: the features that the device was asked for.
            Some(window) if usize::from(register) == window.at + 16 => match (space.pointed(), window.select)
            {
                (Some(4), 1) => window.high,
                _ => 0,
            },
            _ => space.word(register.into()),
        }
    }

    fn write(&mut self, function: Address, register: u16, width: u8, value: u32) {
        assert!(matches!(width, 2 | 4) && register.is_multiple_of(width.into()));
        assert!(self.owned.contains(&function), "{function} is another's, register {register:#x}");
        let Some(space) = self.functions.get_mut(&function) else { return };
        let at = usize::from(register);
        assert!(
            !(0x10..0x28).contains(&at) || space.half(4) & 3 == 0,
            "{function}: register {register:#x} changes while it decodes"
        );
        assert!(!(0x28..0x40).contains(&at), "{function}: register {register:#x} is nobody's business");
        let pointed = space.pointed();
        if let Some(window) =
            space.virtio.as_mut().filter(|window| at == window.at + 16 && pointed == Some(0))
        {
            window.select = value;
        }
        for (lane, byte) in value.to_le_bytes().into_iter().take(width.into()).enumerate() {
            let (old, writable, clears) =
                (space.bytes[at + lane], space.writable[at + lane], space.clears[at + lane]);
            space.bytes[at + lane] = (old & !writable | byte & writable) & !(byte & clears);
        }
        if let Some(express) = space.express.filter(|express| space.bytes[express + 9] & 0x80 != 0) {
            space.bytes[express + 9] &= 0x7f;
            space.resets += 1;
            space.reset_at = self.waited;
            space.bytes[4..6].fill(0);
            for index in 0..6 {
                let at = 0x10 + 4 * index;
                for lane in at..at + 4 {
                    space.bytes[lane] &= !space.writable[lane];
                }
            }
        }
        if space.treacherous && at == 4 && value & 2 != 0 {
            space.set(0x10, 0);
            return;
        }
        if self.guarded {
            self.check();
        }
    }

    fn pause(&mut self, milliseconds: u32) {
        self.waited += milliseconds;
        assert!(self.waited < 10_000, "it waits for ever");
    }
}
