//! What powers the board off where no firmware takes calls: the tree's system power controller.

use super::PowerController;
use crate::dt::{Index, Registers, value};

/// Controllers that EL2 can drive: the power manager and watchdog of Raspberry Pi's chips.
const KNOWN: &[&str] = &["brcm,bcm2835-pm-wdt", "brcm,bcm2835-pm", "brcm,bcm2711-pm"];
/// Bytes of its registers that EL2 uses: PM_WDOG, at 0x24, is the last.
const REACH: u64 = 0x28;

/// The controller of the tree, if there is one of a known kind (Linux:
/// Documentation/devicetree/bindings/power/power-controller.yaml).
pub(super) fn controller(index: &Index<'_>) -> Option<PowerController> {
    let found = (0..index.entries().len()).find(|number| {
        is_controller(index, *number)
            && index.is_compatible(*number, KNOWN)
            && index.disabled_by(*number).is_none()
    })?;
    let Registers::Mapped(spans) = index.registers(found) else { return None };
    let span = spans.first().filter(|span| span.size >= REACH && span.base.0.is_multiple_of(4))?;
    Some(PowerController { path: index.path(found).into(), span: *span })
}

/// Whether a node says that it powers the board off.
pub(super) fn is_controller(index: &Index<'_>, number: usize) -> bool {
    index.node(number).is_some_and(|node| value(node, "system-power-controller").is_some())
}
