//! Devices of the board: what each node has, what Partita keeps, and who gets what. A device is given whole: its
//! node and all below it that is not disabled.

mod clocks;
mod dma;
mod give;
mod kinds;
mod list;
mod needs;

use alloc::string::String;
use alloc::vec::Vec;

use super::place::join;
use super::{Board, ErrorKind, Gic, PlanError, Spi, gic, interface_pages};
use crate::addr::{PAGE, PaSpan, Span};
use crate::dt::{Index, Registers, value};
use crate::sort;

pub(super) use dma::warnings;
pub(super) use give::{Given, give};
pub use list::{Offer, list};

/// The nodes of the board with what they have.
pub(super) struct Catalogue<'a> {
    pub(super) index: &'a Index<'a>,
    facts: Vec<Facts>,
    /// The interrupt controller.
    pub(super) gic: Option<usize>,
}

/// What one node has by itself.
struct Facts {
    registers: Registers,
    spis: Vec<Spi>,
    /// INTIDs of PPIs.
    private: Vec<u32>,
    /// Interrupt controllers other than the GIC.
    controllers: Vec<usize>,
    /// Its interrupts cannot be understood.
    bad_interrupts: bool,
    /// Why Partita keeps it, if it does.
    own: Option<&'static str>,
    disabled: bool,
}

impl Facts {
    /// Whether it has something that a partition would have to be given: registers, or interrupts of its own.
    fn is_a_device(&self) -> bool {
        self.has_registers() || self.bad_interrupts || !self.spis.is_empty() || !self.private.is_empty()
    }

    /// Whether it has registers that a partition would have to be given; what is said of them may be malformed.
    fn has_registers(&self) -> bool {
        self.registers.may_be_reached()
    }

    fn spans(&self) -> &[PaSpan] {
        match &self.registers {
            Registers::Mapped(spans) => spans,
            Registers::OffBus | Registers::Bad => &[],
        }
    }
}

/// Why the UART is kept.
const PRINTS: &str = "Partita prints on it for partitions with a shared console (set console to \"none\")";

impl<'a> Catalogue<'a> {
    /// Reads through the nodes.
    pub(super) fn new(index: &'a Index<'a>) -> Self {
        let mut catalogue = Self { index, facts: Vec::new(), gic: gic::node(index) };
        let mut own = Vec::new();
        for (number, entry) in index.entries().iter().enumerate() {
            let inherited = entry.parent.and_then(|parent| own.get(parent).copied().flatten());
            // What is below the root is not the root's.
            let why = catalogue.kept(number).or_else(|| inherited.filter(|_| entry.parent != Some(0)));
            own.push(why);
            let facts = catalogue.facts_of(number, why);
            catalogue.facts.push(facts);
        }
        catalogue
    }

    /// The same where the board's UART is EL2's, with what is below it.
    pub(super) fn with_uart(mut self, board: &Board) -> Self {
        let uart = board.uart.as_ref().and_then(|uart| self.index.find(&uart.path));
        let uart = uart.filter(|uart| Some(*uart) != self.gic);
        let Some((uart, entry)) = uart.and_then(|uart| Some((uart, self.index.entries().get(uart)?))) else {
            return self;
        };
        let before = self.facts(uart).and_then(|facts| facts.own);
        for facts in self.facts.iter_mut().take(entry.end).skip(uart).filter(|facts| facts.own == before) {
            facts.own = Some(PRINTS);
        }
        self
    }

    fn facts_of(&self, number: usize, own: Option<&'static str>) -> Facts {
        let interrupts = self.index.interrupts(number);
        let mut facts = Facts {
            registers: self.index.registers(number),
            spis: Vec::new(),
            private: Vec::new(),
            controllers: Vec::new(),
            bad_interrupts: interrupts.is_none(),
            own,
            disabled: self.index.disabled_by(number).is_some(),
        };
        // A PCI host bridge comes with what it passes on: windows and interrupts of the functions behind it.
        let mut behind = Vec::new();
        if self.index.is_pci(number)
            && let Registers::Mapped(spans) = &mut facts.registers
            && !spans.is_empty()
        {
            match self.index.interrupt_map(number) {
                Some(map) => behind.extend(map.into_iter().map(|entry| entry.interrupt)),
                None => facts.bad_interrupts = true,
            }
            match self.index.windows(number) {
                Some(windows) => spans.extend(windows),
                None => facts.registers = Registers::Bad,
            }
        }
        for interrupt in interrupts.unwrap_or_default().into_iter().chain(behind) {
            match gic::interrupt(self.gic, &interrupt) {
                Some(gic::Wired::Spi(spi)) => facts.spis.push(spi),
                Some(gic::Wired::Private(intid)) => facts.private.push(intid),
                None if Some(interrupt.controller) == self.gic || self.is_nexus(interrupt.controller) => {
                    facts.bad_interrupts = true;
                }
                None => facts.controllers.push(interrupt.controller),
            }
        }
        sort::plain(&mut facts.spis);
        facts.spis.dedup();
        facts
    }

    /// Whether a node only passes interrupts on (Devicetree Specification, 2.4.4), which is not followed.
    fn is_nexus(&self, number: usize) -> bool {
        self.index.node(number).is_some_and(|node| value(node, "interrupt-map").is_some())
    }

    /// Why Partita keeps this node, and with it what is below.
    fn kept(&self, number: usize) -> Option<&'static str> {
        let entry = self.index.entries().get(number)?;
        if Some(number) == self.gic {
            return Some("it is the interrupt controller, of which each partition sees its part");
        }
        if super::ram::is_memory(self.index, number) {
            return Some("it is RAM, which memory@* nodes ask for");
        }
        if super::power::is_controller(self.index, number) {
            return Some("it powers the whole board off");
        }
        match entry.path.as_str() {
            "/" => return Some("it is the whole board"),
            "/cpus" => return Some("cores are given by `cpus`"),
            "/chosen" | "/aliases" | "/__symbols__" | "/__overrides__" => return Some("it is no device"),
            "/partitions" => return Some("it is the plan itself"),
            "/reserved-memory" => return Some("it is memory that firmware has reserved"),
            _ => {}
        }
        let kinds: [(&[&str], &str); 9] = [
            (&["arm,armv8-timer", "arm,armv7-timer"], "every partition has the architectural timer anyway"),
            (&["arm,psci-1.0", "arm,psci-0.2", "arm,psci"], "every partition has a PSCI of its own"),
            (kinds::SMMUS, "it is an SMMU, which guards partitions from each other"),
            (&["arm,gic-v3-its", "arm,gic-v2m-frame"], "it is part of the interrupt controller"),
            (kinds::CORE_INTERRUPTS, "it routes interrupts to every core"),
            (kinds::BOARD_CLOCKS, "it sets the clocks of the whole board"),
            (kinds::BOARD_POWER, "it resets and powers the whole board"),
            (kinds::INTERCONNECTS, "the traffic of the whole board goes through it"),
            (kinds::RESOURCES, "it shares caches and bandwidth out among all cores"),
        ];
        let own = kinds::names(entry.node);
        if kinds::debugs(&own) {
            return Some("through it a core is debugged, halted or traced from outside");
        }
        if kinds::monitors(&own) {
            return Some("performance monitors are hidden from partitions");
        }
        kinds.iter().find(|(names, _)| own.iter().any(|name| names.contains(name))).map(|(_, why)| *why)
    }

    /// Whether one of these names leads to a UART.
    pub(super) fn names_uart(&self, names: &[String]) -> bool {
        names.iter().filter_map(|name| self.index.resolve(name)).any(|device| {
            let inner = self.index.subtree(device);
            inner.into_iter().any(|number| self.index.node(number).is_some_and(kinds::is_uart))
        })
    }

    fn facts(&self, number: usize) -> Option<&Facts> {
        self.facts.get(number)
    }

    /// The nodes with registers in the pages of these.
    fn in_pages_of<'s>(&'s self, spans: &'s [PaSpan]) -> impl Iterator<Item = (usize, &'s Facts, PaSpan)> {
        self.facts.iter().enumerate().filter_map(move |(number, facts)| {
            let common = spans.iter().find_map(|span| {
                let pages = span.pages();
                let other = facts.spans().iter().map(Span::pages).find(|other| other.overlaps(&pages))?;
                Some(Span::between(pages.base.max(other.base), pages.end().min(other.end())))
            })?;
            Some((number, facts, common))
        })
    }

    /// What guests reach of GICv2's CPU interfaces they have for themselves: the pages of the virtual one, and of the physical one the
    /// first, which direct partitions have.
    pub(super) fn check_interfaces(&self, board: &Board) -> Result<(), PlanError> {
        let Gic::V2 { path, cpu, vcpu, .. } = &board.gic else { return Ok(()) };
        for pages in [interface_pages(vcpu), PaSpan { size: PAGE, ..interface_pages(cpu) }] {
            let other = match board.ram.iter().any(|ram| ram.overlaps(&pages)) {
                true => Some("RAM".into()),
                false => self
                    .in_pages_of(&[pages])
                    .find(|(number, ..)| Some(*number) != self.gic)
                    .map(|(number, ..)| self.path(number)),
            };
            if let Some(other) = other {
                return Err(PlanError::property(path, "reg", ErrorKind::InterfaceShared(other)));
            }
        }
        Ok(())
    }

    /// The nodes with this SPI.
    fn with_spi(&self, intid: u32) -> impl Iterator<Item = (usize, &Facts)> {
        let has = move |facts: &Facts| facts.spis.iter().any(|spi| spi.intid == intid);
        self.facts.iter().enumerate().filter(move |(_, facts)| has(facts))
    }

    /// The nodes with this SPI that are not disabled, and why Partita keeps them, if it does.
    pub(super) fn enabled_with_spi(&self, intid: u32) -> impl Iterator<Item = (usize, Option<&'static str>)> {
        self.with_spi(intid).filter(|(_, facts)| !facts.disabled).map(|(number, facts)| (number, facts.own))
    }

    fn path(&self, number: usize) -> String {
        self.index.path(number).into()
    }

    /// Whether a node is one of these or below one.
    fn among(&self, number: usize, roots: &[usize]) -> bool {
        roots.iter().any(|root| self.index.within(number, *root))
    }
}

/// Whole pages, sorted and merged.
pub(super) fn merged_pages<'s>(spans: impl Iterator<Item = &'s PaSpan>) -> Vec<PaSpan> {
    join(spans.map(Span::pages).collect())
}
