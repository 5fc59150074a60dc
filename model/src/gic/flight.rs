//! Interrupts in flight: finding them, taking them back, and the registers of pending and active bits.
//!
//! A physical interrupt in flight is physically active, so that bit is asked first, and list registers only where
//! it is set. While an interrupt is physically disabled it can only move on (to a list register, to its end),
//! never start again: that is what makes looking for it on another core conclusive.

use super::bank::{Bank, bits};
use super::hw::{Bits, Hw, ListRegisters, Op, State, Word};
use super::lr::perform;
use super::{Ctx, Vgic};

impl Vgic {
    pub(super) fn bank(&self, word: Word) -> Option<&Bank> {
        match word {
            Word::Private(vcpu) => self.cpus.get(vcpu).map(|cpu| &cpu.private),
            Word::Shared(index) => self.spis.get(index.checked_sub(1)?),
        }
    }

    pub(super) fn bank_mut(&mut self, word: Word) -> Option<&mut Bank> {
        match word {
            Word::Private(vcpu) => self.cpus.get_mut(vcpu).map(|cpu| &mut cpu.private),
            Word::Shared(index) => self.spis.get_mut(index.checked_sub(1)?),
        }
    }

    /// The vCPU that an SPI is routed to.
    pub(super) fn target(&self, intid: u32) -> Option<usize> {
        self.routes.get(intid.checked_sub(32)? as usize)?.target
    }

    /// The vCPU to which one interrupt of a word goes.
    pub(super) fn owner(&self, word: Word, bit: u32) -> Option<usize> {
        match word {
            Word::Private(vcpu) => Some(vcpu),
            Word::Shared(_) => self.target(word.base() + bit),
        }
    }

    /// The vCPUs to which these interrupts go: pending ones are nowhere else.
    pub(super) fn owners(&self, word: Word, mask: u32) -> u64 {
        bits(mask).filter_map(|bit| self.owner(word, bit)).fold(0, |all, vcpu| all | 1 << vcpu)
    }

    /// The vCPUs on which these interrupts may be active.
    fn holders(&self, word: Word) -> u64 {
        match word {
            Word::Private(vcpu) => 1 << vcpu,
            Word::Shared(_) => self.online,
        }
    }

    /// Marks a vCPU's list registers to be looked at.
    pub(super) fn nudge(&mut self, vcpu: usize) {
        self.nudged |= 1 << vcpu;
    }

    pub(super) fn nudge_owners(&mut self, word: Word, mask: u32) {
        self.nudged |= self.owners(word, mask);
    }

    /// Performs an operation on the list registers of these vCPUs, as far as they run.
    pub(super) fn perform_on<H: Hw, L: ListRegisters>(
        &self,
        vcpus: u64,
        op: Op,
        ctx: &mut Ctx<H, L>,
    ) -> State {
        let mut state = State::default();
        for vcpu in (0..self.cpus.len()).filter(|vcpu| vcpus & self.online & 1 << vcpu != 0) {
            state |= if vcpu == ctx.vcpu { perform(op, ctx.lrs) } else { ctx.hw.remote(vcpu, op) };
        }
        state
    }

    /// Those of the mask that may be in a list register or wait for one.
    pub(super) fn in_flight<H: Hw, L: ListRegisters>(
        &self,
        word: Word,
        mask: u32,
        ctx: &mut Ctx<H, L>,
    ) -> u32 {
        let Some(bank) = self.bank(word).filter(|_| !self.direct) else { return 0 };
        let software = match word {
            Word::Private(_) => bank.software,
            Word::Shared(_) => bank.loaded,
        };
        let physical = mask & bank.physical;
        mask & (software | bank.muted)
            | if physical == 0 { 0 } else { ctx.hw.read(word, Bits::Active) & physical }
    }

    /// Stores the ready images of these interrupts where the lock-free paths read them.
    pub(super) fn publish<H: Hw>(&self, word: Word, mask: u32, hw: &mut H) {
        let Some(bank) = self.bank(word) else { return };
        for bit in bits(mask) {
            let intid = word.base() + bit;
            let Some(vcpu) = self.owner(word, bit) else { continue };
            if intid < 16 {
                self.shared.set_image(vcpu, intid, bank.ready(intid));
            } else if bank.physical & 1 << bit != 0 {
                hw.set_ready(vcpu, intid, bank.ready(intid));
            }
        }
    }

    /// Takes pending interrupts out of list registers and waiting sets. They are then nowhere: the caller gives
    /// them back or drops them. Physical ones are still physically active.
    pub(super) fn withdraw<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        mask: u32,
        ctx: &mut Ctx<H, L>,
    ) -> u32 {
        let mask = self.in_flight(word, mask, ctx);
        if mask == 0 {
            return 0;
        }
        let owners = self.owners(word, mask);
        let number = word.base() / 32;
        let mut pending = self.perform_on(owners, Op::Withdraw { word: number, mask }, ctx).pending;
        for (vcpu, cpu) in self.cpus.iter_mut().enumerate().filter(|(vcpu, _)| owners & 1 << vcpu != 0) {
            let waited = cpu.waiting.take(number as usize, mask);
            self.nudged |= u64::from(waited != 0) << vcpu;
            pending |= waited;
        }
        if let (Word::Shared(_), Some(bank)) = (word, self.bank_mut(word)) {
            bank.loaded &= !pending;
        }
        pending
    }

    /// Makes withdrawn interrupts pending again where they came from. Physical ones are deactivated if `release`.
    pub(super) fn give_back<H: Hw>(&mut self, word: Word, mask: u32, release: bool, hw: &mut H) {
        let Some(bank) = self.bank_mut(word) else { return };
        // A level-sensitive interrupt is sampled anew; only a pending state that was written must be kept.
        bank.latch |= bank.taken & mask;
        bank.taken &= !mask;
        let physical = bank.physical & mask;
        let (repend, software) = (physical & (bank.edge | bank.latch), bank.software & mask);
        if repend != 0 {
            hw.set(word, Bits::Pending, repend);
        }
        if release && physical != 0 {
            hw.clear(word, Bits::Active, physical);
        }
        if let Word::Private(vcpu) = word {
            self.shared.set_pending(vcpu, software);
        }
        self.publish(word, mask, hw);
    }

    /// What is pending: (in list registers or waiting, anywhere).
    pub(super) fn pending<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        mask: u32,
        ctx: &mut Ctx<H, L>,
    ) -> (u32, u32) {
        let Some(bank) = self.bank(word) else { return (0, 0) };
        let (physical, asserted) = (mask & bank.physical, mask & bank.asserted());
        let flying = self.in_flight(word, mask, ctx);
        let number = word.base() / 32;
        let mut placed = 0;
        if flying != 0 {
            let owners = self.owners(word, flying);
            placed = self.perform_on(owners, Op::Query { word: number, mask: flying }, ctx).pending;
            let cpus = (0_u32..64).zip(&self.cpus).filter(|(vcpu, _)| owners & 1 << vcpu != 0);
            placed |= cpus.fold(0, |all, (_, cpu)| all | cpu.waiting.word(number as usize)) & flying;
        }
        let outside = match word {
            Word::Private(vcpu) => self.shared.pending(vcpu) & mask,
            Word::Shared(_) => asserted,
        };
        let read = if physical == 0 { 0 } else { ctx.hw.read(word, Bits::Pending) & physical };
        (placed, placed | outside | read)
    }

    /// ISPENDR. What is pending in a list register already stays one interrupt.
    pub(super) fn set_pending<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        mask: u32,
        ctx: &mut Ctx<H, L>,
    ) {
        let (placed, _) = self.pending(word, mask, ctx);
        let Some(bank) = self.bank_mut(word) else { return };
        // Of a level-sensitive one in flight the written state is remembered: it outlives the line.
        let kept = placed & mask & !bank.edge & if matches!(word, Word::Private(_)) { !0xffff } else { !0 };
        bank.taken |= kept;
        let mask = mask & bank.owned() & !placed;
        let (physical, software) = (mask & bank.physical, mask & bank.software);
        bank.latch |= physical & !bank.edge;
        match word {
            Word::Private(vcpu) => self.shared.set_pending(vcpu, software),
            Word::Shared(_) => bank.latch |= software,
        }
        self.publish(word, physical | kept, ctx.hw);
        if physical != 0 {
            ctx.hw.set(word, Bits::Pending, physical);
        }
        self.nudge_owners(word, software);
    }

    /// ICPENDR. What another core acknowledged and has not placed yet is dropped when it comes to the lock.
    pub(super) fn clear_pending<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        mask: u32,
        ctx: &mut Ctx<H, L>,
    ) {
        let Some(bank) = self.bank(word) else { return };
        let mask = mask & bank.owned();
        let (physical, software, forwarded) = (mask & bank.physical, mask & bank.software, bank.forwarded);
        if physical != 0 {
            ctx.hw.clear(word, Bits::Pending, physical);
        }
        let flying = self.in_flight(word, physical, ctx);
        // Freeze them, so that one that is active and in no list register can only be on its way to the lock.
        if flying & forwarded != 0 {
            ctx.hw.clear(word, Bits::Enable, flying & forwarded);
            ctx.hw.clear(word, Bits::Pending, flying);
        }
        let dropped = self.withdraw(word, flying | software, ctx);
        self.unmute(word, dropped, ctx.hw);
        if dropped & physical != 0 {
            ctx.hw.clear(word, Bits::Active, dropped & physical);
        }
        let placed = if flying == 0 { 0 } else { dropped | self.active(word, flying, ctx) };
        let lost = self.in_flight(word, flying & !placed, ctx);
        if let Some(bank) = self.bank_mut(word) {
            bank.cancelled |= lost;
            bank.latch &= !mask;
            bank.taken &= !(dropped | lost);
        }
        if let Word::Private(vcpu) = word {
            self.shared.clear_pending(vcpu, software);
        }
        self.publish(word, mask, ctx.hw);
        self.enable(word, flying & forwarded, ctx.hw);
        self.nudge_owners(word, dropped & software);
    }

    /// What is active for the guest.
    pub(super) fn active<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        mask: u32,
        ctx: &mut Ctx<H, L>,
    ) -> u32 {
        let Some(bank) = self.bank(word) else { return 0 };
        let held = bank.held;
        let flying = self.in_flight(word, mask, ctx);
        if flying == 0 {
            return held & mask;
        }
        let (number, holders) = (word.base() / 32, self.holders(word));
        let state = self.perform_on(holders, Op::Query { word: number, mask: flying }, ctx);
        let spilled = (0_u32..64)
            .zip(self.cpus.iter())
            .filter(|(vcpu, _)| holders & 1 << vcpu != 0)
            .fold(0, |all, (_, cpu)| all | cpu.spilled.word(number as usize));
        mask & (held | state.active | spilled)
    }

    /// ISACTIVER: such an interrupt is held in no list register until it is deactivated by number.
    pub(super) fn set_active<H: Hw, L: ListRegisters>(&mut self, word: Word, mask: u32, ctx: &mut Ctx<H, L>) {
        let mask = mask & !self.active(word, mask, ctx);
        let Some(bank) = self.bank(word) else { return };
        let mask = mask & bank.owned();
        let frozen = mask & bank.physical & bank.forwarded;
        if mask == 0 {
            return;
        }
        if frozen != 0 {
            ctx.hw.clear(word, Bits::Enable, frozen);
        }
        let mut pending = self.withdraw(word, mask, ctx);
        // The guest may have acknowledged some meanwhile; what is active and nowhere is on its way to the lock.
        let mask = mask & !self.active(word, mask, ctx);
        let Some(bank) = self.bank(word) else { return };
        let physical = mask & bank.physical;
        let lost = self.in_flight(word, physical & !pending, ctx);
        pending |= lost;
        if let Some(bank) = self.bank_mut(word) {
            bank.held |= mask;
            bank.cancelled |= lost;
        }
        if physical != 0 {
            ctx.hw.set(word, Bits::Active, physical);
        }
        self.publish(word, mask, ctx.hw);
        self.unmute(word, pending, ctx.hw);
        self.give_back(word, pending, false, ctx.hw);
        self.enable(word, frozen, ctx.hw);
        // ICC_DIR must trap from now on.
        self.nudged |= self.holders(word);
    }

    /// ICACTIVER and ICC_DIR_EL1: active states end; pending ones stay where they are.
    pub(super) fn clear_active<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        mask: u32,
        ctx: &mut Ctx<H, L>,
    ) {
        let Some(bank) = self.bank(word) else { return };
        let (mask, software) = (mask & bank.owned(), mask & bank.software);
        let flying = self.in_flight(word, mask, ctx);
        let (number, holders) = (word.base() / 32, self.holders(word));
        let mut ended = 0;
        if flying != 0 {
            ended = self.perform_on(holders, Op::Deactivate { word: number, mask: flying }, ctx).active;
            for (vcpu, cpu) in self.cpus.iter_mut().enumerate().filter(|(vcpu, _)| holders & 1 << vcpu != 0) {
                let spilled = cpu.spilled.take(number as usize, flying);
                self.nudged |= u64::from(spilled != 0) << vcpu;
                ended |= spilled;
            }
        }
        let Some(bank) = self.bank_mut(word) else { return };
        ended |= bank.held & mask;
        bank.held &= !ended;
        bank.loaded &= !ended;
        bank.taken &= !(ended & software);
        // One that a core has acknowledged and not placed yet stays active until that core drops it.
        let physical = ended & bank.physical & !bank.cancelled;
        self.publish(word, ended, ctx.hw);
        if physical != 0 {
            ctx.hw.clear(word, Bits::Active, physical);
        }
        self.unmute(word, ended, ctx.hw);
        self.nudge_owners(word, ended & software);
    }

    /// Enables these in the physical controller, but for what is muted.
    pub(super) fn enable<H: Hw>(&self, word: Word, mask: u32, hw: &mut H) {
        let mask = mask & !self.bank(word).map_or(0, |bank| bank.muted);
        if mask != 0 {
            hw.set(word, Bits::Enable, mask);
        }
    }

    /// These are in flight no more: as far as they were muted they may come again.
    pub(super) fn unmute<H: Hw>(&mut self, word: Word, mask: u32, hw: &mut H) {
        let Some(bank) = self.bank_mut(word) else { return };
        let muted = bank.muted & mask;
        bank.muted &= !mask;
        let forwarded = muted & bank.forwarded;
        self.enable(word, forwarded, hw);
    }
}
