//! The machine as its device tree describes it. Trees come from firmware, QEMU or Partita; a tree that lacks what a guest
//! cannot do without is a panic with the node's name.

use fdt::Fdt;
use fdt::node::FdtNode;
use spin::Once;

use crate::cpu::{AFFINITY, MAX_CORES};
use crate::gic::Gic;
use crate::{console, psci};

/// Most RAM ranges that are kept.
const MAX_MEMORY: usize = 8;
/// What GICv2s are called.
const GIC_V2: &[&str] = &["arm,gic-400", "arm,cortex-a15-gic"];

/// A list of at most `N`.
#[derive(Clone, Copy)]
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    fn new() -> Self {
        List { items: [T::default(); N], len: 0 }
    }

    fn push(&mut self, item: T) {
        if self.len < N {
            self.items[self.len] = item;
            self.len += 1;
        }
    }
}

impl<T, const N: usize> core::ops::Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

/// What a guest knows of the machine.
pub struct Machine {
    /// The tree.
    pub tree: Fdt<'static>,
    /// First address and size of the tree.
    pub tree_at: (u64, u64),
    /// /chosen/bootargs, or nothing.
    pub bootargs: &'static str,
    /// RAM: base and size.
    pub memory: List<(u64, u64), MAX_MEMORY>,
    /// Affinities of the cores, in the tree's order.
    pub cores: List<u64, MAX_CORES>,
    /// Distributor.
    pub gicd: u64,
    /// Size of the distributor.
    pub gicd_size: u64,
    /// The rest of the interrupt controller.
    pub gic: Gic,
    /// Interrupt of the physical EL1 timer.
    pub physical_timer: u32,
    /// Interrupt of the virtual EL1 timer.
    pub virtual_timer: u32,
}

static MACHINE: Once<Machine> = Once::new();

pub(crate) fn discover(tree: usize) -> &'static Machine {
    MACHINE.call_once(|| read(tree))
}

fn read(at: usize) -> Machine {
    // SAFETY: the boot protocol gives the tree's address in x0, and nothing writes to it.
    let tree = unsafe { Fdt::from_ptr(at as *const u8) };
    // Without a tree there is no console to say so on either.
    let Ok(tree) = tree else { psci::system_off() };
    if let Some(node) = tree.find_node("/psci") {
        psci::use_smc(node.property("method").and_then(|method| method.as_str()) == Some("smc"));
    }
    // Xen gives its guests an SBSA UART, and does not say that it is the console.
    let chosen = tree.chosen().stdout().filter(|node| is(node, "arm,pl011"));
    if let Some((base, _)) = chosen.and_then(|node| first_reg(&node)) {
        console::init(base);
    } else if let Some((base, _)) = tree.find_compatible(&["arm,sbsa-uart"]).and_then(|node| first_reg(&node))
    {
        console::init_sbsa(base);
    }

    let mut memory = List::new();
    let mut cores = List::new();
    for node in tree.all_nodes() {
        match node.property("device_type").and_then(|kind| kind.as_str()) {
            Some("memory") => {
                for region in node.reg().into_iter().flatten() {
                    memory.push((region.starting_address as u64, region.size.unwrap_or(0) as u64));
                }
            }
            Some("cpu") => {
                let cells = node.property("reg").map_or(&[][..], |reg| reg.value);
                cores.push(cells.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)) & AFFINITY);
            }
            _ => {}
        }
    }
    let (node, is_v3) = match tree.find_compatible(&["arm,gic-v3"]) {
        Some(node) => (node, true),
        None => {
            (tree.find_compatible(GIC_V2).expect("the tree has no interrupt controller that is known"), false)
        }
    };
    let mut frames = node.reg().expect("the GIC has no reg");
    let gicd = frames.next().expect("the GIC's reg has no distributor");
    let second = frames.next().expect("the GIC's reg has no second entry");
    let (base, size) = (second.starting_address as u64, second.size.unwrap_or(0) as u64);
    let gic = if is_v3 { Gic::V3 { gicr: base } } else { Gic::V2 { gicc: base, size } };
    let timer = tree.find_compatible(&["arm,armv8-timer"]).expect("the tree has no arm,armv8-timer node");

    Machine {
        tree_at: (at as u64, tree.total_size() as u64),
        bootargs: tree.chosen().bootargs().unwrap_or(""),
        memory,
        cores,
        gicd: gicd.starting_address as u64,
        gicd_size: gicd.size.unwrap_or(0) as u64,
        gic,
        physical_timer: interrupt(&timer, 1).expect("the timer has no physical interrupt"),
        virtual_timer: interrupt(&timer, 2).expect("the timer has no virtual interrupt"),
        tree,
    }
}

/// Whether `node` is compatible with `name`.
pub fn is(node: &FdtNode, name: &str) -> bool {
    node.compatible().is_some_and(|compatible| compatible.all().any(|one| one == name))
}

/// First `reg` entry of a node: base and size.
pub fn first_reg(node: &FdtNode) -> Option<(u64, u64)> {
    let region = node.reg()?.next()?;
    Some((region.starting_address as u64, region.size.unwrap_or(0) as u64))
}

/// INTID of entry `index` of a node's `interrupts`, which has the GIC's three cells (kind, number, flags).
pub fn interrupt(node: &FdtNode, index: usize) -> Option<u32> {
    let cell = |at: usize| {
        let bytes = node.property("interrupts")?.value.get(at * 4..at * 4 + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let number = cell(index * 3 + 1)?;
    Some(if cell(index * 3)? == 0 { number + 32 } else { number + 16 })
}

/// A bus's `ranges`, and those of the buses around it.
struct Bus<'a> {
    ranges: &'a [u8],
    /// Cells of an address on the bus, of an address around it, and of a size.
    cells: [usize; 3],
    around: Option<&'a Bus<'a>>,
}

impl Bus<'_> {
    /// The guest-physical address of one on the bus; none where `ranges` does not say.
    fn translate(&self, at: u64) -> Option<u64> {
        let outside = |at| self.around.map_or(Some(at), |bus| bus.translate(at));
        // Empty `ranges` say that addresses are the same on both sides.
        if self.ranges.is_empty() {
            return outside(at);
        }
        let entry = self.cells.iter().sum::<usize>() * 4;
        self.ranges.chunks_exact(entry).find_map(|entry| {
            let (child, rest) = entry.split_at(self.cells[0] * 4);
            let (parent, size) = rest.split_at(self.cells[1] * 4);
            let number = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
            let (child, parent, size) = (number(child), number(parent), number(size));
            (at >= child && at - child < size).then(|| outside(parent + (at - child)))?
        })
    }
}

/// Calls `visit` with every node that has registers or memory, and each of its regions: guest-physical address and size.
pub fn each_region<'a>(tree: &'a Fdt<'static>, visit: &mut dyn FnMut(&FdtNode, u64, u64)) {
    if let Some(root) = tree.find_node("/") {
        let cells = root.cell_sizes();
        let bus = Bus { ranges: &[], cells: [cells.address_cells, 0, cells.size_cells], around: None };
        root.children().for_each(|node| below(&node, &bus, visit));
    }
}

fn below(node: &FdtNode, bus: &Bus, visit: &mut dyn FnMut(&FdtNode, u64, u64)) {
    for region in node.reg().into_iter().flatten() {
        if let (Some(at), Some(size)) = (bus.translate(region.starting_address as u64), region.size) {
            visit(node, at, size as u64);
        }
    }
    // What has no `ranges` has children that are not in this address space: cores, devices behind an I2C bus.
    if let Some(ranges) = node.property("ranges") {
        let cells = node.cell_sizes();
        let cells = [cells.address_cells, bus.cells[0], cells.size_cells];
        let inner = Bus { ranges: ranges.value, cells, around: Some(bus) };
        node.children().for_each(|node| below(&node, &inner, visit));
    }
}
