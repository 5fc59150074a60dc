//! EL2's own translation (stage 1): each core has tables of its own which map only what that core needs, W^X, with
//! unmapped pages around its stack. No partition's memory is in them except through the [`Window`], for one
//! operation.

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use partita_model::addr::{Pa, PaSpan, Span};
use partita_model::audit::{Region, Rights};
use partita_model::stage1::Root;
use partita_model::stage2::Tables;
use spin::mutex::SpinMutex;

use crate::heap::{self, Arena};
use crate::layout::{self, PAGE};
use crate::window::Window;

/// Tables lie in the image, at its offset between virtual and physical.
#[derive(Debug)]
struct Own;

impl Own {
    fn word(table: Pa, index: usize) -> *const AtomicU64 {
        (layout::va_of(table) + 8 * index) as *const AtomicU64
    }
}

impl Tables for Own {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        Some(layout::pa_of(heap::pages(pages, pages * PAGE)))
    }

    fn read(&self, table: Pa, index: usize) -> u64 {
        // SAFETY: `table` came from `alloc`, stays for ever, and the model stays within it.
        unsafe { &*Self::word(table, index) }.load(Ordering::Relaxed)
    }

    fn write(&mut self, table: Pa, index: usize, value: u64) {
        // SAFETY: as above. A walk that is on its way finds the zeroed table behind the entry, or no entry.
        unsafe { &*Self::word(table, index) }.store(value, Ordering::Release);
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
pub struct Stage1(Root);

impl Stage1 {
    /// Tables with the image: text executable, the rest not. Everything else is added with the other functions.
    pub fn new() -> Self {
        let mut tables = Self(Root(layout::pa_of(heap::pages(1, PAGE))));
        let (text, rodata, data) = (layout::text_end(), layout::rodata_end(), layout::data_end());
        for (start, end, rights) in [
            (layout::IMAGE, text, Rights::Text),
            (text, rodata, Rights::Constant),
            (rodata, data, Rights::Data),
        ] {
            tables.map(start, end - start, layout::pa_of(start), rights);
        }
        tables
    }

    fn map(&mut self, va: usize, size: usize, pa: Pa, rights: Rights) {
        // The image keeps page mappings, as boot.S made them: its parts are not aligned to more.
        let blocks = va >= layout::image_end();
        let region = Region::own(va, Span { base: pa, size: size as u64 }, rights);
        self.0.map(&mut Own, &region, blocks).expect("EL2's own address space is laid out without overlaps");
        // SAFETY: barriers: walks see the new entries, which translated nothing before (DDI 0487, D8.16).
        unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    }

    /// Maps what was allocated in an arena.
    pub fn add_arena(&mut self, arena: Arena) {
        self.map(arena.start, arena.size, layout::pa_of(arena.start), Rights::Data);
    }

    /// Maps the whole heap and the boot stack: for the first core, until it is done with preparing.
    pub fn add_boot(&mut self) {
        let start = layout::boot_guard() + PAGE;
        self.map(start, layout::image_end() - start, layout::pa_of(start), Rights::Data);
    }

    /// Allocates a stack that ends at `top`, and maps it there; its pages.
    pub fn add_stack(&mut self, top: usize, size: usize) -> usize {
        let stack = heap::pages(size / PAGE, PAGE);
        self.map(top - size, size, layout::pa_of(stack), Rights::Data);
        stack
    }

    /// Maps device registers at their [`device_address`].
    pub fn add_device(&mut self, span: PaSpan) -> usize {
        let va = device_address(span);
        let pages = span.pages();
        self.map(va & !(PAGE - 1), pages.size as usize, pages.base, Rights::Device);
        va
    }

    /// Maps all registers that have a [`device_address`].
    pub fn add_known_devices(&mut self) {
        for known in DEVICES.lock().iter() {
            self.map(known.va, known.size, known.pa, Rights::Device);
        }
    }

    /// Maps a page of memory that the board uses to wake cores, at its [`device_address`].
    pub fn add_mailbox(&mut self, pa: Pa) -> usize {
        let span = PaSpan { base: pa, size: 8 };
        let va = device_address(span);
        self.map(va & !(PAGE - 1), PAGE, span.pages().base, Rights::Data);
        va
    }

    /// Maps device registers at a given address.
    pub fn add_device_at(&mut self, va: usize, span: PaSpan) {
        self.map(va, span.size as usize, span.base, Rights::Device);
    }

    /// Maps memory read-only: the firmware's tree and the bundle. `va` and the range's start agree modulo 2 MiB where
    /// blocks are wanted.
    pub fn add_read_only(&mut self, va: usize, span: PaSpan) {
        self.map(va, span.size as usize, span.base, Rights::Constant);
    }

    /// Makes the window's tables, which stay, and gives their descriptors, which are invalid.
    pub fn add_window(&mut self) -> Window {
        let entry = |va: usize, level: u8| {
            let entry = self.0.entry(&mut Own, va as u64, level).ok().filter(|entry| entry.level == level);
            let entry = entry.expect("nothing else is mapped where the window is");
            Own::word(entry.table, entry.index)
        };
        let (block, pages) = (entry(layout::WINDOW_BLOCK, 2), entry(layout::WINDOW_PAGES, 3));
        // SAFETY: tables are in the image, mapped, for ever; from here on only the window touches these descriptors,
        // and the first of a level-3 table has all 512 behind it.
        unsafe { Window::new(&*block, core::slice::from_raw_parts(pages, 512)) }
    }

    /// Physical address of the root, for TTBR0_EL2.
    pub fn root(&self) -> Pa {
        self.0.0
    }

    /// Switches to these tables.
    ///
    /// # Safety
    /// They map whatever the calling code uses, at the same addresses.
    pub unsafe fn activate(&self) {
        // SAFETY: as the caller promises; the stale entries of the previous tables are dropped at once.
        unsafe {
            asm!(
                "msr ttbr0_el2, {}", "isb", "tlbi alle2", "dsb nsh", "isb",
                in(reg) self.root().0,
                options(nostack, preserves_flags)
            );
        }
    }
}
