//! The virtual redistributors' registers. Any vCPU may use any of the partition's.

use super::hw::{Hw, ListRegisters, Word};
use super::registers::{self, Register};
use super::{Access, Ctx, REDIST_SIZE, Version, Vgic};

impl Vgic {
    pub(super) fn redist<H: Hw, L: ListRegisters>(
        &mut self,
        offset: u64,
        access: Access,
        ctx: &mut Ctx<H, L>,
    ) -> u64 {
        let target = usize::try_from(offset / REDIST_SIZE).unwrap_or(usize::MAX);
        if target >= self.cpus.len() || self.version == Version::V2 {
            return 0;
        }
        let rows = registers::REDISTRIBUTOR;
        let Some((register, byte)) = registers::decode(rows, offset % REDIST_SIZE, access.width) else {
            return 0;
        };
        let word = Word::Private(target);
        match register {
            Register::Implementer if access.write.is_none() => registers::IIDR,
            Register::Identity if access.write.is_none() => registers::identity(self.version, byte),
            Register::RedistType if access.write.is_none() => {
                let value = self.redist_type(target) >> (8 * byte);
                if access.width == 8 { value } else { value & 0xffff_ffff }
            }
            Register::Waker => self.waker(target, access.write),
            Register::Word(register) => self.word_access(word, register, access.write, ctx),
            Register::Priority => self.priority_access(word, byte, access, ctx),
            Register::Config => self.config_access(word, byte, access.write, ctx),
            _ => 0,
        }
    }

    /// GICR_TYPER: affinity 0.0.0.vcpu, its number, Last; no LPIs (IHI 0069, 12.11.36).
    fn redist_type(&self, target: usize) -> u64 {
        let last = target + 1 == self.cpus.len();
        (target as u64) << 32 | (target as u64) << 8 | u64::from(last) << 4
    }

    /// GICR_WAKER: ChildrenAsleep follows ProcessorSleep at once. Sleep is only told, it holds nothing back: firmware
    /// hands cores over awake, and payloads rely on that.
    fn waker(&mut self, target: usize, write: Option<u64>) -> u64 {
        let Some(cpu) = self.cpus.get_mut(target) else { return 0 };
        match write {
            Some(value) => {
                cpu.asleep = value & 2 != 0;
                0
            }
            None if cpu.asleep => 6,
            None => 0,
        }
    }
}
