//! Software-generated interrupts: decoding of ICC_SGI1R_EL1, its sisters and GICD_SGIR, and delivery without a lock.
//!
//! Guest SGIs are virtual throughout: no physical SGI carries a guest's number, and HW=1 would be UNPREDICTABLE
//! for them (IHI 0069, 12.4.9). The sender sets a bit in the target's [`Shared`] state and kicks its core; the
//! target moves the bit into a list register. Neither takes the partition's lock in the common case.
//!
//! GICv2 keeps SGIs of one number apart by their source (IHI 0048, 2.2.1), and a number may be in one list register
//! only (5.3.8). So one source is there, and others wait behind it, for which its end asks for maintenance.

use alloc::boxed::Box;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::bank::bits;
use super::hw::ListRegisters;
use super::{Version, lr};
use crate::weaken::{Guard, removed};

/// Highest number of virtual CPUs of a partition.
pub const MAX_VCPUS: usize = 64;

/// What the cores of one partition share without its lock.
#[derive(Debug)]
pub struct Shared {
    /// GICv2: SGIs are kept by source.
    by_source: bool,
    cpus: Box<[Block]>,
}

/// One vCPU's part. EL2's assembly delivers an SGI by it in the common case (GICv3): its layout is fixed.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Block {
    /// Pending SGIs that are in no list register.
    pending: AtomicU32,
    /// The model holds interrupts of this vCPU outside the list registers.
    crowded: AtomicBool,
    /// Another core changed what this vCPU may take.
    attention: AtomicBool,
    /// Prepared list-register images; 0 while the SGI may not be delivered (it stays pending).
    images: [AtomicU64; 16],
    /// GICR_IGROUPR0's SGI bits.
    group1: AtomicU32,
    /// GICv2: the sources from which each is pending. Not zero exactly where `pending` has the bit, but for a moment.
    sources: [AtomicU8; 16],
    /// GICv2: the source of the one that is, or was last, in a list register, as a bit.
    loaded: [AtomicU8; 16],
}

impl Block {
    /// Offset of the 32-bit word of SGIs that are pending outside the list registers.
    pub const PENDING: usize = offset_of!(Block, pending);
    /// Offset of two bytes: while either is not zero, only [`Shared::drain`] and the lock may fill list registers.
    pub const BUSY: usize = offset_of!(Block, crowded);
    /// Offset of sixteen list-register images, 0 where the SGI may not be delivered now.
    pub const IMAGES: usize = offset_of!(Block, images);
}

const _: () = assert!(offset_of!(Block, attention) == Block::BUSY + 1 && Block::BUSY.is_multiple_of(2));

/// The register that a guest sends SGIs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiRegister {
    /// ICC_SGI0R_EL1.
    Sgi0r,
    /// ICC_SGI1R_EL1.
    Sgi1r,
    /// ICC_ASGI1R_EL1: Group 1 of the other security state; there is none, so only Group 0 SGIs match.
    Asgi1r,
}

/// What [`Shared::drain`] could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All that may be delivered is in the list registers.
    Done,
    /// Take the partition's lock and call [`super::Vgic::kicked`].
    NeedsLock,
}

/// The vCPUs that a value written to ICC_SGI1R_EL1 names (IHI 0069, 12.2.23), of those there are.
#[must_use]
pub fn targets(value: u64, source: usize, vcpus: usize) -> u64 {
    let all = if vcpus >= MAX_VCPUS { u64::MAX } else { (1 << vcpus) - 1 };
    if value >> 40 & 1 != 0 {
        // IRM: everyone but the sender; affinity is ignored.
        return if source < MAX_VCPUS { all & !(1 << source) } else { all };
    }
    // Aff3 (55..48), Aff2 (39..32), Aff1 (23..16): the partition's vCPUs have 0 there.
    if value & (0xff << 48 | 0xff << 32 | 0xff << 16) != 0 && !removed(Guard::SgiAffinity) {
        return 0;
    }
    let range = value >> 44 & 15;
    (value & 0xffff).checked_shl(16 * range as u32).unwrap_or(0) & all
}

impl Shared {
    pub(super) fn new(version: Version, vcpus: usize) -> Self {
        let by_source = version == Version::V2;
        Shared { by_source, cpus: (0..vcpus).map(|_| Block::default()).collect() }
    }

    /// The blocks of the vCPUs, for EL2's fast path of GICv3's SGIs. It does what [`Shared::send`] and
    /// [`Shared::drain`] do where the one is for a single vCPU and the other finds every list register free.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.cpus
    }

    /// Performs a guest's write to one of the SGI registers. No lock.
    ///
    /// The result is the mask of vCPUs to act on: EL2 kicks each of them, except the sender itself, for which it
    /// calls [`Shared::drain`] at once. vCPUs that the partition does not have are ignored. Sgi1r reaches SGIs of
    /// either group, the others Group 0 only (IHI 0069, 12.1.11, with GICD_CTLR.DS = 1).
    pub fn send(&self, source: usize, value: u64, register: SgiRegister) -> u64 {
        let wanted = targets(value, source, self.cpus.len());
        let bit = 1_u32 << (value >> 24 & 15);
        let mut hit = 0;
        for (vcpu, cpu) in self.cpus.iter().enumerate().filter(|(vcpu, _)| wanted & 1 << vcpu != 0) {
            if register == SgiRegister::Sgi1r || cpu.group1.load(Ordering::Relaxed) & bit == 0 {
                cpu.pending.fetch_or(bit, Ordering::Release);
                hit |= 1 << vcpu;
            }
        }
        hit
    }

    /// Performs a guest's store to GICD_SGIR (IHI 0048, 4.3.15). No lock; the result is as [`Shared::send`]'s. NSATT is
    /// ignored, as there are no Security Extensions.
    pub fn send_sgir(&self, source: usize, value: u64) -> u64 {
        let all = (1_u64 << self.cpus.len().min(8)) - 1;
        let own = 1_u64.checked_shl(source as u32).unwrap_or(0) & all;
        let wanted = match value >> 24 & 3 {
            0 => value >> 16 & all,
            1 => all & !own,
            2 => own,
            _ => 0,
        };
        for vcpu in bits(wanted as u32) {
            self.add_sources(vcpu as usize, value as u32 & 15, own as u8);
        }
        wanted
    }

    /// Moves this vCPU's pending SGIs into its list registers. Called on its own core, without the lock: in the
    /// kick handler, and after sending to oneself.
    pub fn drain(&self, vcpu: usize, lrs: &mut impl ListRegisters) -> Drained {
        let Some(cpu) = self.cpus.get(vcpu) else { return Drained::Done };
        if cpu.crowded.load(Ordering::Acquire) || cpu.attention.load(Ordering::Acquire) {
            return Drained::NeedsLock;
        }
        let mut left = cpu.pending.load(Ordering::Acquire);
        while left != 0 {
            let sgi = left.trailing_zeros();
            left &= left - 1;
            let image = self.image(vcpu, sgi);
            if image == 0 {
                continue;
            }
            if !self.place(vcpu, sgi, image, lrs) {
                return Drained::NeedsLock;
            }
        }
        Drained::Done
    }

    /// Moves one pending SGI into a list register: of several sources the first, behind which the others wait. False:
    /// there is none free.
    pub(super) fn place(&self, vcpu: usize, sgi: u32, image: u64, lrs: &mut impl ListRegisters) -> bool {
        let Some(cpu) = self.cpus.get(vcpu) else { return true };
        if !self.by_source {
            if !place(image, lrs) {
                return false;
            }
            // Cleared after the list register was written: one that is sent in between is the same pending state.
            cpu.pending.fetch_and(!(1 << sgi), Ordering::AcqRel);
            return true;
        }
        let sources = self.sources(vcpu, sgi);
        let more = |source: u8| if sources & !source != 0 { lr::EOI } else { 0 };
        let (mut own, mut free) = (None, None);
        for index in 0..lrs.count() {
            let old = lrs.read(index);
            if lr::is_valid(old) && lr::intid(old) == sgi {
                own = Some((index, old));
                break;
            }
            if free.is_none() && lr::is_free(old) {
                free = Some(index);
            }
        }
        let source = match (own, free) {
            (Some((index, old)), _) => {
                let source = 1 << lr::source(old);
                let again = if sources & source != 0 { lr::PENDING } else { 0 };
                let new = old | again | more(source);
                if new != old {
                    lrs.write(index, new);
                }
                source
            }
            (None, Some(index)) if sources != 0 => {
                let number = sources.trailing_zeros();
                lrs.write(index, lr::with_source(image, number) | more(1 << number));
                if let Some(loaded) = cpu.loaded.get(sgi as usize) {
                    loaded.store(1 << number, Ordering::Release);
                }
                1 << number
            }
            (None, Some(_)) => 0,
            (None, None) => return false,
        };
        self.remove_sources(vcpu, sgi, sources & source);
        true
    }

    /// The prepared image of an SGI; 0 while it may not be delivered.
    fn image(&self, vcpu: usize, sgi: u32) -> u64 {
        let image = self.cpus.get(vcpu).and_then(|cpu| cpu.images.get(sgi as usize));
        image.map_or(0, |image| image.load(Ordering::Acquire))
    }

    /// GICv2: lets pending SGIs whose number is in a list register join it, if they are of its source, or wait behind
    /// it. The result is those that wait.
    pub(super) fn join(&self, vcpu: usize, lrs: &mut impl ListRegisters) -> u32 {
        let mut waiting = 0;
        for index in 0..if self.by_source { lrs.count() } else { 0 } {
            let image = lrs.read(index);
            let bit = 1_u32.checked_shl(lr::intid(image)).unwrap_or(0) & 0xffff;
            if lr::is_valid(image) && self.pending(vcpu) & bit != 0 && self.image(vcpu, lr::intid(image)) != 0
            {
                self.place(vcpu, lr::intid(image), image, lrs);
                waiting |= bit & self.pending(vcpu);
            }
        }
        waiting
    }

    /// GICv2: the sources of an SGI that is pending outside the list registers.
    pub(super) fn sources(&self, vcpu: usize, sgi: u32) -> u8 {
        let sources = self.cpus.get(vcpu).and_then(|cpu| cpu.sources.get(sgi as usize));
        sources.map_or(0, |sources| sources.load(Ordering::Acquire))
    }

    /// GICv2: the source, as a bit, of an SGI that is in a list register or had to leave it.
    pub(super) fn loaded(&self, vcpu: usize, sgi: u32) -> u8 {
        let loaded = self.cpus.get(vcpu).and_then(|cpu| cpu.loaded.get(sgi as usize));
        loaded.map_or(0, |loaded| loaded.load(Ordering::Acquire))
    }

    /// GICv2: makes an SGI pending from these sources.
    pub(super) fn add_sources(&self, vcpu: usize, sgi: u32, sources: u8) {
        let Some(cpu) = self.cpus.get(vcpu).filter(|_| sources != 0) else { return };
        if let Some(all) = cpu.sources.get(sgi as usize) {
            all.fetch_or(sources, Ordering::AcqRel);
            cpu.pending.fetch_or(1 << sgi, Ordering::AcqRel);
        }
    }

    /// GICv2: takes sources of an SGI away. One that is added meanwhile by another core is not lost: its bit is set
    /// again, by that core or here.
    pub(super) fn remove_sources(&self, vcpu: usize, sgi: u32, sources: u8) {
        let Some((cpu, all)) =
            self.cpus.get(vcpu).and_then(|cpu| Some((cpu, cpu.sources.get(sgi as usize)?)))
        else {
            return;
        };
        if all.fetch_and(!sources, Ordering::AcqRel) & !sources == 0 {
            cpu.pending.fetch_and(!(1 << sgi), Ordering::AcqRel);
            if all.load(Ordering::Acquire) != 0 {
                cpu.pending.fetch_or(1 << sgi, Ordering::AcqRel);
            }
        }
    }

    /// Whether SGIs are kept by source.
    pub(super) fn by_source(&self) -> bool {
        self.by_source
    }

    /// Whether the fast path may use its table of ready images. If not, it must use an all-zero table.
    #[must_use]
    pub fn fast_path_allowed(&self, vcpu: usize) -> bool {
        self.cpus.get(vcpu).is_some_and(|cpu| !cpu.crowded.load(Ordering::Acquire))
    }

    pub(super) fn pending(&self, vcpu: usize) -> u32 {
        self.cpus.get(vcpu).map_or(0, |cpu| cpu.pending.load(Ordering::Acquire))
    }

    /// With GICv2 only those that were in a list register: from the source that they had there.
    pub(super) fn set_pending(&self, vcpu: usize, mask: u32) {
        if self.by_source {
            return bits(mask & 0xffff).for_each(|sgi| self.add_sources(vcpu, sgi, self.loaded(vcpu, sgi)));
        }
        if let Some(cpu) = self.cpus.get(vcpu) {
            cpu.pending.fetch_or(mask & 0xffff, Ordering::AcqRel);
        }
    }

    pub(super) fn clear_pending(&self, vcpu: usize, mask: u32) {
        if let Some(cpu) = self.cpus.get(vcpu) {
            cpu.pending.fetch_and(!mask, Ordering::AcqRel);
        }
    }

    pub(super) fn set_image(&self, vcpu: usize, sgi: u32, image: u64) {
        if let Some(slot) = self.cpus.get(vcpu).and_then(|cpu| cpu.images.get(sgi as usize)) {
            slot.store(image, Ordering::Release);
        }
    }

    pub(super) fn set_group1(&self, vcpu: usize, group1: u32) {
        if let Some(cpu) = self.cpus.get(vcpu) {
            cpu.group1.store(group1 & 0xffff, Ordering::Relaxed);
        }
    }

    pub(super) fn set_crowded(&self, vcpu: usize, crowded: bool) {
        if let Some(cpu) = self.cpus.get(vcpu) {
            cpu.crowded.store(crowded, Ordering::Release);
        }
    }

    pub(super) fn set_attention(&self, vcpu: usize, attention: bool) {
        if let Some(cpu) = self.cpus.get(vcpu) {
            cpu.attention.store(attention, Ordering::Release);
        }
    }

    /// Nothing pending, nothing deliverable.
    pub(super) fn reset(&self, vcpu: usize) {
        let Some(cpu) = self.cpus.get(vcpu) else { return };
        cpu.images.iter().for_each(|image| image.store(0, Ordering::Release));
        cpu.sources.iter().chain(&cpu.loaded).for_each(|sources| sources.store(0, Ordering::Release));
        cpu.pending.store(0, Ordering::Release);
        cpu.crowded.store(false, Ordering::Release);
        cpu.attention.store(false, Ordering::Release);
    }
}

/// Makes a software interrupt pending in the list registers: in the one that holds it, else in a free one.
pub(super) fn place(image: u64, lrs: &mut impl ListRegisters) -> bool {
    let mut free = None;
    for index in 0..lrs.count() {
        let old = lrs.read(index);
        if lr::is_valid(old) && lr::intid(old) == lr::intid(image) {
            if old & lr::PENDING == 0 {
                lrs.write(index, old | lr::PENDING);
            }
            return true;
        }
        if free.is_none() && lr::is_free(old) {
            free = Some(index);
        }
    }
    if let Some(index) = free {
        lrs.write(index, image);
    }
    free.is_some()
}
