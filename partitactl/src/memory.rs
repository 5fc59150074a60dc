//! Physical memory by way of /dev/mem, and the core's counter: all of this program's `unsafe`.
//!
//! Linux maps what is not its RAM, and is opened with O_SYNC, as device memory (drivers/char/mem.c, phys_mem_access_prot): so every
//! access is one aligned word. Nothing else of this program is in these pages, and the compiler learns nothing of them: they are
//! read and written as volatile, or by one instruction.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::device::Words;
use crate::tree::Span;

/// A span of physical memory, mapped until this goes.
pub struct Mapping {
    /// The first page.
    base: NonNull<u8>,
    /// Bytes that are mapped from there,
    mapped: usize,
    /// and those of the span in it.
    offset: usize,
    bytes: usize,
}

impl Mapping {
    /// Maps a span of a file, which is /dev/mem or plays it.
    pub fn new(file: &File, span: Span, writable: bool) -> io::Result<Self> {
        let page = rustix::param::page_size() as u64;
        let offset = (span.base % page) as usize;
        let bytes = usize::try_from(span.size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mapped = (offset + bytes).next_multiple_of(page as usize);
        let rights = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let start = span.base - offset as u64;
        // SAFETY: the kernel chooses where, so no memory of this program's is replaced; it is reached by this value only.
        let base = unsafe { mmap(std::ptr::null_mut(), mapped, rights, MapFlags::SHARED, file, start) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, mapped, offset, bytes })
    }

    /// The address of a word, if all of it is inside and it is aligned.
    fn place(&self, offset: usize) -> Option<NonNull<u64>> {
        let inside = offset.checked_add(8).is_some_and(|end| end <= self.bytes);
        let place = self.offset + offset;
        if !inside || !place.is_multiple_of(8) {
            return None;
        }
        // SAFETY: it is inside of what is mapped.
        Some(unsafe { self.base.add(place) }.cast())
    }

    /// Reads a word.
    pub fn load(&self, offset: usize) -> Option<u64> {
        let place = self.place(offset)?;
        // SAFETY: `place` has seen that it is mapped and aligned. Other sides may write it; it is read once, whole.
        Some(u64::from_le(unsafe { load(place) }))
    }

    /// Writes a word of a mapping that is writable.
    pub fn store(&self, offset: usize, value: u64) {
        if let Some(place) = self.place(offset) {
            // SAFETY: as in `load`; only registers are written, and they were mapped for writing.
            unsafe { store(place, value.to_le()) }
        }
    }
}

/// One load of 64 bits. As an instruction of its own: a register's load has to be described by its syndrome (DDI 0487,
/// ISS encoding for an exception from a data abort, ISV), which one with writeback is not.
///
/// # Safety
/// The place is mapped for reading, and aligned.
#[cfg(target_arch = "aarch64")]
unsafe fn load(place: NonNull<u64>) -> u64 {
    let value;
    // SAFETY: the caller vouches for the place.
    unsafe {
        std::arch::asm!("ldr {}, [{}]", out(reg) value, in(reg) place.as_ptr(), options(nostack, preserves_flags))
    };
    value
}

/// One store of 64 bits.
///
/// # Safety
/// The place is mapped for writing, and aligned.
#[cfg(target_arch = "aarch64")]
unsafe fn store(place: NonNull<u64>, value: u64) {
    // SAFETY: the caller vouches for the place.
    unsafe {
        std::arch::asm!("str {}, [{}]", in(reg) value, in(reg) place.as_ptr(), options(nostack, preserves_flags))
    };
}

/// One load of 64 bits.
///
/// # Safety
/// The place is mapped for reading, and aligned.
#[cfg(not(target_arch = "aarch64"))]
unsafe fn load(place: NonNull<u64>) -> u64 {
    // SAFETY: the caller vouches for the place.
    unsafe { place.as_ptr().read_volatile() }
}

/// One store of 64 bits.
///
/// # Safety
/// The place is mapped for writing, and aligned.
#[cfg(not(target_arch = "aarch64"))]
unsafe fn store(place: NonNull<u64>, value: u64) {
    // SAFETY: the caller vouches for the place.
    unsafe { place.as_ptr().write_volatile(value) };
}

impl Words for Mapping {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn word(&self, offset: usize) -> Option<u64> {
        self.load(offset)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, and nobody else knows it. A failure leaves it mapped, which harms nobody.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.mapped) };
    }
}

/// The counter that areas have times of, CNTVCT_EL0, and its frequency; Linux lets programs read both.
#[cfg(target_arch = "aarch64")]
pub fn counter() -> (u64, u64) {
    let (now, frequency): (u64, u64);
    // SAFETY: reading these has no effect. The barrier keeps the counter from being read early (DDI 0487, D12.2.2).
    unsafe {
        std::arch::asm!("isb", "mrs {}, cntvct_el0", "mrs {}, cntfrq_el0", out(reg) now, out(reg) frequency,
            options(nostack, preserves_flags));
    }
    (now, frequency)
}

/// Where there is no such counter: nanoseconds since the computer's start.
#[cfg(not(target_arch = "aarch64"))]
pub fn counter() -> (u64, u64) {
    let now = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = now.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    ((seconds * 1e9) as u64, 1_000_000_000)
}
