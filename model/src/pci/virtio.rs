//! Virtio functions: whether one does its DMA as the platform's devices do, that is through the SMMU.
//!
//! Without VIRTIO_F_ACCESS_PLATFORM a virtio device takes the addresses that it gets for physical ones, whatever
//! stands before it (virtio 1.2, 6: "reserved feature bits"). It can be asked without decoding any address: its
//! capability of type 5 is a window through configuration space to the registers that others point at (4.1.4.9).

use super::caps::{Found, list};
use super::regs::{ID, cap};
use super::{Address, Config};

/// Vendor 0x1af4, devices 0x1000 to 0x107f (virtio 1.2, 4.1.2).
fn is_virtio(id: u32) -> bool {
    id & 0xffff == 0x1af4 && (0x1000..=0x107f).contains(&(id >> 16))
}

/// Types of virtio's vendor capabilities (4.1.4).
const COMMON: u32 = 1;
const WINDOW: u32 = 5;
/// In a capability: base address register, offset, length, and the window's data.
const BAR: u16 = 4;
const OFFSET: u16 = 8;
const LENGTH: u16 = 12;
const DATA: u16 = 16;
/// In the common configuration: which 32 features, and those (4.1.4.3).
const FEATURE_SELECT: u32 = 0;
const FEATURE: u32 = 4;
/// VIRTIO_F_ACCESS_PLATFORM is feature 33.
const ACCESS_PLATFORM: u32 = 1 << (33 - 32);

/// Whether this is a virtio function that does not offer to keep to the platform's rules. One that cannot be asked,
/// such as a legacy one, does not.
pub fn bypasses(function: Address, config: &mut impl Config) -> bool {
    is_virtio(config.read(function, ID))
        && features(function, config).is_none_or(|high| high & ACCESS_PLATFORM == 0)
}

/// Features 32 to 63.
fn features(function: Address, config: &mut impl Config) -> Option<u32> {
    let list = list(function, config);
    let mut typed = |kind: u32| {
        let fits = |found: &&Found| {
            found.id == cap::VENDOR && found.at <= 0xec && config.read(function, found.at) >> 24 == kind
        };
        list.iter().find(fits).map(|found| found.at)
    };
    let (common, window) = (typed(COMMON)?, typed(WINDOW)?);
    let bar = config.read(function, common + BAR) & 0xff;
    let offset = config.read(function, common + OFFSET);
    let point = |config: &mut dyn Config, register: u32| {
        // The register's number is in the lowest of four bytes, of which the others are padding and an ID to read.
        config.write(function, window + BAR, 2, bar);
        config.write(function, window + OFFSET, 4, offset.wrapping_add(register));
        config.write(function, window + LENGTH, 4, 4);
    };
    point(config, FEATURE_SELECT);
    config.write(function, window + DATA, 4, 1);
    point(config, FEATURE);
    Some(config.read(function, window + DATA))
}
