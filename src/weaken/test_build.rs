//! What only a test build does.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

use partita_model::addr::{Ipa, IpaSpan, Pa, PaSpan, Span};
use partita_model::dt;
use partita_model::plan::{Gic, Partition, Plan, interface_pages};
use partita_model::stage2::{Kind, Mapping};
use partita_model::weaken::{Guard, remove, removed};

use crate::layout::{self, PAGE};

/// What fast.S compares with: the number of the guard that is removed, plus 1; 0: none.
#[unsafe(no_mangle)]
static WEAKENED: AtomicU8 = AtomicU8::new(0);

/// Removes the guard that the firmware's tree names: `weaken=NAME` in /chosen bootargs.
pub fn init(firmware: &partita_model::dt::Tree<'_>) -> Result<(), String> {
    log::warn!("a test build, from which guards can be taken away: it protects nobody");
    let words = dt::bootargs(firmware).unwrap_or("");
    let Some(name) = words.split_ascii_whitespace().find_map(|word| word.strip_prefix("weaken=")) else {
        return Ok(());
    };
    let guard = Guard::by_name(name)
        .ok_or_else(|| format!("/chosen bootargs: weaken={name}: there is no such guard"))?;
    log::warn!("WEAKENED: without {name}. {}", guard.what());
    remove(guard);
    WEAKENED.store(guard as u8 + 1, Ordering::Relaxed);
    Ok(())
}

/// What stage 2 of a partition maps without the guard against it: what it has by right, and more.
pub fn mappings(plan: &Plan, wanted: &Partition, mut own: Vec<Mapping>) -> Vec<Mapping> {
    let others = || plan.partitions.iter().filter(|other| other.path != wanted.path);
    let mut extra = Vec::new();
    let mut same = |span: PaSpan, kind| {
        let ipa = Span { base: Ipa(span.base.0), size: span.size };
        extra.push(Mapping { ipa, pa: span.base, kind });
    };
    if removed(Guard::Stage2Memory) {
        others().flat_map(|other| &other.memory).for_each(|memory| same(memory.physical(), Kind::Memory));
    }
    if removed(Guard::Stage2Hypervisor) {
        same(layout::image().pages(), Kind::Memory);
    }
    if removed(Guard::Stage2Device) {
        others().flat_map(|other| &other.mmio).for_each(|span| same(*span, Kind::Device));
    }
    match &plan.board.gic {
        Gic::V3 { redists, .. } if removed(Guard::Stage2Redistributors) => {
            redists.iter().for_each(|span| same(*span, Kind::Device));
        }
        Gic::V3 { dist, .. } | Gic::V2 { dist, .. } if removed(Guard::Stage2Distributor) => {
            same(dist.pages(), Kind::Device);
        }
        Gic::V2 { hyp, .. } if removed(Guard::Stage2InterfaceControl) => same(hyp.pages(), Kind::Device),
        Gic::V2 { cpu, .. } if removed(Guard::Stage2Interface) => {
            let interfaces = own.iter_mut().filter(|mapping| mapping.ipa.base.0 == cpu.base.0);
            interfaces.for_each(|mapping| mapping.pa = interface_pages(cpu).base);
        }
        _ => {}
    }
    if removed(Guard::ManagesEnd) {
        let shown = own.iter().filter(|mapping| mapping.kind == Kind::Shown);
        extra.extend(shown.map(|shown| {
            let ipa = Span { base: shown.ipa.end(), size: PAGE as u64 };
            Mapping { ipa, pa: shown.physical().end(), kind: Kind::Shown }
        }));
    }
    if removed(Guard::Stage2End) {
        extra.extend(wanted.memory.iter().map(|memory| {
            let ipa = Span { base: memory.ipa.end(), size: PAGE as u64 };
            Mapping { ipa, pa: memory.physical().end(), kind: Kind::Memory }
        }));
    }
    let extra: Vec<Mapping> = extra.into_iter().flat_map(|mapping| clear_of(&own, mapping)).collect();
    own.extend(extra);
    own
}

/// What is left of a mapping beside those that there are.
fn clear_of(own: &[Mapping], mapping: Mapping) -> Vec<Mapping> {
    let part = |from: Ipa, to: Ipa| {
        (from < to).then(|| Mapping {
            ipa: IpaSpan { base: from, size: to.0 - from.0 },
            pa: Pa(mapping.pa.0 + (from.0 - mapping.ipa.base.0)),
            ..mapping
        })
    };
    let mut left = vec![mapping];
    for taken in own.iter().map(|other| other.ipa) {
        let around = |piece: Mapping| {
            let before = part(piece.ipa.base, piece.ipa.end().min(taken.base));
            let after = part(piece.ipa.base.max(taken.end()), piece.ipa.end());
            [before, after].into_iter().flatten()
        };
        left = left.into_iter().flat_map(around).collect();
    }
    left
}

/// A call of a guest's by which EL2 fails: in the range of vendors, where no release has one.
const FAIL: u64 = 0xc600_fa11;

/// Makes EL2 fail on this core, if the guest calls for it: as it is, with the partition's lock held, with one that all share held, or
/// at the end of its stack.
pub fn fail(core: &crate::core::Core, function: u64, how: u64) {
    if function != FAIL {
        return;
    }
    match how {
        0 => fault(),
        1 => {
            let _state = core.partition.lock(core.vcpu);
            fault();
        }
        2 => crate::gic::alone(fault),
        _ => {
            let _ = overflow(0);
        }
    }
}

/// Reads where nothing is mapped.
fn fault() {
    // SAFETY: nothing is mapped there (layout.rs), so nothing is read.
    let _ = unsafe { (layout::STACK_TOP as *const u64).read_volatile() };
}

/// Calls itself as long as there is stack.
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let here = core::hint::black_box([depth; 64]);
    // It never comes to that.
    let below = if depth == u64::MAX { 0 } else { overflow(depth + 1) };
    core::hint::black_box(here)[0] + below
}
