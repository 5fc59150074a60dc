//! The nodes that every partition has: root, /chosen, /cpus, memory, PSCI, timer, interrupt controller, console, watchdog.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::dt::Node;
use partita_abi::psci;
use partita_abi::supervision::{COMPATIBLE, MANAGES};

use super::Writer;
use super::node::{self, set, set_cells, set_strings, set_u64s};
use crate::addr::PAGE;
use crate::dt::{cell, properties, text, value};
use crate::gic::DIST_SIZE_V2;
use crate::plan::{Console, ErrorKind, Gic, PlanError, interface_pages};

/// The distributor's frame: 64 KiB (IHI 0069H 12.10).
const DISTRIBUTOR: u64 = 0x1_0000;
/// A redistributor's two frames: 128 KiB (IHI 0069H 12.10).
const REDISTRIBUTOR: u64 = 0x2_0000;
/// The shared console's register page.
const CONSOLE: u64 = 0x1000;
/// The rate that the shared console's clock claims to have, as on Arm's own boards.
const CONSOLE_HZ: u32 = 24_000_000;
/// First SPI, and first PPI.
const SPI: u32 = 32;
const PPI: u32 = 16;
/// The trigger cell of an interrupt: level-sensitive, active high.
const LEVEL_HIGH: u32 = 4;
/// What is taken over of a core's node. References to caches, power and performance domains are not.
const CPU: &[&str] = &["compatible", "capacity-dmips-mhz", "numa-node-id"];
/// What is taken over of the timer's node.
const TIMER: &[&str] = &["compatible", "always-on", "clock-frequency", "arm,no-tick-in-suspend"];

impl<'a> Writer<'a> {
    /// Everything but the console, whose node comes after the devices.
    pub(super) fn base(&mut self) -> Result<(), PlanError> {
        self.root_properties();
        self.add(Node::new("chosen"))?;
        self.add(Node::new("aliases"))?;
        self.cpus()?;
        self.memory()?;
        self.psci()?;
        self.timer()?;
        self.interrupt_controller()
    }

    /// The host's `compatible` stays, behind our own, so that drivers that ask for the machine still find it.
    fn root_properties(&mut self) {
        let mut compatible = b"partita,guest\0".to_vec();
        if let Some(host) = value(self.host_root(), "compatible") {
            compatible.extend_from_slice(host);
        }
        let host = self.host_root();
        let root = &mut self.root;
        set_strings(root, "model", &[&format!("Partita partition {}", self.partition.name)]);
        set(root, "compatible", compatible);
        set_cells(root, "#address-cells", &[2]);
        set_cells(root, "#size-cells", &[2]);
        set_cells(root, "interrupt-parent", &[self.gic_phandle]);
        node::copy(root, host, &["dma-coherent", "dma-noncoherent"]);
    }

    fn cpus(&mut self) -> Result<(), PlanError> {
        let mut cpus = Node::new("cpus");
        set_cells(&mut cpus, "#address-cells", &[1]);
        set_cells(&mut cpus, "#size-cells", &[0]);
        for (number, index) in (0u32..).zip(&self.partition.cpus) {
            let mut cpu = Node::new(format!("cpu@{number:x}"));
            set_strings(&mut cpu, "device_type", &["cpu"]);
            set_cells(&mut cpu, "reg", &[number]);
            set_strings(&mut cpu, "enable-method", &["psci"]);
            if let Some(core) = self.plan.board.cpus.get(*index) {
                node::copy(&mut cpu, self.host(&core.path)?.1, CPU);
            }
            cpus.add_child(cpu);
        }
        self.add(cpus)
    }

    fn memory(&mut self) -> Result<(), PlanError> {
        for memory in &self.partition.memory {
            let mut node = Node::new(format!("memory@{:x}", memory.ipa.base.0));
            set_strings(&mut node, "device_type", &["memory"]);
            set_u64s(&mut node, "reg", &[memory.ipa.base.0, memory.ipa.size]);
            if let Some(numa) = memory.numa {
                set_cells(&mut node, "numa-node-id", &[numa]);
            }
            self.add(node)?;
        }
        Ok(())
    }

    /// Both conduits work (HVC and SMC trap alike); the tree can name but one. The function numbers are for guests
    /// that know only `arm,psci` (the kernel's Documentation/devicetree/bindings/arm/psci.yaml).
    fn psci(&mut self) -> Result<(), PlanError> {
        let mut node = Node::new("psci");
        set_strings(&mut node, "compatible", &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]);
        set_strings(&mut node, "method", &["hvc"]);
        set_cells(&mut node, "cpu_suspend", &[psci::CPU_SUSPEND | psci::SMC64]);
        set_cells(&mut node, "cpu_off", &[psci::CPU_OFF]);
        set_cells(&mut node, "cpu_on", &[psci::CPU_ON | psci::SMC64]);
        self.add(node)
    }

    /// The four timer interrupts in the order of the binding: secure, non-secure EL1, virtual, EL2. The trigger is
    /// the host's.
    fn timer(&mut self) -> Result<(), PlanError> {
        let host = self.index.usable(&["arm,armv8-timer", "arm,armv7-timer"]);
        let host = host.and_then(|number| self.index.node(number));
        let mut timer = Node::new("timer");
        let mut triggers = [LEVEL_HIGH; 4];
        match host {
            Some(host) => {
                node::copy(&mut timer, host, TIMER);
                let width = self.interrupt_cells() * 4;
                let value = value(host, "interrupts").unwrap_or_default();
                for (trigger, entry) in triggers.iter_mut().zip(value.chunks_exact(width)) {
                    // Of the flags only bits 3..0 are the trigger; 15..8 are GICv2's mask of cores.
                    *trigger = entry.get(11).map_or(LEVEL_HIGH, |flags| u32::from(flags & 0xf));
                }
            }
            None => set_strings(&mut timer, "compatible", &["arm,armv8-timer"]),
        }
        let ppis = self.plan.board.timer_ppis.iter().zip(triggers);
        let interrupts: Vec<u32> = ppis
            .flat_map(|(intid, trigger)| {
                self.interrupt(1, intid.saturating_sub(PPI), trigger | self.cpu_mask())
            })
            .collect();
        set_cells(&mut timer, "interrupts", &interrupts);
        self.add(timer)
    }

    /// The host's controller under its own name and at its own addresses, with a redistributor for each virtual CPU
    /// and without its ITS, MSI frames and maintenance interrupt.
    fn interrupt_controller(&mut self) -> Result<(), PlanError> {
        let (compatible, reg): (&[&str], Vec<u64>) = match &self.plan.board.gic {
            Gic::V3 { path, dist, redists, .. } => {
                let first = redists.first().ok_or_else(|| {
                    PlanError::property(
                        path.as_str(),
                        "reg",
                        ErrorKind::BadBoardProperty("a redistributor region"),
                    )
                })?;
                let size = REDISTRIBUTOR * self.partition.cpus.len() as u64;
                (&["arm,gic-v3"], vec![dist.base.0, DISTRIBUTOR, first.base.0, size])
            }
            // The CPU interface that the guest has here is the virtual one, or the physical one's first page.
            Gic::V2 { dist, cpu, .. } => {
                let size = if self.partition.is_direct() { PAGE } else { interface_pages(cpu).size };
                (&["arm,gic-400", "arm,cortex-a15-gic"], vec![dist.base.0, DIST_SIZE_V2, cpu.base.0, size])
            }
        };
        let base = reg.first().copied().unwrap_or_default();
        let mut gic = Node::new(format!("{}@{base:x}", self.gic.1.name_without_address()));
        set_strings(&mut gic, "compatible", compatible);
        set(&mut gic, "interrupt-controller", Vec::new());
        set_cells(&mut gic, "#interrupt-cells", &[u32::try_from(self.interrupt_cells()).unwrap_or(3)]);
        if matches!(self.plan.board.gic, Gic::V3 { .. }) {
            set_cells(&mut gic, "#redistributor-regions", &[1]);
        }
        set_u64s(&mut gic, "reg", &reg);
        // Entries of an interrupt-map name the controller's unit address in these cells (Devicetree Spec. 2.4.3).
        set_cells(&mut gic, "#address-cells", &[cell(self.gic.1, "#address-cells").unwrap_or(0)]);
        set_cells(&mut gic, "phandle", &[self.gic_phandle]);
        self.add(gic)
    }

    /// The shared console's PL011, if there is one, and /chosen, which names the console.
    pub(super) fn console(&mut self) -> Result<(), PlanError> {
        match &self.partition.console {
            Console::Device(path) => self.console = Some(path.clone()),
            Console::Shared { base, intid } => {
                let clock_phandle = self.fresh_phandle();
                let mut clock = Node::new("console-clock");
                set_strings(&mut clock, "compatible", &["fixed-clock"]);
                set_cells(&mut clock, "#clock-cells", &[0]);
                set_cells(&mut clock, "clock-frequency", &[CONSOLE_HZ]);
                set_cells(&mut clock, "phandle", &[clock_phandle]);
                self.add(clock)?;
                let mut uart = Node::new(format!("pl011@{:x}", base.0));
                set_strings(&mut uart, "compatible", &["arm,pl011", "arm,primecell"]);
                set_u64s(&mut uart, "reg", &[base.0, CONSOLE]);
                set_cells(&mut uart, "interrupts", &self.interrupt(0, intid.saturating_sub(SPI), LEVEL_HIGH));
                set_cells(&mut uart, "clocks", &[clock_phandle, clock_phandle]);
                set_strings(&mut uart, "clock-names", &["uartclk", "apb_pclk"]);
                self.console = Some(format!("/{}", uart.name()));
                self.add(uart)?;
            }
            Console::None => {}
        }
        self.chosen();
        Ok(())
    }

    /// The device by which it supervises others, if it does.
    pub(super) fn supervisor(&mut self) -> Result<(), PlanError> {
        let Some(device) = &self.partition.supervisor else { return Ok(()) };
        let mut node = Node::new(format!("supervisor@{:x}", device.registers.base.0));
        set_strings(&mut node, "compatible", &[COMPATIBLE]);
        let areas = device.managed.iter().map(|managed| managed.area);
        let reg = [device.registers].into_iter().chain(areas).flat_map(|span| [span.base.0, span.size]);
        set_u64s(&mut node, "reg", &reg.collect::<Vec<_>>());
        let managed = device.managed.iter().filter_map(|managed| self.plan.partitions.get(managed.partition));
        let names: Vec<&str> = managed.map(|partition| partition.name.as_str()).collect();
        set_strings(&mut node, MANAGES, &names);
        self.add(node)
    }

    /// The watchdog, in the order of Linux's binding (Documentation/devicetree/bindings/watchdog/arm,sbsa-gwdt.yaml): control
    /// frame, refresh frame.
    pub(super) fn watchdog(&mut self) -> Result<(), PlanError> {
        let Some(watchdog) = self.partition.watchdog else { return Ok(()) };
        let mut node = Node::new(format!("watchdog@{:x}", watchdog.control.0));
        set_strings(&mut node, "compatible", &["arm,sbsa-gwdt"]);
        let reg = watchdog.frames().map(|frame| [frame.base.0, frame.size]);
        set_u64s(&mut node, "reg", reg.as_flattened());
        let interrupt = self.interrupt(0, watchdog.intid.saturating_sub(SPI), LEVEL_HIGH);
        set_cells(&mut node, "interrupts", &interrupt);
        self.add(node)
    }

    fn chosen(&mut self) {
        let stdout = self.console.as_deref().map(|path| format!("{path}{}", self.host_options(path)));
        let Some(chosen) = self.root.child_mut("chosen") else {
            return;
        };
        if !self.partition.bootargs.is_empty() {
            set_strings(chosen, "bootargs", &[&self.partition.bootargs]);
        }
        if let Some(stdout) = stdout {
            set_strings(chosen, "stdout-path", &[&stdout]);
        }
        if let Some(initrd) = self.partition.load.initrd_span {
            set_u64s(chosen, "linux,initrd-start", &[initrd.base.0]);
            set_u64s(chosen, "linux,initrd-end", &[initrd.end().0]);
        }
    }

    /// What the host's stdout-path says of the line (":115200n8"), if it is the same UART.
    fn host_options(&self, console: &str) -> &str {
        let chosen = node::child(self.host_root(), "chosen");
        let stdout = chosen.and_then(|chosen| text(chosen, "stdout-path")).unwrap_or_default();
        let (name, options) = stdout.split_at(stdout.find(':').unwrap_or(stdout.len()));
        match self.index.resolve(name) {
            Some(uart) if self.index.path(uart) == console => options,
            _ => "",
        }
    }

    /// serial0 is the console; the host's names for what was given stay, so that disks and network interfaces are
    /// numbered as on the host.
    pub(super) fn aliases(&mut self) {
        let mut aliases = Node::new("aliases");
        if let Some(console) = &self.console {
            set_strings(&mut aliases, "serial0", &[console]);
        }
        for (name, _) in
            node::child(self.host_root(), "aliases").into_iter().flat_map(|node| properties(node))
        {
            let target = self.index.resolve(name).filter(|target| self.copied.contains(target));
            let Some(path) = target.map(|target| self.index.path(target)) else { continue };
            if aliases.property(name).is_none() && self.console.as_deref() != Some(path) {
                set_strings(&mut aliases, name, &[path]);
            }
        }
        if aliases.properties().next().is_none() {
            self.root.remove_child("aliases");
        } else {
            // The place among the root's children is kept.
            self.root.add_child(aliases);
        }
    }

    fn host_root(&self) -> &'a Node<'a> {
        self.index.node(0).unwrap_or(self.gic.1)
    }

    /// An interrupt specifier in as many cells as the host's controller takes; a fourth names no PPI partition.
    pub(super) fn interrupt(&self, kind: u32, number: u32, flags: u32) -> Vec<u32> {
        let mut cells = vec![kind, number, flags];
        cells.resize(self.interrupt_cells(), 0);
        cells
    }

    /// 3, or 4 where the host's GICv3 has PPI partitions.
    fn interrupt_cells(&self) -> usize {
        cell(self.gic.1, "#interrupt-cells").map_or(3, |cells| cells.clamp(3, 4) as usize)
    }

    /// The cores that a PPI goes to: bits 15..8 of its flags, which only GICv2's binding knows.
    fn cpu_mask(&self) -> u32 {
        match self.plan.board.gic {
            Gic::V3 { .. } => 0,
            Gic::V2 { .. } => 0xff00 & !(0xff00 << self.partition.cpus.len().min(8)),
        }
    }
}
