//! A partition's virtual interrupt controller: distributor, redistributors, SGIs and list registers, as GICv3
//! (IHI 0069) or GICv2 (IHI 0048), by [`Config::version`].
//!
//! Pure: it decides; EL2 acts through [`Hw`] and [`ListRegisters`]. Nothing here panics, allocates after
//! construction, loops without a bound, or names an interrupt or a vCPU that the partition does not own.
//!
//! # How an interrupt travels
//! EL2 runs with HCR_EL2.IMO = FMO = 1 and physical EOImode = 1. A physical interrupt is acknowledged at EL2, put
//! into one list register with HW = 1, and gets its priority drop; the guest's end of interrupt deactivates it. So
//! an owned interrupt that is in a list register, or waits for one, is *physically active*, can be acknowledged by
//! no core, and hence is in at most one place. Enable, pending and active bits live in the physical controller, to
//! which the registers here write through; what is in flight is looked for only where the physical active bit
//! says so. SGIs and an emulated device's SPIs are software's (HW = 0).
//!
//! # GICv2
//! The same model with another register map ([`Version::V2`]). SPIs have a byte of targets in place of an affinity, of
//! which one that runs is chosen; SGIs are sent by GICD_SGIR and carry their source, one source at a time in the one
//! list register that a number may have; a vCPU's private registers are banked, so only its own core touches them, and
//! what another core changes of them (GICD_CTLR) is done when it next looks. List-register images are in GICv3's form
//! throughout, with an SGI's source in bits 34..32; EL2 converts them ([`to_gicv2`], [`from_gicv2`]).
//!
//! # What EL2 does
//! - **Lock.** One lock per partition around every `&mut self` call; interrupts are masked at EL2. While it waits
//!   for the lock a core answers [`Hw::remote`] requests with [`perform`], as it does in its kick handler. Neither
//!   needs the lock.
//! - **Fast path** (assembly): IAR; `ready[INTID]` as stored by [`Hw::set_ready`]; if it is not 0 and a list
//!   register is free (ICH_ELRSR_EL2), write it there; EOIR; eret. Otherwise [`Vgic::slow_irq`], *then* EOIR. It is
//!   not interruptible, and a kick is answered before or after it, never within.
//! - **After every call on a core that returns to the guest**: [`Shared::fast_path_allowed`] chooses between the
//!   core's table and an all-zero one. (The model stores into the real table in either case.)
//! - **Kick** (a physical SGI, deactivated by EL2 itself): answer a waiting remote request, then
//!   [`Shared::drain`], and [`Vgic::kicked`] if that says so.
//! - **Maintenance** (EL2's own PPI): [`Vgic::maintenance`]. It is level-sensitive: call before deactivating it.
//! - **ICC_SGI1R, SGI0R, ASGI1R** trap because of IMO/FMO: [`Shared::send`]. A store to [`SGIR`] may go straight to
//!   [`Shared::send_sgir`]; as any other access it works too.
//! - **ICC_DIR** traps while [`Control::TDIR`] is set: [`Vgic::deactivate`].
//! - **Emulated device's line**: [`Vgic::set_line`] from any core, then kick, or [`Vgic::kicked`] on oneself.
//! - **vCPU on**: [`Vgic::online`] on its core, before it enters the guest. **CPU_OFF or stop**: clear the virtual
//!   CPU interface (APRs, VMCR) *after* [`Vgic::offline`] on its core. **Relaunch**: [`Vgic::reset`] when all are
//!   off.
//! - **Physical set-up** of owned interrupts, once: their group and EL2's flat priority. Everything else is set here.

mod bank;
mod direct;
mod dist;
mod flight;
mod gate;
mod hw;
mod lr;
mod lrs;
mod mirror;
mod redist;
mod registers;
mod reset;
mod sgi;
mod targets;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

pub use hw::{Bits, Control, Hw, ListRegisters, Op, State, Word};
pub use lr::{Kind, from_gicv2, image, perform, to_gicv2};
pub use mirror::Mirror;
pub use sgi::{Block, Drained, MAX_VCPUS, SgiRegister, Shared, sgir_targets, targets};
pub use targets::MAX_VCPUS_V2;

use bank::{Bank, Set, bits};
use registers::WordRegister;

use crate::weaken::{Guard, removed};

/// Bytes of one redistributor: RD_base and SGI_base (IHI 0069, 12.10).
pub const REDIST_SIZE: u64 = 0x2_0000;
/// Bytes of the distributor's frame.
pub const DIST_SIZE: u64 = 0x1_0000;
/// Bytes of a GICv2 distributor's frame (IHI 0048, 4.1).
pub const DIST_SIZE_V2: u64 = 0x1000;
/// Offset of GICD_SGIR in a GICv2 distributor.
pub const SGIR: u64 = 0xf00;

/// The architecture that a partition sees, which is the board's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GICv2 (IHI 0048).
    V2,
    /// GICv3 (IHI 0069).
    V3,
}

/// What a partition owns.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// The architecture.
    pub version: Version,
    /// Virtual CPUs, 1..=[`MAX_VCPUS`] or [`MAX_VCPUS_V2`]. vCPU n has affinity 0.0.0.n, or CPU interface n.
    pub vcpus: usize,
    /// PPIs that each vCPU owns: bits 16..31.
    pub ppis: u32,
    /// Those of them that are edge-triggered.
    pub edge_ppis: u32,
    /// SPIs.
    pub spis: &'a [Spi],
    /// Implemented bits of virtual priority: ICH_VTR_EL2.PRIbits + 1.
    pub priority_bits: u32,
    /// ICH_VTR_EL2.TDS: ICH_HCR_EL2.TDIR is there. Without it an interrupt that is ended by ICC_DIR_EL1 while more
    /// are active than there are list registers is told by its priority alone.
    pub tdir: bool,
    /// How physical interrupts come.
    pub path: Path,
}

/// How physical interrupts come to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Through EL2, by list registers.
    Mediated,
    /// The same on a machine that has a direct partition, whose guest can end any SPI that is active: so that one may come
    /// again while it is in a list register still, where a number may be once only (IHI 0069, 12.4.9). The fast path
    /// leaves SPIs alone.
    Wary,
    /// Without EL2: see `direct.rs`.
    Direct,
}

/// An SPI of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spi {
    /// Its number, 32..=1019, physical and virtual alike.
    pub intid: u32,
    /// Edge-triggered at launch; otherwise level-sensitive.
    pub edge: bool,
    /// Raised by a device that EL2 emulates ([`Vgic::set_line`]); there is no physical interrupt.
    pub emulated: bool,
}

/// A configuration that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No vCPU, or more than [`MAX_VCPUS`] or [`MAX_VCPUS_V2`].
    Vcpus,
    /// An SPI's INTID is not in 32..=1019, or is there twice.
    Spi(u32),
    /// A PPI mask has bits outside 16..31.
    Ppis,
    /// The architecture has 5 to 8 virtual priority bits.
    PriorityBits,
}

/// A guest's load or store in one of the frames, as the data abort's syndrome tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes: 1, 2, 4 or 8.
    pub width: u8,
    /// The value stored; none: a load.
    pub write: Option<u64>,
}

/// What became of an acknowledged interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irq {
    /// It is in a list register, waits for one, or went back to the physical controller. Drop the priority.
    Handled,
    /// Not this partition's. Nothing was done.
    NotOurs,
}

/// Where an SPI goes.
#[derive(Clone, Copy, Debug, Default)]
struct Route {
    /// GICD_IROUTER or the byte of GICD_ITARGETSR as the guest reads it.
    register: u64,
    /// The vCPU, unless the register names none of the partition.
    target: Option<usize>,
}

/// State of one vCPU.
#[derive(Debug)]
struct Cpu {
    /// SGIs and PPIs.
    private: Bank,
    /// GICR_WAKER.ProcessorSleep.
    asleep: bool,
    /// GICv2: its physical interrupts are yet to be brought to the state of a launch, by its own core.
    stale: bool,
    /// Physical interrupts, acknowledged, pending for the guest, that wait for a list register.
    waiting: Set,
    /// Interrupts that are active for the guest but had to leave their list register.
    spilled: Set,
    /// Priorities of `spilled` as they were acknowledged.
    spilled_priority: Box<[u8]>,
}

/// The virtual interrupt controller of one partition.
#[derive(Debug)]
pub struct Vgic {
    version: Version,
    priority_mask: u8,
    tdir: bool,
    /// Interrupts do not pass EL2.
    direct: bool,
    /// GICD_CTLR.EnableGrp1 and EnableGrp0, bits 1 and 0.
    groups: u32,
    /// vCPUs that run.
    online: u64,
    /// Triggers at launch: word 0 for every vCPU's PPIs, then the SPIs'.
    launch_edge: Box<[u32]>,
    /// Words 1.. of the distributor.
    spis: Box<[Bank]>,
    routes: Box<[Route]>,
    cpus: Box<[Cpu]>,
    shared: Arc<Shared>,
    /// GICv3: the distributor, then each redistributor's SGI frame. GICv2: the distributor as each vCPU sees it.
    mirrors: Arc<[Mirror]>,
    /// vCPUs whose list registers are to be looked at before the call returns.
    nudged: u64,
}

/// The core that makes a call.
struct Ctx<'a, H, L> {
    vcpu: usize,
    hw: &'a mut H,
    lrs: &'a mut L,
}

impl Vgic {
    /// Makes the model in its reset state, with every vCPU off. EL2 then calls [`Vgic::reset`] to bring the physical
    /// interrupts to the same state, and [`Vgic::online`] for the first vCPU.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration is impossible.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let most = if config.version == Version::V2 { MAX_VCPUS_V2 } else { MAX_VCPUS };
        if !(1..=most).contains(&config.vcpus) {
            return Err(ConfigError::Vcpus);
        }
        if (config.ppis | config.edge_ppis) & 0xffff != 0 {
            return Err(ConfigError::Ppis);
        }
        if !(5..=8).contains(&config.priority_bits) {
            return Err(ConfigError::PriorityBits);
        }
        let last = config.spis.iter().map(|spi| spi.intid / 32).max().unwrap_or(0) as usize;
        let words = last.min(31) + 1;
        let direct = config.path == Path::Direct;
        let mut spis = vec![Bank::default(); words - 1];
        let mut launch_edge = vec![0; words];
        for spi in config.spis {
            let bank = (spi.intid as usize / 32).checked_sub(1).and_then(|word| spis.get_mut(word));
            let (Some(bank), 32..=1019) = (bank, spi.intid) else { return Err(ConfigError::Spi(spi.intid)) };
            let bit = 1 << (spi.intid % 32);
            if bank.owned() & bit != 0 {
                return Err(ConfigError::Spi(spi.intid));
            }
            match (spi.emulated, direct) {
                (false, _) => bank.physical |= bit,
                (true, false) => bank.software |= bit,
                (true, true) => (bank.physical, bank.driven) = (bank.physical | bit, bank.driven | bit),
            }
            if let Some(word) = launch_edge.get_mut(spi.intid as usize / 32) {
                *word |= if spi.edge { bit } else { 0 };
            }
        }
        if removed(Guard::GicForeignSpi) {
            spis.iter_mut().for_each(|bank| bank.physical = !bank.software);
        }
        if config.path == Path::Wary {
            spis.iter_mut().for_each(|bank| bank.wary = true);
        }
        let ppis = if removed(Guard::GicForeignPpi) { 0xffff_0000 } else { config.ppis };
        let (software, ppis) = if direct { (0, ppis | 0xffff) } else { (0xffff, ppis) };
        if let Some(word) = launch_edge.first_mut() {
            *word = 0xffff | config.edge_ppis;
        }
        let cpu = |_| Cpu {
            private: Bank { physical: ppis, software, ..Bank::default() },
            asleep: true,
            stale: false,
            waiting: Set::new(words),
            spilled: Set::new(words),
            spilled_priority: vec![0; 32 * words].into_boxed_slice(),
        };
        let mut vgic = Vgic {
            version: config.version,
            priority_mask: (0xff00_u32 >> config.priority_bits) as u8,
            tdir: config.tdir,
            direct,
            groups: 0,
            online: 0,
            launch_edge: launch_edge.into_boxed_slice(),
            routes: vec![Route::default(); 32 * (words - 1)].into_boxed_slice(),
            spis: spis.into_boxed_slice(),
            cpus: (0..config.vcpus).map(cpu).collect(),
            shared: Arc::new(Shared::new(config.version, config.vcpus)),
            mirrors: (0..mirror::pages(config.version, config.vcpus)).map(|_| Mirror::new()).collect(),
            nudged: 0,
        };
        vgic.reset_state();
        Ok(vgic)
    }

    /// The part that cores use without the lock.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// A load or store in the distributor's frame ([`DIST_SIZE`] or [`DIST_SIZE_V2`] bytes). The value is a load's; 0 for a store.
    pub fn dist_access<H: Hw, L: ListRegisters>(
        &mut self,
        vcpu: usize,
        offset: u64,
        access: Access,
        hw: &mut H,
        lrs: &mut L,
    ) -> u64 {
        let Some(mut ctx) = self.enter(vcpu, hw, lrs) else { return 0 };
        let value = self.dist(offset, access, &mut ctx);
        self.settle(&mut ctx);
        value
    }

    /// A load or store in the redistributors' region: [`REDIST_SIZE`] bytes per vCPU, `offset` from its start. GICv2 has
    /// none.
    pub fn redist_access<H: Hw, L: ListRegisters>(
        &mut self,
        vcpu: usize,
        offset: u64,
        access: Access,
        hw: &mut H,
        lrs: &mut L,
    ) -> u64 {
        let Some(mut ctx) = self.enter(vcpu, hw, lrs) else { return 0 };
        let value = self.redist(offset, access, &mut ctx);
        self.settle(&mut ctx);
        value
    }

    /// An interrupt that the fast path could not place: acknowledged, its priority not dropped yet.
    ///
    /// Everything is checked again under the lock: it may have been disabled, cleared or routed away since.
    pub fn slow_irq<H: Hw, L: ListRegisters>(
        &mut self,
        vcpu: usize,
        intid: u32,
        hw: &mut H,
        lrs: &mut L,
    ) -> Irq {
        let Some(mut ctx) = self.enter(vcpu, hw, lrs) else { return Irq::NotOurs };
        let irq = self.acknowledged(intid, &mut ctx);
        self.nudge(vcpu);
        self.settle(&mut ctx);
        irq
    }

    /// The maintenance interrupt.
    pub fn maintenance<H: Hw, L: ListRegisters>(&mut self, vcpu: usize, hw: &mut H, lrs: &mut L) {
        let Some(mut ctx) = self.enter(vcpu, hw, lrs) else { return };
        self.nudge(vcpu);
        self.settle(&mut ctx);
    }

    /// Takes into this core's list registers what others made pending for it.
    pub fn kicked<H: Hw, L: ListRegisters>(&mut self, vcpu: usize, hw: &mut H, lrs: &mut L) {
        self.maintenance(vcpu, hw, lrs);
    }

    /// A guest's write to ICC_DIR_EL1 that trapped. (EL2 ignores it while ICH_VMCR_EL2.VEOIM is 0.)
    pub fn deactivate<H: Hw, L: ListRegisters>(&mut self, vcpu: usize, intid: u32, hw: &mut H, lrs: &mut L) {
        let Some(mut ctx) = self.enter(vcpu, hw, lrs) else { return };
        let word = if intid < 32 { Word::Private(vcpu) } else { Word::Shared(intid as usize / 32) };
        self.clear_active(word, 1 << (intid % 32), &mut ctx);
        self.nudge(vcpu);
        self.settle(&mut ctx);
    }

    /// Sets the input of an emulated device's SPI. The result is the vCPU that must look at it now: EL2 kicks its
    /// core, or calls [`Vgic::kicked`] if it is the calling one.
    pub fn set_line(&mut self, intid: u32, level: bool) -> Option<usize> {
        let bit = 1 << (intid % 32);
        let bank = self.bank_mut(Word::Shared(intid as usize / 32))?;
        if bank.software & bit == 0 || (bank.line & bit != 0) == level {
            return None;
        }
        bank.line ^= bit;
        if level && bank.edge & bit != 0 {
            bank.latch |= bit;
        }
        let target = self.target(intid)?;
        if self.online & 1 << target == 0 {
            return None;
        }
        self.shared.set_attention(target, true);
        Some(target)
    }

    /// Whether an interrupt is pending for this vCPU, wherever it is kept: CPU_SUSPEND must return then. Asked on
    /// its own core.
    pub fn pending_anywhere(&self, vcpu: usize, lrs: &impl ListRegisters) -> bool {
        (0..lrs.count()).any(|index| lrs.read(index) & lr::PENDING != 0)
            || self.candidate(vcpu, lrs.enabled_groups(), 0).is_some()
    }

    /// Begins a call: what the guest ended before is taken in first, so that registers show it. None: no such vCPU.
    fn enter<'a, H: Hw, L: ListRegisters>(
        &mut self,
        vcpu: usize,
        hw: &'a mut H,
        lrs: &'a mut L,
    ) -> Option<Ctx<'a, H, L>> {
        (vcpu < self.cpus.len()).then_some(())?;
        let mut ctx = Ctx { vcpu, hw, lrs };
        self.fold(&mut ctx);
        Some(ctx)
    }
}
