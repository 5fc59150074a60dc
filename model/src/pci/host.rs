//! A host bridge as a partition sees it: its own functions on the root bus, and nothing else.

use alloc::vec::Vec;

use super::{Address, BUS_BYTES, Config, FUNCTION_BYTES, Function};
use crate::addr::PciSpan;
use crate::weaken::{Guard, removed};

/// A partition's part of a host bridge.
#[derive(Clone, Debug)]
pub struct Host {
    /// The bridge's number in the plan.
    bridge: usize,
    /// Bytes of configuration space that the guest sees: those of the root bus. Nothing is mapped there.
    size: u64,
    /// The root bus.
    bus: u8,
    /// The parts of the bridge's memory windows that are the partition's.
    windows: Vec<PciSpan>,
    functions: Vec<Function>,
}

impl Host {
    /// The partition's part of bridge number `bridge`, whose root bus is `bus`: its guest sees `size` bytes of
    /// configuration space.
    #[must_use]
    pub fn new(bridge: usize, size: u64, bus: u8, windows: Vec<PciSpan>, functions: Vec<Function>) -> Self {
        Self { bridge, size: size.min(BUS_BYTES), bus, windows, functions }
    }

    /// The bridge's number in the plan.
    #[must_use]
    pub fn bridge(&self) -> usize {
        self.bridge
    }

    /// The root bus.
    #[must_use]
    pub fn bus(&self) -> u8 {
        self.bus
    }

    /// The guest accesses `width` bytes, at most eight, at `offset` of the configuration space: any width anywhere,
    /// byte by byte as the bus would see it. What is no function of the partition's reads as ones and takes no writes
    /// (PCIe 2.3.2: how a host bridge reports that nobody answered).
    pub fn access(&mut self, offset: u64, width: u8, write: Option<u64>, config: &mut impl Config) -> u64 {
        let mut value = 0;
        let mut done = 0;
        let width = u64::from(width.min(8));
        while done < width {
            let at = offset.saturating_add(done);
            let lane = at & 3;
            let bytes = (4 - lane).min(width - done);
            let mask = (u32::MAX >> (8 * (4 - bytes))) << (8 * lane);
            let part = write.map(|value| ((value >> (8 * done)) as u32) << (8 * lane));
            let word = self.word(at & !3, mask, part, config);
            value |= u64::from((word & mask) >> (8 * lane)) << (8 * done);
            done += bytes;
        }
        value
    }

    /// The bytes in `mask` of one doubleword.
    fn word(&mut self, offset: u64, mask: u32, write: Option<u32>, config: &mut impl Config) -> u32 {
        let number = (offset / FUNCTION_BYTES) as u8;
        let address = Address::new(u16::from(self.bus) << 8 | u16::from(number));
        let register = (offset % FUNCTION_BYTES) as u16;
        let mine = self.functions.iter_mut().find(|function| function.address() == address);
        let Some(function) = mine.filter(|_| offset < self.size) else {
            return if removed(Guard::PciOwner) { config.read(address, register) } else { u32::MAX };
        };
        match write {
            Some(value) => {
                function.write(register, value, mask, &self.windows, config);
                0
            }
            None => function.read(register, config),
        }
    }

    /// Silences and resets all functions: before the partition's memory is cleared or given to anybody else.
    pub fn reset(&mut self, config: &mut impl Config) {
        for function in &mut self.functions {
            function.reset(config);
        }
    }

    /// The functions.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }
}
