//! A partition's power states: PSCI 1.1 (DEN 0022) over its own virtual CPUs, numbered 0..n.
//!
//! [`Psci`] lives behind the partition's lock. It decides and records; EL2 performs the [`Outcome`]. No call can
//! name, start or stop anything outside the partition: a target is an index into the partition's own states.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use partita_abi::{psci as id, smccc};

use crate::addr::Ipa;
use crate::weaken::{Guard, removed};

/// What a virtual CPU is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Power {
    /// Off; CPU_ON starts it.
    Off,
    /// Told to start, not there yet.
    OnPending(Start),
    /// Runs.
    On,
    /// In a power-down suspend: an interrupt restarts it at this address.
    Suspended(Start),
}

/// Where a virtual CPU begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// First instruction.
    pub entry: Ipa,
    /// Value of x0.
    pub context: u64,
}

/// What EL2 has to do for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Put this into x0 and go on.
    Return(u64),
    /// Wake the core of this virtual CPU, which then calls [`Psci::arrived`]; x0 = SUCCESS for the caller.
    CpuOn(usize),
    /// Park this core; its virtual interrupts are withdrawn. The call does not return.
    CpuOff {
        /// No virtual CPU is left that runs or will: the partition is off.
        last: bool,
    },
    /// Wait for a virtual interrupt (not at all when one is pending), then x0 = SUCCESS.
    Standby,
    /// Wait for a virtual interrupt, then call [`Psci::resumed`] and start there as after CPU_ON.
    Suspend,
    /// The partition ends.
    SystemOff,
    /// The partition starts anew.
    SystemReset,
}

impl Outcome {
    const fn code(code: i32) -> Self {
        // Codes are signed 32-bit numbers (DEN 0022, "Return error codes"); extended, they serve SMC32 and SMC64 callers alike.
        Self::Return(code as i64 as u64)
    }
}

/// The power states of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Psci {
    vcpus: Vec<Power>,
}

impl Psci {
    /// `vcpus` virtual CPUs, all off. This is the only place that allocates.
    #[must_use]
    pub fn new(vcpus: usize) -> Self {
        Self { vcpus: alloc::vec![Power::Off; vcpus] }
    }

    /// All off again.
    pub fn reset(&mut self) {
        self.vcpus.fill(Power::Off);
    }

    /// All off but virtual CPU 0, which is to start there.
    pub fn launch(&mut self, start: Start) {
        self.reset();
        if let Some(first) = self.vcpus.first_mut() {
            *first = Power::OnPending(start);
        }
    }

    /// A core has come to run this virtual CPU: where it starts, or `None` when it was not asked to (a stray
    /// wake-up: park again).
    pub fn arrived(&mut self, vcpu: usize) -> Option<Start> {
        match self.vcpus.get_mut(vcpu) {
            Some(power @ Power::OnPending(_)) => {
                let Power::OnPending(start) = core::mem::replace(power, Power::On) else { return None };
                Some(start)
            }
            _ => None,
        }
    }

    /// A suspended virtual CPU has an interrupt: where it restarts, or `None` when it was not suspended.
    pub fn resumed(&mut self, vcpu: usize) -> Option<Start> {
        match self.vcpus.get_mut(vcpu) {
            Some(power @ Power::Suspended(_)) => {
                let Power::Suspended(start) = core::mem::replace(power, Power::On) else { return None };
                Some(start)
            }
            _ => None,
        }
    }

    /// A virtual CPU's state.
    #[must_use]
    pub fn power(&self, vcpu: usize) -> Option<Power> {
        self.vcpus.get(vcpu).copied()
    }

    /// Whether none runs or will.
    #[must_use]
    pub fn all_off(&self) -> bool {
        self.vcpus.iter().all(|power| matches!(power, Power::Off))
    }

    /// Whether the function is one of PSCI's (DEN 0028: standard service calls 0x00..0x1f are reserved for it).
    #[must_use]
    pub const fn owns(function: u32) -> bool {
        function & !id::SMC64 & !0x1f == id::VERSION
    }

    /// A call by virtual CPU `vcpu`: x0..x3, and which guest-physical addresses are the partition's RAM.
    pub fn call(&mut self, vcpu: usize, args: [u64; 4], is_ram: impl Fn(Ipa) -> bool) -> Outcome {
        let function = args[0] as u32;
        let wide = function & id::SMC64 != 0;
        // SMC32 passes 32-bit arguments, whatever the upper halves hold (DEN 0028, section 3.1).
        let [_, x1, x2, x3] = if wide { args } else { args.map(|value| value & 0xffff_ffff) };
        match function {
            id::VERSION => Outcome::Return(u64::from(id::VERSION_1_1)),
            id::FEATURES => Outcome::code(features(x1 as u32)),
            // 2: no trusted OS that would have to migrate (MIGRATE_INFO_TYPE).
            id::MIGRATE_INFO_TYPE => Outcome::Return(2),
            id::SYSTEM_OFF => Outcome::SystemOff,
            id::SYSTEM_RESET => Outcome::SystemReset,
            id::CPU_OFF => self.cpu_off(vcpu),
            _ => match function & !id::SMC64 {
                id::CPU_ON => self.cpu_on(x1, Start { entry: Ipa(x2), context: x3 }, is_ram),
                id::CPU_SUSPEND => self.suspend(vcpu, x1, Start { entry: Ipa(x2), context: x3 }, is_ram),
                id::AFFINITY_INFO => self.affinity_info(x1, x2),
                _ => Outcome::code(id::NOT_SUPPORTED),
            },
        }
    }

    fn cpu_off(&mut self, vcpu: usize) -> Outcome {
        match self.vcpus.get_mut(vcpu) {
            Some(power) => {
                *power = Power::Off;
                Outcome::CpuOff { last: self.all_off() }
            }
            None => Outcome::code(id::DENIED),
        }
    }

    fn cpu_on(&mut self, target: u64, start: Start, is_ram: impl Fn(Ipa) -> bool) -> Outcome {
        let Some((vcpu, power)) =
            index(target).and_then(|index| self.vcpus.get_mut(index).map(|power| (index, power)))
        else {
            return Outcome::code(id::INVALID_PARAMETERS);
        };
        if !runs_at(start.entry, is_ram) {
            return Outcome::code(id::INVALID_ADDRESS);
        }
        match power {
            Power::On | Power::Suspended(_) => Outcome::code(id::ALREADY_ON),
            Power::OnPending(_) => Outcome::code(id::ON_PENDING),
            Power::Off => {
                *power = Power::OnPending(start);
                Outcome::CpuOn(vcpu)
            }
        }
    }

    fn suspend(&mut self, vcpu: usize, state: u64, start: Start, is_ram: impl Fn(Ipa) -> bool) -> Outcome {
        // power_state in its original format (DEN 0022, 5.4.2): StateID 15..0 (ours to read, and we read nothing from it),
        // StateType 16, PowerLevel 25..24, the rest zero. A virtual CPU has no level above itself.
        if state & !0x1_ffff != 0 {
            return Outcome::code(id::INVALID_PARAMETERS);
        }
        if state & 1 << 16 == 0 {
            return Outcome::Standby;
        }
        if !runs_at(start.entry, is_ram) {
            return Outcome::code(id::INVALID_ADDRESS);
        }
        match self.vcpus.get_mut(vcpu) {
            Some(power) => {
                *power = Power::Suspended(start);
                Outcome::Suspend
            }
            None => Outcome::code(id::DENIED),
        }
    }

    fn affinity_info(&self, target: u64, level: u64) -> Outcome {
        // Since PSCI 1.0 only level 0 need be offered; above it there is nothing to ask about.
        match index(target).and_then(|index| self.vcpus.get(index)) {
            Some(power) if level == 0 => Outcome::Return(match power {
                Power::On | Power::Suspended(_) => 0,
                Power::Off => 1,
                Power::OnPending(_) => 2,
            }),
            _ => Outcome::code(id::INVALID_PARAMETERS),
        }
    }
}

/// Where the virtual CPU that a target affinity names stands in the table: Aff0 is its number, Aff1..3 are zero, as
/// there are at most 64. Bit 31, which MPIDR_EL1 has set and the call should not, is tolerated as firmware does; with any
/// other bit the number is beyond the table.
fn index(target: u64) -> Option<usize> {
    let target = if removed(Guard::PsciTarget) { target & 0xff } else { target };
    usize::try_from(target & !(1 << 31)).ok()
}

/// Whether a core may begin here: the partition's own RAM, on an instruction boundary.
fn runs_at(entry: Ipa, is_ram: impl Fn(Ipa) -> bool) -> bool {
    entry.0.is_multiple_of(4) && (is_ram(entry) || removed(Guard::PsciEntry))
}

/// PSCI_FEATURES: for CPU_SUSPEND, 0 also says original power_state format, platform-coordinated.
const fn features(function: u32) -> i32 {
    match function {
        id::VERSION
        | id::CPU_OFF
        | id::MIGRATE_INFO_TYPE
        | id::SYSTEM_OFF
        | id::SYSTEM_RESET
        | id::FEATURES
        | smccc::VERSION => id::SUCCESS,
        _ => match function & !id::SMC64 {
            id::CPU_SUSPEND | id::CPU_ON | id::AFFINITY_INFO => id::SUCCESS,
            _ => id::NOT_SUPPORTED,
        },
    }
}
