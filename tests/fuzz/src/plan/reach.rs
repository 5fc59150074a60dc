//! A partition's stage-2 tables, built as EL2 builds them and read back entry by entry.

use std::cell::RefCell;

use partita_model::addr::{Ipa, PAGE, Pa, PaSpan};
use partita_model::audit::{Audit, Form, Region, join};
use partita_model::plan::{Gic, Plan};
use partita_model::stage2::{
    Error, Kind, Mapping, Shape, Tables, build, pages_needed, translate, vtcr, walk,
};

/// Tables in host memory, at addresses from 4 KiB on.
#[derive(Default)]
struct Memory(Vec<[u64; 512]>);

impl Tables for Memory {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        let first = (self.0.len() + 1).next_multiple_of(pages);
        self.0.resize(first + pages - 1, [0; 512]);
        Some(Pa(0x1000 * first as u64))
    }
    fn read(&self, table: Pa, index: usize) -> u64 {
        self.0[(table.0 >> 12) as usize - 1 + index / 512][index % 512]
    }
    fn write(&mut self, table: Pa, index: usize, value: u64) {
        self.0[(table.0 >> 12) as usize - 1 + index / 512][index % 512] = value;
    }
}

thread_local!(static TABLES: RefCell<Memory> = RefCell::default());

/// Cores with this many physical address bits.
const PA_BITS: u32 = 44;

/// Where areas are taken to be.
const AREAS: u64 = 1 << 43;

/// Every leaf lies in a mapping of the partition and leads where that does, none is left out, and beyond the edges
/// nothing is mapped.
pub fn check(plan: &Plan, number: usize) {
    let partition = &plan.partitions[number];
    let mut mappings = partition.mappings(&plan.board.gic);
    // Areas of those that it manages, each somewhere.
    mappings.extend(partition.shown(|number| Pa(AREAS + ((number as u64) << 24))));
    let foreign = foreign(plan, number);
    // Areas are EL2's to place, so not here.
    let is_foreign =
        |kind: Kind, span: &PaSpan| kind != Kind::Shown && foreign.iter().any(|other| other.overlaps(span));
    for mapping in &mappings {
        let span = mapping.physical();
        assert!(!is_foreign(mapping.kind, &span), "{span} is somebody else's");
    }
    let top = mappings.iter().map(|mapping| mapping.ipa.end()).max().unwrap_or(Ipa(0));
    let shape = match Shape::for_top(top, PA_BITS) {
        Ok(shape) => shape,
        Err(Error::TooWide { .. }) if top.0 > 1 << PA_BITS => return,
        Err(error) => panic!("{error}"),
    };
    assert!(vtcr(&shape, PA_BITS) & 0x3f == u64::from(shape.t0sz));
    TABLES.with_borrow_mut(|tables| {
        tables.0.clear();
        let root =
            build(tables, &shape, &mappings).unwrap_or_else(|error| panic!("an accepted plan: {error}"));
        // Pages that align a root of several are not counted.
        let padding = usize::from(shape.root_pages) - 1;
        let pages = pages_needed(&shape, &mappings).expect("what was built can be counted");
        assert!(tables.0.len() - pages <= padding, "{pages} pages were promised, {} used", tables.0.len());
        let mut mapped = 0;
        walk(tables, &shape, root, &mut |leaf| {
            let pa = PaSpan { base: leaf.pa, size: leaf.ipa.size };
            // A block may span mappings that continue each other.
            let mut at = leaf.ipa.base.0;
            while at < leaf.ipa.end().0 {
                let inside = |mapping: &&Mapping| mapping.ipa.contains(Ipa(at));
                let mapping = mappings.iter().find(inside).unwrap_or_else(|| panic!("{at:#x} is mapped"));
                let offset = at - leaf.ipa.base.0;
                assert_eq!(mapping.pa.0 + (at - mapping.ipa.base.0), leaf.pa.0 + offset, "{at:#x}");
                assert_eq!(leaf.kind(), Some(mapping.kind));
                at = mapping.ipa.end().0;
            }
            assert!(!leaf.kind().is_none_or(|kind| is_foreign(kind, &pa)), "{pa} is somebody else's");
            mapped += leaf.ipa.size;
        });
        // The audit, which shares no code with what builds them, finds nothing.
        let wanted = join(mappings.iter().map(Region::from).collect());
        let mut audit = Audit::new(Form::stage2(&shape), root, &wanted);
        audit.run(|page, index| tables.read(page, index)).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(mapped, mappings.iter().map(|mapping| mapping.ipa.size).sum::<u64>());
        for mapping in &mappings {
            let last = mapping.ipa.end().0 - 1;
            let to = |ipa: u64| translate(tables, &shape, root, Ipa(ipa));
            assert_eq!(to(mapping.ipa.base.0), Some(mapping.pa));
            assert_eq!(to(last), Some(Pa(mapping.pa.0 + mapping.ipa.size - 1)));
        }
    });
}

/// What this partition must not reach: EL2's, what is reserved, the interrupt controller, the others' memory and devices.
fn foreign(plan: &Plan, number: usize) -> Vec<PaSpan> {
    let mut foreign: Vec<PaSpan> = plan.board.reserved.iter().map(|reserved| reserved.span).collect();
    foreign.extend(plan.moves.iter().map(|moved| moved.to));
    for (other, partition) in plan.partitions.iter().enumerate().filter(|(other, _)| *other != number) {
        let _ = other;
        foreign.extend(partition.memory.iter().map(|memory| memory.physical()));
        foreign.extend(&partition.mmio);
    }
    foreign.extend(plan.board.power.iter().map(|power| power.span));
    match &plan.board.gic {
        Gic::V2 { dist, cpu, hyp, .. } => {
            foreign.extend([*dist, *hyp]);
            // A direct partition has the first page of the CPU interface, or where pages are repeated the last such one, and not GICC_DIR
            // behind it.
            let own = match (plan.partitions[number].is_direct(), cpu.size) {
                (false, _) => 0..0,
                (true, ..0x2_0000) => 0..PAGE,
                (true, _) => 0xf000..0xf000 + PAGE,
            };
            foreign.extend(PaSpan::new(cpu.base, own.start));
            foreign.extend(PaSpan::new(Pa(cpu.base.0 + own.end), cpu.size.saturating_sub(own.end)));
        }
        gic => foreign.extend(gic.frames()),
    }
    foreign
}
