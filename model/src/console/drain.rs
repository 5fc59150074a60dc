//! Whose bytes go to the physical UART next.
//!
//! No core waits here. A core that has put something into a ring marks it and tries to get the turn; if another has
//! it, that one will see the mark. The holder fills the UART's FIFO once and gives the turn back; the UART's transmit
//! interrupt, or anybody's next output, goes on. Rings take turns at line ends, so a flood costs the others at most one
//! line each round.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::ring::Ring;

/// Most rings that take part.
pub const SOURCES: usize = 64;

/// Ends an unfinished line: colours off, which is left out when none can be set, and LF.
const END: &[u8] = b"\x1b[m\n";

/// No ring is in the middle of a line.
const NONE: usize = usize::MAX;

/// The arbitration state, shared by all cores.
#[derive(Debug)]
pub struct Drain {
    /// Rings that may hold something.
    pending: AtomicU64,
    /// Rings whose unfinished line was ended for others' sake.
    interrupted: AtomicU64,
    /// Somebody has the turn. What is below belongs to the holder.
    taken: AtomicBool,
    /// The ring whose line is unfinished on the terminal.
    open: AtomicUsize,
    /// That line had an escape sequence in it, so colours may be set.
    styled: AtomicBool,
    /// How many bytes of [`END`], from its end, are still to go out before another ring's line begins.
    ending: AtomicUsize,
    /// The ring that was served last.
    last: AtomicUsize,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

const fn bit(source: usize) -> u64 {
    if source < SOURCES { 1 << source } else { 0 }
}

impl Drain {
    /// Nothing pending.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pending: AtomicU64::new(0),
            interrupted: AtomicU64::new(0),
            taken: AtomicBool::new(false),
            open: AtomicUsize::new(NONE),
            styled: AtomicBool::new(false),
            ending: AtomicUsize::new(0),
            last: AtomicUsize::new(0),
        }
    }

    /// This ring has got bytes. To be called after the push. A source of 64 or more is nobody.
    pub fn mark(&self, source: usize) {
        // Sequentially consistent, as are the turn's ends and `is_pending`: either the holder sees this mark after giving
        // the turn back, or the turn is to be had now.
        self.pending.fetch_or(bit(source), Ordering::SeqCst);
    }

    /// Whether anything waits (if so: get the turn, or leave the transmit interrupt on).
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst) != 0
    }

    /// The ring whose bytes go out next, as things are now.
    #[must_use]
    pub fn next_source(&self) -> Option<usize> {
        let pending = self.pending.load(Ordering::SeqCst);
        let open = self.open.load(Ordering::Relaxed);
        if pending & bit(open) != 0 {
            return Some(open);
        }
        next_after(pending, self.last.load(Ordering::Relaxed))
    }

    /// Whether this ring's unfinished line has been ended since the last call. To be asked by its producer before it
    /// assembles more: then [`super::line::Assembler::interrupted`].
    #[must_use]
    pub fn take_interrupted(&self, source: usize) -> bool {
        // Nobody else clears this bit, and most of the time it is clear: then nothing is written to what cores share.
        let interrupted = self.interrupted.load(Ordering::Acquire) & bit(source) != 0;
        if interrupted {
            self.interrupted.fetch_and(!bit(source), Ordering::AcqRel);
        }
        interrupted
    }

    /// The turn, unless somebody has it. Dropping it gives it back; whoever drops it then asks [`Self::is_pending`] and,
    /// if so, leaves the UART's transmit interrupt on (or takes the turn again while its FIFO has room).
    #[must_use]
    pub fn turn(&self) -> Option<Turn<'_>> {
        let free = self.taken.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst);
        // Not `then_some`: it would make a turn for nobody, and drop it, which gives the holder's away.
        free.is_ok().then(|| Turn(self))
    }
}

/// The right to write to the physical UART.
#[derive(Debug)]
pub struct Turn<'a>(&'a Drain);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
    }
}

impl Turn<'_> {
    /// The next bytes for the UART, at most as many as fit into `out`: as many as its FIFO has room for. `ring` gives
    /// the rings by number. Zero: nothing waits.
    pub fn fill<'r, const N: usize>(
        &mut self,
        ring: impl Fn(usize) -> Option<&'r Ring<N>>,
        out: &mut [u8],
    ) -> usize {
        let mut filled = 0;
        while let Some(space) = out.get_mut(filled..).filter(|space| !space.is_empty()) {
            filled += match self.next() {
                Next::End(byte) => space.first_mut().map_or(0, |place| {
                    *place = byte;
                    1
                }),
                Next::Ring(source) => self.take(source, ring(source), space),
                Next::Nothing => break,
            };
        }
        filled
    }

    /// What goes out next.
    fn next(&self) -> Next {
        let drain = self.0;
        let ending = drain.ending.load(Ordering::Relaxed);
        if let Some(byte) = END.len().checked_sub(ending).and_then(|sent| END.get(sent)) {
            drain.ending.store(ending.saturating_sub(1), Ordering::Relaxed);
            return Next::End(*byte);
        }
        let open = drain.open.load(Ordering::Relaxed);
        let pending = drain.pending.load(Ordering::Acquire);
        if pending & bit(open) != 0 {
            return Next::Ring(open);
        }
        let Some(next) = next_after(pending, drain.last.load(Ordering::Relaxed)) else {
            return Next::Nothing;
        };
        if open == NONE {
            return Next::Ring(next);
        }
        // Its producer has no more for now, and others wait: its line ends here and is shown again later.
        drain.interrupted.fetch_or(bit(open), Ordering::AcqRel);
        drain.open.store(NONE, Ordering::Relaxed);
        let end = if drain.styled.swap(false, Ordering::Relaxed) { END.len() } else { 1 };
        drain.ending.store(end, Ordering::Relaxed);
        self.next()
    }

    /// Takes bytes of one line from one ring; how many.
    fn take<const N: usize>(&self, source: usize, ring: Option<&Ring<N>>, space: &mut [u8]) -> usize {
        let drain = self.0;
        let Some(ring) = ring else {
            drain.pending.fetch_and(!bit(source), Ordering::AcqRel);
            return 0;
        };
        let taken = ring.pop_line(space);
        let Some((bytes, last)) = space.get(..taken).and_then(|bytes| Some((bytes, *bytes.last()?))) else {
            // Empty. What is pushed after this is marked after this; what was pushed before is seen by the second look.
            drain.pending.fetch_and(!bit(source), Ordering::AcqRel);
            if !ring.is_empty() {
                drain.mark(source);
            }
            return 0;
        };
        drain.last.store(source, Ordering::Relaxed);
        let ended = last == b'\n';
        drain.open.store(if ended { NONE } else { source }, Ordering::Relaxed);
        let styled = !ended && (drain.styled.load(Ordering::Relaxed) || bytes.contains(&0x1b));
        drain.styled.store(styled, Ordering::Relaxed);
        taken
    }
}

/// See [`Turn::next`].
enum Next {
    /// This byte of [`END`].
    End(u8),
    /// Bytes of this ring.
    Ring(usize),
    /// Nothing waits.
    Nothing,
}

/// The first set bit after `last`, going round.
const fn next_after(mask: u64, last: usize) -> Option<usize> {
    if mask == 0 {
        return None;
    }
    // rotate_right brings the bit after `last` to bit 0; whole turns of 64 make no difference, to it or below.
    let from = (last as u32).wrapping_add(1);
    Some((mask.rotate_right(from).trailing_zeros().wrapping_add(from) % 64) as usize)
}
