//! Which vCPU an SPI goes to when vCPUs come and go, and the registers that only a GICv2 distributor has: targets as a
//! byte of CPU interfaces, SGIs by register and by source (IHI 0048, 4.3.12 and 4.3.15 to 4.3.17).

use super::dist::IRM;
use super::hw::{Hw, ListRegisters, Op, Word};
use super::lr::perform;
use super::{Access, Ctx, Version, Vgic};
use crate::weaken::{Guard, removed};

/// Highest number of virtual CPUs with GICv2: a target is a bit of a byte.
pub const MAX_VCPUS_V2: usize = 8;

impl Vgic {
    /// GICD_ITARGETSR: one byte or four. SGIs' and PPIs' are read-only and name the reading vCPU. With one vCPU all of it
    /// reads as zero and ignores writes, as everything goes there (IHI 0048, 4.3.12).
    pub(super) fn targets_access<H: Hw, L: ListRegisters>(
        &mut self,
        first: u64,
        access: Access,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        if self.cpus.len() == 1 {
            return 0;
        }
        let all = if removed(Guard::GicRoute) { 0xff } else { (1_u64 << self.cpus.len()) - 1 };
        let mut value = 0;
        for (byte, intid) in (0..u32::from(access.width)).zip(first as u32..) {
            if intid < 32 {
                value |= 1 << ctx.vcpu << (8 * byte);
                continue;
            }
            let owned = self.bank(Word::Shared(intid as usize / 32)).map_or(0, |bank| bank.owned());
            let Some(route) =
                self.routes.get_mut(intid as usize - 32).filter(|_| owned & 1 << (intid % 32) != 0)
            else {
                continue;
            };
            match access.write {
                None => value |= route.register << (8 * byte),
                Some(written) => {
                    route.register = written >> (8 * byte) & all;
                    self.retarget(intid, ctx);
                }
            }
        }
        if access.write.is_some() { 0 } else { value }
    }

    /// Chooses among an SPI's targets (GICv2): the one it has, if that one runs; else one that runs; else any. With
    /// one vCPU everything goes there (IHI 0048, 4.3.12), as its register says from the start.
    fn retarget<H: Hw, L: ListRegisters>(&mut self, intid: u32, ctx: &mut Ctx<H, L>) {
        let Some(route) = self.routes.get((intid as usize).wrapping_sub(32)) else { return };
        let (mask, now) = (route.register, route.target);
        let lowest = |mask: u64| (mask != 0).then(|| mask.trailing_zeros() as usize);
        let running = mask & self.online;
        let target = match now {
            Some(vcpu) if running & 1 << vcpu != 0 => now,
            _ => lowest(running).or(lowest(mask)),
        };
        self.reroute(intid, target, ctx);
    }

    /// Finds a running vCPU for SPIs whose target does not run: those that may go to any (GICv3), or to another
    /// (GICv2). Called when a vCPU went off or came.
    pub(super) fn rehome<H: Hw, L: ListRegisters>(&mut self, changed: usize, ctx: &mut Ctx<H, L>) {
        let next = (0..self.cpus.len()).find(|vcpu| self.online & 1 << vcpu != 0);
        let gone = self.online & 1 << changed == 0;
        for intid in (32..).take(self.routes.len()) {
            let Some(route) = self.routes.get(intid as usize - 32) else { return };
            match self.version {
                Version::V2 => self.retarget(intid, ctx),
                Version::V3 => {
                    let moves = gone && route.register & IRM != 0 && route.target == Some(changed);
                    if let (true, Some(_)) = (moves, next) {
                        self.reroute(intid, next, ctx);
                    }
                }
            }
        }
    }

    /// GICD_SGIR.
    pub(super) fn send_access<H, L>(&mut self, write: Option<u64>, ctx: &mut Ctx<H, L>) -> u64 {
        if let Some(value) = write {
            self.nudged |= self.shared.send_sgir(ctx.vcpu, value);
        }
        0
    }

    /// GICD_CPENDSGIR and GICD_SPENDSGIR of the accessing vCPU: a byte of sources per SGI. A direct partition has none: they read
    /// as zero and ignore writes.
    pub(super) fn sgi_sources_access<H: Hw, L: ListRegisters>(
        &mut self,
        first: u64,
        access: Access,
        set: bool,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        let vcpu = ctx.vcpu;
        let mut value = 0;
        if self.direct {
            // The physical ones know sources by the board's interfaces. Without Security Extensions nobody needs them.
            return 0;
        }
        for (byte, sgi) in (0..u32::from(access.width)).zip(first as u32..16) {
            let mask = 1 << sgi;
            let placed = perform(Op::Query { word: 0, mask }, ctx.lrs).pending != 0;
            let placed = if placed { self.shared.loaded(vcpu, sgi) } else { 0 };
            let Some(written) = access.write else {
                value |= u64::from(placed | self.shared.sources(vcpu, sgi)) << (8 * byte);
                continue;
            };
            let written = (written >> (8 * byte)) as u8;
            if set {
                let all = (1_u32 << self.cpus.len()) - 1;
                self.shared.add_sources(vcpu, sgi, written & all as u8);
            } else {
                self.shared.remove_sources(vcpu, sgi, written);
                if placed & written != 0 {
                    perform(Op::Withdraw { word: 0, mask }, ctx.lrs);
                }
            }
            self.nudge(vcpu);
        }
        value
    }
}
