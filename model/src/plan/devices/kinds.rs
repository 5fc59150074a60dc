//! What is known of devices by their `compatible`: which cannot do DMA, which are UARTs, which Partita keeps.
//!
//! The DMA list is one of permissions: a device that is not on it is taken to be able to read and write all memory.

use dtoolkit::model::DeviceTreeNode;

use crate::dt::{compatible, strings, value};

/// UARTs whose registers are all that they are.
const UARTS: &[&str] = &[
    "arm,pl011",
    "arm,sbsa-uart",
    "brcm,bcm2835-aux-uart",
    "ns16550",
    "ns16550a",
    "ns8250",
    "snps,dw-apb-uart",
];

/// Other devices without a bus master. Those that can use a DMA controller name it in `dmas`, which makes the
/// partition need that controller, and that one is not on this list.
const NO_DMA: &[&str] = &[
    "arm,pl022",
    "arm,pl031",
    "arm,pl050",
    "arm,pl061",
    "arm,sp804",
    "arm,sp805",
    "arm,sbsa-gwdt",
    "brcm,bcm2711-gpio",
    "brcm,bcm2835-aux",
    "brcm,bcm2835-aux-spi",
    "brcm,bcm2835-gpio",
    "brcm,bcm2835-i2c",
    "brcm,bcm2711-i2c",
    "brcm,bcm2835-pwm",
    "brcm,bcm2835-rng",
    "brcm,bcm2835-sdhost",
    "brcm,bcm2835-spi",
    "brcm,bcm2835-system-timer",
    "brcm,bcm2711-rng200",
    "cfi-flash",
    "snps,designware-i2c",
    "snps,dw-apb-gpio",
    "snps,dw-apb-timer",
];

/// SMMUs, which Partita keeps.
pub(super) const SMMUS: &[&str] =
    &["arm,smmu-v3", "arm,mmu-500", "arm,smmu-v2", "arm,mmu-401", "arm,smmu-v1"];

/// Controllers by which a core's interrupts go to it.
pub(super) const CORE_INTERRUPTS: &[&str] = &["brcm,bcm2836-l1-intc"];

/// Controllers of every clock of a board, also of those that a partition's neighbours and Partita's UART run by.
pub(super) const BOARD_CLOCKS: &[&str] = &["brcm,bcm2711-cprman", "brcm,bcm2835-cprman"];

/// Controllers of a board's power and reset.
pub(super) const BOARD_POWER: &[&str] = &["brcm,bcm2711-pm", "brcm,bcm2835-pm", "brcm,bcm2835-pm-wdt"];

/// Whether a node is a UART that a guest can have as its console.
pub(super) fn is_uart(node: &DeviceTreeNode) -> bool {
    compatible(node, UARTS)
}

/// Whether a node with registers can do DMA as far as is known. One name on the list suffices: a more specific one
/// before it (`brcm,bcm2711-...`) is a variant of it. A generic name alone (`arm,primecell`) does not.
pub(super) fn can_dma(node: &DeviceTreeNode) -> bool {
    let names = value(node, "compatible").and_then(strings).unwrap_or_default();
    !names.iter().any(|name| UARTS.contains(name) || NO_DMA.contains(name))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use dtoolkit::model::DeviceTreeProperty;

    use super::*;

    fn with(names: &[&str]) -> DeviceTreeNode {
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
        }
        let mut node = DeviceTreeNode::new("n").unwrap();
        node.add_property(DeviceTreeProperty::new("compatible", bytes).unwrap());
        node
    }

    #[test]
    fn what_is_not_known_can_do_dma() {
        assert!(!can_dma(&with(&["arm,pl031", "arm,primecell"])));
        assert!(!can_dma(&with(&["brcm,bcm2711-pl011", "arm,pl011", "arm,primecell"])));
        assert!(can_dma(&with(&["arm,primecell"])));
        assert!(can_dma(&with(&["virtio,mmio"])));
        assert!(can_dma(&with(&["pci-host-ecam-generic"])));
        assert!(can_dma(&DeviceTreeNode::new("n").unwrap()));
    }
}
