//! What every plan keeps, whatever it was made from: for the tests of this crate and, by the feature `testing`, for
//! fuzzers.

use alloc::vec::Vec;

use super::{Memory, Partition, Plan, interface_pages};
use crate::addr::{IpaSpan, Pa, PaSpan};
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
                Kind::Device => partition.mmio.contains(&span) || Some(span) == interface(plan, partition),
            };
            assert!(own, "{mapping:?} is nothing that the partition was given");
        }
    }
}

/// What of a GICv2 a partition has: the pages of the virtual CPU interface; or the physical one's first page, which has no
/// GICC_DIR (IHI 0048, table 4-2), where interrupts do not pass EL2.
fn interface(plan: &Plan, partition: &Partition) -> Option<PaSpan> {
    match &plan.board.gic {
        super::Gic::V2 { cpu, .. } if partition.is_direct() => Some(PaSpan { base: cpu.base, size: 0x1000 }),
        super::Gic::V2 { vcpu, .. } => Some(interface_pages(vcpu)),
        super::Gic::V3 { .. } => None,
    }
}

fn as_physical(span: &IpaSpan) -> PaSpan {
    PaSpan { base: Pa(span.base.0), size: span.size }
}
