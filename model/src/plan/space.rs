//! A guest's address space: RAM, devices, interrupt controller and console must not overlap.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use partita_abi::supervision::{area_bytes, registers::SIZE as REGISTERS};

use super::devices::Given;
use super::spec::{ConsoleWord, Spec};
use super::{Board, Console, ErrorKind, InterruptPath, Managed, PlanError, Supervisor, Watchdog};
use crate::addr::{Ipa, IpaSpan, PAGE, PaSpan, Span};
use crate::dt::Index;

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

/// SPIs that the board's tree says something raises, or that a direct partition has, and whose they are. A direct partition
/// needs one that nothing raises: what EL2 makes pending there comes by the physical controller.
#[derive(Debug)]
pub(super) struct Wired(BTreeMap<u32, String>);

/// The highest SPI number (IHI 0069, 2.2.1).
const LAST_SPI: u32 = 987;

impl Wired {
    /// From every node's interrupts and every interrupt-map of the tree, disabled ones' too, and from what direct partitions
    /// ask for. Nothing where there is none, as nobody asks then.
    pub(super) fn new(index: &Index<'_>, specs: &[Spec]) -> Result<Self, PlanError> {
        let mut all = BTreeMap::new();
        let mut direct = specs.iter().filter(|spec| spec.interrupt_path == InterruptPath::Direct).peekable();
        for number in 0..if direct.peek().is_some() { index.entries().len() } else { 0 } {
            let mapped = index.interrupt_map(number).into_iter().flatten().map(|entry| entry.interrupt);
            for interrupt in index.interrupts(number).into_iter().flatten().chain(mapped) {
                if let [0, spi, ..] = interrupt.specifier[..] {
                    all.entry(spi).or_insert_with(|| index.path(number).to_string());
                }
            }
        }
        for spec in direct {
            if let Some(spi) = spec.console_interrupt
                && let Some(other) = all.insert(spi, spec.path.clone())
            {
                return Err(spec.error("console-interrupt", ErrorKind::DirectInterruptTaken(spi, other)));
            }
        }
        Ok(Self(all))
    }

    /// The SPI by which EL2 reaches this partition, if it is direct: its shared console's. It is nobody else's from now on.
    pub(super) fn bell(&mut self, spec: &Spec) -> Result<Option<u32>, PlanError> {
        if spec.interrupt_path != InterruptPath::Direct {
            return Ok(None);
        }
        let free = || (0..=LAST_SPI).find(|spi| !self.0.contains_key(spi));
        let needs = ErrorKind::Needs("an SPI that no device of the board uses; its tree has none left");
        let spi = spec.console_interrupt.or_else(free).ok_or_else(|| spec.error("interrupt-path", needs))?;
        self.0.insert(spi, spec.path.clone());
        Ok(Some(spi.saturating_add(32)))
    }
}

/// The partition's console, which overlaps nothing.
pub(super) fn console(
    board: &Board,
    spec: &Spec,
    given: &Given,
    bell: Option<u32>,
) -> Result<Console, PlanError> {
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
    let intid = bell.unwrap_or(spec.console_interrupt.unwrap_or(CONSOLE_SPI).saturating_add(32));
    let spi = intid.saturating_sub(32);
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

/// From where on room is looked for: for a supervisor's device behind the console's usual place, for a watchdog's frames above where
/// QEMU virt has what payloads poke at without a tree.
const SUPERVISOR_BASE: u64 = 0x0910_0000;
const WATCHDOG_BASE: u64 = 0x0911_0000;
/// In such steps, and as much for each frame of a watchdog: a guest's largest page, so that no other device is in one with it.
const STEP: u64 = 0x1_0000;

/// What a partition has among its addresses, but for what is placed where there is room.
fn taken(board: &Board, spec: &Spec, given: &Given, console: &Console) -> Vec<IpaSpan> {
    let fixed = fixed(board, given).into_iter().map(|(span, _)| span);
    let console = match console {
        Console::Shared { base, .. } => Some(Span { base: *base, size: PAGE }),
        _ => None,
    };
    fixed.chain(spec.memory.iter().map(|entry| entry.ipa)).chain(console).collect()
}

/// The first place above this one, in steps of [`STEP`], where nothing lies; or, if there is none, the first from the start.
fn free(wanted: IpaSpan, taken: &[IpaSpan]) -> Option<IpaSpan> {
    [wanted, Span { base: Ipa(0), ..wanted }].into_iter().find_map(|mut place| {
        // Each round steps over one of them, or is the last.
        for _ in 0..=taken.len() {
            let Some(other) = taken.iter().find(|other| other.overlaps(&place)) else {
                return (place.end().0 <= super::spec::TOP).then_some(place);
            };
            place.base = Ipa(other.end().0.checked_next_multiple_of(STEP)?);
        }
        None
    })
}

/// The device of a partition that manages others, which overlaps nothing: the first place that is free.
pub(super) fn supervisor(
    board: &Board,
    specs: &[Spec],
    number: usize,
    given: &Given,
    console: &Console,
) -> Result<Option<Supervisor>, PlanError> {
    let Some(spec) = specs.get(number).filter(|spec| !spec.manages.is_empty()) else { return Ok(None) };
    let mut managed = Vec::new();
    let mut size = REGISTERS;
    for name in &spec.manages {
        let others = || specs.iter().enumerate();
        let Some((partition, other)) = others().find(|(_, other)| other.name == *name) else { continue };
        let rank = others().take(number).filter(|(_, before)| before.manages.contains(name)).count();
        let area = area_bytes(other.cpus.len()) as u64;
        // By offset from the device's base; its address is added below.
        managed.push(Managed { partition, rank: rank as u8, area: Span { base: Ipa(size), size: area } });
        size += area;
    }
    let wanted = Span { base: Ipa(SUPERVISOR_BASE), size };
    let place = free(wanted, &taken(board, spec, given, console)).ok_or_else(|| {
        let needs = "room for its device among the partition's addresses; move its memory";
        spec.error("manages", ErrorKind::Needs(needs))
    })?;
    managed.iter_mut().for_each(|managed| managed.area.base.0 += place.base.0);
    Ok(Some(Supervisor { registers: Span { base: place.base, size: REGISTERS }, managed }))
}

/// The partition's watchdog, if it asks for one, where it meets nothing, with an interrupt that nothing else in the partition has.
pub(super) fn watchdog(
    board: &Board,
    spec: &Spec,
    given: &Given,
    console: &Console,
    supervisor: Option<&Supervisor>,
) -> Result<Option<Watchdog>, PlanError> {
    if !spec.watchdog {
        return Ok(None);
    }
    let mut taken = taken(board, spec, given, console);
    taken.extend(supervisor.map(Supervisor::span));
    let shared = match console {
        Console::Shared { intid, .. } => Some(*intid),
        _ => None,
    };
    let needs = |what| spec.error("watchdog", ErrorKind::Needs(what));
    let [.., guests, virtuals, own] = board.timer_ppis;
    if own == guests || own == virtuals {
        return Err(needs("a board on which EL2's timer has an interrupt of its own"));
    }
    let frames = Span { base: Ipa(WATCHDOG_BASE), size: 2 * STEP };
    let Some(IpaSpan { base: control, .. }) = free(frames, &taken) else {
        return Err(needs("128 KiB of the guest's addresses in which the partition has nothing"));
    };
    let is_free = |intid: &u32| shared != Some(*intid) && !given.spis.iter().any(|spi| spi.intid == *intid);
    let Some(intid) = (32..=LAST_SPI.saturating_add(32)).find(is_free) else {
        return Err(needs("an SPI that nothing in the partition has"));
    };
    Ok(Some(Watchdog { control, refresh: Ipa(control.0.saturating_add(STEP)), intid }))
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
