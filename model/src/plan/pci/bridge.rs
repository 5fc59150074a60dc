//! Host bridges as the tree describes them (Linux:
//! Documentation/devicetree/bindings/pci/host-generic-pci.yaml).

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::{Bridge, Window};
use crate::addr::{PAGE, Pa, PciAddr};
use crate::dt::{Index, MapEntry, Registers, cells, number, value};
use crate::pci::{Address, BUS_BYTES};
use crate::plan::{Spi, gic};

/// Bridges whose configuration space is an ECAM and that need nothing else to work.
const ECAM: &[&str] = &["pci-host-ecam-generic"];

/// The board's bridges that are not disabled. One whose registers cannot be understood is none of them: nobody can
/// be given its functions.
pub(in crate::plan) fn bridges(index: &Index<'_>) -> Vec<Bridge> {
    let usable = |number: &usize| index.is_compatible(*number, ECAM) && index.disabled_by(*number).is_none();
    (0..index.entries().len()).filter(usable).filter_map(|number| bridge(index, number)).collect()
}

fn bridge(index: &Index<'_>, number: usize) -> Option<Bridge> {
    let node = index.node(number)?;
    let Registers::Mapped(spans) = index.registers(number) else { return None };
    let ecam = *spans.first()?;
    let (first, last) = match value(node, "bus-range") {
        None => (0, u8::MAX),
        Some(range) => match *cells(range)?.as_slice() {
            [first, last] if first <= last => (u8::try_from(first).ok()?, u8::try_from(last).ok()?),
            _ => return None,
        },
    };
    let buses = ecam.size / BUS_BYTES;
    if buses == 0 || !ecam.base.0.is_multiple_of(PAGE) {
        return None;
    }
    let last = last.min(first.saturating_add(u8::try_from(buses - 1).unwrap_or(u8::MAX)));
    let windows = windows(index, number).unwrap_or_default();
    Some(Bridge { path: index.path(number).to_owned(), ecam, buses: (first, last), windows })
}

/// Memory windows (IEEE 1275 PCI binding, 2.2.1.1: spaces 2 and 3 are memory of 32 and 64 bits).
fn windows(index: &Index<'_>, bridge: usize) -> Option<Vec<Window>> {
    let parent = index.entries().get(bridge)?.parent?;
    let list = cells(value(index.node(bridge)?, "ranges")?)?;
    let (up, _) = index.counts(parent);
    let width = 3usize.checked_add(up)?.checked_add(2)?;
    if index.counts(bridge) != (3, 2) || !list.len().is_multiple_of(width) {
        return None;
    }
    let mut windows = Vec::new();
    for range in list.chunks(width) {
        let (child, rest) = range.split_at_checked(3)?;
        let (parents, size) = rest.split_at_checked(up)?;
        let ([space, from @ ..], parents, size) = (child, number(parents)?, number(size)?) else {
            return None;
        };
        let from = number(from)?;
        let top = match space >> 24 & 3 {
            2 => 1 << 32,
            3 => u64::MAX,
            _ => continue,
        };
        if size == 0 {
            continue;
        }
        from.checked_add(size).filter(|end| *end <= top)?;
        let at = index.translate(parent, parents, size)?;
        at.checked_add(size)?;
        windows.push(Window { space: *space, bus: PciAddr(from), at: Pa(at), size });
    }
    Some(windows)
}

/// What an `interrupt-map` (Devicetree Specification, 2.4.3) says of pin A of a function: an SPI of the GIC; none if
/// it leads nowhere. An error is the property that cannot be understood.
pub(super) fn pin_a(
    index: &Index<'_>,
    bridge: usize,
    function: Address,
) -> Result<Option<Spi>, &'static str> {
    let map = index.interrupt_map(bridge).ok_or("interrupt-map")?;
    let mask = match index.node(bridge).and_then(|node| value(node, "interrupt-map-mask")) {
        None => alloc::vec![u32::MAX; 4],
        Some(mask) => cells(mask).filter(|mask| mask.len() == 4).ok_or("interrupt-map-mask")?,
    };
    // A unit address on the bus (IEEE 1275 PCI binding, 2.2.1.1), and the pin.
    let wanted = [u32::from(function.requester()) << 8, 0, 0, 1];
    let is_it = |entry: &&MapEntry| {
        let unit = entry.unit.iter().chain(&entry.pin);
        unit.zip(wanted).zip(&mask).all(|((unit, wanted), mask)| unit & mask == wanted & mask)
    };
    let Some(entry) = map.iter().find(is_it) else { return Ok(None) };
    match gic::interrupt(gic::node(index), &entry.interrupt) {
        Some(gic::Wired::Spi(spi)) => Ok(Some(spi)),
        _ => Err("interrupt-map"),
    }
}
