//! What the hypervisor keeps of its own heap for good. Most of the heap is needed only while the plan is made; what is not
//! kept can be a partition's memory, where there is no other room for it.
//!
//! The host tool and EL2 count the same way, before anything is made. EL2 looks again at what it then has kept.

use alloc::vec::Vec;

use partita_abi::supervision::area_bytes;

use super::devices::Given;
use super::reach::{NOWHERE, mappings, shown};
use super::spec::Spec;
use super::{Board, InterruptPath, Memory, Reserved, Supervisor};
use crate::addr::{Ipa, PAGE, PaSpan};
use crate::stage2::{Mapping, Shape, pages_needed};

/// Bytes of the heap, which lies at the end of the hypervisor's range (src/image.ld).
pub const HEAP: u64 = 4 << 20;

/// Pages of what all cores share, beside the consoles.
pub const SHARED_PAGES: u64 = 4;
/// The most pages of a partition's console, beside its output, which is in its area.
pub const CONSOLE_PAGES: u64 = 1;
/// Pages of what EL2 itself says while partitions run.
pub const OWN_OUTPUT_PAGES: u64 = 2;
/// Pages of a partition's state, beside what depends on its devices,
pub const PARTITION_PAGES: u64 = 16;
/// and for each of its virtual CPUs.
pub const VCPU_PAGES: u64 = 8;
/// Pages of a core: its tables, its stacks, its block,
pub const CORE_PAGES: u64 = 26;
/// and for each bridge whose functions its partition has.
pub const BRIDGE_PAGES: u64 = 2;
/// Bytes of a PCI function's state.
pub const FUNCTION_BYTES: u64 = 512;
/// Bytes of a piece of what tables have to map.
pub const REGION_BYTES: u64 = 32;
/// Bytes of a core in the record of a partition's last failure.
pub const RECORD_BYTES: u64 = 512;
/// Bytes of a restart that `restart-limit` counts.
pub const RESTART_BYTES: u64 = 16;
/// Pages of the boot's own tables, where the core that boots is no partition's.
pub const BOOT_PAGES: u64 = 20;
/// Pages of an SMMU's queues and state, and the most for its upper level.
const SMMU_PAGES: u64 = 8 + 64;
/// What stands in a guest's tree that is in neither of the two that the plan is read from; and for each of its cores.
const TREE_BYTES: u64 = 0x2000;
const CPU_BYTES: u64 = 0x200;
/// What a core that starts looks up, and where it says that it came (2 KiB).
const SECONDARY_BYTES: u64 = 0x840;
/// A table of ready list registers: INTIDs up to 1019, 8 bytes each.
const READY_BYTES: u64 = 0x2000;

/// What tables may take more where memory does not lie as was guessed.
pub(super) const SLACK: u64 = 32 * PAGE;

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE)
}

/// The most that is kept of the heap: bytes, whole pages. `memory` is each partition's, `trees` what the two trees have.
pub(super) fn kept(
    board: &Board,
    specs: &[Spec],
    given: &[Given],
    supervisors: &[Option<Supervisor>],
    memory: &[Vec<Memory>],
    trees: u64,
) -> u64 {
    let mut sum = BOOT_PAGES + SHARED_PAGES + OWN_OUTPUT_PAGES + CONSOLE_PAGES * (specs.len() as u64 + 1);
    sum += pages((board.cpus.len() as u64 + 1) * SECONDARY_BYTES);
    let mut streams = false;
    for (((spec, given), supervisor), memory) in specs.iter().zip(given).zip(supervisors).zip(memory) {
        let cores = spec.cpus.len() as u64;
        let bridges = given.pci.len() as u64;
        let functions: usize = given.pci.iter().map(|part| part.functions.len()).sum();
        let direct = spec.interrupt_path == InterruptPath::Direct;
        let mut mappings = mappings(memory, &given.mmio, direct, &board.gic);
        mappings.extend(shown(supervisor.as_ref(), |_| NOWHERE));
        let (tables, root) = tables(&mappings);
        sum += pages(area_bytes(spec.cpus.len()) as u64)
            + PARTITION_PAGES
            + cores * (VCPU_PAGES + CORE_PAGES + BRIDGE_PAGES * bridges)
            + bridges
            + pages(functions as u64 * FUNCTION_BYTES)
            + pages(2 * mappings.len() as u64 * REGION_BYTES)
            + pages(trees + TREE_BYTES + CPU_BYTES * cores)
            + pages(READY_BYTES * cores)
            + pages(RECORD_BYTES * cores + RESTART_BYTES * u64::from(spec.restart_limit.0));
        // A root of several tables is aligned to their size; a direct partition's is kept twice.
        sum += tables + (root - 1) + if direct { root } else { 0 };
        if !given.streams.is_empty() {
            // Stream tables, and the same tables once more, without what devices may not reach.
            streams = true;
            sum += tables + root + 2 + 2 * given.streams.len() as u64;
        }
    }
    if streams {
        sum += SMMU_PAGES * board.smmus.len() as u64;
    }
    sum * PAGE
}

/// Pages of a partition's tables, and those of the root among them. What cannot be made is as nothing: it is refused
/// elsewhere.
pub(super) fn tables(mappings: &[Mapping]) -> (u64, u64) {
    let top = mappings.iter().map(|mapping| mapping.ipa.end()).max().unwrap_or(Ipa(0));
    let Ok(shape) = Shape::for_top(top, u64::BITS) else { return (0, 1) };
    let pages = pages_needed(&shape, mappings).unwrap_or(0);
    (pages as u64, shape.root_pages.into())
}

/// What is left reserved of the hypervisor when so much of its heap is kept.
pub(super) fn without_rest(reserved: &[Reserved], kept: u64) -> Vec<Reserved> {
    let shorter = |entry: &Reserved| {
        let rest = entry.heap.saturating_sub(kept);
        let span = PaSpan { size: entry.span.size.saturating_sub(rest), ..entry.span };
        Reserved { span, heap: entry.heap - rest, ..entry.clone() }
    };
    reserved.iter().map(shorter).collect()
}
