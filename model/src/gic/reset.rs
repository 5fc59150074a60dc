//! Start and end: vCPUs that come and go, and the state that a partition is launched in.

use super::hw::{Bits, Control, Hw, ListRegisters, Word};
use super::{Ctx, Route, Version, Vgic, bits, lr};

impl Vgic {
    /// A vCPU is about to run on the calling core: from now on its interrupts are forwarded. Its list registers are
    /// emptied and filled anew.
    pub fn online<H: Hw, L: ListRegisters>(&mut self, vcpu: usize, hw: &mut H, lrs: &mut L) {
        if vcpu >= self.cpus.len() {
            return;
        }
        (0..lrs.count()).for_each(|index| lrs.write(index, 0));
        self.online |= 1 << vcpu;
        if self.cpus.get_mut(vcpu).is_some_and(|cpu| core::mem::take(&mut cpu.stale)) {
            self.quieten(Word::Private(vcpu), hw);
            self.reset_physical(Word::Private(vcpu), 0, hw);
        }
        // EL2 had it for itself meanwhile.
        self.direct_rank(Word::Private(vcpu), u32::MAX, hw);
        let mut ctx = Ctx { vcpu, hw, lrs };
        self.rehome(vcpu, &mut ctx);
        self.regate_all(&mut ctx);
        self.nudge(vcpu);
        self.settle(&mut ctx);
    }

    /// The vCPU of the calling core stops running: CPU_OFF, or the partition is stopped.
    ///
    /// What is pending goes back to where it came from, what is active stays active in no list register (until
    /// ICACTIVER or a reset), and nothing is forwarded to this core any more. The list registers are empty after it.
    pub fn offline<H: Hw, L: ListRegisters>(&mut self, vcpu: usize, hw: &mut H, lrs: &mut L) {
        if vcpu >= self.cpus.len() {
            return;
        }
        let mut ctx = Ctx { vcpu, hw, lrs };
        self.fold(&mut ctx);
        self.online &= !(1 << vcpu);
        for index in 0..ctx.lrs.count() {
            let image = ctx.lrs.read(index);
            ctx.lrs.write(index, 0);
            self.let_go(vcpu, lr::intid(image), image & lr::PENDING != 0, image & lr::ACTIVE != 0, ctx.hw);
        }
        for word in 0..=self.spis.len() {
            let (mut waiting, mut spilled) = (0, 0);
            if let Some(cpu) = self.cpus.get_mut(vcpu) {
                waiting = cpu.waiting.take(word, u32::MAX);
                spilled = cpu.spilled.take(word, u32::MAX);
            }
            for bit in bits(waiting | spilled) {
                let intid = 32 * word as u32 + bit;
                self.let_go(vcpu, intid, waiting & 1 << bit != 0, spilled & 1 << bit != 0, ctx.hw);
            }
        }
        self.regate_all(&mut ctx);
        self.rehome(vcpu, &mut ctx);
        ctx.lrs.set_control(Control::empty());
        self.shared.set_crowded(vcpu, false);
        self.nudged &= !(1 << vcpu);
        self.settle(&mut ctx);
    }

    /// One interrupt that this vCPU had in flight.
    fn let_go<H: Hw>(&mut self, vcpu: usize, intid: u32, pending: bool, active: bool, hw: &mut H) {
        let word = if intid < 32 { Word::Private(vcpu) } else { Word::Shared(intid as usize / 32) };
        let bit = 1 << (intid % 32);
        let Some(bank) = self.bank_mut(word) else { return };
        if !pending && !active {
            return;
        }
        bank.loaded &= !bit;
        if active {
            bank.held |= bit;
        }
        if pending {
            self.give_back(word, bit, !active, hw);
        }
        self.unmute(word, bit, hw);
        self.publish(word, bit, hw);
    }

    /// Brings the partition's interrupts, physical and virtual, to the state of a launch: disabled, not pending, not
    /// active, Group 1 (with GICv2, as without the Security Extensions, Group 0), priority 0, triggers as configured,
    /// routed to vCPU 0. Every vCPU is off before. GICv2's private ones follow when their vCPU is next online, as they
    /// are banked; they are disabled since it went off. So do those of a direct partition, since EL2 uses its cores'
    /// SGIs while they are off.
    pub fn reset<H: Hw>(&mut self, hw: &mut H) {
        let reachable = if self.is_left_to_itself() { 0 } else { self.cpus.len() };
        (0..reachable).for_each(|vcpu| self.quieten(Word::Private(vcpu), hw));
        (1..=self.spis.len()).for_each(|index| self.quieten(Word::Shared(index), hw));
        self.reset_state();
        for vcpu in 0..reachable {
            self.reset_physical(Word::Private(vcpu), 0, hw);
        }
        for index in 1..=self.spis.len() {
            self.reset_physical(Word::Shared(index), 32 * index as u32, hw);
        }
    }

    /// Whether private interrupts are brought to the state of a launch by their own core.
    fn is_left_to_itself(&self) -> bool {
        self.version == Version::V2 || self.direct
    }

    /// Disabled, not pending, not active.
    fn quieten<H: Hw>(&self, word: Word, hw: &mut H) {
        let physical = self.bank(word).map_or(0, |bank| bank.physical);
        for state in [Bits::Enable, Bits::Pending, Bits::Active].into_iter().filter(|_| physical != 0) {
            hw.clear(word, state, physical);
        }
    }

    /// Triggers, routes and ready images of one word.
    fn reset_physical<H: Hw>(&mut self, word: Word, base: u32, hw: &mut H) {
        let Some(bank) = self.bank(word) else { return };
        let (physical, edge) = (bank.physical, bank.edge);
        self.direct_rank(word, u32::MAX, hw);
        for bit in bits(physical) {
            let intid = base + bit;
            if intid < 16 {
                continue;
            }
            let now = hw.set_edge(word, intid, edge & 1 << bit != 0);
            if let Some(bank) = self.bank_mut(word) {
                bank.edge = if now { bank.edge | 1 << bit } else { bank.edge & !(1 << bit) };
            }
            match word {
                Word::Private(vcpu) => hw.set_ready(vcpu, intid, 0),
                Word::Shared(_) => {
                    hw.route(intid, 0);
                    (0..self.cpus.len()).for_each(|vcpu| hw.set_ready(vcpu, intid, 0));
                }
            }
        }
        self.reflect(word);
    }

    /// The model's own part of [`Vgic::reset`].
    pub(super) fn reset_state(&mut self) {
        self.groups = 0;
        self.online = 0;
        self.nudged = 0;
        let mut edges = self.launch_edge.iter();
        let private_edge = edges.next().copied().unwrap_or(0);
        self.spis.iter_mut().zip(edges).for_each(|(bank, edge)| bank.reset(*edge));
        let (v2, own) = (self.version == Version::V2, self.is_left_to_itself());
        self.routes.fill(Route { register: v2.into(), target: Some(0) });
        self.spis.iter_mut().filter(|_| v2).for_each(|bank| bank.group1 = 0);
        for (vcpu, cpu) in self.cpus.iter_mut().enumerate() {
            cpu.private.reset(private_edge);
            cpu.asleep = true;
            cpu.stale = own;
            cpu.waiting.clear();
            cpu.spilled.clear();
            if v2 {
                cpu.private.enabled = 0xffff;
                cpu.private.group1 = 0;
            }
            self.shared.reset(vcpu);
            self.shared.set_group1(vcpu, cpu.private.group1);
        }
        self.reflect_all();
    }
}
