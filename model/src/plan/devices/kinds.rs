//! What is known of devices by their `compatible`: which cannot do DMA, which are UARTs, which Partita keeps.
//!
//! The DMA list is one of permissions: a device that is not on it is taken to be able to read and write all memory.

use alloc::vec::Vec;

use crate::dt::Node;

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

/// Interconnects: caches stay coherent, and everybody's traffic flows, by their registers.
pub(super) const INTERCONNECTS: &[&str] = &[
    "arm,cci-400",
    "arm,cci-500",
    "arm,cci-550",
    "arm,ccn-502",
    "arm,ccn-504",
    "arm,ccn-508",
    "arm,ccn-512",
    "arm,cmn-600",
    "arm,cmn-650",
    "arm,cmn-700",
    "arm,ci-700",
];

/// Memory system resource partitioning: who gets how much of caches and bandwidth.
pub(super) const RESOURCES: &[&str] = &["arm,mpam-msc", "arm,mpam-memory-controller-msc"];

/// Whether a core is debugged, halted, traced or profiled from outside through a node: CoreSight (external debug, CTI, ETM,
/// and what carries traces to memory, which is DMA past stage 2), and the same as part of a core. Disabled ones count: their
/// registers are there.
pub(super) fn is_debug(node: &Node<'_>) -> bool {
    debugs(&names(node))
}

/// The same, by the node's names.
pub(super) fn debugs(names: &[&str]) -> bool {
    let whole = [
        "arm,cpu-debug",
        "arm,embedded-trace-extension",
        "arm,trace-buffer-extension",
        "arm,statistical-profiling-extension-v1",
    ];
    names.iter().any(|name| name.starts_with("arm,coresight") || whole.contains(name))
}

/// Whether a node of these names is about performance monitors: of cores, which are hidden, or of what cores share.
pub(super) fn monitors(names: &[&str]) -> bool {
    let shared = ["arm,dsu-pmu", "arm,smmu-v3-pmcg"];
    let of_cores = ["arm,cortex-", "arm,neoverse-", "apm,", "brcm,vulcan-", "cavium,thunder-"];
    names.iter().any(|name| {
        name.starts_with("arm,armv8-pmuv3")
            || shared.contains(name)
            || name.ends_with("-pmu") && of_cores.iter().any(|maker| name.starts_with(maker))
    })
}

/// What a node is compatible with.
pub(super) fn names<'a>(node: &'a Node<'_>) -> Vec<&'a str> {
    value(node, "compatible").and_then(strings).unwrap_or_default()
}

/// Whether a node is a UART that a guest can have as its console.
pub(super) fn is_uart(node: &Node<'_>) -> bool {
    compatible(node, UARTS)
}

/// Whether a node with registers can do DMA as far as is known. One name on the list suffices: a more specific one
/// before it (`brcm,bcm2711-...`) is a variant of it. A generic name alone (`arm,primecell`) does not.
pub(super) fn can_dma(node: &Node<'_>) -> bool {
    !names(node).iter().any(|name| UARTS.contains(name) || NO_DMA.contains(name))
}

#[cfg(test)]
mod tests {
    use crate::dt::Property;

    use super::*;

    fn with(names: &[&str]) -> Node<'static> {
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
        }
        let mut node = Node::new("n");
        node.add_property(Property::new("compatible", bytes));
        node
    }

    #[test]
    fn debug_and_monitors_are_known_by_any_name() {
        for name in [
            "arm,coresight-cti",
            "arm,coresight-cti-v8-arch",
            "arm,coresight-etm4x",
            "arm,coresight-cpu-debug",
            "arm,coresight-tmc",
            "arm,cpu-debug",
            "arm,trace-buffer-extension",
        ] {
            assert!(is_debug(&with(&[name, "arm,primecell"])), "{name}");
            assert!(is_debug(&with(&["maker,thing", name])), "{name}");
        }
        for name in ["arm,armv8-pmuv3", "arm,cortex-a72-pmu", "arm,neoverse-n1-pmu", "arm,dsu-pmu"] {
            assert!(monitors(&names(&with(&[name]))) && !is_debug(&with(&[name])), "{name}");
        }
        for name in ["arm,pl011", "arm,primecell", "maker,battery-pmu", "arm,cortex-a72"] {
            assert!(!is_debug(&with(&[name])) && !monitors(&names(&with(&[name]))), "{name}");
        }
    }

    #[test]
    fn what_is_not_known_can_do_dma() {
        assert!(!can_dma(&with(&["arm,pl031", "arm,primecell"])));
        assert!(!can_dma(&with(&["brcm,bcm2711-pl011", "arm,pl011", "arm,primecell"])));
        assert!(can_dma(&with(&["arm,primecell"])));
        assert!(can_dma(&with(&["virtio,mmio"])));
        assert!(can_dma(&with(&["pci-host-ecam-generic"])));
        assert!(can_dma(&Node::new("n")));
    }
}
