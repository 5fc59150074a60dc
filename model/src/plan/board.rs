//! The board as the firmware's tree tells it: cores, RAM and what is reserved in it, interrupt controller, UART,
//! PSCI, timer. It reads only; what is given to whom is decided elsewhere.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::dt::Tree;

use super::{
    Board, Conduit, Cpu, CpuEnable, ErrorKind, Gic, PlanError, PowerController, Reserved, Uart, UartKind,
    gic, power, ram, smmu,
};
use crate::addr::{PAGE, Pa, PaSpan};
use crate::dt::{Index, Registers, cells, compatible, number, okay, text, value};

/// The affinity fields of MPIDR_EL1 (DDI 0487, D19.2.106): bits 39..32 and 23..0.
pub const MPIDR_AFFINITY: u64 = 0xff_00ff_ffff;

impl Board {
    /// Reads the board from a tree. `ram`, unless empty, replaces what the tree says of RAM; `occupied` adds to what
    /// is reserved in it.
    ///
    /// # Errors
    ///
    /// Where the tree lacks something that Partita cannot do without, or is malformed there.
    pub fn new(tree: &Tree<'_>, ram: &[PaSpan], occupied: &[Reserved]) -> Result<Self, PlanError> {
        Self::read(tree, &Index::new(tree), ram, occupied)
    }

    /// The UART that EL2 prints on, before anything else of the tree was looked at.
    #[must_use]
    pub fn stdout(index: &Index<'_>) -> Option<Uart> {
        uart(index)
    }

    /// The board's RAM, before anything else of the tree was looked at.
    ///
    /// # Errors
    ///
    /// As [`Board::new`]'s, where the tree's memory nodes are malformed or absent.
    pub fn memory(tree: &Tree<'_>) -> Result<Vec<PaSpan>, PlanError> {
        ram::ram(&Index::new(tree), &[])
    }

    /// How firmware is called for PSCI, before anything else of the tree was looked at.
    #[must_use]
    pub fn conduit(index: &Index<'_>) -> Option<Conduit> {
        psci(index)
    }

    /// What powers the board off where firmware takes no calls, before anything else of the tree was looked at.
    #[must_use]
    pub fn power(index: &Index<'_>) -> Option<PowerController> {
        power::controller(index)
    }

    /// The PPI (INTID 16..31) by which the virtual CPU interface asks for maintenance: the GIC's own interrupt.
    #[must_use]
    pub fn maintenance(index: &Index<'_>) -> Option<u32> {
        let gic = gic::node(index)?;
        match gic::interrupt(Some(gic), index.interrupts(gic)?.first()?)? {
            gic::Wired::Private(intid) => Some(intid),
            gic::Wired::Spi(_) => None,
        }
    }

    /// The SMMUs that EL2 drives, before anything else of the tree was looked at.
    ///
    /// # Errors
    ///
    /// Where the node of one is malformed.
    pub fn smmus(index: &Index<'_>) -> Result<Vec<super::Smmu>, PlanError> {
        smmu::smmus(index)
    }

    pub(super) fn read(
        tree: &Tree<'_>,
        index: &Index<'_>,
        given_ram: &[PaSpan],
        occupied: &[Reserved],
    ) -> Result<Self, PlanError> {
        let psci = psci(index);
        // EL2 itself can call firmware by SMC only.
        let cpus = cpus(index, psci == Some(Conduit::Smc))?;
        let occupied: Vec<Reserved> =
            occupied.iter().cloned().chain(cpus.iter().filter_map(mailbox)).collect();
        let board = Self {
            cpus,
            ram: ram::ram(index, given_ram)?,
            reserved: ram::reserved(tree, index, &occupied)?,
            gic: gic::gic(index)?,
            uart: uart(index),
            pci: super::pci::bridges(index),
            psci,
            power: power::controller(index),
            timer_ppis: timer(index)?,
            smmus: smmu::smmus(index)?,
        };
        let met = board.driven().find(|(_, span)| board.ram.iter().any(|ram| ram.overlaps(span)));
        let want = || ErrorKind::BadBoardProperty("registers outside of RAM");
        let refusal = met.map(|(path, _)| PlanError::property(path, "reg", want()));
        refusal.map_or(Ok(board), Err)
    }

    /// The registers that EL2 itself drives, by node; GICv2's virtual CPU interface is looked at with what else is in its pages.
    fn driven(&self) -> impl Iterator<Item = (&str, PaSpan)> {
        let (gic, frames) = match &self.gic {
            Gic::V2 { path, dist, cpu, hyp, .. } => (path, alloc::vec![*dist, *cpu, *hyp]),
            Gic::V3 { path, .. } => (path, self.gic.frames()),
        };
        let gic = frames.into_iter().map(move |span| (gic.as_str(), span));
        let uart = self.uart.iter().map(|uart| (uart.path.as_str(), uart.span));
        let power = self.power.iter().map(|power| (power.path.as_str(), power.span));
        let smmus = self.smmus.iter().map(|smmu| (smmu.path.as_str(), smmu.span));
        let bridges = self.pci.iter().map(|bridge| (bridge.path.as_str(), bridge.ecam));
        gic.chain(uart).chain(power).chain(smmus).chain(bridges)
    }
}

/// Where a core waits that is woken through a spin table. One that no partition owns waits there for ever, at the
/// hypervisor's level: who could write there would have it.
fn mailbox(cpu: &Cpu) -> Option<Reserved> {
    let CpuEnable::SpinTable(release) = cpu.enable else { return None };
    let span = PaSpan::new(release, 8)?.pages();
    Some(Reserved::fixed(span, alloc::format!("the release address of {}", cpu.path)))
}

fn lacks(what: &'static str) -> PlanError {
    PlanError::node("/", ErrorKind::BoardLacks(what))
}

fn psci(index: &Index<'_>) -> Option<Conduit> {
    let node = index.node(index.usable(&["arm,psci-1.0", "arm,psci-0.2", "arm,psci"])?)?;
    match text(node, "method")? {
        "smc" => Some(Conduit::Smc),
        "hvc" => Some(Conduit::Hvc),
        _ => None,
    }
}

fn cpus(index: &Index<'_>, psci: bool) -> Result<Vec<Cpu>, PlanError> {
    let top = index.find("/cpus").ok_or_else(|| lacks("node /cpus"))?;
    let (address, _) = index.counts(top);
    let mut cpus: Vec<Cpu> = Vec::new();
    for (number_of_node, entry) in index.entries().iter().enumerate() {
        let named = entry.path.strip_prefix("/cpus/").is_some_and(|name| name.starts_with("cpu@"));
        let typed = text(entry.node, "device_type") == Some("cpu");
        if entry.parent != Some(top) || !(named || typed) || !okay(entry.node) {
            continue;
        }
        let malformed =
            |property, want| PlanError::property(&entry.path, property, ErrorKind::BadBoardProperty(want));
        let reg =
            value(entry.node, "reg").and_then(cells).filter(|reg| reg.len() == address && !reg.is_empty());
        let mpidr = reg
            .and_then(|reg| number(&reg))
            .ok_or_else(|| malformed("reg", "the core's affinity in one or two cells"))?
            & MPIDR_AFFINITY;
        if let Some(other) = cpus.iter().find(|other| other.mpidr == mpidr) {
            return Err(PlanError::property(
                index.path(number_of_node),
                "reg",
                ErrorKind::Twice(alloc::format!("core {mpidr:#x} (also {})", other.path)),
            ));
        }
        let enable = match text(entry.node, "enable-method") {
            Some("psci") if psci => CpuEnable::Psci,
            Some("spin-table") => {
                let release =
                    value(entry.node, "cpu-release-addr").and_then(cells).and_then(|cells| number(&cells));
                let release = release.filter(|address| *address != 0 && address.is_multiple_of(8));
                CpuEnable::SpinTable(Pa(
                    release.ok_or_else(|| malformed("cpu-release-addr", "an address of a doubleword"))?
                ))
            }
            // Trees of boards with one core leave it out (QEMU's with -smp 1).
            None if psci => CpuEnable::Psci,
            _ => CpuEnable::Unknown,
        };
        cpus.push(Cpu { mpidr, path: entry.path.clone(), enable, owner: None });
    }
    if cpus.is_empty() { Err(lacks("usable core below /cpus")) } else { Ok(cpus) }
}

/// The UART of stdout-path, if EL2 can drive it.
fn uart(index: &Index<'_>) -> Option<Uart> {
    let node = stdout(index)?;
    let kind = match index.node(node)? {
        found if compatible(found, &["arm,pl011"]) => UartKind::Pl011,
        found if compatible(found, &["brcm,bcm2835-aux-uart"]) => UartKind::MiniUart,
        _ => return None,
    };
    let Registers::Mapped(spans) = index.registers(node) else { return None };
    let span = *spans.first()?;
    // The mini-UART's enable register lies before its own, in the same page.
    let lonely = kind == UartKind::MiniUart && span.base.0 % PAGE < 0x40;
    if index.disabled_by(node).is_some() || lonely {
        return None;
    }
    let intid =
        index.interrupts(node).unwrap_or_default().first().and_then(|interrupt| {
            match gic::interrupt(gic::node(index), interrupt)? {
                gic::Wired::Spi(spi) => Some(spi.intid),
                gic::Wired::Private(_) => None,
            }
        });
    Some(Uart { path: index.path(node).to_owned(), span, intid, kind })
}

/// The node that /chosen stdout-path names: a path or an alias, with options after a colon.
pub(super) fn stdout(index: &Index<'_>) -> Option<usize> {
    let chosen = index.node(index.find("/chosen")?)?;
    let words = text(chosen, "stdout-path").or_else(|| text(chosen, "linux,stdout-path"))?;
    index.resolve(words.split(':').next()?)
}

/// The timer's PPIs: secure, non-secure EL1, virtual, EL2. Names count where there are any, else the order
/// (Linux: Documentation/devicetree/bindings/timer/arm,arch_timer.yaml). The secure one may be absent (0).
fn timer(index: &Index<'_>) -> Result<[u32; 4], PlanError> {
    const NAMES: [&str; 4] = ["sec-phys", "phys", "virt", "hyp-phys"];
    let found = index.usable(&["arm,armv8-timer"]).ok_or_else(|| lacks("usable timer (arm,armv8-timer)"))?;
    let path = index.path(found);
    let malformed = || {
        PlanError::property(path, "interrupts", ErrorKind::BadBoardProperty("the PPIs of the four timers"))
    };
    let interrupts = index.interrupts(found).ok_or_else(malformed)?;
    let names: Option<Vec<String>> = index
        .node(found)
        .and_then(|node| value(node, "interrupt-names"))
        .and_then(crate::dt::strings)
        .map(|names| names.into_iter().map(ToOwned::to_owned).collect());
    let gic = gic::node(index);
    let mut ppis = [0; 4];
    for (place, (ppi, name)) in ppis.iter_mut().zip(NAMES).enumerate() {
        let at = match &names {
            Some(names) => names.iter().position(|candidate| candidate == name),
            None => Some(place),
        };
        match at.and_then(|at| gic::interrupt(gic, interrupts.get(at)?)) {
            Some(gic::Wired::Private(intid)) => *ppi = intid,
            _ if place == 0 => {}
            _ => return Err(malformed()),
        }
    }
    Ok(ppis)
}
