//! Host bridges of which the partition has functions: a root bus with its part of the windows and its interrupts, and
//! nothing that leads to message-signalled interrupts or an SMMU, neither of which the guest has.

use alloc::vec::Vec;

use crate::dt::Node;

use super::Writer;
use super::node::{self, set_cells, set_strings, set_u64s};
use crate::dt::{cell, value};
use crate::pci::Address;
use crate::plan::{PciPart, PlanError};

/// What is taken over of the host's node.
const BRIDGE: &[&str] = &["linux,pci-domain", "numa-node-id", "phandle"];
/// The mask of an interrupt map: bus and device, and the pin (IEEE 1275 PCI binding, 2.2.1.1).
const MAP_MASK: [u32; 4] = [0xfff800, 0, 0, 7];
/// First SPI, and the triggers of a specifier.
const SPI: u32 = 32;
const EDGE_RISING: u32 = 1;
const LEVEL_HIGH: u32 = 4;

impl Writer<'_> {
    /// The bridges, at the root: their addresses are the CPU's, whatever buses the host has above them.
    pub(super) fn bridges(&mut self) -> Result<(), PlanError> {
        for part in &self.partition.pci {
            let Some(bridge) = self.plan.board.pci.get(part.bridge) else { continue };
            let (number, host) = self.host(&bridge.path)?;
            let bus = u32::from(bridge.buses.0);
            let mut node = Node::new(host.name());
            set_strings(&mut node, "compatible", &["pci-host-ecam-generic"]);
            set_strings(&mut node, "device_type", &["pci"]);
            set_cells(&mut node, "#address-cells", &[3]);
            set_cells(&mut node, "#size-cells", &[2]);
            set_u64s(&mut node, "reg", &[part.ecam.base.0, part.ecam.size]);
            set_cells(&mut node, "bus-range", &[bus, bus]);
            let halves = |number: u64| [(number >> 32) as u32, number as u32];
            let ranges = part.windows.iter().flat_map(|window| {
                let cells = [window.bus.0, window.at.0, window.size].map(halves);
                [window.space].into_iter().chain(cells.into_iter().flatten())
            });
            let ranges: Vec<u32> = ranges.collect();
            set_cells(&mut node, "ranges", &ranges);
            set_cells(&mut node, "#interrupt-cells", &[1]);
            set_cells(&mut node, "interrupt-map-mask", &MAP_MASK);
            set_cells(&mut node, "interrupt-map", &self.interrupts_of(part));
            node::copy(&mut node, host, BRIDGE);
            // Linux takes it from the nearest node above that says so (drivers/of/address.c: `of_dma_is_coherent`).
            let above = self.index.upwards(number).find_map(|above| {
                let node = self.index.node(above)?;
                ["dma-coherent", "dma-noncoherent"].into_iter().find(|name| value(node, name).is_some())
            });
            if let Some(name) = above {
                node::set(&mut node, name, Vec::new());
            }
            self.copied.insert(number);
            self.add(node)?;
        }
        Ok(())
    }

    /// Pin A of each device that the partition has functions of.
    fn interrupts_of(&self, part: &PciPart) -> Vec<u32> {
        let unit_cells = cell(self.gic.1, "#address-cells").unwrap_or(0) as usize;
        let mut map = Vec::new();
        for function in part.functions.iter().filter(|function| function.address.function() == 0) {
            let Some(spi) = function.spi else { continue };
            let flags = if spi.edge { EDGE_RISING } else { LEVEL_HIGH };
            map.extend([unit(function.address), 0, 0, 1, self.gic_phandle]);
            map.resize(map.len() + unit_cells, 0);
            map.extend(self.interrupt(0, spi.intid.saturating_sub(SPI), flags));
        }
        map
    }
}

/// A function's unit address: bus, device and function from bit 8 on.
fn unit(function: Address) -> u32 {
    u32::from(function.requester()) << 8
}
