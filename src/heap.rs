//! Memory for EL2 itself, used only while the first core prepares the machine.
//!
//! What one core or one partition needs at run time is collected in an arena of its own: whole pages, which only the
//! cores concerned map. They are kept, one after the other from the start of the heap on. What is needed only while
//! preparing comes from its end; that part is mapped by nobody once the partitions run, so nothing may allocate then.

use alloc::alloc::handle_alloc_error;
use core::alloc::{GlobalAlloc, Layout};
use core::fmt::{self, Display};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use buddy_system_allocator::Heap;
use partita_model::addr::{PaSpan, Span};
use partita_model::plan::own;
use spin::mutex::SpinMutex;

use crate::cache;
use crate::layout::{self, PAGE};
use crate::window::Window;

/// Blocks of powers of two from here on are small, and not the buddy allocator's own business: it looks for a freed block's
/// other half among all free ones, and most of what the boot allocates is small and soon freed.
const SMALLEST: usize = 16;
const SMALL: usize = 7;
/// What small blocks are cut from.
const PIECE: usize = 0x2000;
/// What the buddy allocator has more at a time.
const MORE: usize = 0x10000;

struct Boot {
    /// What was never handed out: kept pages from its start on, all else from its end on.
    free: Bump,
    heap: Heap<33>,
    piece: Bump,
    /// The first freed small block of each size; each holds the address of the next one, 0 at the end.
    freed: [usize; SMALL],
    arena: Option<Bump>,
    /// Bytes that were asked for where that many were not left.
    refused: Option<usize>,
}

#[derive(Clone, Copy)]
struct Bump {
    next: usize,
    end: usize,
}

impl Bump {
    const NONE: Self = Self { next: 0, end: 0 };

    fn take(&mut self, layout: Layout) -> Option<usize> {
        let start = self.next.checked_next_multiple_of(layout.align())?;
        let end = start.checked_add(layout.size()).filter(|end| *end <= self.end)?;
        self.next = end;
        Some(start)
    }

    fn take_last(&mut self, layout: Layout) -> Option<usize> {
        let start = self.end.checked_sub(layout.size())? & !(layout.align() - 1);
        (start >= self.next).then(|| self.end = start)?;
        Some(start)
    }
}

/// What a block of this shape takes: a power of two.
fn power(layout: Layout) -> usize {
    layout.size().max(layout.align()).max(SMALLEST).next_power_of_two()
}

/// The list of small blocks of a size; none: it is large.
fn list(size: usize) -> Option<usize> {
    let list = (size / SMALLEST).trailing_zeros() as usize;
    (list < SMALL).then_some(list)
}

fn square(size: usize) -> Layout {
    // SAFETY: a power of two is its own alignment, and no block is larger than the heap.
    unsafe { Layout::from_size_align_unchecked(size, size) }
}

impl Boot {
    fn take(&mut self, layout: Layout) -> Option<usize> {
        if let Some(arena) = &mut self.arena {
            return arena.take(layout);
        }
        let size = power(layout);
        let Some(list) = list(size) else { return self.large(size) };
        let first = self.freed[list];
        if first != 0 {
            // SAFETY: a freed block of this list, which nobody else has; `give_back` wrote there.
            self.freed[list] = unsafe { (first as *const usize).read() };
            return Some(first);
        }
        if let Some(at) = self.piece.take(square(size)) {
            return Some(at);
        }
        let next = self.large(PIECE)?;
        self.piece = Bump { next, end: next + PIECE };
        self.piece.take(square(size))
    }

    fn large(&mut self, size: usize) -> Option<usize> {
        if let Ok(block) = self.heap.alloc(square(size)) {
            return Some(block.as_ptr() as usize);
        }
        let (end, more) = (self.free.end, square(size.max(MORE)));
        let Some(start) = self.free.take_last(more) else {
            self.refused = Some(size);
            return None;
        };
        // SAFETY: never handed out before, and the heap's from here on.
        unsafe { self.heap.add_to_heap(start, end) };
        self.heap.alloc(square(size)).ok().map(|block| block.as_ptr() as usize)
    }

    fn give_back(&mut self, at: usize, layout: Layout) {
        if at < self.free.next {
            // The last block of the arena that is open; nothing else of what is kept is ever freed.
            if let Some(arena) = self.arena.as_mut().filter(|arena| at + layout.size() == arena.next) {
                arena.next = at;
            }
            return;
        }
        let size = power(layout);
        match list(size) {
            Some(list) => {
                // SAFETY: the caller has no more use for the block, which is of this list's size and alignment.
                unsafe { (at as *mut usize).write(self.freed[list]) };
                self.freed[list] = at;
            }
            None => {
                // SAFETY: a block of the heap's, which `large` gave for this size.
                unsafe { self.heap.dealloc(NonNull::new_unchecked(at as *mut u8), square(size)) };
            }
        }
    }

    /// Makes a block longer or shorter where it is, if there is room.
    fn resize(&mut self, at: usize, layout: Layout, wanted: Layout) -> bool {
        if at >= self.free.next {
            return self.arena.is_none() && power(layout) == power(wanted);
        }
        let last = self.arena.as_mut().filter(|arena| at + layout.size() == arena.next);
        let end = at + wanted.size();
        last.filter(|arena| end <= arena.end).map(|arena| arena.next = end).is_some()
    }
}

struct Allocator(SpinMutex<Boot>);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(SpinMutex::new(Boot {
    free: Bump::NONE,
    heap: Heap::new(),
    piece: Bump::NONE,
    freed: [0; SMALL],
    arena: None,
    refused: None,
}));

/// Hands the boot heap to the allocator. Called once.
pub fn init() {
    let (next, end) = layout::heap();
    assert!((end - next) as u64 == own::HEAP, "src/image.ld and the plan have one idea of the heap");
    ALLOCATOR.0.lock().free = Bump { next, end };
}

// SAFETY: blocks come from a list of freed ones of their size, a piece of the buddy heap or that itself, or from a bump
// arena; each honours size and alignment and never hands out the same bytes twice.
unsafe impl GlobalAlloc for Allocator {
    // Its own function wherever it is used, so that what allocates can be told in the linked image.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().take(layout).map_or(null_mut(), |at| at as *mut u8)
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.0.lock().give_back(pointer as usize, layout);
    }

    #[inline(never)]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let at = pointer as usize;
        // SAFETY: the caller's promise: the size is one that a layout of this alignment may have.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let mut boot = self.0.lock();
        if boot.resize(at, layout, wanted) {
            return pointer;
        }
        let Some(new) = boot.take(wanted) else { return null_mut() };
        // SAFETY: both blocks are the caller's, apart from each other, and at least as long as the shorter.
        unsafe { core::ptr::copy_nonoverlapping(pointer, new as *mut u8, layout.size().min(size)) };
        boot.give_back(at, layout);
        new as *mut u8
    }
}

/// Why an allocation failed, if it was not an arena's, whose size is the hypervisor's own to count: what is to be prepared is too
/// much.
pub fn refusal() -> Option<impl Display> {
    let boot = ALLOCATOR.0.try_lock()?;
    let (bytes, kept) = (boot.refused?, boot.free.next - layout::heap().0);
    Some(fmt::from_fn(move |f| {
        write!(
            f,
            "the plan, with this board's tree, takes more memory to prepare than the {} KiB that the hypervisor has for it ({} KiB \
             are kept for good by now, and a block of {} KiB was asked for last); shorter properties, and fewer devices and \
             partitions, take less",
            own::HEAP >> 10,
            kept >> 10,
            bytes.div_ceil(1024),
        )
    }))
}

fn page_layout(count: usize, align: usize) -> Layout {
    Layout::from_size_align(count * PAGE, align.max(PAGE)).expect("page counts are small")
}

/// Whole zeroed pages, aligned to `align` bytes: of the arena that is open, or else for the boot only.
pub fn pages(count: usize, align: usize) -> usize {
    let layout = page_layout(count, align);
    zeroed(ALLOCATOR.0.lock().take(layout), layout)
}

/// The same outside any arena, for good: no core maps them but the first, while it prepares.
pub fn keep(count: usize, align: usize) -> usize {
    let layout = page_layout(count, align);
    let mut boot = ALLOCATOR.0.lock();
    let pages = boot.free.take(layout);
    boot.refused = pages.is_none().then_some(layout.size());
    drop(boot);
    zeroed(pages, layout)
}

fn zeroed(pages: Option<usize>, layout: Layout) -> usize {
    let Some(start) = pages else { handle_alloc_error(layout) };
    cache::zero(start, layout.size());
    start
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
        let start = keep(size / PAGE, PAGE);
        ALLOCATOR.0.lock().arena = Some(Bump { next: start, end: start + size });
        let result = fill(Self { start, size });
        ALLOCATOR.0.lock().arena = None;
        result
    }
}

/// Where what is kept ends and what a partition has of the heap begins, once that is so; 0: none does.
static LENT: AtomicUsize = AtomicUsize::new(0);

/// What is not kept is a partition's. The image with what is.
pub fn lend() -> PaSpan {
    let end = used()[0].end;
    LENT.store(end, Ordering::Relaxed);
    Span { base: layout::image().base, size: (end - layout::IMAGE) as u64 }
}

/// Leaves nothing of EL2's in memory that is lent, nor in caches; whoever calls has done with it. On tables of a core's own.
pub fn hand_over(window: &mut Window) {
    if let Some(lent) = lent() {
        let span = Span { base: layout::pa_of(lent.start), size: lent.len() as u64 };
        window.each(span, |bytes, _| cache::zero(bytes.as_mut_ptr() as usize, bytes.len()));
    }
}

/// The same on tables that map the heap, and that are kept.
pub fn hand_over_mapped() {
    if let Some(lent) = lent() {
        cache::clear(lent.start, lent.len());
    }
}

fn lent() -> Option<Range<usize>> {
    let start = LENT.load(Ordering::Relaxed);
    (start != 0).then(|| start..layout::heap().1)
}

/// What is kept of the heap, and what the boot has had of it for itself.
pub fn used() -> [Range<usize>; 2] {
    let (start, end) = layout::heap();
    let free = ALLOCATOR.0.lock().free;
    [start..free.next, free.end..end]
}
