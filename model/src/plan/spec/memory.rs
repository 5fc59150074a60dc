//! A partition's `memory@*` nodes.

use alloc::string::String;
use alloc::vec::Vec;

use super::Reader;
use crate::addr::{Ipa, IpaSpan, PAGE, Pa, Span};
use crate::dt::value;
use crate::plan::vocabulary::MEMORY;
use crate::plan::{ErrorKind, PlanError};

/// One past the highest guest-physical address: 44 bits, what most server and application cores have at least
/// (DDI 0487, ID_AA64MMFR0_EL1.PARange). EL2 checks the core's own limit when it builds the tables.
pub(crate) const TOP: u64 = 1 << 44;

/// One entry of guest RAM.
pub(crate) struct MemorySpec {
    /// Path of its node.
    pub(crate) node: String,
    /// Where the guest sees it.
    pub(crate) ipa: IpaSpan,
    /// Where it has to be.
    pub(crate) pin: Option<Pa>,
    /// `numa-node-id`.
    pub(crate) numa: Option<u32>,
}

/// All entries of all nodes.
pub(super) fn read(
    partition: &Reader<'_>,
    address: usize,
    size: usize,
) -> Result<Vec<MemorySpec>, PlanError> {
    let mut found = Vec::new();
    for child in partition.node.children().filter(|child| child.name().starts_with("memory@")) {
        let reader = partition.below(child);
        reader.known_properties(MEMORY)?;
        reader.known_nodes(&[])?;
        reader.word("device_type", &["memory"])?;
        let numa = reader.cell("numa-node-id", 0, u32::MAX)?;
        let spans = spans(&reader, address, size)?;
        let pins = pins(&reader, address, &spans)?;
        let entries = spans.iter().zip(pins);
        found.extend(entries.map(|(ipa, pin)| MemorySpec {
            node: reader.path.clone(),
            ipa: *ipa,
            pin,
            numa,
        }));
    }
    if found.is_empty() {
        let example = "memory@40000000 { device_type = \"memory\"; reg = <0x0 0x40000000 0x0 0x10000000>; };";
        return Err(PlanError::property(&partition.path, "memory@*", ErrorKind::Missing(example)));
    }
    Ok(found)
}

fn spans(reader: &Reader<'_>, address: usize, size: usize) -> Result<Vec<IpaSpan>, PlanError> {
    const EXAMPLE: &str = "reg = <0x0 0x40000000 0x0 0x10000000>";
    let want =
        alloc::format!("bases of {address} and sizes of {size} cells, as #address-cells and #size-cells say");
    let list = reader.numbers("reg", 1, &want)?;
    let list = list.ok_or_else(|| reader.error("reg", ErrorKind::Missing(EXAMPLE)))?;
    if list.is_empty() {
        return Err(reader.error("reg", ErrorKind::Empty));
    }
    if !list.len().is_multiple_of(address + size) {
        return Err(reader.error("reg", ErrorKind::Cells(want, list.len() * 4)));
    }
    let join = |cells: &[u64]| cells.iter().fold(0u64, |sum, cell| sum << 32 | (cell & 0xffff_ffff));
    let mut spans = Vec::new();
    for entry in list.chunks(address + size) {
        let (base, size) = entry.split_at_checked(address).unwrap_or_default();
        let (base, size) = (join(base), join(size));
        for (what, value) in [("base", base), ("size", size)] {
            if value % PAGE != 0 {
                return Err(reader.error("reg", ErrorKind::Unaligned(what, value)));
            }
        }
        let span = Span::new(Ipa(base), size).filter(|span| size > 0 && span.end().0 <= TOP);
        spans.push(span.ok_or_else(|| reader.error("reg", ErrorKind::BadSpan(base, size)))?);
    }
    Ok(spans)
}

/// Where each entry has to be, if it matters.
fn pins(reader: &Reader<'_>, address: usize, spans: &[IpaSpan]) -> Result<Vec<Option<Pa>>, PlanError> {
    let Some(bytes) = value(reader.node, "host-base") else {
        return Ok(spans.iter().map(|_| None).collect());
    };
    if bytes.is_empty() {
        return Ok(spans.iter().map(|span| Some(Pa(span.base.0))).collect());
    }
    let list = reader.numbers("host-base", address, "host addresses of #address-cells cells each")?;
    let list = list.unwrap_or_default();
    if list.len() != spans.len() {
        return Err(reader.error("host-base", ErrorKind::HostBaseCount(spans.len(), list.len())));
    }
    for (base, span) in list.iter().zip(spans) {
        if base % PAGE != 0 {
            return Err(reader.error("host-base", ErrorKind::Unaligned("base", *base)));
        }
        if base.checked_add(span.size).is_none() {
            return Err(reader.error("host-base", ErrorKind::BadSpan(*base, span.size)));
        }
    }
    Ok(list.into_iter().map(|base| Some(Pa(base))).collect())
}
