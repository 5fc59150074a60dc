//! Which interrupts are in the calling core's list registers, and which wait outside.
//!
//! More may be pending or active than there are list registers. Pending ones wait in bitmaps, best priority first;
//! active ones leave their list register only when every one of them is active. Both sets have room for every
//! interrupt, so nothing can be lost.

use super::bank::bits;
use super::hw::{Bits, Control, Hw, ListRegisters, Op, Word};
use super::lr;
use super::{Ctx, Irq, Version, Vgic, sgi};

/// Order of delivery: lower is sooner. Interrupts of a group that the guest disabled at its CPU interface come last,
/// as they would fill the list registers to no purpose.
type Rank = u32;

fn rank(image: u64, groups: u32) -> Rank {
    let enabled = groups & if image & lr::GROUP1 != 0 { 2 } else { 1 } != 0;
    u32::from(lr::priority(image)) + if enabled { 0 } else { 0x100 }
}

fn word_of(vcpu: usize, intid: u32) -> Word {
    if intid < 32 { Word::Private(vcpu) } else { Word::Shared(intid as usize / 32) }
}

impl Vgic {
    /// Brings every vCPU that was nudged up to date: the calling one here, others by a kick.
    pub(super) fn settle<H: Hw, L: ListRegisters>(&mut self, ctx: &mut Ctx<H, L>) {
        if self.nudged == 0 {
            return;
        }
        if self.nudged & 1 << ctx.vcpu != 0 {
            self.shared.set_attention(ctx.vcpu, false);
            if self.version == Version::V2 {
                // What another core changed for this one's banked registers.
                self.regate(Word::Private(ctx.vcpu), ctx);
            }
            if self.direct {
                self.nudged &= !(1 << ctx.vcpu);
            } else {
                self.fill(ctx);
            }
        }
        if self.direct {
            // No kick comes to a core that is in its guest: the others look when they come here.
            return;
        }
        let others = core::mem::take(&mut self.nudged) & self.online & !(1 << ctx.vcpu);
        for vcpu in (0..self.cpus.len()).filter(|vcpu| others & 1 << vcpu != 0) {
            self.shared.set_attention(vcpu, true);
            ctx.hw.kick(vcpu);
        }
    }

    /// A physical interrupt that this core acknowledged, seen again under the lock.
    pub(super) fn acknowledged<H: Hw, L: ListRegisters>(&mut self, intid: u32, ctx: &mut Ctx<H, L>) -> Irq {
        let word = word_of(ctx.vcpu, intid);
        let bit = 1 << (intid % 32);
        let target = self.owner(word, intid % 32);
        let Some(bank) = self.bank_mut(word) else { return Irq::NotOurs };
        if bank.physical & bit == 0 {
            return Irq::NotOurs;
        }
        // One that was set active before it came here is among the cancelled too, and stays active.
        let held = bank.held & bit != 0;
        if bank.cancelled & bit != 0 {
            bank.cancelled &= !bit;
            if !held {
                ctx.hw.clear(word, Bits::Active, bit);
            }
            self.publish(word, bit, ctx.hw);
            return Irq::Handled;
        }
        // A new instance: the acknowledgement consumed what was latched, if anything was.
        bank.taken = bank.taken & !bit | bank.latch & bit;
        bank.latch &= !bit;
        let deliver = bank.forwarded & bit != 0 && target == Some(ctx.vcpu);
        let again = bank.edge & bit;
        self.publish(word, bit, ctx.hw);
        if deliver && self.is_doubled(word, bit, ctx) {
            // Somebody else ended it. Active again, as it was; an edge more is a new one behind it.
            if again != 0 {
                ctx.hw.set(word, Bits::Pending, again);
            }
            self.mute(word, bit, ctx);
        } else if !deliver {
            self.give_back(word, bit, true, ctx.hw);
        } else if let Some(cpu) = self.cpus.get_mut(ctx.vcpu) {
            cpu.waiting.insert(intid);
        }
        Irq::Handled
    }

    /// Whether an interrupt that was acknowledged just now is in a list register already, or waits for one.
    fn is_doubled<H: Hw, L: ListRegisters>(&self, word: Word, bit: u32, ctx: &mut Ctx<H, L>) -> bool {
        let (Word::Shared(index), Some(true)) = (word, self.bank(word).map(|bank| bank.wary)) else {
            return false;
        };
        let waits =
            self.cpus.iter().any(|cpu| (cpu.waiting.word(index) | cpu.spilled.word(index)) & bit != 0);
        let state = self.perform_on(self.online, Op::Query { word: index as u32, mask: bit }, ctx);
        waits || (state.pending | state.active) & bit != 0
    }

    /// Keeps an interrupt from coming again, as often as somebody ends it, until the guest has ended it. One that is on another
    /// core, to which it went before its route was changed, keeps this one's guest from nothing.
    fn mute<H: Hw, L: ListRegisters>(&mut self, word: Word, bit: u32, ctx: &mut Ctx<H, L>) {
        let Word::Shared(index) = word else { return };
        let here = self.cpus.get(ctx.vcpu);
        let mut found =
            here.is_some_and(|cpu| (cpu.waiting.word(index) | cpu.spilled.word(index)) & bit != 0);
        for index in 0..ctx.lrs.count() {
            let image = ctx.lrs.read(index);
            if lr::is_valid(image)
                && word_of(ctx.vcpu, lr::intid(image)) == word
                && 1 << (lr::intid(image) % 32) == bit
            {
                ctx.lrs.write(index, lr::untied(image));
                found = true;
            }
        }
        if found && let Some(bank) = self.bank_mut(word) {
            bank.muted |= bit;
            ctx.hw.clear(word, Bits::Enable, bit);
        }
    }

    /// Takes in what the guest ended: emulated devices' interrupts, and active ones that are outside.
    pub(super) fn fold<H: Hw, L: ListRegisters>(&mut self, ctx: &mut Ctx<H, L>) {
        for index in bits(ctx.lrs.ended()) {
            let image = ctx.lrs.read(index as usize);
            ctx.lrs.write(index as usize, 0);
            if lr::intid(image) < 16 {
                // The same SGI again, of another source or held back, waited for this end.
                self.nudge(ctx.vcpu);
            }
            let (intid, word) = (lr::intid(image), word_of(ctx.vcpu, lr::intid(image)));
            if self.bank(word).is_some_and(|bank| bank.muted & 1 << (intid % 32) != 0) {
                ctx.hw.clear(word, Bits::Active, 1 << (intid % 32));
            }
            self.ended(intid, ctx.hw);
        }
        // Ends come in the order of preemption, so the most urgent active interrupt is the one that ended.
        let spilled = self.cpus.get(ctx.vcpu).is_some_and(|cpu| !cpu.spilled.is_empty());
        for _ in 0..if spilled { ctx.lrs.take_eoi_count() } else { 0 } {
            let Some((intid, _)) = self.most_urgent_spilled(ctx.vcpu) else { return };
            if let Some(cpu) = self.cpus.get_mut(ctx.vcpu) {
                cpu.spilled.remove(intid);
            }
            self.nudge(ctx.vcpu);
            let word = word_of(ctx.vcpu, intid);
            if self.bank(word).is_some_and(|bank| bank.physical & 1 << (intid % 32) != 0) {
                ctx.hw.clear(word, Bits::Active, 1 << (intid % 32));
            }
            self.ended(intid, ctx.hw);
        }
    }

    /// An interrupt is no longer active. One of an emulated device may be pending again at once.
    fn ended<H: Hw>(&mut self, intid: u32, hw: &mut H) {
        let bit = 1 << (intid % 32);
        self.unmute(Word::Shared(intid as usize / 32), bit, hw);
        let Some(bank) = self.bank_mut(Word::Shared(intid as usize / 32)) else { return };
        bank.loaded &= !bit;
        bank.taken &= !bit;
        if let (true, Some(target)) = (bank.asserted() & bit != 0, self.target(intid)) {
            self.nudge(target);
        }
    }

    fn most_urgent_spilled(&self, vcpu: usize) -> Option<(u32, u8)> {
        let cpu = self.cpus.get(vcpu)?;
        let with_priority =
            |intid: u32| (intid, cpu.spilled_priority.get(intid as usize).copied().unwrap_or(0));
        cpu.spilled.iter().map(with_priority).min_by_key(|(intid, priority)| (*priority, *intid))
    }

    /// The next interrupt for this vCPU that is not in a list register: its image and rank. Not these SGIs, which wait
    /// behind one of another source.
    pub(super) fn candidate(&self, vcpu: usize, groups: u32, behind: u32) -> Option<(Rank, u32, u64)> {
        let cpu = self.cpus.get(vcpu)?;
        let private = &cpu.private;
        let sgis =
            self.shared.pending(vcpu) & private.forwarded & !private.held & !cpu.spilled.word(0) & !behind;
        let sgis = bits(sgis).map(|intid| (private, intid));
        let waiting = cpu.waiting.iter().filter_map(|intid| Some((self.bank(word_of(vcpu, intid))?, intid)));
        let emulated = (1_u32..).zip(&self.spis).flat_map(|(index, bank)| {
            bits(bank.asserted() & bank.forwarded & !bank.loaded & !bank.held)
                .map(move |bit| (bank, 32 * index + bit))
                .filter(move |(_, intid)| self.target(*intid) == Some(vcpu))
        });
        sgis.chain(waiting)
            .chain(emulated)
            .map(|(bank, intid)| (rank(bank.image(intid), groups), intid, bank.image(intid)))
            .min()
    }

    /// Fills the list registers with the most urgent interrupts, and asks for the maintenance that the rest needs.
    pub(super) fn fill<H: Hw, L: ListRegisters>(&mut self, ctx: &mut Ctx<H, L>) {
        let groups = ctx.lrs.enabled_groups();
        self.drop_low_lines(ctx);
        // Every round places one. Twice the list registers and the SGIs are more rounds than there can be.
        let mut left = false;
        let mut behind = self.shared.join(ctx.vcpu, ctx.lrs);
        for _ in 0..2 * ctx.lrs.count() + 16 {
            let Some((rank, intid, image)) = self.candidate(ctx.vcpu, groups, behind) else {
                left = false;
                break;
            };
            left = true;
            if !self.make_room(rank, intid, groups, ctx) {
                break;
            }
            if intid < 16 {
                self.shared.place(ctx.vcpu, intid, image, ctx.lrs);
            } else if !sgi::place(image, ctx.lrs) {
                break;
            }
            self.placed(ctx.vcpu, intid);
            // One more may be in a list register now, or one less: what had to make room.
            behind = self.shared.join(ctx.vcpu, ctx.lrs);
        }
        if left {
            self.hold_back(ctx);
        } else {
            self.unspill(ctx);
            self.shared.join(ctx.vcpu, ctx.lrs);
        }
        let (mut control, mut crowded) = (Control::empty(), left);
        if left {
            // Some list register is pending, and is at least as urgent: when none is, there is something to do. Also
            // when the guest enables a group, or disables one while it has the other, as that changes what is urgent; once both are
            // disabled nothing is. QEMU takes group 1's disabling for group 0's (VGrp0D), and would go on doing so.
            control |= Control::NPIE;
            control |= match groups & 3 {
                0 => Control::VGRP0EIE | Control::VGRP1EIE,
                1 => Control::VGRP1EIE,
                2 => Control::VGRP0EIE,
                _ => Control::VGRP0DIE | Control::VGRP1DIE,
            };
        }
        let mut outside = self.spis.iter().any(|bank| bank.held != 0);
        if let Some(cpu) = self.cpus.get(ctx.vcpu) {
            outside |= cpu.private.held != 0;
            if !cpu.spilled.is_empty() {
                control |= Control::LRENPIE;
                (outside, crowded) = (true, true);
            }
        }
        // With several vCPUs one may deactivate what another has acknowledged; hardware would not find it.
        if self.tdir && (outside || self.cpus.len() > 1) {
            control |= Control::TDIR;
        }
        ctx.lrs.set_control(control);
        self.shared.set_crowded(ctx.vcpu, crowded);
    }

    /// Takes the pending half of SGIs that are pending and active out of the list registers: at its end such a one would
    /// be next, whatever more urgent waits outside, as no maintenance tells of that step. So it waits there, too, and
    /// its end asks for maintenance.
    fn hold_back<H, L: ListRegisters>(&mut self, ctx: &mut Ctx<H, L>) {
        for index in 0..ctx.lrs.count() {
            let image = ctx.lrs.read(index);
            if image & lr::PENDING != 0 && image & lr::ACTIVE != 0 && lr::intid(image) < 16 {
                ctx.lrs.write(index, image & !lr::PENDING | lr::EOI);
                self.displaced(ctx.vcpu, lr::intid(image));
            }
        }
    }

    /// Bookkeeping for an interrupt that went into a list register.
    fn placed(&mut self, vcpu: usize, intid: u32) {
        if let Some(cpu) = self.cpus.get_mut(vcpu) {
            cpu.waiting.remove(intid);
        }
        let bit = 1 << (intid % 32);
        let Some(bank) = self.bank_mut(Word::Shared(intid as usize / 32)) else { return };
        if bank.software & bit != 0 {
            bank.loaded |= bit;
            bank.taken |= bank.latch & bit;
            bank.latch &= !bit;
        }
    }

    /// Empties pending list registers of emulated level-sensitive interrupts whose line went low. An edge is never
    /// there but by what was latched.
    fn drop_low_lines<L: ListRegisters, H>(&mut self, ctx: &mut Ctx<H, L>) {
        for index in 0..ctx.lrs.count() {
            let image = ctx.lrs.read(index);
            let bit = 1 << (lr::intid(image) % 32);
            let Some(bank) = self.bank_mut(Word::Shared(lr::intid(image) as usize / 32)) else { continue };
            let high = bank.line | bank.taken;
            if lr::is_waiting(image) && bank.software & !high & bit != 0 {
                bank.loaded &= !bit;
                ctx.lrs.write(index, 0);
            }
        }
    }

    /// Makes sure that an interrupt has a list register to go to: its own, a free one, one of a less urgent pending
    /// interrupt, or, when all are active, that of the least urgent of them.
    fn make_room<H: Hw, L: ListRegisters>(
        &mut self,
        rank: Rank,
        intid: u32,
        groups: u32,
        ctx: &mut Ctx<H, L>,
    ) -> bool {
        let (mut pending, mut active) = (None, None);
        for index in 0..ctx.lrs.count() {
            let image = ctx.lrs.read(index);
            if lr::is_free(image) || lr::is_valid(image) && lr::intid(image) == intid {
                return true;
            }
            let other = self::rank(image, groups);
            let worst = if lr::is_waiting(image) { &mut pending } else { &mut active };
            let priority = if lr::is_waiting(image) { other } else { u32::from(lr::priority(image)) };
            *worst = (*worst).max(Some((priority, index, image)));
        }
        let (index, image) = match (pending, active) {
            (Some((other, index, image)), _) if other > rank => (index, image),
            (None, Some((_, index, image))) => (index, image),
            _ => return false,
        };
        ctx.lrs.write(index, 0);
        let number = lr::intid(image);
        if let (true, Some(cpu)) = (image & lr::ACTIVE != 0, self.cpus.get_mut(ctx.vcpu)) {
            cpu.spilled.insert(number);
            if let Some(priority) = cpu.spilled_priority.get_mut(number as usize) {
                *priority = lr::priority(image);
            }
        }
        if image & lr::PENDING != 0 {
            self.displaced(ctx.vcpu, number);
        }
        true
    }

    /// A pending interrupt lost its list register: it waits where it waited before.
    fn displaced(&mut self, vcpu: usize, intid: u32) {
        let bit = 1 << (intid % 32);
        let word = word_of(vcpu, intid);
        let Some(bank) = self.bank_mut(word) else { return };
        if bank.physical & bit != 0 {
            if let Some(cpu) = self.cpus.get_mut(vcpu) {
                cpu.waiting.insert(intid);
            }
        } else if intid < 16 {
            self.shared.set_pending(vcpu, bit);
        } else {
            bank.loaded &= !bit;
            bank.latch |= bank.taken & bit;
            bank.taken &= !bit;
        }
    }

    /// Puts active interrupts that had to leave back into free list registers.
    fn unspill<H: Hw, L: ListRegisters>(&mut self, ctx: &mut Ctx<H, L>) {
        for index in 0..ctx.lrs.count() {
            if !lr::is_free(ctx.lrs.read(index)) {
                continue;
            }
            let Some((intid, priority)) = self.most_urgent_spilled(ctx.vcpu) else { return };
            let Some(bank) = self.bank(word_of(ctx.vcpu, intid)) else { return };
            let mut image = lr::with_priority(bank.image(intid), priority) & !lr::PENDING | lr::ACTIVE;
            // An SGI that was sent again meanwhile joins it: nobody would tell when the active one ends.
            // (With GICv2 it may be another source's: `Shared::join` sees to it.)
            let by_source = self.shared.by_source();
            if by_source && intid < 16 {
                image = lr::with_source(image, self.shared.loaded(ctx.vcpu, intid).trailing_zeros());
            }
            let again = intid < 16
                && !by_source
                && bank.forwarded & self.shared.pending(ctx.vcpu) & 1 << (intid % 32) != 0;
            if again {
                image |= lr::PENDING;
                self.shared.clear_pending(ctx.vcpu, 1 << intid);
            }
            ctx.lrs.write(index, image);
            if let Some(cpu) = self.cpus.get_mut(ctx.vcpu) {
                cpu.spilled.remove(intid);
            }
        }
    }
}
