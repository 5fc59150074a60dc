//! The interrupt controller of the board, and what an interrupt specifier means to it.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::{ErrorKind, Gic, PlanError, Spi};
use crate::addr::{PAGE, Pa, PaSpan};
use crate::dt::{Index, Interrupt, Registers, cell, cells, number, value};
use crate::gic::{DIST_SIZE, REDIST_SIZE};

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
        if !has_frames(dist, redists) {
            return Err(malformed(
                found,
                "reg",
                "the distributor and the redistributors, in frames of 64 KiB",
            ));
        }
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
                "distributor, CPU interface, virtual interface control and virtual CPU interface, in whole pages, none of \
                 which reaches into an interface",
            )),
        };
    }
    Err(PlanError::node(
        "/",
        ErrorKind::BoardLacks("usable interrupt controller (arm,gic-v3 or arm,gic-400)"),
    ))
}

/// Whether GICv3's frames are there whole: a distributor of 64 KiB, and regions of redistributors, each of which has two such
/// frames (IHI 0069, 12.8 and 12.10). EL2 maps what the tree says, and reaches all of it.
fn has_frames(dist: &PaSpan, redists: &[PaSpan]) -> bool {
    let starts = redists.iter().chain([dist]).all(|frame| frame.base.0.is_multiple_of(PAGE));
    starts && dist.size >= DIST_SIZE && redists.iter().all(|region| region.size >= REDIST_SIZE)
}

/// Whether GICv2's frames are what EL2 and stage 2 can map: the virtual CPU interface is mapped to guests in the
/// physical one's place, two pages of each, so what lies behind them must not be another device's, nor another frame of
/// the controller itself, which would be EL2's.
fn is_whole(dist: &PaSpan, cpu: &PaSpan, hyp: &PaSpan, vcpu: &PaSpan) -> bool {
    let starts = [dist, cpu, hyp, vcpu].iter().all(|frame| frame.base.0.is_multiple_of(PAGE));
    let interfaces = [cpu, vcpu].iter().all(|frame| frame.size >= 2 * PAGE);
    let apart = |own: &PaSpan, others: [&PaSpan; 3]| {
        !others.iter().any(|frame| frame.overlaps(&interface_pages(own)))
    };
    // A direct partition has the physical one's first page.
    let apart = apart(vcpu, [dist, cpu, hyp]) && apart(cpu, [dist, hyp, vcpu]);
    starts && interfaces && apart && [dist, hyp].iter().all(|frame| frame.size >= PAGE)
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
        0 if number < 988 => Some(Wired::Spi(Spi { intid: number + 32, edge: matches!(flags & 0xf, 1..=3) })),
        1 if number < 16 => Some(Wired::Private(number + 16)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a specifier of the GIC (node 7) means: INTID and whether it is an edge, or a private one.
    fn meaning(specifier: &[u32]) -> Option<Result<(u32, bool), u32>> {
        let wired = interrupt(Some(7), &Interrupt { controller: 7, specifier: specifier.to_vec() });
        wired.map(|wired| match wired {
            Wired::Spi(spi) => Ok((spi.intid, spi.edge)),
            Wired::Private(intid) => Err(intid),
        })
    }

    #[test]
    fn numbers_count_from_their_kinds_first_intid() {
        // IHI 0069, 2.2: SPIs are INTIDs 32..1019, PPIs 16..31.
        assert_eq!(meaning(&[0, 0, 4]), Some(Ok((32, false))));
        assert_eq!(meaning(&[0, 987, 4]), Some(Ok((1019, false))));
        assert_eq!(meaning(&[0, 988, 4]), None);
        assert_eq!(meaning(&[1, 0, 4]), Some(Err(16)));
        assert_eq!(meaning(&[1, 15, 4]), Some(Err(31)));
        assert_eq!(meaning(&[1, 16, 4]), None);
        // Extended ranges (2 and 3), and what is too short.
        assert_eq!((meaning(&[2, 0, 4]), meaning(&[0, 5])), (None, None));
        let other = Interrupt { controller: 6, specifier: alloc::vec![0, 5, 4] };
        assert!(interrupt(Some(7), &other).is_none() && interrupt(None, &other).is_none());
    }

    #[test]
    fn flags_are_one_of_four_triggers() {
        // arm,gic-v3.yaml: 1 rising edge, 2 falling edge, 4 high, 8 low. Bits 15..8 are GICv2's mask of cores.
        for (flags, edge) in
            [(1, true), (2, true), (4, false), (8, false), (0, false), (0xf01, true), (0xf04, false)]
        {
            assert_eq!(meaning(&[0, 5, flags]), Some(Ok((37, edge))), "{flags:#x}");
        }
    }

    #[test]
    fn a_frame_of_64_kib_pages_has_its_interface_in_the_middle() {
        let frame = |size| PaSpan { base: Pa(0x801_0000), size };
        let pages = |base| PaSpan { base: Pa(base), size: 0x2000 };
        assert_eq!(interface_pages(&frame(0x2000)), pages(0x801_0000));
        assert_eq!(interface_pages(&frame(0x1_0000)), pages(0x801_0000));
        // The last page of the first 64 KiB repeats GICC_CTLR's, the first of the second has GICC_DIR.
        assert_eq!(interface_pages(&frame(0x2_0000)), pages(0x801_f000));
    }
}
