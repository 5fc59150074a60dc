//! A guest's address space: RAM, devices, interrupt controller and console must not overlap.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::devices::Given;
use super::spec::{ConsoleWord, Spec};
use super::{Board, Console, ErrorKind, PlanError};
use crate::addr::{Ipa, IpaSpan, PAGE, PaSpan, Span};

/// Where QEMU virt and most payloads expect a PL011.
const CONSOLE_BASE: u64 = 0x0900_0000;
/// Its SPI there.
const CONSOLE_SPI: u32 = 1;

/// Whether a partition has a shared console, given whether it owns a UART.
pub(super) fn shares_console(spec: &Spec, owns_uart: bool) -> bool {
    match spec.console {
        Some(word) => word == ConsoleWord::Shared,
        None => !owns_uart,
    }
}

/// The partition's console, which overlaps nothing.
pub(super) fn console(board: &Board, spec: &Spec, given: &Given) -> Result<Console, PlanError> {
    if !shares_console(spec, given.uart.is_some()) {
        let set = [
            ("console-base", spec.console_base.is_some()),
            ("console-interrupt", spec.console_interrupt.is_some()),
        ];
        for (property, set) in set {
            if set {
                return Err(spec.error(property, ErrorKind::Needs("console = \"shared\"")));
            }
        }
        return match (spec.console, &given.uart) {
            (Some(ConsoleWord::None), _) => Ok(Console::None),
            (_, Some(uart)) => Ok(Console::Device(uart.clone())),
            (_, None) => Err(spec.error("console", ErrorKind::NoUart)),
        };
    }
    let base = spec.console_base.unwrap_or(CONSOLE_BASE);
    if !base.is_multiple_of(PAGE) {
        return Err(spec.error("console-base", ErrorKind::Unaligned("address", base)));
    }
    let page = Span::new(Ipa(base), PAGE).filter(|page| page.end().0 <= super::spec::TOP);
    let page = page.ok_or_else(|| spec.error("console-base", ErrorKind::BadSpan(base, PAGE)))?;
    let mut others = fixed(board, given);
    others.extend(spec.memory.iter().map(|entry| (entry.ipa, format!("the RAM {}", entry.node))));
    if let Some((_, other)) = others.iter().find(|(span, _)| span.overlaps(&page)) {
        return Err(spec.error("console-base", ErrorKind::ConsoleClash(base, other.clone())));
    }
    let spi = spec.console_interrupt.unwrap_or(CONSOLE_SPI);
    let intid = spi.saturating_add(32);
    let taken = given.devices.iter().find(|device| device.spis.iter().any(|spi| spi.intid == intid));
    if let Some(device) = taken {
        let kind = ErrorKind::ConsoleInterruptTaken(spi, device.path.clone());
        return Err(spec.error("console-interrupt", kind));
    }
    let mut functions = given.pci.iter().flat_map(|part| &part.functions);
    if let Some(function) = functions.find(|function| function.spi.is_some_and(|spi| spi.intid == intid)) {
        let kind = ErrorKind::ConsoleInterruptTaken(spi, function.name.clone());
        return Err(spec.error("console-interrupt", kind));
    }
    Ok(Console::Shared { base: Ipa(base), intid })
}

/// RAM meets neither other RAM nor what is at the board's own addresses.
pub(super) fn memory(board: &Board, spec: &Spec, given: &Given) -> Result<(), PlanError> {
    let others = fixed(board, given);
    for (place, entry) in spec.memory.iter().enumerate() {
        let error = |other: String| {
            Err(PlanError::property(&entry.node, "reg", ErrorKind::Overlap(entry.ipa, other)))
        };
        if let Some(before) = spec.memory.iter().take(place).find(|before| before.ipa.overlaps(&entry.ipa)) {
            return error(format!("{} at {}", before.node, before.ipa));
        }
        if let Some((span, other)) = others.iter().find(|(span, _)| span.overlaps(&entry.ipa)) {
            return error(format!("{other} at {span}"));
        }
    }
    Ok(())
}

/// What a guest sees at the board's own addresses: its devices, and the interrupt controller.
fn fixed(board: &Board, given: &Given) -> Vec<(IpaSpan, String)> {
    let seen = |span: &PaSpan| Span { base: Ipa(span.base.0), size: span.size };
    let mut spans: Vec<(IpaSpan, String)> = board
        .gic
        .frames()
        .iter()
        .map(|frame| (seen(&frame.pages()), "the interrupt controller".into()))
        .collect();
    for device in &given.devices {
        spans.extend(
            device.regs.iter().map(|reg| (seen(&reg.pages()), format!("the device {}", device.path))),
        );
    }
    for part in &given.pci {
        let path = board.pci.get(part.bridge).map_or("", |bridge| &bridge.path);
        spans.push((part.ecam, format!("the configuration space of {path}")));
        let windows = part.windows.iter().map(|window| seen(&window.physical()));
        spans.extend(windows.map(|window| (window, format!("the window of {path}"))));
    }
    spans
}
