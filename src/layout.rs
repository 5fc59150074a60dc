//! Where things are: the image's linked and physical addresses, and the parts of EL2's address space beside it.

use core::sync::atomic::{AtomicU64, Ordering};

use partita_model::addr::{Pa, PaSpan, Span};

/// 4 KiB.
pub const PAGE: usize = 0x1000;
/// 2 MiB, what a level-2 block maps.
pub const BLOCK: usize = 0x20_0000;

/// Where the image is linked (image.ld); the heap and what is allocated from it lie there too.
pub const IMAGE: usize = 0x8000_0000_0000;
/// This core's stack ends here; an unmapped page lies below it and above it.
pub const STACK_TOP: usize = IMAGE + 0x1010_0000;
/// Bytes of a core's stack.
pub const STACK_SIZE: usize = 0x4000;
/// The unmapped page below it.
pub const STACK_GUARD: core::ops::Range<usize> = STACK_TOP - STACK_SIZE - PAGE..STACK_TOP - STACK_SIZE;
/// This core's stack for EL2's own faults ends here, between the page above the other stack and one more that is not mapped.
pub const EMERGENCY_TOP: usize = STACK_TOP + PAGE + EMERGENCY_SIZE;
/// Bytes of that stack.
pub const EMERGENCY_SIZE: usize = 0x2000;
/// One 2 MiB block of a partition's memory, while something is done to it.
pub const WINDOW_BLOCK: usize = IMAGE + 0x1800_0000;
/// Up to 511 pages of a partition's memory, while something is done to them.
pub const WINDOW_PAGES: usize = WINDOW_BLOCK + BLOCK;
/// Device registers, one after the other.
pub const DEVICES: usize = IMAGE + 0x2000_0000;
/// The firmware's tree, while the plan is made.
pub const TREE: usize = IMAGE + 0x3000_0000;
/// The redistributors of the board, while each core's own is looked for.
pub const REDISTS: usize = IMAGE + 0x1_0000_0000;
/// Configuration space of PCI functions, 256 MiB for each bridge.
pub const ECAM: usize = IMAGE + 0x8_0000_0000;
/// The bundle, read-only.
pub const BUNDLE: usize = IMAGE + 0x10_0000_0000;

static IMAGE_PA: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static __text_end: u8;
    static __rodata_end: u8;
    static __boot_tables: u8;
    static __boot_guard: u8;
    static __data_start: u8;
    static __data_end: u8;
    static __data_copy: u8;
    static __heap_start: u8;
    static __heap_end: u8;
    static __image_end: u8;
}

macro_rules! symbol {
    ($name:ident) => {
        core::ptr::addr_of!($name) as usize
    };
}

/// Notes where the image was loaded. Called once, before anything else here.
pub fn set_image(pa: Pa) {
    IMAGE_PA.store(pa.0, Ordering::Relaxed);
}

/// The image with everything that belongs to it.
pub fn image() -> PaSpan {
    let base = Pa(IMAGE_PA.load(Ordering::Relaxed));
    Span { base, size: (image_end() - IMAGE) as u64 }
}

/// The physical address of something in the image or the heap.
pub fn pa_of(va: usize) -> Pa {
    debug_assert!(va >= IMAGE && va < image_end());
    Pa((va - IMAGE) as u64 + IMAGE_PA.load(Ordering::Relaxed))
}

/// The linked address of a physical one in the image or the heap.
pub fn va_of(pa: Pa) -> usize {
    (pa.0 - IMAGE_PA.load(Ordering::Relaxed)) as usize + IMAGE
}

/// End of the executable part.
pub fn text_end() -> usize {
    symbol!(__text_end)
}

/// End of the read-only part.
pub fn rodata_end() -> usize {
    symbol!(__rodata_end)
}

/// End of data and bss, which every core needs; the boot tables follow.
pub fn data_end() -> usize {
    symbol!(__boot_tables)
}

/// The unmapped page below the boot stack.
pub fn boot_guard() -> usize {
    symbol!(__boot_guard)
}

/// The tables that boot.S made.
pub fn boot_tables() -> usize {
    symbol!(__boot_tables)
}

/// Where initialised data begins, its size, and where the copy of it as it was loaded is.
pub fn initialised() -> (usize, usize, usize) {
    (symbol!(__data_start), symbol!(__data_end) - symbol!(__data_start), symbol!(__data_copy))
}

/// The boot heap.
pub fn heap() -> (usize, usize) {
    (symbol!(__heap_start), symbol!(__heap_end))
}

/// End of everything.
pub fn image_end() -> usize {
    symbol!(__image_end)
}
