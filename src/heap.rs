//! Memory for EL2 itself, used only while the first core prepares the machine.
//!
//! What one core or one partition needs at run time is collected in an arena of its own: whole pages, which only the
//! cores concerned map. The rest of the heap is mapped by nobody once the partitions run, so nothing may allocate
//! then.

use alloc::alloc::{alloc_zeroed, handle_alloc_error};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use buddy_system_allocator::Heap;
use spin::mutex::SpinMutex;

use crate::layout::{self, PAGE};

struct Boot {
    heap: Heap<33>,
    arena: Option<Bump>,
    /// One bit per page of the heap that belongs to an arena, open or closed: nothing there is ever freed.
    kept: [u64; KEPT],
}

/// Words of [`Boot::kept`]: enough for a heap of 16 MiB, which is the most that boot.S maps.
const KEPT: usize = 16 << 20 >> 12 >> 6;

impl Boot {
    fn page_bit(address: usize) -> (usize, u64) {
        let page = (address - layout::heap().0) / PAGE;
        (page / 64, 1 << (page % 64))
    }

    fn is_kept(&self, address: usize) -> bool {
        let (word, bit) = Self::page_bit(address);
        self.kept[word] & bit != 0
    }

    fn keep(&mut self, start: usize, end: usize) {
        for address in (start..end).step_by(PAGE) {
            let (word, bit) = Self::page_bit(address);
            self.kept[word] |= bit;
        }
    }
}

#[derive(Clone, Copy)]
struct Bump {
    next: usize,
    end: usize,
}

struct Allocator(SpinMutex<Boot>);

#[global_allocator]
static ALLOCATOR: Allocator =
    Allocator(SpinMutex::new(Boot { heap: Heap::new(), arena: None, kept: [0; KEPT] }));

/// Hands the boot heap to the allocator. Called once.
pub fn init() {
    let (start, end) = layout::heap();
    // SAFETY: the linker script reserves this range for the heap and nothing else uses it.
    unsafe { ALLOCATOR.0.lock().heap.init(start, end - start) };
}

// SAFETY: blocks come from the buddy heap or from a bump arena inside one of its blocks; both honour size and
// alignment and never hand out the same bytes twice.
unsafe impl GlobalAlloc for Allocator {
    // Its own function wherever it is used, so that what allocates can be told in the linked image.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut boot = self.0.lock();
        if let Some(bump) = &mut boot.arena {
            let start = bump.next.next_multiple_of(layout.align());
            return match start.checked_add(layout.size()) {
                Some(end) if end <= bump.end => {
                    bump.next = end;
                    start as *mut u8
                }
                _ => null_mut(),
            };
        }
        boot.heap.alloc(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let mut boot = self.0.lock();
        if boot.is_kept(pointer as usize) {
            return;
        }
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: the caller guarantees that `pointer` came from `alloc` with this layout.
            unsafe { boot.heap.dealloc(pointer, layout) };
        }
    }
}

/// Whole zeroed pages, aligned to `align` bytes.
pub fn pages(count: usize, align: usize) -> usize {
    let layout = Layout::from_size_align(count * PAGE, align.max(PAGE)).expect("page counts are small");
    // SAFETY: the size is not zero.
    let pointer = unsafe { alloc_zeroed(layout) };
    if pointer.is_null() {
        handle_alloc_error(layout);
    }
    pointer as usize
}

/// Pages that hold what one core or partition needs at run time.
#[derive(Clone, Copy, Debug)]
pub struct Arena {
    /// First address.
    pub start: usize,
    /// Bytes, whole pages.
    pub size: usize,
}

impl Arena {
    /// Reserves `size` bytes (rounded up to pages) and runs `fill` with every allocation coming from them. What
    /// `fill` leaves allocated stays for ever. One arena is open at a time.
    pub fn fill<R>(size: usize, fill: impl FnOnce(Self) -> R) -> R {
        let size = size.next_multiple_of(PAGE);
        let start = pages(size / PAGE, PAGE);
        {
            let mut boot = ALLOCATOR.0.lock();
            boot.keep(start, start + size);
            boot.arena = Some(Bump { next: start, end: start + size });
        }
        let result = fill(Self { start, size });
        ALLOCATOR.0.lock().arena = None;
        result
    }
}
