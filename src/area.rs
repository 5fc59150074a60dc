//! A partition's area: what those who manage it may read of it, where its cores write it as they run anyway
//! (`partita_abi::supervision::Area`). Its pages hold nothing else, and every core maps them: what is counted is counted once.

use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU64, Ordering, fence};

use partita_abi::supervision::{
    AREA_MAGIC, Area as Layout, CPUS_OFFSET, Cpu, FLAG_DIRECT, Header, LOG_BYTES, Log, Record, VERSION,
    area_bytes, record, records_offset,
};
use partita_model::addr::{PaSpan, Span};
use partita_model::console::ring::Ring;
use partita_model::crash;
use partita_model::lifecycle::exits::Exits;
use partita_model::lifecycle::{Cause, Lifecycle};

use crate::layout::PAGE;
use crate::{cache, clock, heap, layout};

/// Where a partition's area is. It is made once and never goes.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    start: usize,
    cpus: usize,
}

// What EL2 uses by its own types lies there as `abi` says.
const _: () = assert!(
    size_of::<Ring<LOG_BYTES>>() <= size_of::<Log>() && align_of::<Ring<LOG_BYTES>>() <= align_of::<Log>()
);
const _: () =
    assert!(size_of::<Exits>() == size_of::<Cpu>() - size_of::<AtomicU64>() && offset_of!(Cpu, exits) == 0);
const _: () = assert!(size_of::<Lifecycle>() == 4 && align_of::<Lifecycle>() == 4);

impl Area {
    /// Of a partition with so many virtual CPUs, in the arena that is open.
    pub fn new(name: &str, cpus: usize, direct: bool) -> Self {
        let area = Self { start: heap::pages(area_bytes(cpus) / PAGE, PAGE), cpus };
        let header = area.header();
        let constant = |word: &AtomicU64, value: usize| word.store(value as u64, Ordering::Relaxed);
        header.magic.store(AREA_MAGIC, Ordering::Relaxed);
        header.version.store(VERSION, Ordering::Relaxed);
        for (word, bytes) in header.name.iter().zip(name.as_bytes().chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
        constant(&header.log, offset_of!(Layout, log));
        constant(&header.cpus, CPUS_OFFSET);
        constant(&header.records, records_offset(cpus));
        constant(&header.cpu_count, cpus);
        header.flags.store(if direct { FLAG_DIRECT } else { 0 }, Ordering::Relaxed);
        area
    }

    /// Where it lies.
    pub fn span(self) -> PaSpan {
        Span { base: layout::pa_of(self.start), size: area_bytes(self.cpus) as u64 }
    }

    /// What is in it at an offset.
    ///
    /// # Safety
    /// The offset is one that `abi` has for this type, of a virtual CPU that there is.
    unsafe fn at<T>(self, offset: usize) -> &'static T {
        // SAFETY: within the area, which is zeroed, is never given back, and is mapped on every core; all that is looked at there is
        // made of atomics, for which zero is a value, and the offsets of `abi` are aligned for them.
        unsafe { &*((self.start + offset) as *const T) }
    }

    /// The same of a virtual CPU; none: there is no such one.
    ///
    /// # Safety
    /// Such things begin at the offset, one behind the other, each of so many bytes.
    unsafe fn of_cpu<T>(self, offset: usize, size: usize, vcpu: usize) -> Option<&'static T> {
        // SAFETY: the caller's word, and the virtual CPU was looked at.
        (vcpu < self.cpus).then(|| unsafe { self.at(offset + vcpu * size) })
    }

    /// Its head.
    pub fn header(self) -> &'static Header {
        // SAFETY: every area begins with it.
        unsafe { self.at(0) }
    }

    /// The word of its life. Zero is that of one that is off and was never started.
    pub fn life(self) -> &'static Lifecycle {
        // SAFETY: a `Lifecycle` is its word.
        unsafe { self.at(offset_of!(Header, life)) }
    }

    /// The output of its console.
    pub fn ring(self) -> &'static Ring<LOG_BYTES> {
        // SAFETY: `Ring` is in C's order, which is that of `Log`: two counts of 64 bits, then the bytes.
        unsafe { self.at(offset_of!(Layout, log)) }
    }

    /// What a virtual CPU counts.
    pub fn exits(self, vcpu: usize) -> Option<&'static Exits> {
        // SAFETY: the counters of a `Cpu` come first, and are an `Exits`.
        unsafe { self.of_cpu(CPUS_OFFSET, size_of::<Cpu>(), vcpu) }
    }

    /// A virtual CPU gave a sign of life. Only its own core calls this.
    pub fn beat(self, vcpu: usize) {
        // SAFETY: there they are.
        let cpu: Option<&Cpu> = unsafe { self.of_cpu(CPUS_OFFSET, size_of::<Cpu>(), vcpu) };
        if let Some(Cpu { beats, .. }) = cpu {
            beats.store(beats.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    fn record(self, vcpu: usize) -> Option<&'static Record> {
        // SAFETY: there they are.
        unsafe { self.of_cpu(records_offset(self.cpus), size_of::<Record>(), vcpu) }
    }

    /// It fails. The record is written until [`Self::recorded`]. Under the partition's lock, as what follows.
    pub fn fails(self, life: u64, cause: Cause, cpu: Option<usize>) {
        let header = self.header();
        header.failures.fetch_add(1, Ordering::Relaxed);
        header.failure.store(cause as u64, Ordering::Relaxed);
        header.failed.store(clock::now(), Ordering::Relaxed);
        header.record_sequence.store(header.record_sequence.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
        // Who sees what follows sees that it is being written.
        fence(Ordering::Release);
        header.record_life.store(life, Ordering::Relaxed);
        header.record_cause.store(cause as u64, Ordering::Relaxed);
        header.record_cpu.store(cpu.map_or(u64::MAX, |cpu| cpu as u64), Ordering::Relaxed);
        (0..self.cpus).for_each(|vcpu| self.note(vcpu, None));
    }

    /// What one of its virtual CPUs was doing; none: it was off.
    pub fn note(self, vcpu: usize, core: Option<&crash::Core>) {
        let Some(place) = self.record(vcpu) else { return };
        let blank = crash::Core::default();
        let note = core.unwrap_or(&blank);
        let put = |word: &AtomicU64, value: u64| word.store(value, Ordering::Relaxed);
        let (esr, far) = note.exception.unwrap_or_default();
        let refused = note.refused.unwrap_or_default();
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        place.x.iter().zip(note.x).for_each(|(word, value)| put(word, value));
        let state = &note.state;
        let words = [
            (&place.pc, state.pc),
            (&place.pstate, state.pstate),
            (&place.sp_el0, state.sp_el0),
            (&place.sp_el1, state.sp_el1),
            (&place.esr_el1, state.esr_el1),
            (&place.elr_el1, state.elr_el1),
            (&place.far_el1, state.far_el1),
            (&place.vbar_el1, state.vbar_el1),
            (&place.esr_el2, esr),
            (&place.far_el2, far),
            (&place.refused_esr, refused.esr),
            (&place.refused_ipa, refused.ipa),
            (&place.refused_pc, refused.pc),
        ];
        words.into_iter().for_each(|(word, value)| put(word, value));
        let flags = flag(core.is_some(), record::ON)
            | flag(note.exception.is_some(), record::EXCEPTION)
            | flag(note.overflow, record::OVERFLOW)
            | flag(note.refused.is_some(), record::REFUSED);
        put(&place.flags, flags);
    }

    /// Its last core is out: the record is whole, if there is a new one.
    pub fn recorded(self) {
        let sequence = &self.header().record_sequence;
        let now = sequence.load(Ordering::Relaxed);
        sequence.store(now + (now & 1), Ordering::Release);
    }

    /// Cleans it out of the caches, for who reads it behind them.
    pub fn clean(self) {
        cache::clean(self.start, area_bytes(self.cpus));
    }
}
