//! What is forwarded: changes of enable bits, groups, routes, triggers, priorities and running vCPUs.
//!
//! Every such change is a change of one mask per word. What leaves the mask is disabled physically, then withdrawn;
//! what enters it is published to the fast paths, then enabled.

use super::bank::bits;
use super::hw::{Bits, Hw, ListRegisters, Op, Word};
use super::{Ctx, Version, Vgic};

impl Vgic {
    /// Brings what is forwarded in line with enable bits, groups, routes and the vCPUs that run.
    pub(super) fn regate<H: Hw, L: ListRegisters>(&mut self, word: Word, ctx: &mut Ctx<H, L>) {
        let Some(bank) = self.bank(word) else { return };
        let groups = if self.groups & 1 != 0 { !bank.group1 } else { 0 }
            | if self.groups & 2 != 0 { bank.group1 } else { 0 };
        let enabled = bank.owned() & bank.enabled & groups;
        let reachable = |bit: &u32| self.owner(word, *bit).is_some_and(|vcpu| self.online & 1 << vcpu != 0);
        let wanted = bits(enabled).filter(reachable).fold(0, |all, bit| all | 1 << bit);
        if let (Word::Private(vcpu), Version::V2) = (word, self.version)
            && vcpu != ctx.vcpu
        {
            // Its registers are banked: it does this itself, in `settle`.
            self.nudged |= u64::from(wanted != bank.forwarded) << vcpu;
            return;
        }
        self.gate(word, wanted, ctx);
    }

    /// Forwards exactly the interrupts of the mask; withdraws the others that were forwarded.
    fn gate<H: Hw, L: ListRegisters>(&mut self, word: Word, wanted: u32, ctx: &mut Ctx<H, L>) {
        let Some(bank) = self.bank_mut(word) else { return };
        let (off, on) = (bank.forwarded & !wanted, wanted & !bank.forwarded);
        let (physical, software) = (bank.physical, bank.software);
        let enabled = on & physical & !bank.muted;
        bank.forwarded = wanted;
        if off != 0 {
            if off & physical != 0 {
                ctx.hw.clear(word, Bits::Enable, off & physical);
            }
            self.publish(word, off, ctx.hw);
            let pending = self.withdraw(word, off, ctx);
            self.unmute(word, pending, ctx.hw);
            self.give_back(word, pending, true, ctx.hw);
        }
        if on != 0 {
            self.publish(word, on, ctx.hw);
            if enabled != 0 {
                ctx.hw.set(word, Bits::Enable, enabled);
            }
            self.nudge_owners(word, on & software);
        }
    }

    /// Every word, after the groups or the running vCPUs changed.
    pub(super) fn regate_all<H: Hw, L: ListRegisters>(&mut self, ctx: &mut Ctx<H, L>) {
        (0..self.cpus.len()).for_each(|vcpu| self.regate(Word::Private(vcpu), ctx));
        (1..=self.spis.len()).for_each(|index| self.regate(Word::Shared(index), ctx));
    }

    /// After priorities or groups changed: tables and pending list registers follow.
    pub(super) fn refresh<H: Hw, L: ListRegisters>(&mut self, word: Word, mask: u32, ctx: &mut Ctx<H, L>) {
        let Some(bank) = self.bank(word) else { return };
        let mask = mask & bank.forwarded;
        self.publish(word, mask, ctx.hw);
        let waiting = self.bank(word).map_or(0, |bank| bank.asserted()) & mask;
        let flying = self.in_flight(word, mask, ctx);
        for bit in bits(flying | waiting) {
            let (Some(bank), Some(vcpu)) = (self.bank(word), self.owner(word, bit)) else { continue };
            let intid = word.base() + bit;
            let group1 = bank.group1 & 1 << bit != 0;
            let op = Op::Update { intid, priority: bank.priority(intid), group1 };
            self.perform_on(1 << vcpu, op, ctx);
            if !self.shared.fast_path_allowed(vcpu) {
                self.nudge(vcpu);
            }
        }
    }

    /// Routes an SPI. A pending one is withdrawn and comes up again at its new target; an active one ends where it is.
    pub(super) fn reroute<H: Hw, L: ListRegisters>(
        &mut self,
        intid: u32,
        target: Option<usize>,
        ctx: &mut Ctx<H, L>,
    ) {
        let word = Word::Shared(intid as usize / 32);
        let (Some(bank), old) = (self.bank(word), self.target(intid)) else { return };
        let (physical, wanted) = (bank.physical & 1 << (intid % 32), bank.forwarded & !(1 << (intid % 32)));
        if old == target {
            return;
        }
        self.gate(word, wanted, ctx);
        if let Some(route) = intid.checked_sub(32).and_then(|index| self.routes.get_mut(index as usize)) {
            route.target = target;
        }
        if let (Some(vcpu), true) = (target, physical != 0) {
            ctx.hw.route(intid, vcpu);
        }
        self.regate(word, ctx);
    }

    /// Changes the trigger of interrupts: physical ones are disabled meanwhile (IHI 0069, 12.9.9).
    pub(super) fn set_edge<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        mask: u32,
        edge: u32,
        ctx: &mut Ctx<H, L>,
    ) {
        let Some(bank) = self.bank(word) else { return };
        let changed = mask & bank.owned() & (bank.edge ^ edge);
        let (physical, forwarded) = (bank.physical, bank.forwarded);
        if changed == 0 {
            return;
        }
        self.gate(word, forwarded & !changed, ctx);
        for bit in bits(changed) {
            let mut now = edge & 1 << bit != 0;
            if physical & 1 << bit != 0 {
                now = ctx.hw.set_edge(word, word.base() + bit, now);
            }
            if let Some(bank) = self.bank_mut(word) {
                bank.edge = if now { bank.edge | 1 << bit } else { bank.edge & !(1 << bit) };
            }
        }
        self.reflect(word);
        self.regate(word, ctx);
    }
}
