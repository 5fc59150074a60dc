//! The virtual distributor's registers, and those that a redistributor has in the same form.

use super::bank::bits;
use super::hw::{Bits, Hw, ListRegisters, Word};
use super::registers::{self, Register, WordRegister};
use super::{Access, Ctx, Version, Vgic};
use crate::weaken::{Guard, removed};

/// GICD_CTLR.ARE and DS, both fixed at 1: affinity routing, one security state (IHI 0069, 12.9.4).
const ARE_DS: u32 = 1 << 4 | 1 << 6;
/// GICD_IROUTER.Interrupt_Routing_Mode.
pub(super) const IRM: u64 = 1 << 31;
/// GICD_IROUTER's fields: Aff3, the mode, Aff2..0.
const ROUTE_MASK: u64 = 0xff << 32 | IRM | 0xff_ffff;

impl Vgic {
    pub(super) fn dist<H: Hw, L: ListRegisters>(
        &mut self,
        offset: u64,
        access: Access,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        let rows = match self.version {
            Version::V2 => registers::DISTRIBUTOR_V2,
            Version::V3 => registers::DISTRIBUTOR,
        };
        let Some((register, byte)) = registers::decode(rows, offset, access.width) else { return 0 };
        // GICv2's word 0 is banked. With affinity routing it belongs to the redistributors: no shared word has that number, so
        // it is zero here.
        let word = |index: u64| match (index, self.version) {
            (0, Version::V2) => Word::Private(ctx.vcpu),
            _ => Word::Shared(index as usize),
        };
        match register {
            Register::DistControl => self.dist_control(access.write, ctx),
            Register::DistType if access.write.is_none() => self.dist_type(),
            Register::Implementer if access.write.is_none() => registers::IIDR,
            Register::Identity if access.write.is_none() => registers::identity(self.version, byte),
            Register::Route => self.route_access(byte, access, ctx),
            Register::Targets => self.targets_access(byte, access, ctx),
            Register::SendSgi => self.send_access(access.write, ctx),
            Register::ClearSgi => self.sgi_sources_access(byte, access, false, ctx),
            Register::SetSgi => self.sgi_sources_access(byte, access, true, ctx),
            Register::Word(register) => self.word_access(word(byte / 4), register, access.write, ctx),
            Register::Priority => self.priority_access(word(byte / 32), byte % 32, access, ctx),
            Register::Config => self.config_access(word(byte / 8), byte % 8, access.write, ctx),
            _ => 0,
        }
    }

    fn dist_control<H: Hw, L: ListRegisters>(&mut self, write: Option<u64>, ctx: &mut Ctx<H, L>) -> u64 {
        let Some(value) = write else { return self.dist_control_value().into() };
        let groups = value as u32 & 3;
        if groups != self.groups {
            self.groups = groups;
            self.reflect_control();
            self.regate_all(ctx);
        }
        0
    }

    pub(super) fn dist_control_value(&self) -> u32 {
        self.groups | if self.version == Version::V2 { 0 } else { ARE_DS }
    }

    /// GICD_TYPER: 10 INTID bits, no LPIs, no message-based SPIs; No1N, as IRM picks one vCPU; RSS with SGI targets
    /// above 15 (IHI 0069, 12.9.38). GICv2's: CPUNumber, no Security Extensions (IHI 0048, 4.3.2).
    pub(super) fn dist_type(&self) -> u64 {
        if self.version == Version::V2 {
            return (self.cpus.len() as u64 - 1) << 5 | self.spis.len() as u64;
        }
        let range_selector = if self.cpus.len() > 16 { 1 << 26 } else { 0 };
        range_selector | 1 << 25 | 9 << 19 | self.spis.len() as u64
    }

    /// A register with one bit per interrupt.
    pub(super) fn word_access<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        register: WordRegister,
        write: Option<u64>,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        use WordRegister as R;
        // GICv2's SGIs are always enabled, as in Arm's own, and have no written pending state but by source
        // (IHI 0048, 4.3.5 and 4.3.7).
        let sgis = match (word, self.version) {
            (Word::Private(_), Version::V2) => 0xffff,
            _ => 0,
        };
        let Some(bank) = self.bank_mut(word) else { return 0 };
        let owned = bank.owned();
        let Some(value) = write else {
            return u64::from(match register {
                R::Group => bank.group1,
                R::SetEnable | R::ClearEnable => bank.enabled,
                R::SetPending | R::ClearPending if self.direct => {
                    self.direct_read(word, Bits::Pending, ctx.hw)
                }
                R::SetActive | R::ClearActive if self.direct => self.direct_read(word, Bits::Active, ctx.hw),
                R::SetPending | R::ClearPending => self.pending(word, owned, ctx).1,
                R::SetActive | R::ClearActive => self.active(word, owned, ctx),
            });
        };
        let mask = value as u32 & owned;
        match register {
            // What is so already: the most frequent writes of drivers that keep no state of their own.
            R::Group if bank.group1 == mask => {}
            R::SetEnable if mask & !bank.enabled == 0 => {}
            R::ClearEnable if mask & !sgis & bank.enabled == 0 => {}
            R::Group => {
                let changed = bank.group1 ^ mask;
                bank.group1 = mask;
                if let Word::Private(vcpu) = word {
                    self.shared.set_group1(vcpu, mask);
                }
                self.direct_rank(word, changed, ctx.hw);
                self.regate(word, ctx);
                self.refresh(word, changed, ctx);
            }
            R::SetEnable => {
                bank.enabled |= mask;
                self.regate(word, ctx);
            }
            R::ClearEnable => {
                bank.enabled &= !(mask & !sgis);
                self.regate(word, ctx);
            }
            R::SetPending | R::ClearPending if self.direct => {
                self.direct_write(word, register, mask & !sgis, ctx.hw);
            }
            R::SetActive | R::ClearActive if self.direct => self.direct_write(word, register, mask, ctx.hw),
            R::SetPending => self.set_pending(word, mask & !sgis, ctx),
            R::ClearPending => self.clear_pending(word, mask & !sgis, ctx),
            R::SetActive => self.set_active(word, mask, ctx),
            R::ClearActive => self.clear_active(word, mask, ctx),
        }
        match register {
            R::Group => self.reflect(word),
            R::SetEnable | R::ClearEnable => self.reflect_enabled(word),
            _ => {}
        }
        0
    }

    /// IPRIORITYR: one byte or four.
    pub(super) fn priority_access<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        first: u64,
        access: Access,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        let keep = self.priority_mask;
        let Some(bank) = self.bank_mut(word) else { return 0 };
        let owned = bank.owned();
        let (mut value, mut changed) = (0, 0);
        for (byte, bit) in (0..u32::from(access.width)).zip(first as u32..32) {
            let Some(priority) = bank.priority.get_mut(bit as usize) else { continue };
            match access.write {
                None => value |= u64::from(*priority) << (8 * byte),
                Some(written) if owned & 1 << bit != 0 => {
                    let new = (written >> (8 * byte)) as u8 & keep;
                    changed |= u32::from(new != *priority) << bit;
                    *priority = new;
                }
                Some(_) => {}
            }
        }
        if changed != 0 {
            self.reflect(word);
            self.direct_rank(word, changed, ctx.hw);
            self.refresh(word, changed, ctx);
        }
        value
    }

    /// ICFGR: two bits per interrupt, of which the upper says edge-triggered. SGIs' are fixed, and a GICv2's PPIs': whether those
    /// can be changed is the implementation's to say (IHI 0048, 4.3.13), and a machine may have one register for all cores', other
    /// partitions' among them (QEMU, 10.0, hw/intc/arm_gic.c). In GICv3 each redistributor has its own.
    pub(super) fn config_access<H: Hw, L: ListRegisters>(
        &mut self,
        word: Word,
        first: u64,
        write: Option<u64>,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        let Some(bank) = self.bank(word) else { return 0 };
        let shift = if first >= 4 { 16 } else { 0 };
        let half = 0xffff_u32 << shift;
        let Some(written) = write else {
            return bits((bank.edge & bank.owned() & half) >> shift).fold(0, |all, bit| all | 2 << (2 * bit));
        };
        let edge =
            (0..16).filter(|bit| written & 2 << (2 * bit) != 0).fold(0, |all, bit| all | 1 << (bit + shift));
        let fixed = match (word, self.version) {
            (Word::Private(_), Version::V2) if !removed(Guard::GicPpiTrigger) => !0,
            (Word::Private(_), _) => 0xffff,
            (Word::Shared(_), _) => 0,
        };
        self.set_edge(word, half & !fixed, edge, ctx);
        0
    }

    /// GICD_IROUTER<n>: whole, or one half of it.
    fn route_access<H: Hw, L: ListRegisters>(
        &mut self,
        byte: u64,
        access: Access,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        let intid = (byte / 8) as u32;
        let owned = self.bank(Word::Shared(intid as usize / 32)).map_or(0, |bank| bank.owned());
        let Some(route) = intid.checked_sub(32).and_then(|index| self.routes.get_mut(index as usize)) else {
            return 0;
        };
        if owned & 1 << (intid % 32) == 0 {
            return 0;
        }
        let (shift, mask) = if access.width == 8 { (0, u64::MAX) } else { (8 * (byte % 8), 0xffff_ffff) };
        let Some(value) = access.write else { return route.register >> shift & mask };
        route.register = (route.register & !(mask << shift) | (value & mask) << shift) & ROUTE_MASK;
        // "Any" becomes the writing core: it runs. An affinity that is not the partition's is no target.
        let affinity = (route.register & !IRM) as usize;
        let target = if route.register & IRM != 0 { Some(ctx.vcpu) } else { Some(affinity) };
        let target = target.filter(|vcpu| *vcpu < self.cpus.len() || removed(Guard::GicRoute));
        self.reroute(intid, target, ctx);
        0
    }
}
