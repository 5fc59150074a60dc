//! Giving functions: each is on the root bus of a bridge that Partita knows, has one owner, and comes with everything
//! that shares its device, its interrupt or its stream.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{PciFunction, PciPart, bridge, window};
use crate::dt::{nearest, value};
use crate::pci::Address;
use crate::plan::devices::{Catalogue, Given, merged_pages};
use crate::plan::spec::Spec;
use crate::plan::{Board, ErrorKind, PlanError, SharedStream, smmu};
use crate::sort;

/// Whether a name in `devices` is a function's rather than a node's: `.../00:02.0`, more or less as lspci prints it.
pub(in crate::plan) fn is_function(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default().as_bytes();
    let hex = |byte: &u8| byte.is_ascii_hexdigit();
    let short = last.rsplit(|byte| *byte == b'.').next().is_some_and(|function| function.len() == 1);
    short && last.contains(&b':') && last.iter().all(|byte| hex(byte) || matches!(*byte, b':' | b'.'))
}

/// A function that a partition names, with what the tree says of it.
struct Claim<'a> {
    spec: &'a Spec,
    /// The partition's number.
    partition: usize,
    bridge: usize,
    function: PciFunction,
}

impl Claim<'_> {
    fn error(&self, kind: ErrorKind) -> PlanError {
        self.spec.error("devices", kind)
    }

    /// As a list of mates names it.
    fn words(&self) -> String {
        format!("\"{}\" (in {})", self.function.name, self.spec.name)
    }
}

/// Gives every partition the functions that it asks for: adds them to what it has.
pub(in crate::plan) fn give(
    catalogue: &Catalogue<'_>,
    board: &Board,
    specs: &[Spec],
    given: &mut [Given],
) -> Result<(), PlanError> {
    let mut claims: Vec<Claim<'_>> = Vec::new();
    for (partition, spec) in specs.iter().enumerate() {
        for name in spec.devices.iter().filter(|name| is_function(name)) {
            let (bridge, function) =
                resolve(catalogue, board, name).map_err(|kind| spec.error("devices", kind))?;
            let claim = Claim { spec, partition, bridge, function };
            unowned(catalogue, board, specs, &claims, &claim)?;
            claims.push(claim);
        }
    }
    for claim in &claims {
        together(&claims, claim)?;
        told_apart(board, specs, &claims, given, claim)?;
        wired(catalogue, board, specs, claim)?;
    }
    for number in 0..board.pci.len() {
        share(board, number, &claims, given)?;
    }
    Ok(())
}

/// Finds the bridge and what the tree says of the function.
fn resolve(catalogue: &Catalogue<'_>, board: &Board, name: &str) -> Result<(usize, PciFunction), ErrorKind> {
    let index = catalogue.index;
    let (path, last) = name.rsplit_once('/').unwrap_or(("", name));
    let Some(node) = index.resolve(path) else {
        let near = nearest(path, board.pci.iter().map(|bridge| bridge.path.as_str()));
        return Err(ErrorKind::NoSuchDevice(name.to_owned(), near.map(|near| format!("{near}/{last}"))));
    };
    let path = index.path(node);
    if let Some(by) = index.disabled_by(node) {
        return Err(ErrorKind::Disabled(name.to_owned(), index.path(by).to_owned()));
    }
    let Some((number, bridge)) = board.pci.iter().enumerate().find(|(_, bridge)| bridge.path == path) else {
        return Err(ErrorKind::PciBridge(name.to_owned(), path.to_owned()));
    };
    let Some(address) = Address::parse(last) else { return Err(ErrorKind::PciNumbers(name.to_owned())) };
    let later = |what: &str| ErrorKind::NotSupported(Some(format!("giving \"{name}\", {what},")));
    if address.bus() != bridge.buses.0 {
        return Err(later("which is not on the bridge's first bus"));
    }
    let bad = |property: &str| ErrorKind::BadDeviceProperty(path.to_owned(), property.to_owned());
    // A window is mapped to who has functions behind it: RAM and the interrupt controller are never in one.
    let taken = |window: &super::Window| {
        let span = window.physical().pages();
        board.ram.iter().chain(&board.gic.frames()).any(|other| other.overlaps(&span))
    };
    if bridge.windows.is_empty() || bridge.windows.iter().any(taken) {
        return Err(bad("ranges"));
    }
    // What a function says on the bus has to be what the SMMU gets.
    let translated = |node| index.node(node).and_then(|node| value(node, "dma-ranges"));
    if index.upwards(node).any(|node| translated(node).is_some_and(|ranges| !ranges.is_empty())) {
        return Err(later("whose bridge has dma-ranges"));
    }
    let spi = bridge::pin_a(index, node, address).map_err(bad)?;
    let name = format!("{path}/{last}");
    match smmu::streams_of(index, &board.smmus, node, Some(address.requester())).map_err(bad)? {
        Some(streams) => Ok((number, PciFunction { name, address, spi, streams })),
        None => Err(ErrorKind::PciDma(name, path.to_owned())),
    }
}

/// Nobody has the function yet, nor its bridge.
fn unowned(
    catalogue: &Catalogue<'_>,
    board: &Board,
    specs: &[Spec],
    before: &[Claim<'_>],
    claim: &Claim<'_>,
) -> Result<(), PlanError> {
    let name = || claim.function.name.clone();
    let path = board.pci.get(claim.bridge).map_or("", |bridge| &bridge.path);
    let same =
        |other: &&Claim<'_>| other.bridge == claim.bridge && other.function.address == claim.function.address;
    let owner = before.iter().find(same).map(|other| (other.spec, name()));
    let whole = specs.iter().find_map(|spec| {
        let mut names = spec.devices.iter().filter(|name| !is_function(name));
        let node = catalogue.index.find(path)?;
        let outer = names.find_map(|name| {
            catalogue.index.resolve(name).filter(|outer| catalogue.index.within(node, *outer))
        })?;
        Some((spec, format!("{} (it comes with \"{}\")", name(), catalogue.index.path(outer))))
    });
    match owner.or(whole) {
        None => Ok(()),
        Some((spec, what)) if spec.name == claim.spec.name => {
            let (first, rest) = what.split_once(' ').unwrap_or((&what, ""));
            let space = if rest.is_empty() { "" } else { " " };
            Err(claim.error(ErrorKind::Twice(format!("\"{first}\"{space}{rest}"))))
        }
        Some((spec, what)) => Err(claim.error(ErrorKind::DeviceTaken(what, spec.name.clone()))),
    }
}

/// Functions of one device go together, and with its function 0; so do those of one interrupt.
fn together(claims: &[Claim<'_>], claim: &Claim<'_>) -> Result<(), PlanError> {
    let (name, address) = (&claim.function.name, claim.function.address);
    let others = || claims.iter().filter(|other| other.partition != claim.partition);
    let device = |other: &&Claim<'_>| {
        other.bridge == claim.bridge && other.function.address.requester() >> 3 == address.requester() >> 3
    };
    if let Some(other) = others().find(device) {
        return Err(claim.error(ErrorKind::PciDevice(name.clone(), other.words())));
    }
    let first = |other: &Claim<'_>| device(&other) && other.function.address.function() == 0;
    if !claims.iter().any(first) {
        let zero = Address::of(address.bus(), address.device(), 0);
        let path = name.rsplit_once('/').map_or("", |(path, _)| path);
        return Err(claim.error(ErrorKind::PciFirst(name.clone(), format!("{path}/{zero}"))));
    }
    let Some(spi) = claim.function.spi else { return Ok(()) };
    let line = |other: &&Claim<'_>| other.function.spi.is_some_and(|other| other.intid == spi.intid);
    let mates: Vec<String> = others().filter(line).map(Claim::words).collect();
    match mates.is_empty() {
        true => Ok(()),
        false => {
            let kind = ErrorKind::PciLine(name.clone(), spi.intid.saturating_sub(32), mates.join(", "));
            Err(claim.error(kind))
        }
    }
}

/// What an SMMU cannot tell from another partition's is not given.
fn told_apart(
    board: &Board,
    specs: &[Spec],
    claims: &[Claim<'_>],
    given: &[Given],
    claim: &Claim<'_>,
) -> Result<(), PlanError> {
    let devices = given.iter().enumerate().flat_map(|(partition, given)| {
        given.devices.iter().map(move |device| (partition, &device.path, &device.streams))
    });
    let functions =
        claims.iter().map(|claim| (claim.partition, &claim.function.name, &claim.function.streams));
    for (partition, name, streams) in devices.chain(functions).filter(|other| other.0 != claim.partition) {
        let mut pairs =
            claim.function.streams.iter().flat_map(|mine| streams.iter().map(move |theirs| (mine, theirs)));
        if let Some((smmu, id)) = pairs.find_map(|(mine, theirs)| Some((mine.smmu, mine.common(theirs)?))) {
            return Err(claim.error(ErrorKind::StreamTaken(Box::new(SharedStream {
                device: claim.function.name.clone(),
                other: name.clone(),
                owner: specs.get(partition).map_or_else(String::new, |spec| spec.name.clone()),
                smmu: board.smmus.get(smmu).map_or_else(String::new, |smmu| smmu.path.clone()),
                id,
            }))));
        }
    }
    Ok(())
}

/// Other devices with the function's interrupt are its partition's too, and it is none of Partita's.
fn wired(
    catalogue: &Catalogue<'_>,
    board: &Board,
    specs: &[Spec],
    claim: &Claim<'_>,
) -> Result<(), PlanError> {
    let Some(spi) = claim.function.spi else { return Ok(()) };
    let name = || claim.function.name.clone();
    for (mate, why) in catalogue.enabled_with_spi(spi.intid) {
        let path = catalogue.index.path(mate);
        // The bridge has the interrupts of all its functions.
        if board.pci.get(claim.bridge).is_some_and(|bridge| bridge.path == path) {
            continue;
        }
        if why.is_some() {
            let why = format!("it shares an interrupt with {path}, which Partita keeps");
            return Err(claim.error(ErrorKind::Own(name(), why)));
        }
        let has = |spec: &&Spec| {
            let mut nodes = spec.devices.iter().filter_map(|name| catalogue.index.resolve(name));
            nodes.any(|node| catalogue.index.within(mate, node))
        };
        let owner = specs.iter().find(has).map(|spec| spec.name.as_str());
        if owner != Some(&*claim.spec.name) {
            let now = owner.map(|owner| format!(" (now in {owner})")).unwrap_or_default();
            let kind =
                ErrorKind::InterruptMates(name(), spi.intid.saturating_sub(32), format!("\"{path}\"{now}"));
            return Err(claim.error(kind));
        }
    }
    Ok(())
}

/// Divides a bridge among those that have functions of it.
fn share(board: &Board, number: usize, claims: &[Claim<'_>], given: &mut [Given]) -> Result<(), PlanError> {
    let Some(bridge) = board.pci.get(number) else { return Ok(()) };
    let of = |partition: usize| {
        claims.iter().filter(move |claim| claim.bridge == number && claim.partition == partition)
    };
    let parts = (0..given.len()).filter(|partition| of(*partition).next().is_some()).count() as u64;
    let mut place = 0;
    for (partition, given) in given.iter_mut().enumerate() {
        let Some(claim) = of(partition).next() else { continue };
        let mut part = PciPart::new(number, bridge);
        part.windows = window::parts(&bridge.windows, place, parts);
        place += 1;
        if part.windows.is_empty() {
            return Err(claim.error(ErrorKind::PciWindow(bridge.path.clone(), parts)));
        }
        part.functions = of(partition).map(|claim| claim.function.clone()).collect();
        let spis = part.functions.iter().filter_map(|function| function.spi);
        given.spis.extend(spis);
        sort::plain(&mut given.spis);
        given.spis.dedup_by_key(|spi| spi.intid);
        let streams = part.functions.iter().flat_map(|function| &function.streams);
        given.streams = smmu::merged(given.streams.iter().chain(streams).copied().collect());
        let windows: Vec<_> = part.windows.iter().map(super::Window::physical).collect();
        given.mmio = merged_pages(given.mmio.iter().chain(&windows));
        given.pci.push(part);
    }
    Ok(())
}
