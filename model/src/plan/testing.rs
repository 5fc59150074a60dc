//! What every plan keeps, whatever it was made from: for the tests of this crate and, by the feature `testing`, for
//! fuzzers.

use alloc::vec::Vec;

use partita_abi::supervision::area_bytes;

use super::{Console, Memory, Partition, Plan, Watchdog, interface_pages};
use crate::addr::{Ipa, IpaSpan, Pa, PaSpan};
use crate::stage2::Kind;

/// Fails if two partitions share anything, or one has what is the hypervisor's, reserved, or not on the board.
pub fn invariants(plan: &Plan) {
    let mut memory: Vec<PaSpan> = Vec::new();
    let mut mmio: Vec<PaSpan> = Vec::new();
    let mut cores = Vec::new();
    let mut spis = Vec::new();
    for (number, partition) in plan.partitions.iter().enumerate() {
        assert!(!partition.cpus.is_empty() && !partition.memory.is_empty());
        for (place, cpu) in partition.cpus.iter().enumerate() {
            assert_eq!(plan.board.cpus[*cpu].owner, Some((number, place)));
            cores.push(*cpu as u32);
        }
        for entry in &partition.memory {
            let span = entry.physical();
            assert!(span.size > 0 && span.is_aligned(4096), "{span}");
            assert!(plan.board.ram.iter().any(|ram| ram.contains_span(&span)), "{span} is no RAM");
            assert!(!plan.board.reserved.iter().any(|it| it.span.overlaps(&span)), "{span} is reserved");
            memory.push(span);
        }
        if let Some(watchdog) = &partition.watchdog {
            watchdog_is_apart(plan, partition, watchdog);
        }
        spis.extend(partition.spis.iter().map(|spi| spi.intid));
        for span in &partition.mmio {
            assert!(span.is_aligned(4096), "{span}");
            assert!(!plan.board.ram.iter().any(|ram| ram.overlaps(span)), "{span} is RAM");
            assert!(!plan.board.gic.frames().iter().any(|frame| frame.overlaps(span)), "{span} is the GIC's");
            let hidden = |entry: &Memory| as_physical(&entry.ipa).overlaps(span);
            assert!(!partition.memory.iter().any(hidden), "{span} lies under guest RAM");
            mmio.push(*span);
        }
        for piece in &partition.load.pieces {
            let inside = partition.memory.iter().any(|entry| entry.ipa.contains_span(&piece.at));
            assert!(inside, "{:?} lies outside the partition's memory", piece.at);
        }
    }
    for (what, numbers) in [("a core", &mut cores), ("an SPI", &mut spis)] {
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "{what} has two owners");
    }
    for spans in [&memory, &mmio] {
        for (place, span) in spans.iter().enumerate() {
            assert!(!spans[..place].iter().any(|other| span.overlaps(other)), "{span} has two owners");
        }
    }
    for partition in &plan.partitions {
        for mapping in partition.mappings(&plan.board.gic) {
            let span = mapping.physical();
            let own = match mapping.kind {
                Kind::Memory => partition.memory.iter().any(|entry| entry.physical() == span),
                Kind::Shown => false,
                Kind::Device => partition.mmio.contains(&span) || Some(span) == interface(plan, partition),
            };
            assert!(own, "{mapping:?} is nothing that the partition was given");
        }
        supervisor(plan, partition);
    }
}

/// Its device meets nothing else that it has, and shows those that it manages, each once.
fn supervisor(plan: &Plan, partition: &Partition) {
    let Some(device) = &partition.supervisor else { return };
    let mut end = device.registers.end();
    let mut seen = Vec::new();
    for managed in &device.managed {
        assert_eq!(managed.area.base, end, "areas lie one behind the other");
        end = managed.area.end();
        let other = &plan.partitions[managed.partition];
        assert_eq!(managed.area.size, area_bytes(other.cpus.len()) as u64);
        assert_eq!(
            plan.managers(managed.partition).position(|it| it == partition),
            Some(managed.rank.into())
        );
        assert!(other != partition && !seen.contains(&managed.partition));
        seen.push(managed.partition);
    }
    assert_eq!(device.span().end(), end);
    let span = device.span();
    let mut others: Vec<IpaSpan> =
        partition.mappings(&plan.board.gic).iter().map(|mapping| mapping.ipa).collect();
    others.extend(
        plan.board.gic.frames().iter().map(|frame| IpaSpan { base: Ipa(frame.base.0), size: frame.size }),
    );
    others.extend(partition.pci.iter().map(|part| part.ecam));
    if let Console::Shared { base, .. } = partition.console {
        others.push(IpaSpan { base, size: 4096 });
    }
    assert!(
        !others.iter().any(|other| other.overlaps(&span)),
        "the supervisor's device at {span} meets something"
    );
}

/// A watchdog's frames and its interrupt are in nobody's way.
fn watchdog_is_apart(plan: &Plan, partition: &Partition, watchdog: &Watchdog) {
    let [control, refresh] = watchdog.frames();
    assert!(!control.overlaps(&refresh));
    for frame in [control, refresh] {
        assert!(frame.is_aligned(4096) && frame.end().0 <= 1 << 44, "{frame}");
        let mut met = partition.memory.iter().map(|entry| entry.ipa).filter(|span| span.overlaps(&frame));
        assert_eq!(met.next(), None, "{frame} is RAM");
        let own = partition.mmio.iter().copied().chain(plan.board.gic.frames());
        assert_eq!(
            own.into_iter().find(|span| span.overlaps(&as_physical(&frame))),
            None,
            "{frame} is a device"
        );
        assert!(
            !partition.pci.iter().any(|part| part.ecam.overlaps(&frame)),
            "{frame} is configuration space"
        );
        let supervisor = partition.supervisor.as_ref().map(|device| device.span());
        assert!(!supervisor.is_some_and(|span| span.overlaps(&frame)), "{frame} is the supervisor's device");
        if let Console::Shared { base, intid } = partition.console {
            assert!(!frame.contains(base) && intid != watchdog.intid, "{frame} is the console");
        }
    }
    assert!((32..=1019).contains(&watchdog.intid));
    assert!(!partition.spis.iter().any(|spi| spi.intid == watchdog.intid), "it is a device's interrupt");
}

/// What of a GICv2 a partition has: the pages of the virtual CPU interface; or the physical one's first page, which has no
/// GICC_DIR (IHI 0048, table 4-2), where interrupts do not pass EL2.
fn interface(plan: &Plan, partition: &Partition) -> Option<PaSpan> {
    match &plan.board.gic {
        super::Gic::V2 { cpu, .. } if partition.is_direct() => {
            // Of one that fills 64 KiB, the last of the pages that repeat the first.
            let base = if cpu.size < 0x2_0000 { cpu.base } else { Pa(cpu.base.0 + 0xf000) };
            Some(PaSpan { base, size: 0x1000 })
        }
        super::Gic::V2 { vcpu, .. } => Some(interface_pages(vcpu)),
        super::Gic::V3 { .. } => None,
    }
}

fn as_physical(span: &IpaSpan) -> PaSpan {
    PaSpan { base: Pa(span.base.0), size: span.size }
}
