//! Software-generated interrupts: decoding of ICC_SGI1R_EL1, its sisters and GICD_SGIR, and delivery without a lock.
//!
//! Guest SGIs are virtual throughout: no physical SGI carries a guest's number, and HW=1 would be UNPREDICTABLE
//! for them (IHI 0069, 12.4.9). The sender marks the SGI in the target's [`Shared`] state and kicks its core; the
//! target moves the mark into a list register. Neither takes the partition's lock in the common case.
//!
//! A mark is a byte. With GICv3 it is 1, so a sender stores it without looking, and nobody's mark is lost by that. GICv2
//! keeps SGIs of one number apart by their source (IHI 0048, 2.2.1): there the byte has a bit for each. A number may be in
//! one list register only (5.3.8), so one source is there, and others wait behind it, for which its end asks for
//! maintenance.

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

/// One vCPU's part. EL2's assembly delivers an SGI by it in the common case: its layout is fixed.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Block {
    /// Prepared list-register images, in the form that the board's have; 0 while the SGI may not be delivered (it stays
    /// pending).
    images: [AtomicU64; 16],
    /// Pending SGIs that are in no list register: a byte for each, the first eight in the first word. With GICv3 it is 1,
    /// with GICv2 a bit for each source.
    pending: [AtomicU64; 2],
    /// The model holds interrupts of this vCPU outside the list registers.
    crowded: AtomicBool,
    /// Another core changed what this vCPU may take.
    attention: AtomicBool,
    /// GICR_IGROUPR0's SGI bits.
    group1: AtomicU32,
    /// GICv2: the source of the one that is, or was last, in a list register, as a bit.
    loaded: [AtomicU8; 16],
}

impl Block {
    /// Offset of sixteen bytes, not zero where the SGI is pending outside the list registers.
    pub const PENDING: usize = offset_of!(Block, pending);
    /// Offset of two bytes: while either is not zero, only [`Shared::drain`] and the lock may fill list registers.
    pub const BUSY: usize = offset_of!(Block, crowded);
    /// Offset of sixteen list-register images, 0 where the SGI may not be delivered now.
    pub const IMAGES: usize = offset_of!(Block, images);
    /// Offset of sixteen bytes: GICv2's source, as a bit, of the one that is, or was last, in a list register.
    pub const LOADED: usize = offset_of!(Block, loaded);

    /// Marks an SGI as pending: with these bits, beside those that it has.
    fn mark(&self, sgi: u32, bits: u8) {
        if let Some(word) = self.pending.get(sgi as usize / 8) {
            word.fetch_or(u64::from(bits) << (8 * (sgi % 8)), Ordering::AcqRel);
        }
    }

    /// Takes marks of an SGI away.
    fn unmark(&self, sgi: u32, bits: u8) {
        if let Some(word) = self.pending.get(sgi as usize / 8) {
            word.fetch_and(!(u64::from(bits) << (8 * (sgi % 8))), Ordering::AcqRel);
        }
    }

    /// While this holds, only [`Shared::drain`] and the lock may fill list registers.
    fn is_busy(&self) -> bool {
        self.crowded.load(Ordering::Acquire) || self.attention.load(Ordering::Acquire)
    }

    /// Notes the source of an SGI that goes into a list register.
    fn load(&self, sgi: u32, source: u8) {
        if let Some(loaded) = self.loaded.get(sgi as usize) {
            loaded.store(source, Ordering::Release);
        }
    }

    /// The marks of an SGI.
    fn marks(&self, sgi: u32) -> u8 {
        let word = self.pending.get(sgi as usize / 8);
        word.map_or(0, |word| (word.load(Ordering::Acquire) >> (8 * (sgi % 8))) as u8)
    }
}

/// A bit for each byte of the word that is not zero.
fn marked(word: u64) -> u32 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // Bit 7 of each byte that has any bit set: the addition carries into it and no further.
    let high = (((word & LOW) + LOW) | word) & !LOW;
    // Gathers them in the uppermost byte: 7, 15, ... 63 come to 56, 57, ... 63, and no two products meet.
    ((high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
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

/// The vCPUs that a value written to GICD_SGIR names (IHI 0048, 4.3.15), of those there are.
#[must_use]
pub fn sgir_targets(value: u64, source: usize, vcpus: usize) -> u64 {
    let all = (1_u64 << vcpus.min(8)) - 1;
    let own = 1_u64.checked_shl(source as u32).unwrap_or(0) & all;
    match value >> 24 & 3 {
        0 => value >> 16 & all,
        1 => all & !own,
        2 => own,
        _ => 0,
    }
}

impl Shared {
    pub(super) fn new(version: Version, vcpus: usize) -> Self {
        let by_source = version == Version::V2;
        Shared { by_source, cpus: (0..vcpus).map(|_| Block::default()).collect() }
    }

    /// The blocks of the vCPUs, for EL2's fast path. It does what [`Shared::send`] (or [`Shared::send_sgir`]) and
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
        let sgi = (value >> 24) as u32 & 15;
        let mut hit = 0;
        for (vcpu, cpu) in self.cpus.iter().enumerate().filter(|(vcpu, _)| wanted & 1 << vcpu != 0) {
            if register == SgiRegister::Sgi1r || cpu.group1.load(Ordering::Relaxed) & 1 << sgi == 0 {
                cpu.mark(sgi, 1);
                hit |= 1 << vcpu;
            }
        }
        hit
    }

    /// Performs a guest's store to GICD_SGIR (IHI 0048, 4.3.15). No lock; the result is as [`Shared::send`]'s. NSATT is
    /// ignored, as there are no Security Extensions.
    pub fn send_sgir(&self, source: usize, value: u64) -> u64 {
        let wanted = sgir_targets(value, source, self.cpus.len());
        let own = 1_u64.checked_shl(source as u32).unwrap_or(0);
        for vcpu in bits(wanted as u32) {
            self.add_sources(vcpu as usize, value as u32 & 15, own as u8);
        }
        wanted
    }

    /// Moves this vCPU's pending SGIs into its list registers. Called on its own core, without the lock: in the
    /// kick handler, and after sending to oneself.
    pub fn drain(&self, vcpu: usize, lrs: &mut impl ListRegisters) -> Drained {
        let Some(cpu) = self.cpus.get(vcpu) else { return Drained::Done };
        if cpu.is_busy() {
            return Drained::NeedsLock;
        }
        let mut left = self.pending(vcpu);
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
            cpu.unmark(sgi, 1);
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
                cpu.load(sgi, 1 << number);
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
        let image = image.map_or(0, |image| image.load(Ordering::Acquire));
        if self.by_source { lr::from_gicv2(image as u32) } else { image }
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
        self.cpus.get(vcpu).map_or(0, |cpu| cpu.marks(sgi))
    }

    /// GICv2: the source, as a bit, of an SGI that is in a list register or had to leave it.
    pub(super) fn loaded(&self, vcpu: usize, sgi: u32) -> u8 {
        let loaded = self.cpus.get(vcpu).and_then(|cpu| cpu.loaded.get(sgi as usize));
        loaded.map_or(0, |loaded| loaded.load(Ordering::Acquire))
    }

    /// GICv2: makes an SGI pending from these sources.
    pub(super) fn add_sources(&self, vcpu: usize, sgi: u32, sources: u8) {
        if let Some(cpu) = self.cpus.get(vcpu) {
            cpu.mark(sgi, sources);
        }
    }

    /// GICv2: takes sources of an SGI away.
    pub(super) fn remove_sources(&self, vcpu: usize, sgi: u32, sources: u8) {
        if let Some(cpu) = self.cpus.get(vcpu) {
            cpu.unmark(sgi, sources);
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
        let word = |cpu: &Block, half: usize| {
            marked(cpu.pending.get(half).map_or(0, |word| word.load(Ordering::Acquire)))
        };
        self.cpus.get(vcpu).map_or(0, |cpu| word(cpu, 0) | word(cpu, 1) << 8)
    }

    /// With GICv2 only those that were in a list register: from the source that they had there.
    pub(super) fn set_pending(&self, vcpu: usize, mask: u32) {
        if self.by_source {
            return bits(mask & 0xffff).for_each(|sgi| self.add_sources(vcpu, sgi, self.loaded(vcpu, sgi)));
        }
        if let Some(cpu) = self.cpus.get(vcpu) {
            bits(mask & 0xffff).for_each(|sgi| cpu.mark(sgi, 1));
        }
    }

    pub(super) fn clear_pending(&self, vcpu: usize, mask: u32) {
        if let Some(cpu) = self.cpus.get(vcpu) {
            bits(mask & 0xffff).for_each(|sgi| cpu.unmark(sgi, u8::MAX));
        }
    }

    pub(super) fn set_image(&self, vcpu: usize, sgi: u32, image: u64) {
        if let Some(slot) = self.cpus.get(vcpu).and_then(|cpu| cpu.images.get(sgi as usize)) {
            let image = if self.by_source { lr::to_gicv2(image).into() } else { image };
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
        cpu.loaded.iter().for_each(|source| source.store(0, Ordering::Release));
        cpu.pending.iter().for_each(|word| word.store(0, Ordering::Release));
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

/// What EL2's assembly does (src/fast.S), by the same words of memory: so that random runs have it among everything else.
#[cfg(any(test, feature = "testing"))]
impl Shared {
    /// An SGI from a virtual CPU to itself. False: the assembly leaves it to [`Shared::send`] or [`Shared::send_sgir`].
    pub(super) fn fast_to_oneself(&self, vcpu: usize, sgi: u32, lrs: &mut impl ListRegisters) -> bool {
        self.fast_place(vcpu, sgi, vcpu as u32, lrs)
    }

    /// A doorbell. False: it leaves it to [`Shared::drain`].
    pub(super) fn fast_doorbell(&self, vcpu: usize, lrs: &mut impl ListRegisters) -> bool {
        let Some(cpu) = self.cpus.get(vcpu) else { return false };
        let [low, high] = cpu.pending.each_ref().map(|word| word.load(Ordering::Relaxed));
        if high != 0 || low.count_ones() != 1 {
            return false;
        }
        let (sgi, source) = (low.trailing_zeros() / 8, low.trailing_zeros() % 8);
        assert!(self.by_source || source == 0, "the mark is 1");
        let placed = self.fast_place(vcpu, sgi, source, lrs);
        if placed {
            cpu.unmark(sgi, 1 << source);
        }
        placed
    }

    fn fast_place(&self, vcpu: usize, sgi: u32, source: u32, lrs: &mut impl ListRegisters) -> bool {
        let Some(cpu) = self.cpus.get(vcpu) else { return false };
        let image = self.image(vcpu, sgi);
        if image == 0 || cpu.is_busy() || !(0..lrs.count()).all(|index| lr::is_free(lrs.read(index))) {
            return false;
        }
        if self.by_source {
            cpu.load(sgi, 1 << source);
        }
        lrs.write(0, if self.by_source { lr::with_source(image, source) } else { image });
        true
    }
}
