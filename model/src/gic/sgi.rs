//! Software-generated interrupts: decoding of ICC_SGI1R_EL1 and its sisters, and delivery without a lock.
//!
//! Guest SGIs are virtual throughout: no physical SGI carries a guest's number, and HW=1 would be UNPREDICTABLE
//! for them (IHI 0069, 12.4.9). The sender sets a bit in the target's [`Shared`] state and kicks its core; the
//! target moves the bit into a list register. Neither takes the partition's lock in the common case.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::hw::ListRegisters;
use super::lr;

/// Highest number of virtual CPUs of a partition.
pub const MAX_VCPUS: usize = 64;

/// What the cores of one partition share without its lock.
#[derive(Debug)]
pub struct Shared {
    cpus: Box<[Cpu]>,
}

/// One vCPU's part.
#[derive(Debug, Default)]
struct Cpu {
    /// Pending SGIs that are in no list register.
    pending: AtomicU32,
    /// GICR_IGROUPR0's SGI bits.
    group1: AtomicU32,
    /// Prepared list-register images; 0 while the SGI may not be delivered (it stays pending).
    images: [AtomicU64; 16],
    /// The model holds interrupts of this vCPU outside the list registers.
    crowded: AtomicBool,
    /// Another core changed what this vCPU may take.
    attention: AtomicBool,
}

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
    if value & (0xff << 48 | 0xff << 32 | 0xff << 16) != 0 {
        return 0;
    }
    let range = value >> 44 & 15;
    (value & 0xffff).checked_shl(16 * range as u32).unwrap_or(0) & all
}

impl Shared {
    pub(super) fn new(vcpus: usize) -> Self {
        Shared { cpus: (0..vcpus).map(|_| Cpu::default()).collect() }
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
            let image = cpu.images.get(sgi as usize).map_or(0, |image| image.load(Ordering::Acquire));
            if image == 0 {
                continue;
            }
            if !place(image, lrs) {
                return Drained::NeedsLock;
            }
            // Cleared after the list register was written: one that is sent in between is the same pending state.
            cpu.pending.fetch_and(!(1 << sgi), Ordering::AcqRel);
        }
        Drained::Done
    }

    /// Whether the fast path may use its table of ready images. If not, it must use an all-zero table.
    #[must_use]
    pub fn fast_path_allowed(&self, vcpu: usize) -> bool {
        self.cpus.get(vcpu).is_some_and(|cpu| !cpu.crowded.load(Ordering::Acquire))
    }

    pub(super) fn pending(&self, vcpu: usize) -> u32 {
        self.cpus.get(vcpu).map_or(0, |cpu| cpu.pending.load(Ordering::Acquire))
    }

    pub(super) fn set_pending(&self, vcpu: usize, mask: u32) {
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
