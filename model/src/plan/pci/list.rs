//! What bridges have to give: not functions, which are not in the tree, but what holds for those that are there.

use alloc::string::String;
use alloc::vec::Vec;

use crate::dt::Tree;

use super::bridge;
use crate::dt::Index;
use crate::pci::Address;
use crate::plan::{Board, Spi, smmu};

/// A bridge whose functions can be given one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeOffer {
    /// Path of its node.
    pub path: String,
    /// The bus that they are on.
    pub bus: u8,
    /// Whether an SMMU that Partita drives stands before all of that bus: without one none can be given.
    pub guarded: bool,
    /// The devices of the bus by interrupt.
    pub lines: Vec<Line>,
}

/// Devices whose pin A leads to one interrupt: their functions go to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The interrupt; none: they have none.
    pub spi: Option<Spi>,
    /// The numbers of the devices.
    pub devices: Vec<u8>,
}

/// The board's bridges, in the tree's order.
#[must_use]
pub fn list(tree: &Tree<'_>, board: &Board) -> Vec<BridgeOffer> {
    let index = Index::new(tree);
    let offer = |bridge: &super::Bridge| {
        let node = index.find(&bridge.path)?;
        let bus = bridge.buses.0;
        let guarded = (0..=u8::MAX).all(|function| {
            let requester = u16::from(bus) << 8 | u16::from(function);
            matches!(smmu::streams_of(&index, &board.smmus, node, Some(requester)), Ok(Some(_)))
        });
        let mut lines: Vec<Line> = Vec::new();
        for device in 0..32 {
            // One that cannot be understood can be given to nobody.
            let Ok(spi) = bridge::pin_a(&index, node, Address::of(bus, device, 0)) else { continue };
            match lines.iter_mut().find(|line| line.spi == spi) {
                Some(line) => line.devices.push(device),
                None => lines.push(Line { spi, devices: alloc::vec![device] }),
            }
        }
        Some(BridgeOffer { path: bridge.path.clone(), bus, guarded, lines })
    };
    board.pci.iter().filter_map(offer).collect()
}
