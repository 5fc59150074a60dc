//! What devices refer to: a node without registers is copied into the guest's tree, one with registers must be given
//! too, or stand in for a clock that does not change.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use super::Catalogue;
use super::give::Named;
use crate::dt::{properties, value};
use crate::plan::ErrorKind;

/// Checks everything that a partition's devices refer to, also through nodes that are copied.
pub(super) fn check(catalogue: &Catalogue<'_>, named: &Named) -> Result<(), ErrorKind> {
    let index = catalogue.index;
    let mut seen = BTreeSet::new();
    let mut rest: Vec<usize> = named.devices.iter().flat_map(|device| index.subtree(*device)).collect();
    while let Some(number) = rest.pop() {
        let Some(node) = index.node(number).filter(|_| seen.insert(number)) else { continue };
        let mut targets = Vec::new();
        for (property, value) in properties(node) {
            let found = index
                .references(&property, value)
                .map_err(|phandle| ErrorKind::Dangling(catalogue.path(number), property.clone(), phandle))?;
            targets.extend(found.into_iter().map(|target| (property.clone(), target)));
        }
        if let Some(facts) = catalogue.facts(number) {
            targets.extend(facts.controllers.iter().map(|controller| ("interrupts".into(), *controller)));
        }
        for (property, target) in targets {
            let settled = catalogue.among(target, &named.devices)
                || catalogue.among(target, &named.clocks)
                || Some(target) == catalogue.gic
                || index.disabled_by(target).is_some();
            if settled {
                continue;
            }
            let provider = index
                .upwards(target)
                .find(|above| catalogue.facts(*above).is_some_and(|facts| !facts.spans().is_empty()));
            let Some(provider) = provider else {
                // A bus comes without the devices on it, anything else with its parts.
                match index.node(target).is_some_and(|node| value(node, "ranges").is_some()) {
                    true => rest.push(target),
                    false => rest.extend(index.subtree(target)),
                }
                continue;
            };
            let (path, provider_path) = (catalogue.path(number), catalogue.path(provider));
            if let Some(why) = catalogue.facts(provider).and_then(|facts| facts.own) {
                let why = format!("it needs {provider_path} ({property}), but {why}");
                return Err(ErrorKind::Unreachable(path, why));
            }
            return Err(match property.contains("clock") {
                true => ErrorKind::NeedsClock(path, property.into(), provider_path),
                false => ErrorKind::NeedsDevice(path, property.into(), provider_path),
            });
        }
    }
    Ok(())
}
