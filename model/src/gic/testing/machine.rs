//! A machine for the tests: a physical GICv3 or GICv2 and cores with list registers.
//!
//! It checks what it is asked: an action on an interrupt or a vCPU outside the partition fails the test.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::super::{Bits, Control, Hw, ListRegisters, Op, State, Word, from_gicv2, lr, perform, to_gicv2};

/// Number of INTIDs in the fake.
pub const INTIDS: u32 = 128;

/// One physical interrupt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    pub owned: bool,
    pub enabled: bool,
    pub latch: bool,
    pub active: bool,
    pub edge: bool,
    pub high: bool,
    pub route: usize,
    /// Of a direct partition's.
    pub priority: u8,
    pub group1: bool,
}

impl Line {
    pub fn pending(&self) -> bool {
        self.latch || !self.edge && self.high
    }
}

/// One core: EL2's part and the virtual CPU interface.
#[derive(Clone, Debug, Default)]
pub struct Core {
    pub lrs: Vec<u64>,
    pub ready: Vec<u64>,
    pub control: Control,
    pub eoi_count: u32,
    /// VENG1, VENG0.
    pub groups: u32,
    /// Acknowledged by the guest and not ended: priority, INTID.
    pub running: Vec<(u8, u32)>,
    /// EOImode = 1: ended and not deactivated.
    pub dropped: Vec<u32>,
    pub two_step: bool,
    /// The source of the SGI that was acknowledged last (GICv2).
    pub source: u32,
    /// An interrupt that EL2 acknowledged, on its way to the lock.
    pub in_hand: Option<u32>,
    pub kicked: bool,
    pub remotes: u32,
    pub ppis: [Line; 32],
}

/// What is behind the traits.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub cores: Vec<Core>,
    pub spis: Vec<Line>,
    pub online: Vec<bool>,
    pub kicks: u32,
    /// GICv2: private registers are banked.
    pub banked: bool,
    /// An SPI of which to note whether it is enabled at each operation on another core's list registers; the notes.
    pub watch: Option<u32>,
    pub watched: Vec<bool>,
    /// Somebody else has ended what was active here.
    pub foreign: bool,
}

impl Machine {
    /// With GICv2 a core reaches its own private registers only.
    fn reach(&self, core: usize, word: Word) {
        assert!(
            !self.banked || !matches!(word, Word::Private(vcpu) if vcpu != core),
            "{word:?} by core {core}"
        );
    }

    pub fn line(&mut self, core: usize, intid: u32) -> &mut Line {
        if intid < 32 { &mut self.cores[core].ppis[intid as usize] } else { &mut self.spis[intid as usize] }
    }

    fn each(&mut self, word: Word, mask: u32, mut act: impl FnMut(&mut Line)) {
        assert_ne!(mask, 0, "an access to {word:?} for nothing: each takes time");
        for bit in (0..32).filter(|bit| mask & 1 << bit != 0) {
            let (core, intid) = match word {
                Word::Private(core) => (core, bit),
                Word::Shared(word) => (0, 32 * word as u32 + bit),
            };
            let line = self.line(core, intid);
            assert!(line.owned, "INTID {intid} is not the partition's");
            act(line);
        }
    }

    /// The interrupt that the physical GIC would signal to this core.
    pub fn signalled(&mut self, core: usize) -> Option<u32> {
        (16..INTIDS).find(|intid| {
            let line = *self.line(core, *intid);
            let here = *intid < 32 || line.route == core;
            line.owned && line.enabled && line.pending() && !line.active && here
        })
    }

    pub fn deactivate(&mut self, core: usize, image: u64) {
        if image & lr::HW != 0 {
            let foreign = self.foreign;
            let line = self.line(core, (image >> 32) as u32 & 0x3ff);
            assert!(line.active || foreign, "a list register without its active physical interrupt");
            line.active = false;
        }
    }
}

/// The handle that plays EL2's hardware layer.
#[derive(Clone)]
pub struct Physical(pub Rc<RefCell<Machine>>, pub usize);

/// The list registers of one core.
#[derive(Clone)]
pub struct Lrs(pub Rc<RefCell<Machine>>, pub usize);

impl Hw for Physical {
    fn read(&mut self, word: Word, bits: Bits) -> u32 {
        let mut machine = self.0.borrow_mut();
        machine.reach(self.1, word);
        (0..32).fold(0, |all, bit| {
            let line = match word {
                Word::Private(core) => *machine.line(core, bit),
                Word::Shared(word) => *machine.line(0, 32 * word as u32 + bit),
            };
            let set = match bits {
                Bits::Enable => line.enabled,
                Bits::Pending => line.pending(),
                Bits::Active => line.active,
            };
            // Other owners' interrupts read as noise: the model must mask.
            all | u32::from(set || !line.owned) << bit
        })
    }

    fn set(&mut self, word: Word, bits: Bits, mask: u32) {
        self.0.borrow().reach(self.1, word);
        self.0.borrow_mut().each(word, mask, |line| match bits {
            Bits::Enable => line.enabled = true,
            Bits::Pending => line.latch = true,
            Bits::Active => line.active = true,
        });
    }

    fn clear(&mut self, word: Word, bits: Bits, mask: u32) {
        self.0.borrow().reach(self.1, word);
        self.0.borrow_mut().each(word, mask, |line| match bits {
            Bits::Enable => line.enabled = false,
            Bits::Pending => line.latch = false,
            Bits::Active => line.active = false,
        });
    }

    fn set_edge(&mut self, word: Word, intid: u32, edge: bool) -> bool {
        let mut now = edge;
        self.0.borrow().reach(self.1, word);
        let banked = self.0.borrow().banked;
        self.0.borrow_mut().each(word, 1 << (intid % 32), |line| {
            assert!(!line.enabled, "trigger of an enabled interrupt");
            // PPIs' triggers are fixed on this machine if it has redistributors.
            if matches!(word, Word::Shared(_)) || banked {
                line.edge = edge;
            }
            now = line.edge;
        });
        now
    }

    fn route(&mut self, intid: u32, vcpu: usize) {
        let mut machine = self.0.borrow_mut();
        assert!(vcpu < machine.cores.len() && machine.spis[intid as usize].owned);
        machine.spis[intid as usize].route = vcpu;
    }

    fn set_priority(&mut self, word: Word, intid: u32, priority: u8) {
        self.0.borrow().reach(self.1, word);
        self.0.borrow_mut().each(word, 1 << (intid % 32), |line| line.priority = priority);
    }

    fn set_groups(&mut self, word: Word, mask: u32, group1: u32) {
        self.0.borrow().reach(self.1, word);
        let mut bit = 0;
        self.0.borrow_mut().each(word, mask, |line| {
            bit = (bit..32).find(|bit| mask & 1 << bit != 0).expect("a bit for each");
            line.group1 = group1 & 1 << bit != 0;
            bit += 1;
        });
    }

    fn set_ready(&mut self, vcpu: usize, intid: u32, image: u64) {
        let mut machine = self.0.borrow_mut();
        assert!(machine.line(vcpu, intid).owned);
        machine.cores[vcpu].ready[intid as usize] = image;
    }

    fn kick(&mut self, vcpu: usize) {
        let mut machine = self.0.borrow_mut();
        assert!(machine.online[vcpu], "kick of a vCPU that is off");
        machine.cores[vcpu].kicked = true;
        machine.kicks += 1;
    }

    fn remote(&mut self, vcpu: usize, op: Op) -> State {
        assert!(
            vcpu != self.1 && self.0.borrow().online[vcpu],
            "remote operation on oneself or a vCPU that is off"
        );
        let mut machine = self.0.borrow_mut();
        machine.cores[vcpu].remotes += 1;
        if let Some(watch) = machine.watch {
            let enabled = machine.spis[watch as usize].enabled;
            machine.watched.push(enabled);
        }
        drop(machine);
        assert_eq!(Op::from_bits(u64::from(op)), op);
        let state = perform(op, &mut Lrs(Rc::clone(&self.0), vcpu));
        State::from(u64::from(state))
    }
}

impl ListRegisters for Lrs {
    fn count(&self) -> usize {
        self.0.borrow().cores[self.1].lrs.len()
    }
    fn read(&self, index: usize) -> u64 {
        self.0.borrow().cores[self.1].lrs[index]
    }
    fn write(&mut self, index: usize, image: u64) {
        let mut machine = self.0.borrow_mut();
        if machine.banked {
            assert_eq!(from_gicv2(to_gicv2(image)), image, "a GICv2 has all of it");
        }
        let lrs = &mut machine.cores[self.1].lrs;
        lrs[index] = image;
        let twice = |(other, old): (usize, &u64)| {
            other != index && lr::is_valid(*old) && lr::intid(*old) == lr::intid(image)
        };
        assert!(
            !lr::is_valid(image) || !lrs.iter().enumerate().any(twice),
            "one number in two list registers"
        );
    }
    fn ended(&self) -> u32 {
        let lrs = &self.0.borrow().cores[self.1].lrs;
        (0..).zip(lrs).fold(0, |all, (index, image)| all | u32::from(lr::is_ended(*image)) << index)
    }

    fn take_eoi_count(&mut self) -> u32 {
        core::mem::take(&mut self.0.borrow_mut().cores[self.1].eoi_count)
    }
    fn set_control(&mut self, control: Control) {
        let core = &mut self.0.borrow_mut().cores[self.1];
        (core.control, core.eoi_count) = (control, 0);
    }
    fn enabled_groups(&self) -> u32 {
        self.0.borrow().cores[self.1].groups
    }
}
