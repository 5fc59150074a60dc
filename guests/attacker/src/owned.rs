//! What the guest's tree gives it, and what an access to anything else has to come to.

use partita_guest::exception::{Fault, catch};
use partita_guest::machine;
use partita_guest::mmio::{read8, read16, read32, read64, write8, write16, write32, write64};
use partita_guest::rows::{Env, Outcome};

use crate::{ensure, fail};

/// Exception class of a data abort from this level.
pub const DATA: u64 = 0x25;
/// Exception class of an instruction abort from this level.
pub const FETCH: u64 = 0x21;

/// Most ranges that are kept.
const MOST: usize = 32;

/// What the tree gives: first address and end, by whole pages, in order and without overlap.
pub struct Owned {
    ranges: [(u64, u64); MOST],
    len: usize,
}

impl Owned {
    /// Memory, and the registers of every node that has some.
    pub fn new(env: &Env) -> Owned {
        let mut owned = Owned { ranges: [(0, 0); MOST], len: 0 };
        env.machine.memory.iter().for_each(|&(base, size)| owned.add(base, size));
        machine::each_region(&env.machine.tree, &mut |_, base, size| owned.add(base, size));
        owned.ranges[..owned.len].sort_unstable();
        owned
    }

    fn add(&mut self, base: u64, size: u64) {
        if size > 0 && self.len < MOST {
            self.ranges[self.len] = (base & !0xfff, (base + size).next_multiple_of(0x1000));
            self.len += 1;
        }
    }

    /// The ranges.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges[..self.len]
    }

    /// Whether an address is in one of them.
    pub fn has(&self, at: u64) -> bool {
        self.ranges().iter().any(|&(base, end)| at >= base && at < end)
    }
}

/// Bytes of a page.
pub const PAGE: u64 = 0x1000;

/// Reads so many bytes of registers at every offset, in every width: the fault, if there was one.
pub fn read_whole(base: u64, size: u64) -> Option<Fault> {
    let ((), fault) = catch(|| {
        (0..size).for_each(|offset| _ = read8(base + offset));
        (0..size).step_by(2).for_each(|offset| _ = read16(base + offset));
        (0..size).step_by(4).for_each(|offset| _ = read32(base + offset));
        (0..size).step_by(8).for_each(|offset| _ = read64(base + offset));
    });
    fault
}

/// Writes a value to a page of registers in the same way, and last single bytes.
pub fn write_whole(base: u64, value: u64) -> Option<Fault> {
    let ((), fault) = catch(|| {
        (0..PAGE).step_by(4).for_each(|offset| write32(base + offset, value as u32));
        (0..PAGE).step_by(8).for_each(|offset| write64(base + offset, value));
        (0..PAGE).step_by(2).for_each(|offset| write16(base + offset, value as u16));
        (0..PAGE).for_each(|offset| write8(base + offset, value as u8));
    });
    fault
}

/// An access to what is not the partition's is an external abort at that address, and nothing else.
pub fn aborted(what: &str, at: u64, class: u64, fault: Option<Fault>) -> Outcome {
    let Some(fault) = fault else { fail!("{what} {at:#x}: no abort") };
    ensure!(
        fault.is_external_abort() && fault.class() == class,
        "{what} {at:#x}: ESR {:#x} is no external abort",
        fault.esr
    );
    ensure!(fault.far == at, "{what} {at:#x}: FAR_EL1 {:#x}", fault.far);
    Ok(())
}
