//! Giving devices to partitions: each named node exists, is enabled, is not Partita's, has one owner, and comes with
//! everything that shares a page or an interrupt with it.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Catalogue, clocks, dma, kinds, merged_pages, needs};

use crate::addr::PaSpan;
use crate::dt::{Registers, cell, nearest, value};
use crate::plan::error::SharedStream;
use crate::plan::pci::{self, PciPart};
use crate::plan::smmu;
use crate::plan::spec::Spec;
use crate::plan::{Board, Device, ErrorKind, FixedClock, PlanError, Spi, Streams};
use crate::sort;
use crate::weaken::{Guard, removed};

/// What one partition gets.
pub(in crate::plan) struct Given {
    /// The devices, in the order of the overlay.
    pub(in crate::plan) devices: Vec<Device>,
    /// PCI functions, which are added when everything else was given.
    pub(in crate::plan) pci: Vec<PciPart>,
    /// Their registers as whole pages, merged and sorted.
    pub(in crate::plan) mmio: Vec<PaSpan>,
    /// Their SPIs, sorted.
    pub(in crate::plan) spis: Vec<Spi>,
    /// The streams of its devices, sorted and merged.
    pub(in crate::plan) streams: Vec<Streams>,
    /// The outputs of clock providers that become fixed clocks.
    pub(in crate::plan) fixed_clocks: Vec<FixedClock>,
    /// The first UART among the devices.
    pub(in crate::plan) uart: Option<String>,
    /// What the user should know.
    pub(in crate::plan) notes: Vec<String>,
}

/// The nodes that a partition names.
pub(super) struct Named {
    pub(super) devices: Vec<usize>,
    pub(super) clocks: Vec<usize>,
    trusted: Vec<usize>,
}

/// Gives every partition what it asks for.
pub(in crate::plan) fn give(
    catalogue: &Catalogue<'_>,
    board: &Board,
    specs: &[Spec],
) -> Result<Vec<Given>, PlanError> {
    let named: Vec<Named> = specs.iter().map(|spec| resolve(catalogue, spec)).collect::<Result<_, _>>()?;
    for (place, (spec, mine)) in specs.iter().zip(&named).enumerate() {
        for (other, theirs) in specs.iter().zip(&named).take(place) {
            let taken = mine.devices.iter().find(|device| {
                theirs.devices.iter().any(|their| {
                    catalogue.index.within(**device, *their) || catalogue.index.within(*their, **device)
                })
            });
            if let Some(device) = taken.filter(|_| !removed(Guard::PlanDevice)) {
                let kind = ErrorKind::DeviceTaken(catalogue.path(*device), other.name.clone());
                return Err(spec.error("devices", kind));
            }
        }
    }
    let owner = |number: usize| {
        let owners = specs.iter().zip(&named);
        owners
            .into_iter()
            .find(|(_, named)| catalogue.among(number, &named.devices))
            .map(|(spec, _)| &*spec.name)
    };
    let all: Vec<Given> = specs
        .iter()
        .zip(&named)
        .map(|(spec, mine)| {
            let mut given = collect(catalogue, board, spec, mine, &owner)?;
            let uses = needs::check(catalogue, mine).map_err(|kind| spec.error("devices", kind))?;
            given.fixed_clocks =
                clocks::fix(catalogue, mine, uses).map_err(|kind| spec.error("fixed-clocks", kind))?;
            Ok(given)
        })
        .collect::<Result<_, _>>()?;
    told_apart(board, specs, &all)?;
    Ok(all)
}

/// What an SMMU cannot tell apart has one set of tables, so it goes to one partition.
fn told_apart(board: &Board, specs: &[Spec], all: &[Given]) -> Result<(), PlanError> {
    let each = || {
        let given = specs.iter().zip(all).enumerate();
        given.flat_map(|(number, (spec, given))| {
            given.devices.iter().map(move |device| (number, spec, device))
        })
    };
    for (number, spec, device) in each() {
        for (_, other_spec, other) in each().take_while(|(before, ..)| *before < number) {
            let pairs = device.streams.iter().flat_map(|run| other.streams.iter().map(move |its| (run, its)));
            let common = pairs.filter_map(|(run, its)| Some((run.smmu, run.common(its)?))).next();
            if let Some((smmu, id)) = common {
                let smmu = board.smmus.get(smmu).map_or("", |smmu| &smmu.path);
                let kind = ErrorKind::StreamTaken(Box::new(SharedStream {
                    device: device.path.clone(),
                    other: other.path.clone(),
                    owner: other_spec.name.clone(),
                    smmu: smmu.into(),
                    id,
                }));
                return Err(spec.error("devices", kind));
            }
        }
    }
    Ok(())
}

fn resolve(catalogue: &Catalogue<'_>, spec: &Spec) -> Result<Named, PlanError> {
    let mut named = Named { devices: Vec::new(), clocks: Vec::new(), trusted: Vec::new() };
    for name in spec.devices.iter().filter(|name| !pci::is_function(name)) {
        let device = find(catalogue, name).map_err(|kind| spec.error("devices", kind))?;
        let twice = named.devices.iter().find_map(|before| {
            let (inner, outer) = match catalogue.index.within(device, *before) {
                true => (device, *before),
                false if catalogue.index.within(*before, device) => (*before, device),
                false => return None,
            };
            Some(match inner == outer {
                true => format!("\"{}\"", catalogue.index.path(inner)),
                false => format!(
                    "\"{}\" (it comes with \"{}\")",
                    catalogue.index.path(inner),
                    catalogue.index.path(outer)
                ),
            })
        });
        if let Some(twice) = twice {
            return Err(spec.error("devices", ErrorKind::Twice(twice)));
        }
        can_be_given(catalogue, device).map_err(|kind| spec.error("devices", kind))?;
        named.devices.push(device);
    }
    for name in &spec.fixed_clocks {
        let clock = find(catalogue, name).map_err(|kind| spec.error("fixed-clocks", kind))?;
        let node = catalogue.index.node(clock);
        let path = || catalogue.path(clock);
        let wrong = match node {
            Some(node) if cell(node, "#clock-cells").is_none() => Some(ErrorKind::NotClock(path())),
            // Its node cannot be there itself and as the clocks that stand for it.
            _ if catalogue.among(clock, &named.devices) => Some(ErrorKind::Twice(format!("\"{}\"", path()))),
            _ if named.clocks.contains(&clock) => Some(ErrorKind::Twice(format!("\"{}\"", path()))),
            _ => None,
        };
        if let Some(kind) = wrong {
            return Err(spec.error("fixed-clocks", kind));
        }
        named.clocks.push(clock);
    }
    for name in &spec.dma_trusted {
        let device = find(catalogue, name).map_err(|kind| spec.error("dma-trusted", kind))?;
        if !catalogue.among(device, &named.devices) {
            return Err(spec.error("dma-trusted", ErrorKind::NotGiven(catalogue.path(device))));
        }
        named.trusted.push(device);
    }
    Ok(named)
}

fn find(catalogue: &Catalogue<'_>, name: &str) -> Result<usize, ErrorKind> {
    if let Some(found) = catalogue.index.resolve(name) {
        return Ok(found);
    }
    if pci::is_function(name) {
        return Err(ErrorKind::NotSupported(Some(format!("naming one PCI function (\"{name}\") here"))));
    }
    let paths = catalogue.index.entries().iter().map(|entry| entry.path.as_str());
    let near = match name.starts_with('/') {
        true => {
            // A path without its unit address is no misspelling but an omission.
            let longer = |path: &&str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('@'));
            paths.clone().find(longer).or_else(|| nearest(name, paths))
        }
        false => {
            let last = |path: &str| path.rsplit('/').next().is_some_and(|last| last == name);
            paths.clone().find(|path| last(path))
        }
    };
    Err(ErrorKind::NoSuchDevice(name.to_owned(), near.map(ToOwned::to_owned)))
}

/// Whether a node can be given at all.
pub(super) fn can_be_given(catalogue: &Catalogue<'_>, device: usize) -> Result<(), ErrorKind> {
    let path = || catalogue.path(device);
    // The subtree leaves disabled nodes out, which matters below the root only.
    for inner in catalogue.index.subtree(device) {
        let Some(facts) = catalogue.facts(inner) else { continue };
        if let Some(why) = facts.own {
            let own = if inner == device {
                path()
            } else {
                format!("{} (below {})", catalogue.path(inner), path())
            };
            return Err(ErrorKind::Own(own, why.to_owned()));
        }
    }
    if let Some(by) = catalogue.index.disabled_by(device) {
        return Err(ErrorKind::Disabled(path(), catalogue.path(by)));
    }
    for inner in catalogue.index.subtree(device) {
        let Some(facts) = catalogue.facts(inner) else { continue };
        let bad = |what: &str| ErrorKind::BadDeviceProperty(catalogue.path(inner), what.to_owned());
        match facts.registers {
            Registers::Bad if catalogue.index.is_pci(inner) => return Err(bad("reg or ranges")),
            Registers::Bad => return Err(bad("reg")),
            Registers::OffBus if inner == device => {
                let bus = catalogue
                    .index
                    .upwards(device)
                    .nth(1)
                    .map_or_else(String::new, |bus| catalogue.path(bus));
                let why =
                    format!("it lies on {bus}, whose addresses the CPU does not see; give {bus} instead");
                return Err(ErrorKind::Unreachable(path(), why));
            }
            _ => {}
        }
        if facts.bad_interrupts {
            return Err(bad("interrupts"));
        }
        if let Some(intid) = facts.private.first() {
            return Err(ErrorKind::PrivateInterrupt(catalogue.path(inner), intid.saturating_sub(16)));
        }
    }
    let has_registers =
        |above: &usize| catalogue.facts(*above).is_some_and(|facts| !facts.spans().is_empty());
    let is_bus =
        |above: usize| catalogue.index.node(above).is_some_and(|node| value(node, "ranges").is_some());
    let whole = catalogue.index.upwards(device).skip(1).find(|above| has_registers(above) && !is_bus(*above));
    if let Some(whole) = whole {
        let whole = catalogue.path(whole);
        let why = format!("it is a part of {whole}, which has registers; give {whole} instead");
        return Err(ErrorKind::Unreachable(path(), why));
    }
    Ok(())
}

/// Gathers a partition's devices and checks what they touch.
fn collect<'s>(
    catalogue: &Catalogue<'_>,
    board: &Board,
    spec: &'s Spec,
    named: &Named,
    owner: &dyn Fn(usize) -> Option<&'s str>,
) -> Result<Given, PlanError> {
    let error = |kind| spec.error("devices", kind);
    let mut given = Given {
        devices: Vec::new(),
        pci: Vec::new(),
        mmio: Vec::new(),
        spis: Vec::new(),
        streams: Vec::new(),
        fixed_clocks: Vec::new(),
        uart: None,
        notes: Vec::new(),
    };
    for device in &named.devices {
        let path = catalogue.path(*device);
        let mut whole =
            Device { path, regs: Vec::new(), spis: Vec::new(), dma: Vec::new(), streams: Vec::new() };
        for inner in catalogue.index.subtree(*device) {
            let (Some(facts), Some(node)) = (catalogue.facts(inner), catalogue.index.node(inner)) else {
                continue;
            };
            let path = || catalogue.path(inner);
            for span in facts.spans() {
                if board.ram.iter().any(|ram| ram.overlaps(&span.pages())) {
                    return Err(error(ErrorKind::InRam(path(), *span)));
                }
                if board.gic.frames().iter().any(|frame| frame.pages().overlaps(&span.pages())) {
                    let why = "it shares a page with the interrupt controller";
                    return Err(error(ErrorKind::Own(path(), why.to_owned())));
                }
            }
            let mut masters =
                shared_pages(catalogue, named, inner, owner, &mut given.notes).map_err(error)?;
            shared_interrupts(catalogue, board, named, inner, owner).map_err(error)?;
            if !facts.spans().is_empty() && kinds::can_dma(node) {
                masters.push(inner);
            }
            for master in masters {
                if let Some(streams) = guarded(catalogue, board, master).map_err(error)? {
                    whole.streams.extend(streams);
                } else if catalogue.among(inner, &named.trusted) {
                    whole.dma.extend(reached(catalogue, board, spec, master, &mut given.notes)?);
                } else if master == inner {
                    return Err(error(ErrorKind::Dma(path())));
                } else {
                    return Err(error(ErrorKind::DmaMate(path(), catalogue.path(master))));
                }
            }
            if given.uart.is_none() && kinds::is_uart(node) {
                given.uart = Some(path());
            }
            whole.regs.extend_from_slice(facts.spans());
            whole.spis.extend_from_slice(&facts.spis);
        }
        if whole.dma.is_empty() && catalogue.among(*device, &named.trusted) {
            let why = if whole.streams.is_empty() { "does no DMA" } else { "is behind an SMMU" };
            given.notes.push(format!("{} {why}, so dma-trusted changes nothing for it", whole.path));
        }
        sort::plain(&mut whole.dma);
        whole.dma.dedup();
        sort::plain(&mut whole.spis);
        whole.spis.dedup_by_key(|spi| spi.intid);
        whole.streams = smmu::merged(whole.streams);
        given.spis.extend_from_slice(&whole.spis);
        given.streams.extend_from_slice(&whole.streams);
        given.devices.push(whole);
    }
    sort::plain(&mut given.spis);
    given.spis.dedup_by_key(|spi| spi.intid);
    given.streams = smmu::merged(given.streams);
    given.mmio = merged_pages(given.devices.iter().flat_map(|device| &device.regs));
    Ok(given)
}

/// The RAM that a trusted device reaches. Some of the partition's must be there: what lies beyond, its guest has to keep
/// away from the device, as it knows from the same `dma-ranges`.
fn reached(
    catalogue: &Catalogue<'_>,
    board: &Board,
    spec: &Spec,
    device: usize,
    notes: &mut Vec<String>,
) -> Result<Vec<PaSpan>, PlanError> {
    let error = |kind| spec.error("dma-trusted", kind);
    let windows = dma::reach(catalogue.index, device)
        .map_err(|bus| error(ErrorKind::BadDeviceProperty(catalogue.path(bus), "dma-ranges".to_owned())))?;
    let mine: Vec<PaSpan> = spec
        .memory
        .iter()
        .filter_map(|entry| Some(PaSpan { base: entry.pin?, size: entry.ipa.size }))
        .collect();
    let within: u64 = dma::common(&mine, &windows).iter().map(|span| span.size).sum();
    if within == 0 {
        return Err(error(ErrorKind::DmaReach(catalogue.path(device), dma::words(&windows))));
    }
    if within < mine.iter().map(|span| span.size).sum() {
        notes.push(format!(
            "{} reaches only what of the memory lies at {}; the guest has to use that for its buffers",
            catalogue.path(device),
            dma::words(&windows)
        ));
    }
    Ok(dma::common(&board.ram, &windows))
}

/// The streams by which an SMMU that Partita drives knows a node's DMA; none if nothing guards it.
pub(super) fn guarded(
    catalogue: &Catalogue<'_>,
    board: &Board,
    device: usize,
) -> Result<Option<Vec<Streams>>, ErrorKind> {
    let streams = smmu::streams_of(catalogue.index, &board.smmus, device, None);
    streams.map_err(|property| ErrorKind::BadDeviceProperty(catalogue.path(device), property.to_owned()))
}

/// All that has registers in the same pages must be in the same partition. Disabled devices come along: the result is
/// those of them that can do DMA, which need the same trust or an SMMU.
fn shared_pages<'s>(
    catalogue: &Catalogue<'_>,
    named: &Named,
    device: usize,
    owner: &dyn Fn(usize) -> Option<&'s str>,
    notes: &mut Vec<String>,
) -> Result<Vec<usize>, ErrorKind> {
    let spans = catalogue.facts(device).map_or(&[][..], |facts| facts.spans());
    let path = || catalogue.path(device);
    let (mut mates, mut masters, mut page) = (Vec::new(), Vec::new(), 0);
    for (mate, facts, common) in catalogue.in_pages_of(spans) {
        // A core's debug registers act whatever their node's status is.
        let acts = catalogue.index.node(mate).is_some_and(kinds::is_debug);
        if facts.disabled && !acts {
            if catalogue.index.node(mate).is_some_and(kinds::can_dma) {
                masters.push(mate);
            }
            notes.push(format!(
                "{} comes with the registers of {}, which is disabled",
                path(),
                catalogue.path(mate)
            ));
        } else if facts.own.is_some() {
            let why = format!("it shares a page with {}, which Partita keeps", catalogue.path(mate));
            return Err(ErrorKind::Own(path(), why));
        } else if !catalogue.among(mate, &named.devices) {
            page = common.base.0;
            mates.push(mate);
        }
    }
    match mates.is_empty() {
        true => Ok(masters),
        false => Err(ErrorKind::PageMates(path(), page, enumerate(catalogue, &mates, owner))),
    }
}

/// All that has the same interrupt must be in the same partition.
fn shared_interrupts<'s>(
    catalogue: &Catalogue<'_>,
    board: &Board,
    named: &Named,
    device: usize,
    owner: &dyn Fn(usize) -> Option<&'s str>,
) -> Result<(), ErrorKind> {
    let path = || catalogue.path(device);
    for spi in catalogue.facts(device).map_or(&[][..], |facts| &facts.spis) {
        let mut mates = Vec::new();
        for (mate, facts) in catalogue.with_spi(spi.intid).filter(|(_, facts)| !facts.disabled) {
            if facts.own.is_some() {
                let why =
                    format!("it shares an interrupt with {}, which Partita keeps", catalogue.path(mate));
                return Err(ErrorKind::Own(path(), why));
            }
            // A bridge that nobody has whole is silent, but for functions that are given one by one: `pci::give`.
            let silent = owner(mate).is_none()
                && board.pci.iter().any(|bridge| bridge.path == catalogue.index.path(mate));
            if !silent && !catalogue.among(mate, &named.devices) {
                mates.push(mate);
            }
        }
        if !mates.is_empty() {
            let mates = enumerate(catalogue, &mates, owner);
            return Err(ErrorKind::InterruptMates(path(), spi.intid.saturating_sub(32), mates));
        }
    }
    Ok(())
}

/// Most nodes that an error names.
const MOST_NAMED: usize = 8;

/// `"/a", "/b" (now in linux)`.
fn enumerate<'s>(
    catalogue: &Catalogue<'_>,
    nodes: &[usize],
    owner: &dyn Fn(usize) -> Option<&'s str>,
) -> String {
    let mut words = String::new();
    for (place, node) in nodes.iter().enumerate() {
        if place == MOST_NAMED {
            words.push_str(&format!(", and {} more", nodes.len() - place));
            break;
        }
        if place > 0 {
            words.push_str(", ");
        }
        words.push_str(&format!("\"{}\"", catalogue.index.path(*node)));
        if let Some(owner) = owner(*node) {
            words.push_str(&format!(" (now in {owner})"));
        }
    }
    words
}
