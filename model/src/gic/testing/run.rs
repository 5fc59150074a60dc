//! Random guests, devices and interleavings on the fake machine: whatever happens, nothing is lost, doubled or out of
//! order.

use alloc::{vec, vec::Vec};

use super::super::bank::bits;
use super::super::{Control, REDIST_SIZE, SgiRegister, Version, Word, lr};
use super::fake::{INTIDS, PPIS, SPIS, World};

const SGI_BASE: u64 = 0x1_0000;

/// The vCPUs that a value written to GICD_SGIR names.
fn targets_v2(source: usize, value: u64) -> u32 {
    match value >> 24 & 3 {
        0 => value as u32 >> 16 & 0xff,
        1 => 0xff & !(1 << source),
        2 => 1 << source,
        _ => 0,
    }
}

/// A step, to be read with what the machine allows at that point.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What happens: below [`Step::KINDS`].
    pub kind: u8,
    /// To which core, modulo how many there are.
    pub core: usize,
    /// With which interrupt or register.
    pub pick: usize,
    /// And which value.
    pub value: u32,
}

impl Step {
    /// How many kinds of step there are.
    pub const KINDS: u8 = 32;
}

/// A machine with a partition on it, and what the test knows beside the model: which edges, written pending states and
/// SGIs must still be seen.
#[allow(missing_debug_implementations, reason = "a failing run is told by its steps")]
pub struct Run {
    world: World,
    vcpus: usize,
    v2: bool,
    /// GICv2: sources of SGIs that must still be seen, per core and SGI.
    senders: Vec<[u8; 16]>,
    /// GICv2: how many more may come, per core, SGI and source.
    sent: Vec<[[u32; 8]; 16]>,
    /// Per core (private ones) and INTID: it must reach the guest; how often it was raised and acknowledged.
    due: Vec<[bool; INTIDS as usize]>,
    raised: Vec<[u32; INTIDS as usize]>,
    acked: Vec<[u32; INTIDS as usize]>,
}

impl Run {
    /// `vcpus` cores (1..=4) with `lrs` list registers each, all of which run with everything enabled. A bit of
    /// `two_step` gives its core's guest EOImode = 1 (GICv3).
    #[must_use]
    pub fn new(version: Version, vcpus: usize, lrs: usize, two_step: u8) -> Self {
        let mut world = World::with(version, vcpus, lrs);
        for (index, core) in world.machine.borrow_mut().cores.iter_mut().enumerate() {
            core.two_step = two_step & 1 << index != 0;
        }
        (1..vcpus).for_each(|vcpu| world.online(vcpu));
        let mut run = Run {
            world,
            vcpus,
            v2: version == Version::V2,
            senders: vec![[0; 16]; vcpus],
            sent: vec![[[0; 8]; 16]; vcpus],
            due: vec![[false; INTIDS as usize]; vcpus],
            raised: vec![[0; INTIDS as usize]; vcpus],
            acked: vec![[0; INTIDS as usize]; vcpus],
        };
        run.enable_all();
        run
    }

    fn enable_all(&mut self) {
        let first = (0..self.vcpus).find(|vcpu| self.runs(*vcpu)).unwrap_or(0);
        self.world.dist(first, 0, 4, Some(3));
        for word in 1..4 {
            self.world.dist(first, 0x100 + 4 * word, 4, Some(0xffff_ffff));
        }
        for vcpu in 0..self.vcpus {
            self.write_word(first, Word::Private(vcpu), 0x100, 0xffff_ffff);
        }
    }

    /// In the guest, or in EL2 without the lock.
    fn runs(&self, vcpu: usize) -> bool {
        let machine = self.world.machine.borrow();
        machine.online[vcpu] && machine.cores[vcpu].in_hand.is_none()
    }

    fn raise(&mut self, core: usize, intid: u32) {
        let core = if intid < 32 { core } else { 0 };
        self.due[core][intid as usize] = true;
        self.raised[core][intid as usize] += 1;
    }

    fn input(&mut self, core: usize, intid: u32, high: bool) {
        let line = *self.world.machine.borrow_mut().line(core, intid);
        let edge = match self.emulated(intid) {
            true => {
                self.world.vgic.bank(Word::Shared(intid as usize / 32)).unwrap().edge & 1 << (intid % 32) != 0
            }
            false => line.edge,
        };
        if edge && high && !line.high {
            self.raise(core, intid);
        }
        self.world.input(core, intid, high);
    }

    fn emulated(&self, intid: u32) -> bool {
        SPIS.iter().any(|spi| spi.intid == intid && spi.emulated)
    }

    fn inputs(&self, pick: usize) -> u32 {
        let all: Vec<u32> = SPIS.iter().map(|spi| spi.intid).chain([27, 30]).collect();
        all[pick % all.len()]
    }

    fn ack(&mut self, core: usize, lower: bool) -> Option<u32> {
        let intid = self.world.ack(core)?;
        let bank = if intid < 32 { core } else { 0 };
        self.due[bank][intid as usize] = false;
        self.acked[bank][intid as usize] += 1;
        if let (true, Some(sources)) = (self.v2, self.senders[core].get_mut(intid as usize)) {
            let source = self.world.machine.borrow().cores[core].source;
            *sources &= !(1 << source);
            let sent = &mut self.sent[core][intid as usize][source as usize];
            *sent = sent.checked_sub(1).expect("an SGI from a source that did not send it");
        }
        if lower {
            self.input(core, intid, false);
        }
        Some(intid)
    }

    /// A guest's write to a register with one bit per interrupt. The test follows what it does to pending states.
    fn write_word(&mut self, core: usize, word: Word, register: u64, mask: u32) {
        let (offset, bank) = match word {
            Word::Private(vcpu) if self.v2 && !self.runs(vcpu) => return,
            Word::Private(vcpu) if self.v2 => (register, vcpu),
            Word::Private(vcpu) => (vcpu as u64 * REDIST_SIZE + SGI_BASE + register, vcpu),
            Word::Shared(word) => (register + 4 * word as u64, 0),
        };
        let base = if let Word::Shared(word) = word { 32 * word as u32 } else { 0 };
        let owned = self.world.vgic.bank(word).map_or(0, |bank| bank.owned());
        let fixed = if self.v2 && matches!(word, Word::Private(_)) { 0xffff } else { 0 };
        for bit in bits(mask & owned & !fixed) {
            match register {
                0x200 => self.raise(bank, base + bit),
                0x280 => self.due[bank][(base + bit) as usize] = false,
                _ => {}
            }
        }
        let write = Some(u64::from(mask));
        match word {
            Word::Private(vcpu) if self.v2 => self.world.dist(vcpu, offset, 4, write),
            Word::Private(_) => self.world.redist(core, offset, 4, write),
            Word::Shared(_) => self.world.dist(core, offset, 4, write),
        };
    }

    /// SGIs by GICD_SGIR, through the lock or not, or made pending and cleared by source.
    fn send_v2(&mut self, core: usize, sgi: u32, value: u32) {
        let all = (1_u32 << self.vcpus) - 1;
        let sources = value >> 8 & all;
        let (sent, hit) = match value & 7 {
            0 => {
                self.world.dist(core, u64::from(0xf20 + sgi), 1, Some(u64::from(value >> 8 & 0xff)));
                (sources, 1 << core)
            }
            1 => {
                self.world.dist(core, u64::from(0xf10 + sgi), 1, Some(u64::from(value >> 8 & 0xff)));
                let cleared = (value >> 8) as u8;
                self.senders[core][sgi as usize] &= !cleared;
                let (due, left) = (
                    self.senders[core][sgi as usize],
                    self.world.dist(core, u64::from(0xf10 + sgi), 1, None) as u8,
                );
                // What was sent again after it came may be there, too.
                assert_eq!((due & !left, left & cleared), (0, 0));
                self.due[core][sgi as usize] = due != 0;
                return;
            }
            2..4 => {
                let value = u64::from(value & 0x3ff_0000) | u64::from(sgi);
                self.world.dist(core, 0xf00, 4, Some(value));
                (1 << core, targets_v2(core, value) & all)
            }
            _ => {
                let fast = value & 8 != 0 && targets_v2(core, value.into()) & all == 1 << core;
                let value = u64::from(value & 0x3ff_0000) | u64::from(sgi);
                let hit = match fast && self.world.fast_to_oneself(core, sgi) {
                    true => 0,
                    false => self.world.shared.send_sgir(core, value),
                };
                let mut machine = self.world.machine.borrow_mut();
                for target in bits(hit as u32) {
                    machine.cores[target as usize].kicked |= machine.online[target as usize];
                }
                (1 << core, targets_v2(core, value) & all)
            }
        };
        for target in bits(hit) {
            for source in bits(sent) {
                self.raise(target as usize, sgi);
                self.senders[target as usize][sgi as usize] |= 1 << source;
                self.sent[target as usize][sgi as usize][source as usize] += 1;
            }
        }
    }

    /// Does one thing, if the machine can do it now.
    pub fn step(&mut self, step: &Step) {
        let core = step.core % self.vcpus;
        let Step { kind, pick, value, .. } = *step;
        // Devices do not wait for anyone. The rest needs a core that is not at the lock.
        match kind {
            0..=4 => return self.input(core, self.inputs(pick), value & 1 != 0 || kind < 2),
            5..=6 => {
                self.world.finish(core);
                return;
            }
            _ if self.runs(core) => {}
            7 if !self.world.machine.borrow().online[core] => return self.world.online(core),
            _ => return,
        }
        match kind {
            7..=11 => _ = self.world.interrupt(core),
            12..=13 => _ = value & 1 != 0 && self.world.doorbell(core) || self.world.kick(core),
            14..=15 => _ = self.world.maintenance(core),
            16..=19 => _ = self.ack(core, value & 3 != 0),
            20..=22 => _ = self.world.eoi(core),
            23 => self.world.dir(core, pick),
            24..=25 => {
                let word = match pick % 6 {
                    0..=1 => Word::Private(pick / 6 % self.vcpus),
                    4 if self.v2 => Word::Private(core),
                    word => Word::Shared(word % 4),
                };
                let registers = [0x80, 0x100, 0x100, 0x180, 0x180, 0x200, 0x280, 0x300, 0x380, 0x380];
                let mask =
                    if value & 3 == 0 { value } else { value & value.rotate_left(7) & value.rotate_left(13) };
                self.write_word(core, word, registers[pick / 24 % registers.len()], mask);
                // What it reads afterwards is only the partition's.
                if let Word::Shared(word) = word {
                    let read = self.world.dist(core, 0x200 + 4 * word as u64, 4, None) as u32;
                    assert_eq!(
                        read & !self.world.vgic.bank(Word::Shared(word)).map_or(0, |bank| bank.owned()),
                        0
                    );
                }
            }
            26 => {
                let priority = Some(u64::from(value & 0xff));
                let intid = u64::from(self.inputs(pick));
                if intid < 32 {
                    let sgi = pick as u64 % 32;
                    if self.v2 {
                        self.world.dist(core, 0x400 + sgi, 1, priority);
                        return;
                    }
                    self.world.redist(
                        core,
                        step.core as u64 % 2 * REDIST_SIZE + SGI_BASE + 0x400 + sgi,
                        1,
                        priority,
                    );
                } else {
                    self.world.dist(core, 0x400 + intid, 1, priority);
                }
            }
            27 if self.v2 => {
                let targets = Some(u64::from(value & value >> 8));
                self.world.dist(core, 0x800 + u64::from(self.inputs(pick)), 1, targets);
            }
            28..=29 if self.v2 => self.send_v2(core, pick as u32 % 16, value),
            27 => {
                let route = if value & 7 == 0 {
                    u64::from(value) << 28
                } else {
                    u64::from(value) % self.vcpus as u64
                };
                self.world.dist(core, 0x6000 + 8 * u64::from(self.inputs(pick)), 8, Some(route));
            }
            28..=29 => {
                let register = [SgiRegister::Sgi1r, SgiRegister::Sgi0r][usize::from(value & 7 == 0)];
                let sgi = pick as u32 % 16;
                let fast = register == SgiRegister::Sgi1r && value & 0xf == 1 << core && value & 16 != 0;
                if fast && self.world.fast_to_oneself(core, sgi) {
                    return self.raise(core, sgi);
                }
                let hit =
                    self.world.shared.send(core, u64::from(sgi) << 24 | u64::from(value & 0xf), register);
                for target in (0..self.vcpus).filter(|target| hit & 1 << target != 0) {
                    self.raise(target, sgi);
                    let mut machine = self.world.machine.borrow_mut();
                    machine.cores[target].kicked |= machine.online[target];
                }
            }
            30 => match value % 3 {
                0 => _ = self.world.dist(core, 0, 4, Some(u64::from(value >> 8))),
                1 => self.world.machine.borrow_mut().cores[core].groups = value >> 8 & 3,
                _ => _ = self.world.dist(core, 0, 4, Some(3)),
            },
            _ if value & 3 == 0 => self.world.offline(core),
            _ => {}
        }
    }

    /// A load or store anywhere in the distributor's frame, or (`redists`) the redistributors', if the core runs its
    /// guest. What it does to pending states is not followed: [`Run::drain`] would miss them.
    pub fn access(&mut self, core: usize, redists: bool, offset: u64, width: u8, write: Option<u64>) {
        let core = core % self.vcpus;
        if !self.runs(core) {
            return;
        }
        match redists {
            true => self.world.redist(core, offset, width, write),
            false => self.world.dist(core, offset, width, write),
        };
    }

    /// What must hold between any two steps.
    pub fn check(&self) {
        let machine = self.world.machine.borrow();
        let mut anywhere: Vec<u32> = Vec::new();
        for (vcpu, core) in machine.cores.iter().enumerate() {
            let cpu = &self.world.vgic.cpus[vcpu];
            let mut here: Vec<u32> = cpu.waiting.iter().chain(cpu.spilled.iter()).collect();
            for image in core.lrs.iter().copied().filter(|image| lr::is_valid(*image)) {
                let intid = lr::intid(image);
                let bit = 1 << (intid % 32);
                let word = if intid < 32 { Word::Private(vcpu) } else { Word::Shared(intid as usize / 32) };
                let bank = self.world.vgic.bank(word).unwrap();
                assert_ne!(bank.owned() & bit, 0, "{intid} is not the partition's");
                assert_eq!(image & lr::HW != 0, bank.physical & bit != 0);
                here.push(intid);
                if image & lr::HW != 0 {
                    let line =
                        if intid < 32 { core.ppis[intid as usize] } else { machine.spis[intid as usize] };
                    assert!(line.active, "{intid} in a list register is not physically active");
                    assert_eq!((image >> 32) as u32 & 0x3ff, intid);
                    assert!(
                        !lr::is_valid(image & !lr::ACTIVE) || image & lr::ACTIVE == 0,
                        "HW: one state only"
                    );
                }
                if image & lr::PENDING != 0 {
                    assert_ne!(bank.forwarded & bit, 0, "{intid} is pending in a list register and disabled");
                    assert_eq!(bank.held & bit, 0);
                    assert_eq!(self.world.vgic.owner(word, intid % 32), Some(vcpu));
                }
            }
            anywhere.extend(here.iter().filter(|intid| **intid >= 32));
            here.sort_unstable();
            assert!(here.windows(2).all(|pair| pair[0] != pair[1]), "twice on core {vcpu}: {here:?}");
            self.check_order(vcpu, &core.lrs, core.kicked);
        }
        anywhere.sort_unstable();
        assert!(anywhere.windows(2).all(|pair| pair[0] != pair[1]), "on two cores: {anywhere:?}");
        for intid in 32..INTIDS {
            let line = machine.spis[intid as usize];
            let bank = self.world.vgic.bank(Word::Shared(intid as usize / 32));
            let forwarded = bank.map_or(0, |bank| bank.forwarded & bank.physical) >> (intid % 32) & 1 != 0;
            assert_eq!(line.enabled, forwarded, "{intid}");
        }
    }

    /// Nothing that waits is more urgent than what is pending in a list register, unless a kick or maintenance is on its way.
    fn check_order(&self, vcpu: usize, lrs: &[u64], kicked: bool) {
        let machine = self.world.machine.borrow();
        let core = &machine.cores[vcpu];
        // One that is in a list register waits for its own end.
        let placed = core.lrs.iter().filter(|image| lr::is_valid(**image) && lr::intid(**image) < 16);
        let behind = placed.fold(0, |all, image| all | 1 << lr::intid(*image));
        let Some((_, intid, image)) = self.world.vgic.candidate(vcpu, 3, behind) else { return };
        if kicked
            || self.world.maintained(vcpu)
            || !machine.online[vcpu]
            || core.groups != 3
            || !core.control.contains(Control::NPIE)
        {
            return;
        }
        for waiting in lrs.iter().filter(|image| lr::is_waiting(**image)) {
            assert!(
                lr::priority(*waiting) <= lr::priority(image),
                "{intid} waits behind {}",
                lr::intid(*waiting)
            );
        }
    }

    /// Everything is enabled, every core runs and takes what comes: at the end nothing is left, and nothing was lost.
    pub fn drain(&mut self) {
        for vcpu in 0..self.vcpus {
            if !self.world.machine.borrow().online[vcpu] {
                self.world.online(vcpu);
            }
            self.world.machine.borrow_mut().cores[vcpu].groups = 3;
            self.world.finish(vcpu);
        }
        for spi in SPIS {
            let target = u64::from(spi.intid) % self.vcpus as u64;
            if self.v2 {
                self.world.dist(0, 0x800 + u64::from(spi.intid), 1, Some(1 << target));
                continue;
            }
            self.world.dist(0, 0x6000 + 8 * u64::from(spi.intid), 8, Some(target));
        }
        self.enable_all();
        // What was active by a write, or without its core, ends by one.
        let held = self.world.vgic.spis.iter().map(|bank| bank.held).collect::<Vec<_>>();
        for (index, held) in held.into_iter().enumerate() {
            self.write_word(0, Word::Shared(index + 1), 0x380, held);
        }
        for vcpu in 0..self.vcpus {
            let held = self.world.vgic.cpus[vcpu].private.held;
            self.write_word(0, Word::Private(vcpu), 0x380, held);
        }
        for _ in 0..2000 {
            self.world.quiesce();
            self.check();
            let mut idle = true;
            for vcpu in 0..self.vcpus {
                idle &= self.ack(vcpu, true).is_none() & self.world.eoi(vcpu).is_none();
                idle &= self.world.machine.borrow().cores[vcpu].dropped.is_empty();
                self.world.dir(vcpu, 0);
                self.world.quiesce();
            }
            if idle {
                return self.check_end();
            }
        }
        panic!("interrupts without an end");
    }

    fn check_end(&mut self) {
        for core in 0..self.vcpus {
            assert!(self.world.machine.borrow().cores[core].lrs.iter().all(|image| !lr::is_valid(*image)));
            assert!(!self.world.vgic.pending_anywhere(core, &self.world.lrs(core)));
            assert!(self.world.shared.fast_path_allowed(core));
            for intid in 0..INTIDS {
                let line = *self.world.machine.borrow_mut().line(core, intid);
                assert!(
                    !line.owned || !line.active && !line.pending(),
                    "{intid} on core {core} is stuck: {line:?}"
                );
                assert!(!self.due[core][intid as usize], "{intid} on core {core} was lost");
                let level =
                    SPIS.iter().any(|spi| spi.intid == intid && !spi.edge) || PPIS >> intid.min(31) & 1 != 0;
                if !level && intid != 31 {
                    let (raised, acked) =
                        (self.raised[core][intid as usize], self.acked[core][intid as usize]);
                    assert!(acked <= raised, "{intid} on core {core}: {acked} of {raised}");
                }
            }
        }
        assert!(self.senders.iter().flatten().all(|sources| *sources == 0), "{:?}", self.senders);
        let shared = (0..3).map(|word| self.world.dist(0, 0x300 + 4 * word, 4, None));
        assert_eq!(shared.sum::<u64>(), 0, "nothing is active");
    }
}
