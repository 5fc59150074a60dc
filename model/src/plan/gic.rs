//! The interrupt controller of the board, and what an interrupt specifier means to it.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::{ErrorKind, Gic, PlanError, Spi};
use crate::addr::{PAGE, Pa, PaSpan};
use crate::dt::{Index, Interrupt, Registers, cell, cells, number, value};

/// GICv3 and later.
pub(super) const V3: &[&str] = &["arm,gic-v3"];
/// GICv2.
pub(super) const V2: &[&str] = &["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a7-gic"];

/// The node of the GIC.
pub(super) fn node(index: &Index<'_>) -> Option<usize> {
    index.usable(V3).or_else(|| index.usable(V2))
}

/// The board's GIC.
pub(super) fn gic(index: &Index<'_>) -> Result<Gic, PlanError> {
    let malformed = |found: usize, property: &str, want| {
        PlanError::property(index.path(found), property, ErrorKind::BadBoardProperty(want))
    };
    let frames = |found: usize| match index.registers(found) {
        Registers::Mapped(spans) => spans,
        Registers::OffBus | Registers::Bad => Vec::new(),
    };
    if let Some(found) = index.usable(V3) {
        let path = index.path(found).to_owned();
        let node = index.node(found);
        let regions = node.and_then(|node| cell(node, "#redistributor-regions")).unwrap_or(1) as usize;
        let spans = frames(found);
        let (Some((dist, rest)), true) = (spans.split_first(), regions > 0) else {
            return Err(malformed(found, "reg", "the distributor and the redistributors"));
        };
        let redists = rest.get(..regions);
        let redists = redists.ok_or_else(|| {
            malformed(found, "reg", "the distributor and as many redistributor regions as said")
        })?;
        let stride = match node.and_then(|node| value(node, "redistributor-stride")) {
            None => 0,
            // A redistributor is two or four 64 KiB frames, possibly with gaps (IHI 0069, 12.10).
            Some(stride) => cells(stride)
                .and_then(|cells| number(&cells))
                .filter(|stride| *stride != 0 && stride.is_multiple_of(0x1_0000))
                .ok_or_else(|| malformed(found, "redistributor-stride", "a multiple of 64 KiB"))?,
        };
        return Ok(Gic::V3 { path, dist: *dist, redists: redists.to_vec(), stride });
    }
    if let Some(found) = index.usable(V2) {
        return match *frames(found).as_slice() {
            [dist, cpu, hyp, vcpu, ..] if is_whole(&dist, &cpu, &hyp, &vcpu) => {
                Ok(Gic::V2 { path: index.path(found).to_owned(), dist, cpu, hyp, vcpu })
            }
            _ => Err(malformed(
                found,
                "reg",
                "distributor, CPU interface, virtual interface control and virtual CPU interface, in whole pages",
            )),
        };
    }
    Err(PlanError::node(
        "/",
        ErrorKind::BoardLacks("usable interrupt controller (arm,gic-v3 or arm,gic-400)"),
    ))
}

/// Whether GICv2's frames are what EL2 and stage 2 can map: the virtual CPU interface is mapped to guests in the
/// physical one's place, two pages of each, so what lies behind them must not be another device's.
fn is_whole(dist: &PaSpan, cpu: &PaSpan, hyp: &PaSpan, vcpu: &PaSpan) -> bool {
    let starts = [dist, cpu, hyp, vcpu].iter().all(|frame| frame.base.0.is_multiple_of(PAGE));
    let interfaces = [cpu, vcpu].iter().all(|frame| frame.size >= 2 * PAGE);
    starts && interfaces && [dist, hyp].iter().all(|frame| frame.size >= PAGE)
}

/// The two pages of a GICv2 CPU interface, physical or virtual (IHI 0048, 4.1.4): GICC_DIR is in the second. Where each
/// fills 64 KiB, so that a kernel with such pages can map them, the first is repeated throughout its part.
#[must_use]
pub fn interface_pages(frame: &PaSpan) -> PaSpan {
    let offset = if frame.size >= 0x2_0000 { 0xf000 } else { 0 };
    PaSpan { base: Pa(frame.base.0 + offset), size: 2 * PAGE }
}

impl Gic {
    /// Path of its node.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::V3 { path, .. } | Self::V2 { path, .. } => path,
        }
    }

    /// All its frames, which belong to EL2.
    #[must_use]
    pub fn frames(&self) -> Vec<PaSpan> {
        match self {
            Self::V3 { dist, redists, .. } => {
                let mut frames = alloc::vec![*dist];
                frames.extend_from_slice(redists);
                frames
            }
            Self::V2 { dist, cpu, hyp, vcpu, .. } => alloc::vec![*dist, *cpu, *hyp, *vcpu],
        }
    }
}

/// An interrupt that is wired to the GIC.
pub(super) enum Wired {
    /// A shared one.
    Spi(Spi),
    /// One that each core has for itself (its INTID).
    Private(u32),
}

/// What a specifier means, if it is the GIC's (node number `gic`) and well-formed
/// (Linux: Documentation/devicetree/bindings/interrupt-controller/arm,gic-v3.yaml).
pub(super) fn interrupt(gic: Option<usize>, interrupt: &Interrupt) -> Option<Wired> {
    if Some(interrupt.controller) != gic {
        return None;
    }
    let [kind, number, flags, ..] = *interrupt.specifier.as_slice() else { return None };
    match kind {
        // INTIDs 32..1019 are SPIs, 16..31 PPIs (IHI 0069, 2.2). Flags 1 and 2 are edges, 4 and 8 levels.
        0 if number < 988 => {
            Some(Wired::Spi(Spi { intid: number + 32, edge: flags & 0xf < 4 && flags & 3 != 0 }))
        }
        1 if number < 16 => Some(Wired::Private(number + 16)),
        _ => None,
    }
}
