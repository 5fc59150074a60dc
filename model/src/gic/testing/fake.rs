//! A partition on the fake machine: EL2 as the module's documentation asks for it, and the guest's CPU interface.

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::{vec, vec::Vec};
use core::cell::RefCell;

use super::super::{
    Access, Config, Control, Drained, Irq, Path, REDIST_SIZE, Shared, Spi, Version, Vgic, lr,
};
pub use super::machine::{Core, INTIDS, Line, Lrs, Machine, Physical};

/// A partition on the machine.
pub struct World {
    pub vgic: Vgic,
    pub shared: Arc<Shared>,
    pub machine: Rc<RefCell<Machine>>,
}

/// The SPIs of the test partitions: physical ones of both triggers in two words, and two emulated ones.
pub const SPIS: [Spi; 7] = [
    Spi { intid: 33, edge: false, emulated: true },
    Spi { intid: 34, edge: false, emulated: false },
    Spi { intid: 35, edge: true, emulated: false },
    Spi { intid: 36, edge: true, emulated: false },
    Spi { intid: 63, edge: false, emulated: false },
    Spi { intid: 70, edge: true, emulated: true },
    Spi { intid: 71, edge: true, emulated: false },
];
/// A configuration without anything but a vCPU.
pub const GOOD: Config = Config {
    version: Version::V3,
    vcpus: 1,
    ppis: 0,
    edge_ppis: 0,
    spis: &[],
    priority_bits: 5,
    tdir: true,
    path: Path::Mediated,
};
/// The test partitions' PPIs: two timers.
pub const PPIS: u32 = 1 << 27 | 1 << 30;

impl World {
    /// `vcpus` cores with `lrs` list registers each; vCPU 0 runs, both groups are on at its CPU interface.
    pub fn new(vcpus: usize, lrs: usize) -> Self {
        Self::with(Version::V3, vcpus, lrs)
    }

    /// The same with this architecture.
    pub fn with(version: Version, vcpus: usize, lrs: usize) -> Self {
        Self::owning(version, vcpus, lrs, &SPIS, PPIS)
    }

    /// The same with these interrupts.
    pub fn owning(version: Version, vcpus: usize, lrs: usize, spis: &[Spi], ppis: u32) -> Self {
        Self::made(&Config { version, vcpus, ppis, tdir: version == Version::V3, spis, ..GOOD }, lrs)
    }

    /// A partition whose interrupts do not pass EL2.
    pub fn direct(version: Version, vcpus: usize) -> Self {
        Self::made(&Config { version, vcpus, ppis: PPIS, spis: &SPIS, path: Path::Direct, ..GOOD }, 4)
    }

    /// A partition beside one whose guest can end any SPI that is active.
    pub fn wary(version: Version, vcpus: usize, lrs: usize) -> Self {
        let tdir = version == Version::V3;
        Self::made(&Config { version, vcpus, ppis: PPIS, tdir, spis: &SPIS, path: Path::Wary, ..GOOD }, lrs)
    }

    /// Somebody else ends an interrupt that is active here.
    pub fn foreign_end(&mut self, intid: u32) {
        let mut machine = self.machine.borrow_mut();
        machine.foreign = true;
        machine.line(0, intid).active = false;
    }

    fn made(config: &Config, lrs: usize) -> Self {
        let Config { vcpus, ppis, spis, .. } = *config;
        let banked = config.version == Version::V2;
        let direct = config.path == Path::Direct;
        let lines = vec![Line::default(); INTIDS as usize];
        let mut machine = Machine { spis: lines, banked, ..Machine::default() };
        for spi in spis.iter().filter(|spi| !spi.emulated || direct) {
            let dirty = Line { enabled: true, latch: true, active: true, ..Line::default() };
            machine.spis[spi.intid as usize] = Line { owned: true, ..dirty };
        }
        let mut core =
            Core { lrs: vec![0; lrs], ready: vec![0; INTIDS as usize], groups: 3, ..Core::default() };
        for (intid, line) in core.ppis.iter_mut().enumerate() {
            line.owned = ppis & 1 << intid != 0 || direct && intid < 16;
        }
        machine.cores = vec![core; vcpus];
        machine.online = vec![false; vcpus];
        let mut vgic = Vgic::new(config).unwrap();
        let machine = Rc::new(RefCell::new(machine));
        vgic.reset(&mut Physical(Rc::clone(&machine), usize::MAX));
        let mut world = World { shared: vgic.shared(), vgic, machine };
        world.online(0);
        world
    }

    pub fn drive(&mut self, vcpu: usize, intid: u32, level: bool) {
        self.call(vcpu, |vgic, hw, _| vgic.drive(intid, level, hw));
    }

    fn call<R>(&mut self, vcpu: usize, f: impl FnOnce(&mut Vgic, &mut Physical, &mut Lrs) -> R) -> R {
        let mut hw = Physical(Rc::clone(&self.machine), vcpu);
        f(&mut self.vgic, &mut hw, &mut Lrs(Rc::clone(&self.machine), vcpu))
    }

    pub fn lrs(&self, vcpu: usize) -> Lrs {
        Lrs(Rc::clone(&self.machine), vcpu)
    }

    pub fn online(&mut self, vcpu: usize) {
        self.machine.borrow_mut().online[vcpu] = true;
        self.call(vcpu, |vgic, hw, lrs| vgic.online(vcpu, hw, lrs));
    }

    pub fn offline(&mut self, vcpu: usize) {
        // From here on no remote operation and no kick may come.
        self.machine.borrow_mut().online[vcpu] = false;
        self.call(vcpu, |vgic, hw, lrs| vgic.offline(vcpu, hw, lrs));
        let core = &mut self.machine.borrow_mut().cores[vcpu];
        assert!(core.lrs.iter().all(|image| *image == 0) && core.control == Control::empty());
        core.running.clear();
        core.dropped.clear();
        core.kicked = false;
    }

    pub fn reset(&mut self) {
        self.call(usize::MAX, |vgic, hw, _| vgic.reset(hw));
    }

    pub fn dist(&mut self, vcpu: usize, offset: u64, width: u8, write: Option<u64>) -> u64 {
        let page = if self.vgic.version == Version::V2 { vcpu } else { 0 };
        let mirrored = self.vgic.mirrors().get(page).and_then(|mirror| mirror.read(offset));
        let value =
            self.call(vcpu, |vgic, hw, lrs| vgic.dist_access(vcpu, offset, Access { width, write }, hw, lrs));
        if let (Some(mirrored), 4, None) = (mirrored, width, write) {
            assert_eq!(u64::from(mirrored), value, "the mirror of GICD {offset:#x}");
        }
        value
    }

    pub fn redist(&mut self, vcpu: usize, offset: u64, width: u8, write: Option<u64>) -> u64 {
        let (page, inner) = ((offset / REDIST_SIZE) as usize + 1, offset % REDIST_SIZE);
        let mirrors = self.vgic.mirrors();
        // A GICv2 has no redistributors; its pages are the distributor's.
        let banked = self.machine.borrow().banked;
        let mirror = mirrors.get(page).filter(|_| inner >= 0x1_0000 && !banked);
        let mirrored = mirror.and_then(|mirror| mirror.read(inner - 0x1_0000));
        let value = self
            .call(vcpu, |vgic, hw, lrs| vgic.redist_access(vcpu, offset, Access { width, write }, hw, lrs));
        if let (Some(mirrored), 4, None) = (mirrored, width, write) {
            assert_eq!(u64::from(mirrored), value, "the mirror of GICR {offset:#x}");
        }
        value
    }

    /// A word write to the distributor by vCPU 0.
    pub fn write(&mut self, offset: u64, value: u32) {
        self.dist(0, offset, 4, Some(u64::from(value)));
    }

    /// A word read of the distributor by vCPU 0.
    pub fn read(&mut self, offset: u64) -> u32 {
        self.dist(0, offset, 4, None) as u32
    }

    /// An input of the machine changes. Emulated ones tell EL2, which kicks.
    pub fn input(&mut self, core: usize, intid: u32, high: bool) {
        if let Some(vcpu) = self.vgic.set_line(intid, high) {
            self.machine.borrow_mut().cores[vcpu].kicked = true;
        }
        let mut machine = self.machine.borrow_mut();
        let line = machine.line(core, intid);
        line.latch |= line.edge && high && !line.high;
        line.high = high;
    }

    /// EL2 acknowledges a physical interrupt if one is signalled: the fast path, or into the hand. True: it did.
    pub fn interrupt(&mut self, vcpu: usize) -> bool {
        let mut machine = self.machine.borrow_mut();
        let Some(intid) = machine.signalled(vcpu) else { return false };
        let line = machine.line(vcpu, intid);
        (line.active, line.latch) = (true, false);
        let core = &mut machine.cores[vcpu];
        let image = core.ready[intid as usize];
        let free = core.lrs.iter_mut().find(|image| lr::is_free(**image));
        match free {
            Some(free) if image != 0 && self.shared.fast_path_allowed(vcpu) => *free = image,
            _ => core.in_hand = Some(intid),
        }
        true
    }

    /// EL2 gets the lock with what it has in hand.
    pub fn finish(&mut self, vcpu: usize) -> bool {
        let Some(intid) = self.machine.borrow_mut().cores[vcpu].in_hand.take() else { return false };
        let irq = self.call(vcpu, |vgic, hw, lrs| vgic.slow_irq(vcpu, intid, hw, lrs));
        assert_eq!(irq, Irq::Handled);
        true
    }

    /// EL2 takes a kick.
    pub fn kick(&mut self, vcpu: usize) -> bool {
        if !core::mem::take(&mut self.machine.borrow_mut().cores[vcpu].kicked) {
            return false;
        }
        if self.shared.drain(vcpu, &mut self.lrs(vcpu)) == Drained::NeedsLock {
            self.call(vcpu, |vgic, hw, lrs| vgic.kicked(vcpu, hw, lrs));
        }
        true
    }

    /// EL2's assembly takes a doorbell, if that is all there is to do.
    pub fn doorbell(&mut self, vcpu: usize) -> bool {
        let kicked = self.machine.borrow().cores[vcpu].kicked;
        let done = kicked && self.shared.fast_doorbell(vcpu, &mut self.lrs(vcpu));
        self.machine.borrow_mut().cores[vcpu].kicked = kicked && !done;
        done
    }

    /// EL2's assembly sends an SGI from a vCPU to itself, if it can.
    pub fn fast_to_oneself(&mut self, vcpu: usize, sgi: u32) -> bool {
        self.shared.fast_to_oneself(vcpu, sgi, &mut self.lrs(vcpu))
    }

    /// Whether the maintenance interrupt is asserted (ICH_MISR_EL2); for VGrp0D also as QEMU has it, which looks at group 1
    /// (10.0, hw/intc/arm_gicv3_cpuif.c, `maintenance_interrupt_state`).
    pub fn maintained(&self, vcpu: usize) -> bool {
        let machine = self.machine.borrow();
        let core = &machine.cores[vcpu];
        let (on, off) = (core.groups & 3, !core.groups & 3);
        let asked = |bit, condition: bool| core.control.contains(bit) && condition;
        core.lrs.iter().any(|image| lr::is_ended(*image))
            || asked(Control::LRENPIE, core.eoi_count != 0)
            || asked(Control::NPIE, !core.lrs.iter().any(|image| lr::is_waiting(*image)))
            || asked(Control::VGRP0EIE, on & 1 != 0)
            || asked(Control::VGRP1EIE, on & 2 != 0)
            || asked(Control::VGRP0DIE, off != 0)
            || asked(Control::VGRP1DIE, off & 2 != 0)
    }

    /// EL2 takes the maintenance interrupt, after which it must be quiet.
    pub fn maintenance(&mut self, vcpu: usize) -> bool {
        if !self.maintained(vcpu) {
            return false;
        }
        self.call(vcpu, |vgic, hw, lrs| vgic.maintenance(vcpu, hw, lrs));
        assert!(!self.maintained(vcpu), "maintenance storm");
        true
    }

    /// EL2 does all that there is to do on every core.
    pub fn quiesce(&mut self) {
        for _ in 0..1000 {
            let busy =
                (0..self.machine.borrow().cores.len()).filter(|vcpu| self.machine.borrow().online[*vcpu]);
            let busy: Vec<usize> = busy.collect();
            let worked = busy.into_iter().fold(false, |worked, vcpu| {
                worked | self.finish(vcpu) | self.interrupt(vcpu) | self.kick(vcpu) | self.maintenance(vcpu)
            });
            if !worked {
                return;
            }
        }
        panic!("EL2 never comes to rest");
    }

    /// The guest reads ICC_IAR.
    pub fn ack(&mut self, vcpu: usize) -> Option<u32> {
        let core = &mut self.machine.borrow_mut().cores[vcpu];
        let threshold = core.running.iter().map(|(priority, _)| u32::from(*priority)).min().unwrap_or(0x100);
        let groups = core.groups;
        let enabled = |image: &u64| groups & if image & lr::GROUP1 != 0 { 2 } else { 1 } != 0;
        let image = core
            .lrs
            .iter_mut()
            .filter(|image| lr::is_waiting(**image) && enabled(image))
            .min_by_key(|image| (lr::priority(**image), lr::intid(**image)))?;
        if u32::from(lr::priority(*image)) >= threshold {
            return None;
        }
        *image ^= lr::PENDING | lr::ACTIVE;
        let running = (lr::priority(*image), lr::intid(*image));
        core.source = if *image & lr::HW == 0 { lr::source(*image) } else { 0 };
        core.running.push(running);
        Some(running.1)
    }

    /// The guest writes ICC_EOIR for the interrupt that it acknowledged last.
    pub fn eoi(&mut self, vcpu: usize) -> Option<u32> {
        let (_, intid) = self.machine.borrow_mut().cores[vcpu].running.pop()?;
        if self.machine.borrow().cores[vcpu].two_step {
            self.machine.borrow_mut().cores[vcpu].dropped.push(intid);
        } else {
            self.end(vcpu, intid);
        }
        Some(intid)
    }

    /// The guest writes ICC_DIR for some interrupt that it ended.
    pub fn dir(&mut self, vcpu: usize, which: usize) {
        let mut machine = self.machine.borrow_mut();
        let core = &mut machine.cores[vcpu];
        if core.dropped.is_empty() {
            return;
        }
        let intid = core.dropped.swap_remove(which % core.dropped.len());
        let trapped = core.control.contains(Control::TDIR);
        drop(machine);
        if trapped {
            self.call(vcpu, |vgic, hw, lrs| vgic.deactivate(vcpu, intid, hw, lrs));
        } else {
            self.end(vcpu, intid);
        }
    }

    /// The virtual CPU interface deactivates.
    fn end(&mut self, vcpu: usize, intid: u32) {
        let mut machine = self.machine.borrow_mut();
        let core = &mut machine.cores[vcpu];
        let found =
            core.lrs.iter_mut().find(|image| **image & lr::ACTIVE != 0 && lr::intid(**image) == intid);
        if let Some(image) = found {
            *image &= !lr::ACTIVE;
            let image = *image;
            machine.deactivate(vcpu, image);
        } else {
            core.eoi_count = (core.eoi_count + 1).min(31);
        }
    }
}
