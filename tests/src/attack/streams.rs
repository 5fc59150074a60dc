//! The stream table of virt's SMMU, read from outside (IHI 0070, 3.3 and 5.2).

use crate::Debugger;

/// Where QEMU's virt machine has the SMMU's registers.
const REGISTERS: u64 = 0x905_0000;
/// SMMU_STRTAB_BASE and _CFG (6.3).
const BASE: u64 = REGISTERS + 0x80;
const CONFIG: u64 = REGISTERS + 0x88;

/// An entry that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its stream.
    pub stream: u64,
    /// STE.Config: 0 aborts.
    pub config: u64,
    /// STE.S2VMID.
    pub vmid: u64,
    /// STE.S2TTB.
    pub root: u64,
}

/// All valid entries.
pub fn entries(machine: &mut Debugger) -> Vec<Entry> {
    let [lower, upper, config] = [BASE, BASE + 4, CONFIG].map(|at| u64::from(machine.register32(at)));
    let base = (upper << 32 | lower) & 0x000f_ffff_ffff_ffc0;
    let (log2, split, levels) = (config & 0x3f, config >> 6 & 0x1f, config >> 16 & 3);
    if levels == 0 {
        return array(machine, base, 0, 1 << log2);
    }
    let mut all = Vec::new();
    let upper: Vec<u64> = doublewords(machine, base, 1 << (log2 - split));
    for (number, descriptor) in upper.into_iter().enumerate() {
        let (span, pointer) = (descriptor & 0x1f, descriptor & 0x000f_ffff_ffff_ffc0);
        if span != 0 {
            all.extend(array(machine, pointer, (number as u64) << split, 1 << (span - 1)));
        }
    }
    all
}

fn array(machine: &mut Debugger, at: u64, first: u64, count: u64) -> Vec<Entry> {
    let words = doublewords(machine, at, 8 * count);
    let entry = |(number, words): (usize, &[u64])| Entry {
        stream: first + number as u64,
        config: words[0] >> 1 & 7,
        vmid: words[2] & 0xffff,
        root: words[3],
    };
    words.chunks_exact(8).enumerate().filter(|(_, words)| words[0] & 1 != 0).map(entry).collect()
}

fn doublewords(machine: &mut Debugger, at: u64, count: u64) -> Vec<u64> {
    let pages = (at..at + 8 * count).step_by(4096);
    pages.flat_map(|page| machine.table(page)).take(count as usize).collect()
}
