//! What devices refer to: a node without registers and interrupts is copied into the guest's tree, one with any must be
//! given too, or stand in for a clock that does not change. What is above a node without being a bus is part of it: a GPIO
//! expander below a firmware's node works through that firmware's mailbox.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::clocks::{Uses, is_clock_property};
use super::give::Named;
use super::{Catalogue, Facts};
use crate::dt::{Target, properties, value};
use crate::plan::ErrorKind;

/// Checks everything that a partition's devices refer to, also through nodes that are copied; returns the outputs of
/// fixed clocks that they use.
pub(super) fn check(catalogue: &Catalogue<'_>, named: &Named) -> Result<Uses, ErrorKind> {
    let index = catalogue.index;
    let mut uses = Uses::new();
    // Each node with the given node that led to it, if it is not itself given.
    let mut seen: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    let given = named.devices.iter().flat_map(|device| index.subtree(*device));
    let mut rest: Vec<(usize, Option<usize>)> = given.map(|device| (device, None)).collect();
    for device in &named.devices {
        rest.extend(above(catalogue, *device).map(|above| (above, Some(*device))));
    }
    while let Some((number, led)) = rest.pop() {
        let Some(node) = index.node(number).filter(|_| !seen.contains_key(&number)) else { continue };
        seen.insert(number, led);
        let mut targets = Vec::new();
        for (property, value) in properties(node) {
            let found = index
                .references(property, value)
                .map_err(|phandle| ErrorKind::Dangling(catalogue.path(number), property.into(), phandle))?;
            targets.extend(found.into_iter().map(|target| (property, target)));
        }
        if let Some(facts) = catalogue.facts(number) {
            let controllers = facts.controllers.iter();
            targets.extend(
                controllers
                    .map(|controller| ("interrupts", Target { node: *controller, arguments: Vec::new() })),
            );
        }
        for (property, Target { node: target, arguments }) in targets {
            if named.clocks.contains(&target) && is_clock_property(property) {
                if property == "clocks" {
                    uses.entry((target, arguments)).or_insert(number);
                }
                continue;
            }
            let settled = catalogue.among(target, &named.devices)
                || Some(target) == catalogue.gic
                || index.disabled_by(target).is_some();
            if settled {
                continue;
            }
            if index.is_no_provider(target) {
                let why = format!(
                    "its {property} refers to {}, which is no part of any device; mend the board's tree",
                    catalogue.path(target)
                );
                return Err(ErrorKind::Unreachable(catalogue.path(number), why));
            }
            // A bus comes without the devices on it, anything else with its parts.
            let bus = index.node(target).is_some_and(|node| value(node, "ranges").is_some());
            let mut parts = if bus { alloc::vec![target] } else { index.subtree(target) };
            parts.retain(|part| index.disabled_by(*part).is_none());
            let is_a_device = |number: &usize| catalogue.facts(*number).is_some_and(Facts::is_a_device);
            let part = parts.iter().find(|part| is_a_device(part)).map(|_| target);
            let provider = index.upwards(target).find(is_a_device).or(part);
            let led = led.or(Some(number));
            let Some(provider) = provider else {
                rest.extend(parts.into_iter().map(|part| (part, led)));
                rest.extend(above(catalogue, target).map(|above| (above, led)));
                continue;
            };
            return Err(lacks(catalogue, (number, seen.get(&number).copied().flatten()), property, provider));
        }
    }
    Ok(uses)
}

/// The nodes above one that are no buses, whose references are its own.
fn above<'a>(catalogue: &'a Catalogue<'_>, number: usize) -> impl Iterator<Item = usize> + 'a {
    let index = catalogue.index;
    let bus = |above: &usize| {
        let entry = index.entries().get(*above);
        entry.is_none_or(|entry| entry.parent.is_none() || value(entry.node, "ranges").is_some())
    };
    index.upwards(number).skip(1).filter(move |above| !bus(above))
}

/// The error about a provider that the partition does not have.
fn lacks(
    catalogue: &Catalogue<'_>,
    (number, led): (usize, Option<usize>),
    property: &str,
    provider: usize,
) -> ErrorKind {
    let (path, provider_path) = (catalogue.path(number), catalogue.path(provider));
    let clock = is_clock_property(property);
    if let Some(why) = catalogue.facts(provider).and_then(|facts| facts.own) {
        let why = match clock {
            false => format!("it needs {provider_path} ({property}), but {why}"),
            true => format!(
                "it needs {provider_path} ({property}), but {why}; add \"{provider_path}\" to fixed-clocks"
            ),
        };
        return ErrorKind::Unreachable(path, why);
    }
    if !catalogue.facts(provider).is_some_and(Facts::has_registers) {
        let why = format!(
            "it needs {provider_path} ({property}), which has interrupts of its own; add \"{provider_path}\""
        );
        return ErrorKind::Unreachable(path, why);
    }
    match (clock, led) {
        (true, _) => ErrorKind::NeedsClock(path, property.into(), provider_path),
        (false, None) => ErrorKind::NeedsDevice(path, property.into(), provider_path),
        (false, Some(led)) => ErrorKind::NeedsThrough(
            catalogue.path(led).into(),
            path.into(),
            property.into(),
            provider_path.into(),
        ),
    }
}
