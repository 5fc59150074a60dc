//! Which properties refer to other nodes, and how: the phandle alone, or with arguments counted by the other node.
//!
//! The names are those of the Devicetree Specification and of the common bindings of the Linux kernel's
//! Documentation/devicetree/bindings. A reference in a property that is not listed here cannot be told from a number.

use alloc::vec::Vec;

use super::node::cell;
use super::phandles::Phandles;

/// Properties that are left out of a guest's tree, because what they refer to is never given to a partition: the
/// IOMMU, the MSI controller, cores by the host's nodes, caches.
pub(super) const DROPPED: &[&str] = &[
    "iommus",
    "iommu-map",
    "iommu-map-mask",
    "msi-parent",
    "msi-map",
    "msi-map-mask",
    "interrupt-affinity",
    "cooling-device",
    "next-level-cache",
    "linux,phandle",
];

/// The clock set-up that the kernel is to do; pointless where a provider is a fixed clock.
pub(super) const ASSIGNED_CLOCKS: &[&str] =
    &["assigned-clocks", "assigned-clock-parents", "assigned-clock-rates", "assigned-clock-rates-u64"];

/// One reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The node referred to; 0 is an empty place in the list.
    pub(super) phandle: u32,
    /// Cells of the whole entry: the phandle and its arguments.
    pub(super) cells: usize,
}

/// How many arguments follow a phandle.
enum Arguments {
    /// None, ever.
    None,
    /// As many as the other node says in this property, or the default.
    Counted(&'static str, usize),
}

/// The references in a property, in order; empty where it holds none. A list is read as far as it makes sense.
pub(super) fn references(name: &str, value: &[u8], phandles: &Phandles<'_>) -> Vec<Reference> {
    let mut found = Vec::new();
    let Some(arguments) = arguments(name) else {
        return found;
    };
    let mut rest: &[[u8; 4]] = value.as_chunks().0;
    while let Some(first) = rest.first() {
        let phandle = u32::from_be_bytes(*first);
        let counted = match (&arguments, phandle) {
            (Arguments::None, _) | (_, 0) => 0,
            (Arguments::Counted(by, default), _) => match phandles.get(phandle) {
                Some((_, target)) => cell(target, by).map_or(*default, |cells| cells as usize),
                None => break,
            },
        };
        let Some(after) = counted.checked_add(1).and_then(|cells| rest.get(cells..)) else {
            break;
        };
        found.push(Reference { phandle, cells: counted + 1 });
        rest = after;
    }
    found
}

fn arguments(name: &str) -> Option<Arguments> {
    let counted = |by| Some(Arguments::Counted(by, 0));
    match name {
        "clocks" | "assigned-clocks" | "assigned-clock-parents" => counted("#clock-cells"),
        "resets" => counted("#reset-cells"),
        "power-domains" => counted("#power-domain-cells"),
        "dmas" => counted("#dma-cells"),
        "phys" => counted("#phy-cells"),
        "mboxes" => counted("#mbox-cells"),
        "pwms" => counted("#pwm-cells"),
        "io-channels" => counted("#io-channel-cells"),
        "interrupts-extended" => counted("#interrupt-cells"),
        "interconnects" => counted("#interconnect-cells"),
        "thermal-sensors" => counted("#thermal-sensor-cells"),
        "sound-dai" => counted("#sound-dai-cells"),
        "hwlocks" => counted("#hwlock-cells"),
        "mux-controls" => counted("#mux-control-cells"),
        "nvmem-cells" => counted("#nvmem-cell-cells"),
        "gpio-ranges" => Some(Arguments::Counted("#gpio-range-cells", 3)),
        "interrupt-parent"
        | "memory-region"
        | "phy-handle"
        | "phy"
        | "remote-endpoint"
        | "operating-points-v2"
        | "backlight"
        | "leds"
        | "firmware"
        | "mmc-pwrseq" => Some(Arguments::None),
        _ if name.ends_with("nr-gpios") => None,
        _ if matches!(name, "gpios" | "gpio") || name.ends_with("-gpios") || name.ends_with("-gpio") => {
            counted("#gpio-cells")
        }
        _ if name.ends_with("-supply") => Some(Arguments::None),
        _ if name.strip_prefix("pinctrl-").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())) => {
            Some(Arguments::None)
        }
        _ => None,
    }
}
