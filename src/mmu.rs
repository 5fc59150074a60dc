//! EL2's own translation (stage 1): each core has tables of its own which map only what that core needs, W^X, with
//! unmapped pages around its stack. No partition's memory is in them except through the [`Window`], for one
//! operation.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_paging::Mapping;
use aarch64_paging::descriptor::{El23Attributes as Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El2, MemoryRegion, PageTable, Translation};
use partita_model::addr::{Pa, PaSpan};
use partita_model::audit::Rights;
use spin::mutex::SpinMutex;

use crate::heap::{self, Arena};
use crate::layout::{self, BLOCK, PAGE};
use crate::window::Window;

const fn attributes(rights: Rights) -> Attributes {
    Attributes::from_bits_retain(rights.attributes() as usize).union(Attributes::VALID)
}

const TEXT: Attributes = attributes(Rights::Text);
const RODATA: Attributes = attributes(Rights::Constant);
const DATA: Attributes = attributes(Rights::Data);
const DEVICE: Attributes = attributes(Rights::Device);

/// A table descriptor's address (DDI 0487, D8.3.1).
const NEXT_TABLE: u64 = 0x0000_ffff_ffff_f000;

/// Tables lie in the heap, at the image's offset between virtual and physical.
#[derive(Debug)]
struct InHeap;

impl Translation<Attributes> for InHeap {
    fn allocate_table(&mut self) -> (NonNull<PageTable<Attributes>>, PhysicalAddress) {
        let va = heap::pages(1, PAGE);
        let table = NonNull::new(va as *mut PageTable<Attributes>).expect("the heap is not at address 0");
        (table, PhysicalAddress(layout::pa_of(va).0 as usize))
    }

    unsafe fn deallocate_table(&mut self, _table: NonNull<PageTable<Attributes>>) {
        // Tables are only ever added; a core keeps its own for ever.
    }

    fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<PageTable<Attributes>> {
        let va = layout::va_of(Pa(pa.0 as u64));
        NonNull::new(va as *mut PageTable<Attributes>).expect("the heap is not at address 0")
    }
}

/// Registers that were given an address in [`layout::DEVICES`]: the same one on every core that maps them.
static DEVICES: SpinMutex<Vec<DeviceWindow>> = SpinMutex::new(Vec::new());

#[derive(Clone, Copy)]
struct DeviceWindow {
    pa: Pa,
    va: usize,
    size: usize,
}

/// The address at which a core that maps these registers sees them. Called by the first core only.
pub fn device_address(span: PaSpan) -> usize {
    let pages = span.pages();
    let offset = (span.base.0 - pages.base.0) as usize;
    let mut devices = DEVICES.lock();
    let size = pages.size as usize;
    if let Some(known) = devices.iter().find(|known| known.pa == pages.base && known.size >= size) {
        return known.va + offset;
    }
    let va = devices.last().map_or(layout::DEVICES, |last| last.va + last.size + PAGE);
    devices.push(DeviceWindow { pa: pages.base, va, size });
    va + offset
}

/// The translation tables of one core.
#[derive(Debug)]
pub struct Stage1(Mapping<InHeap, El2>);

impl Stage1 {
    /// Tables with the image: text executable, the rest not. Everything else is added with the other functions.
    pub fn new() -> Self {
        let mut tables = Self(Mapping::new(InHeap, 0, El2));
        let at = |va| layout::pa_of(va);
        let (text, rodata, data) = (layout::text_end(), layout::rodata_end(), layout::data_end());
        tables.map(layout::IMAGE, text - layout::IMAGE, at(layout::IMAGE), TEXT);
        tables.map(text, rodata - text, at(text), RODATA);
        tables.map(rodata, data - rodata, at(rodata), DATA);
        tables
    }

    fn map(&mut self, va: usize, size: usize, pa: Pa, attributes: Attributes) {
        if size == 0 {
            return;
        }
        // The image keeps page mappings, as boot.S made them: changing the size would need break-before-make.
        let constraints =
            if va < layout::image_end() { Constraints::NO_BLOCK_MAPPINGS } else { Constraints::empty() };
        let region = MemoryRegion::new(va, va + size);
        self.0
            .map_range(
                &region,
                PhysicalAddress(pa.0 as usize),
                attributes,
                constraints | Constraints::NO_CONTIGUOUS_HINT,
            )
            .expect("EL2's own address space is laid out without overlaps");
    }

    /// Maps what was allocated in an arena.
    pub fn add_arena(&mut self, arena: Arena) {
        self.map(arena.start, arena.size, layout::pa_of(arena.start), DATA);
    }

    /// Maps the whole heap and the boot stack: for the first core, until it is done with preparing.
    pub fn add_boot(&mut self) {
        let start = layout::boot_guard() + PAGE;
        self.map(start, layout::image_end() - start, layout::pa_of(start), DATA);
    }

    /// Allocates a stack that ends at `top`, and maps it there; its pages.
    pub fn add_stack(&mut self, top: usize, size: usize) -> usize {
        let stack = heap::pages(size / PAGE, PAGE);
        self.map(top - size, size, layout::pa_of(stack), DATA);
        stack
    }

    /// Maps device registers at their [`device_address`].
    pub fn add_device(&mut self, span: PaSpan) -> usize {
        let va = device_address(span);
        let pages = span.pages();
        self.map(va & !(PAGE - 1), pages.size as usize, pages.base, DEVICE);
        va
    }

    /// Maps a page of memory that the board uses to wake cores, at its [`device_address`].
    pub fn add_mailbox(&mut self, pa: Pa) -> usize {
        let span = PaSpan { base: pa, size: 8 };
        let va = device_address(span);
        self.map(va & !(PAGE - 1), PAGE, span.pages().base, DATA);
        va
    }

    /// Maps device registers at a given address.
    pub fn add_device_at(&mut self, va: usize, span: PaSpan) {
        self.map(va, span.size as usize, span.base, DEVICE);
    }

    /// Maps memory read-only: the firmware's tree and the bundle. `va` and the range's start agree modulo 2 MiB where
    /// blocks are wanted.
    pub fn add_read_only(&mut self, va: usize, span: PaSpan) {
        self.map(va, span.size as usize, span.base, RODATA);
    }

    /// Makes the window's tables, which stay, and gives their descriptors, which are invalid.
    pub fn add_window(&mut self) -> Window {
        for (va, size) in [(layout::WINDOW_BLOCK, BLOCK), (layout::WINDOW_PAGES, PAGE)] {
            self.map(va, size, Pa(0), DATA);
            self.map(va, size, Pa(0), Attributes::empty());
        }
        let block = self.descriptor(layout::WINDOW_BLOCK, 2);
        let pages = self.descriptor(layout::WINDOW_PAGES, 3);
        // SAFETY: tables are in the heap, mapped, for ever; from here on only the window touches these descriptors,
        // and the first of a level-3 table has all 512 behind it.
        unsafe { Window::new(&*block, core::slice::from_raw_parts(pages, 512)) }
    }

    /// The descriptor that translates an address at a level, above which there are tables.
    fn descriptor(&self, va: usize, level: usize) -> *const AtomicU64 {
        let entry = |table: Pa, level| {
            let index = va >> (12 + 9 * (3 - level)) & 0x1ff;
            (layout::va_of(table) + 8 * index) as *const AtomicU64
        };
        (0..level).fold(entry(self.root(), 0), |descriptor, level| {
            // SAFETY: a descriptor of these tables, which are in the heap and mapped.
            let next = unsafe { &*descriptor }.load(Ordering::Relaxed);
            entry(Pa(next & NEXT_TABLE), level + 1)
        })
    }

    /// Physical address of the root, for TTBR0_EL2. The tables are cleaned so that a core with caches off sees them.
    pub fn root(&self) -> Pa {
        Pa(self.0.root_address().0 as u64)
    }

    /// Switches to these tables.
    ///
    /// # Safety
    /// They map whatever the calling code uses, at the same addresses.
    pub unsafe fn activate(&self) {
        // SAFETY: as the caller promises; the stale entries of the previous tables are dropped at once.
        unsafe {
            self.0.activate();
            core::arch::asm!("tlbi alle2", "dsb nsh", "isb", options(nostack, preserves_flags));
        }
    }
}
