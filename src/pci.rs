//! Configuration space of PCI functions, by ECAM: all of it while the first core silences the bridges, and the pages of a
//! partition's own functions on its cores afterwards.

use alloc::vec::Vec;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use partita_model::addr::{Pa, PaSpan, Span};
use partita_model::pci::{self, Address, BUS_BYTES, Config, FUNCTION_BYTES, Function, Host};
use partita_model::plan::{self, Board, Bridge, Plan};
use partita_model::weaken::{Guard, removed};

use crate::clock::Deadline;
use crate::layout::{self, BLOCK};
use crate::mmu::Stage1;

/// Functions of one bridge, which the calling core's tables map at [`address`].
pub struct Ecam {
    bridge: usize,
    first: u8,
}

/// Where the configuration space of bridge number `bridge` of the plan is in EL2's address space: 256 MiB for each.
fn address(bridge: usize) -> usize {
    layout::ECAM + bridge * (256 * BUS_BYTES as usize)
}

impl Ecam {
    /// Bridge number `bridge` of the plan, whose root bus is `first`.
    pub fn new(bridge: usize, first: u8) -> Self {
        Self { bridge, first }
    }

    /// None: not a function of this bridge, which the model never asks for.
    fn register(&self, function: Address, register: u16) -> Option<usize> {
        let offset = function.offset(self.first)?;
        Some(address(self.bridge) + offset as usize + usize::from(register))
    }
}

impl Config for Ecam {
    fn read(&mut self, function: Address, register: u16) -> u32 {
        let Some(at) = self.register(function, register) else { return u32::MAX };
        let at = with_exposed_provenance::<u32>(at);
        // SAFETY: mapped as device memory while this core uses the function; the model asks for aligned doublewords within
        // its 4 KiB. Nobody answering reads as ones (PCIe 2.3.2).
        unsafe { at.read_volatile() }
    }

    fn write(&mut self, function: Address, register: u16, width: u8, value: u32) {
        let Some(at) = self.register(function, register) else { return };
        // SAFETY: as above. Device-nGnRE keeps the order of accesses to one function, and the write is one access of its
        // width, as configuration space needs it (PCIe 7.2.2).
        unsafe {
            match width {
                2 => with_exposed_provenance_mut::<u16>(at).write_volatile(value as u16),
                _ => with_exposed_provenance_mut::<u32>(at).write_volatile(value),
            }
        }
    }

    fn pause(&mut self, milliseconds: u32) {
        let deadline = Deadline::after_milliseconds(milliseconds.into());
        while !deadline.passed() {
            core::hint::spin_loop();
        }
    }
}

/// The first core's view while it silences a bridge: buses are mapped when they are first looked at, and stay so.
struct Walk<'a> {
    ecam: Ecam,
    bridge: &'a Bridge,
    tables: &'a mut Stage1,
    mapped: [bool; 256],
}

impl Walk<'_> {
    /// Maps the bus of a function: by a block, which has its neighbour too, where the bridge lies so that one fits.
    fn map(&mut self, bus: u8) {
        let number = usize::from(bus - self.ecam.first);
        if self.mapped[number] {
            return;
        }
        let all = self.bridge.ecam;
        let pair = Span { base: Pa(all.base.0 + (number as u64 & !1) * BUS_BYTES), size: BLOCK as u64 };
        let fits = all.base.0.is_multiple_of(BLOCK as u64) && all.contains_span(&pair);
        let span = match fits {
            true => pair,
            false => PaSpan { base: Pa(all.base.0 + number as u64 * BUS_BYTES), size: BUS_BYTES },
        };
        let offset = (span.base.0 - all.base.0) as usize;
        self.tables.add_device_at(address(self.ecam.bridge) + offset, span);
        let first = offset / BUS_BYTES as usize;
        self.mapped[first..first + (span.size / BUS_BYTES) as usize].fill(true);
    }
}

impl Config for Walk<'_> {
    fn read(&mut self, function: Address, register: u16) -> u32 {
        self.map(function.bus());
        self.ecam.read(function, register)
    }

    fn write(&mut self, function: Address, register: u16, width: u8, value: u32) {
        if removed(Guard::PciSilence) {
            return;
        }
        self.map(function.bus());
        self.ecam.write(function, register, width, value);
    }

    fn pause(&mut self, milliseconds: u32) {
        self.ecam.pause(milliseconds);
    }
}

/// Silences every function of every bridge that EL2 can reach: from here on nobody but the cores writes to memory, as far
/// as it depends on PCI. Leaves the root buses mapped.
pub fn silence(plan: &Plan, tables: &mut Stage1) {
    for (number, bridge) in plan.board.pci.iter().enumerate() {
        let ecam = Ecam::new(number, bridge.buses.0);
        let mut walk = Walk { ecam, bridge, tables, mapped: [false; 256] };
        let found = pci::quiet(bridge.buses.0, bridge.buses.1, &mut walk);
        if plan.partitions.iter().flat_map(|partition| &partition.pci).any(|part| part.bridge == number) {
            log::info!("{}: {found} PCI functions are silent", bridge.path);
        }
    }
}

/// A partition's bridges, with those of its functions that are there and can be given; the rest is said and withheld.
/// Runs while the first core still has the root buses mapped.
pub fn hosts(board: &Board, partition: &plan::Partition) -> Vec<Host> {
    let host = |part: &plan::PciPart| {
        let bridge = &board.pci[part.bridge];
        let mut ecam = Ecam::new(part.bridge, bridge.buses.0);
        let mut functions = Vec::with_capacity(part.functions.len());
        for function in &part.functions {
            let device = |other: &&plan::PciFunction| {
                other.address.requester() >> 3 == function.address.requester() >> 3
            };
            let several = part.functions.iter().filter(device).count() > 1;
            match Function::new(function.address, several, function.spi.is_some(), &mut ecam) {
                Ok(found) => functions.push(found),
                Err(fault) => {
                    log::warn!("{}: {} is withheld: {fault}", partition.name, function.name);
                }
            }
        }
        let windows = part.windows.iter().map(plan::Window::on_bus).collect();
        Host::new(part.bridge, part.ecam.size, bridge.buses.0, windows, functions)
    };
    partition.pci.iter().map(host).collect()
}

/// The configuration space of a partition's functions, and no other page of it: where its cores see each, and where it is.
pub fn pages(board: &Board, partition: &plan::Partition) -> impl Iterator<Item = (usize, PaSpan)> {
    partition.pci.iter().flat_map(|part| {
        let bridge = &board.pci[part.bridge];
        part.functions.iter().map(|function| {
            let offset =
                function.address.offset(bridge.buses.0).expect("the plan gives functions of the root bus");
            let page = PaSpan { base: Pa(bridge.ecam.base.0 + offset), size: FUNCTION_BYTES };
            (address(part.bridge) + offset as usize, page)
        })
    })
}

/// Maps them for one of its cores.
pub fn map(board: &Board, partition: &plan::Partition, stage1: &mut Stage1) {
    if removed(Guard::PciPages) {
        return partition.pci.iter().for_each(|part| {
            let bus = PaSpan { base: board.pci[part.bridge].ecam.base, size: BUS_BYTES };
            stage1.add_device_at(address(part.bridge), bus);
        });
    }
    for (va, page) in pages(board, partition) {
        stage1.add_device_at(va, page);
    }
}

/// A guest's access to configuration space.
pub fn access(host: &mut Host, offset: u64, width: u8, write: Option<u64>) -> u64 {
    let mut ecam = Ecam::new(host.bridge(), host.bus());
    host.access(offset, width, write, &mut ecam)
}

/// Silences and resets a partition's functions, on one of its cores.
pub fn reset(host: &mut Host) {
    let mut ecam = Ecam::new(host.bridge(), host.bus());
    host.reset(&mut ecam);
}
