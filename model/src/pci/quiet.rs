//! Functions that do nothing: none of them masters the bus, decodes addresses or interrupts anybody.

use arrayvec::ArrayVec;

use super::caps::{self, FLR_CAPABLE, Found};
use super::regs::{BUSES, COMMAND, HEADER, ID, INTX_DISABLE, LAYOUT, LAYOUT_BRIDGE, cap, ext};
use super::{Address, Config, FUNCTION_BYTES};

/// Silences every function on the buses that can be reached from bus `first` on, up to `last`: before any partition's
/// memory is filled. Firmware numbered the buses; a bridge that has none has nobody behind it who can be heard.
/// Returns how many functions there are.
pub fn quiet(first: u8, last: u8, config: &mut impl Config) -> usize {
    let (mut found, mut seen) = (0, [false; 256]);
    let mut buses: ArrayVec<u8, 256> = ArrayVec::new();
    buses.push(first);
    if let Some(seen) = seen.get_mut(usize::from(first)) {
        *seen = true;
    }
    while let Some(bus) = buses.pop() {
        // All eight functions, whether or not the first one says so: a function that hides is a function.
        for number in 0..=u8::MAX {
            let address = Address::new(u16::from(bus) << 8 | u16::from(number));
            if config.read(address, ID) == u32::MAX {
                continue;
            }
            found += 1;
            silence(address, config);
            if config.read(address, HEADER) & LAYOUT != LAYOUT_BRIDGE {
                continue;
            }
            let secondary = (config.read(address, BUSES) >> 8) as u8;
            let within = (first..=last).contains(&secondary);
            // Each bus once, so there are at most 256 of them.
            if let Some(seen) = seen.get_mut(usize::from(secondary)).filter(|seen| within && !**seen) {
                *seen = true;
                let _ = buses.try_push(secondary);
            }
        }
    }
    found
}

/// Silences one function: everything in its command register off but the disabling of its interrupt; no
/// message-signalled interrupts; no virtual functions, which would be functions of their own; no translation requests.
pub fn silence(function: Address, config: &mut impl Config) {
    config.write(function, COMMAND, 2, INTX_DISABLE.into());
    // Its answer comes behind all that it had sent to memory before (PCIe 2.4.1).
    config.read(function, COMMAND);
    for Found { id, at } in caps::list(function, config) {
        // PCI 6.8.1.3 and 6.8.2.3: Message Control is the upper half; the enables are bits 0 and 15.
        let enable = match id {
            cap::MSI => 1,
            cap::MSI_X => 1 << 15,
            _ => continue,
        };
        let control = config.read(function, at) >> 16;
        config.write(function, at + 2, 2, control & !enable);
    }
    caps::extended(function, config, |config, id, at| {
        // Where each has its control register, and what enables it there: SR-IOV 1.1, 3.3.3 (VF Enable, VF memory
        // space); ATS 1.1, 5.1.3 and Page Request 1.1, 5.2.2; PASID: PCIe 7.8.8.3.
        let (register, enable) = match id {
            ext::SR_IOV => (at + 8, 1 | 1 << 3),
            ext::ATS => (at + 6, 1 << 15),
            ext::PAGE_REQUEST => (at + 4, 1),
            ext::PASID => (at + 6, 1),
            _ => return,
        };
        // Each is at an even place, so it ends where configuration space does or before.
        if register < FUNCTION_BYTES as u16 {
            let control = config.read(function, register & !3) >> (8 * (register & 2)) & 0xffff;
            config.write(function, register, 2, control & !enable);
        }
    });
}

/// PCI Express capability: Device Control and Device Status (PCIe 7.5.3.4, 7.5.3.5).
const DEVICE_CAPABILITIES: u16 = 4;
const DEVICE_CONTROL: u16 = 8;
const INITIATE_FLR: u32 = 1 << 15;
const TRANSACTIONS_PENDING: u32 = 1 << (16 + 5);
/// How long a function may take to be done with what it sent, and to come back after a reset (PCIe 6.6.2).
const PENDING_MS: u32 = 100;
const FLR_MS: u32 = 100;
const RETURN_MS: u32 = 1000;

/// Brings a silent function to its state after reset, if it can be reset by itself. It is awake afterwards, and still
/// silent. One that cannot be reset keeps its inner state, but does nothing with it until its own guest lets it.
pub(super) fn reset(function: Address, config: &mut impl Config) {
    let list = caps::list(function, config);
    if let Some(power) = list.iter().find(|found| found.id == cap::POWER) {
        // Power Management 1.2, 3.2.4: state D0, from where it takes 10 ms at most.
        let state = config.read(function, power.at + 4);
        if state & 3 != 0 {
            config.write(function, power.at + 4, 2, state & 0xfffc);
            config.pause(10);
        }
    }
    let express = list.iter().find(|found| found.id == cap::EXPRESS).map(|found| found.at);
    let capable = |at: &u16| config.read(function, at + DEVICE_CAPABILITIES) & FLR_CAPABLE != 0;
    if let Some(at) = express.filter(capable) {
        let mut waited = 0;
        while config.read(function, at + DEVICE_CONTROL) & TRANSACTIONS_PENDING != 0 && waited < PENDING_MS {
            config.pause(1);
            waited += 1;
        }
        let control = config.read(function, at + DEVICE_CONTROL) & 0xffff;
        config.write(function, at + DEVICE_CONTROL, 2, control | INITIATE_FLR);
        config.pause(FLR_MS);
        let mut waited = 0;
        while config.read(function, ID) == u32::MAX && waited < RETURN_MS {
            config.pause(1);
            waited += 1;
        }
    }
    silence(function, config);
}
