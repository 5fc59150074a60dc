//! What can be given: every node with registers, with what it shares and why it cannot be given, if it cannot.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::dt::Tree;

use super::{Catalogue, dma, give, kinds};
use crate::addr::PaSpan;
use crate::dt::Index;
use crate::plan::{Board, Spi, Streams};

/// A node with registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its path.
    pub path: String,
    /// Its registers.
    pub regs: Vec<PaSpan>,
    /// Its SPIs.
    pub spis: Vec<Spi>,
    /// Nodes with registers in the same pages: they go to the same partition. Those that are disabled come along by
    /// themselves.
    pub page_mates: Vec<String>,
    /// Nodes with one of its interrupts: they go to the same partition, unless they are disabled.
    pub interrupt_mates: Vec<String>,
    /// Whether it can do DMA, as far as is known; what Partita keeps does not count.
    pub dma: bool,
    /// The RAM that it can then read and write with nothing to stop it.
    pub reach: Vec<PaSpan>,
    /// What an SMMU that Partita drives knows its DMA by; empty: it does none, or nothing guards it.
    pub streams: Vec<Streams>,
    /// Whether it is disabled in the board's tree.
    pub disabled: bool,
    /// Why it cannot be given, if it cannot; a UART that EL2 prints on can while no console is shared.
    pub why_not: Option<String>,
}

/// All nodes with registers, in the tree's order.
#[must_use]
pub fn list(tree: &Tree<'_>, board: &Board) -> Vec<Offer> {
    let index = Index::new(tree);
    let catalogue = Catalogue::new(&index).with_uart(board);
    let mut offers = Vec::new();
    for (number, entry) in index.entries().iter().enumerate() {
        let Some(facts) = catalogue.facts(number).filter(|facts| !facts.spans().is_empty()) else { continue };
        let hidden = ["/memory", "/reserved-memory/", "/partitions/"];
        if hidden.iter().any(|prefix| entry.path.starts_with(prefix)) {
            continue;
        }
        let mates = |found: &mut dyn Iterator<Item = usize>| {
            let mut paths: Vec<String> = found
                .filter(|mate| !index.within(*mate, number) && !index.within(number, *mate))
                .map(|mate| catalogue.path(mate))
                .collect();
            paths.sort();
            paths.dedup();
            paths
        };
        let dma = facts.own.is_none() && kinds::can_dma(entry.node);
        let guarded = give::guarded(&catalogue, board, number).ok().flatten().filter(|_| dma);
        let reach = match dma && guarded.is_none() {
            true => dma::common(&board.ram, &dma::reach(&index, number).unwrap_or_default()),
            false => Vec::new(),
        };
        let mut spis = facts.spis.clone();
        spis.sort_unstable();
        spis.dedup();
        let kept = catalogue
            .in_pages_of(facts.spans())
            .map(|(mate, facts, _)| (mate, facts))
            .chain(facts.spis.iter().flat_map(|spi| catalogue.with_spi(spi.intid)))
            .find(|(mate, facts)| *mate != number && facts.own.is_some() && !facts.disabled);
        let why_not = match give::can_be_given(&catalogue, number) {
            Err(kind) => Some(kind.to_string()),
            Ok(()) if let Some((mate, _)) = kept => {
                let why = alloc::format!("{} is in its set, which Partita keeps", catalogue.path(mate));
                Some(super::super::ErrorKind::Own(entry.path.clone(), why).to_string())
            }
            Ok(()) if dma && guarded.is_none() => {
                Some(super::super::ErrorKind::Dma(entry.path.clone()).to_string())
            }
            Ok(()) => None,
        };
        offers.push(Offer {
            path: entry.path.clone(),
            regs: facts.spans().to_vec(),
            spis,
            page_mates: mates(&mut catalogue.in_pages_of(facts.spans()).map(|(mate, _, _)| mate)),
            interrupt_mates: mates(
                &mut facts.spis.iter().flat_map(|spi| catalogue.with_spi(spi.intid).map(|(mate, _)| mate)),
            ),
            dma,
            reach,
            streams: guarded.unwrap_or_default(),
            disabled: facts.disabled,
            why_not,
        });
    }
    offers
}
