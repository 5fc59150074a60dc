//! Whose bytes go to the physical UART next.
//!
//! No core waits here, and no core writes what another partition has to say: a flood costs the one who makes it. A core
//! that has put something into its ring marks it and, if its ring is next ([`Drain::is_for`]), tries to get the turn.
//! The holder fills the UART's FIFO once with what is its own, and gives the turn back. Whoever gives it back calls the
//! one who is next ([`Drain::call`]); where the FIFO is full, the UART's transmit interrupt goes there. Rings take turns
//! at line ends. One that was called and does not come for [`PATIENCE`] (its core is busy at EL2: it clears memory, say)
//! is passed over, so that nobody's output waits for another partition; had it begun a line, that is written out first.
//!
//! A line whose producer has no more for now is cut by the next one, and shown again later. Whether it is cut must be known
//! to the producer before it assembles more, or its next bytes would stand in a line without its name: so it says when it
//! begins and ends ([`Drain::begin`], [`Drain::end`]), and from then until all of it has gone out nobody cuts.
//!
//! That nothing is left lying: when something waits and nobody has the turn, then the one who is next has been called
//! since he last looked, or the transmit interrupt will come to him. He notes that he has come before he looks
//! ([`Drain::turn`]), and the others look before they see whether he is called.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use super::ring::Ring;

/// Most rings that take part.
pub const SOURCES: usize = 64;

/// Ends an unfinished line: colours off, which is left out when none can be set, and LF.
const END: &[u8] = b"\x1b[m\n";

/// No ring: none is in the middle of a line, none is called.
const NONE: usize = usize::MAX;

/// The producer is assembling.
const BUSY: u8 = 1 << 0;
/// What it has pushed has not all gone out.
const HELD: u8 = 1 << 1;
/// Its unfinished line was cut.
const CUT: u8 = 1 << 2;
/// Somebody wanted to cut it while it was [`BUSY`].
const WANTED: u8 = 1 << 3;
/// How often one who wants to cut looks again when the producer came between; it comes once in an exit.
const TRIES: usize = 4;

/// Milliseconds for which the others wait for a ring whose turn it is: some ten times as long as a core needs to answer a
/// kick while it is in its guest, and short beside the time that a line takes on a terminal.
pub const PATIENCE: u64 = 1;

/// The arbitration state, shared by all cores.
#[derive(Debug)]
pub struct Drain {
    /// Rings that may hold something.
    pending: AtomicU64,
    /// Of each ring: [`BUSY`], [`HELD`], [`CUT`], [`WANTED`]. Cutting is one step from none of the first two, so what is in
    /// the ring by then has gone out, and what comes knows.
    lines: [AtomicU8; SOURCES],
    /// The ring whose turn it is, while it has been called and has not come,
    called: AtomicUsize,
    /// and when its time is over.
    until: AtomicU64,
    /// Counter ticks for which a ring that was called is waited for.
    patience: u64,
    /// A ring that every core writes out: EL2's own.
    common: usize,
    /// Rings, a bit each, whose cores no call reaches (direct partitions'),
    uncalled: u64,
    /// and those of them whose cores are not at it now: nobody waits for them.
    absent: AtomicU64,
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

const fn bit(source: usize) -> u64 {
    if source < SOURCES { 1 << source } else { 0 }
}

impl Drain {
    /// Nothing pending. Any core writes out the ring `common`; any other ring is waited for as many counter ticks as
    /// `patience` says ([`PATIENCE`]).
    #[must_use]
    pub const fn new(common: usize, patience: u64) -> Self {
        Self {
            pending: AtomicU64::new(0),
            lines: [const { AtomicU8::new(0) }; SOURCES],
            called: AtomicUsize::new(NONE),
            until: AtomicU64::new(0),
            patience,
            common,
            uncalled: 0,
            absent: AtomicU64::new(0),
            taken: AtomicBool::new(false),
            open: AtomicUsize::new(NONE),
            styled: AtomicBool::new(false),
            ending: AtomicUsize::new(0),
            last: AtomicUsize::new(0),
        }
    }

    /// The same with these rings, a bit each, as ones that nobody calls: they are written out while their cores are
    /// [`Self::present`].
    #[must_use]
    pub const fn with_uncalled(self, uncalled: u64) -> Self {
        Self { uncalled, absent: AtomicU64::new(uncalled), ..self }
    }

    /// The cores of a ring that nobody calls come to write it out, or leave it.
    pub fn present(&self, source: usize, yes: bool) {
        let bit = bit(source) & self.uncalled;
        if yes {
            self.absent.fetch_and(!bit, Ordering::SeqCst);
        } else {
            self.absent.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// This ring has got bytes. To be called after the push, where [`Self::end`] does not. A source of 64 or more is nobody.
    pub fn mark(&self, source: usize) {
        // Sequentially consistent, as are the turn's ends and `is_pending`: either the holder sees this mark after giving
        // the turn back, or the turn is to be had now.
        self.pending.fetch_or(bit(source), Ordering::SeqCst);
    }

    /// In the turn: nothing is left in this ring.
    fn emptied(&self, source: usize) {
        if let Some(line) = self.lines.get(source) {
            line.fetch_and(!HELD, Ordering::SeqCst);
        }
        self.pending.fetch_and(!bit(source), Ordering::SeqCst);
    }

    /// Something is in this ring.
    fn filled(&self, source: usize) {
        if let Some(line) = self.lines.get(source) {
            line.fetch_or(HELD, Ordering::SeqCst);
        }
        self.mark(source);
    }

    /// Whether anything waits (if so: get the turn, or leave the transmit interrupt on).
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst) != 0
    }

    /// Whether the transmit interrupt is wanted: something waits whose core comes when it is called, and nobody is at it who
    /// comes without.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let awaited = self.pending.load(Ordering::SeqCst) & !self.uncalled != 0;
        let next_comes_by_itself = self.next_source().is_some_and(|next| self.is_present(next));
        awaited && !next_comes_by_itself
    }

    /// The next ring whose core comes when it is called; not the common one, which has none of its own.
    #[must_use]
    pub fn next_called(&self) -> Option<usize> {
        let pending = self.pending.load(Ordering::SeqCst) & !self.uncalled & !bit(self.common);
        next_after(pending, self.last.load(Ordering::Relaxed))
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

    /// Its producer is about to assemble. Whether its unfinished line has been cut since the last time: then
    /// [`super::line::Assembler::interrupted`].
    #[must_use]
    pub fn begin(&self, source: usize) -> bool {
        let Some(line) = self.lines.get(source) else { return false };
        let cut = line.fetch_or(BUSY, Ordering::SeqCst) & CUT != 0;
        if cut {
            line.fetch_and(!CUT, Ordering::SeqCst);
        }
        cut
    }

    /// Its producer has assembled, and `pushed` something or nothing, which this marks. Whether somebody wanted to cut its line
    /// meanwhile, and could not: he has gone, and is to be called ([`Self::call`], after what is here was written).
    #[must_use]
    pub fn end(&self, source: usize, pushed: bool) -> bool {
        let Some(line) = self.lines.get(source) else { return false };
        if pushed {
            self.filled(source);
        }
        line.fetch_and(!(BUSY | WANTED), Ordering::SeqCst) & WANTED != 0
    }

    /// Cuts a ring's line, unless its producer is at it or more of it waits; in the turn.
    fn cut(&self, source: usize) -> bool {
        let Some(line) = self.lines.get(source) else { return true };
        for _ in 0..TRIES {
            let now = line.load(Ordering::SeqCst);
            if now & HELD != 0 {
                // Who cannot write calls him who can.
                return false;
            }
            if now & BUSY != 0 {
                if line.fetch_or(WANTED, Ordering::SeqCst) & BUSY != 0 {
                    return false;
                }
            } else if line.compare_exchange(now, CUT, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return true;
            }
        }
        false
    }

    /// Whether a core that writes out the ring `me` has something to do: what is next is its own or everybody's, or
    /// somebody's who was called and has not come in time. `now`: the counter.
    #[must_use]
    pub fn is_for(&self, me: usize, now: u64) -> bool {
        self.next_source().is_some_and(|next| self.serves(me, next) || self.makes_way(next, me, now))
    }

    /// The turn for a core that writes out the ring `me` and the common one, unless somebody has it. Dropping it gives it
    /// back; whoever drops it then asks [`Self::is_pending`] and, if so, leaves the UART's transmit interrupt on, and
    /// asks [`Self::call`].
    #[must_use]
    pub fn turn(&self, me: usize, now: u64) -> Option<Turn<'_>> {
        // Before it looks: he who takes it for one who is still to come has changed what it looks at already.
        if self.called.load(Ordering::SeqCst) == me {
            let _ = self.called.compare_exchange(me, NONE, Ordering::SeqCst, Ordering::SeqCst);
        }
        let mut turn = self.take(Some(me))?;
        if let Some(next) = self.next_source()
            && self.makes_way(next, me, now)
        {
            turn.pass_over(next);
        }
        Some(turn)
    }

    /// The turn for one who writes out everybody's rings: at the machine's end.
    #[must_use]
    pub fn turn_of_all(&self) -> Option<Turn<'_>> {
        self.take(None)
    }

    /// Whether somebody has the turn now.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.taken.load(Ordering::SeqCst)
    }

    fn take(&self, whose: Option<usize>) -> Option<Turn<'_>> {
        let free = self.taken.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst);
        // Not `then_some`: it would make a turn for nobody, and drop it, which gives the holder's away.
        free.is_ok().then(|| Turn { drain: self, whose, late: NONE })
    }

    /// Whom the core that writes out `me` has to kick, having given the turn back: the ring that is next, if it is
    /// another's that nobody has called yet.
    #[must_use]
    pub fn call(&self, me: usize, now: u64) -> Option<usize> {
        let next =
            self.next_source().filter(|next| !self.serves(me, *next) && bit(*next) & self.uncalled == 0)?;
        if self.called.load(Ordering::SeqCst) == next {
            return None;
        }
        self.until.store(now.saturating_add(self.patience), Ordering::SeqCst);
        (self.called.swap(next, Ordering::SeqCst) != next).then_some(next)
    }

    fn serves(&self, me: usize, source: usize) -> bool {
        source == me || source == self.common
    }

    fn is_absent(&self, source: usize) -> bool {
        self.absent.load(Ordering::SeqCst) & bit(source) != 0
    }

    /// Of a ring that nobody calls: whether its cores are at it.
    fn is_present(&self, source: usize) -> bool {
        self.uncalled & bit(source) != 0 && !self.is_absent(source)
    }

    /// Whether `next` has been called and has not come in time, or cannot be called, and `me` has something to say.
    fn makes_way(&self, next: usize, me: usize, now: u64) -> bool {
        let late = || self.called.load(Ordering::SeqCst) == next && now > self.until.load(Ordering::SeqCst);
        !self.serves(me, next)
            && (self.is_absent(next) || late())
            && self.pending.load(Ordering::SeqCst) & (bit(me) | bit(self.common)) != 0
    }
}

/// The right to write to the physical UART.
#[derive(Debug)]
pub struct Turn<'a> {
    drain: &'a Drain,
    /// The ring that its holder writes out; all of them without.
    whose: Option<usize>,
    /// A ring whose line the holder writes out as well, as nobody else does.
    late: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.drain.taken.store(false, Ordering::SeqCst);
    }
}

impl Turn<'_> {
    /// Whether what is on the terminal is a line without its end.
    #[must_use]
    pub fn is_within_a_line(&self) -> bool {
        self.drain.open.load(Ordering::Relaxed) != NONE || self.drain.ending.load(Ordering::Relaxed) != 0
    }

    /// The next bytes for the UART, at most as many as fit into `out`: as many as its FIFO has room for. `ring` gives
    /// the rings by number. Zero: nothing waits, or what is next is another's to write.
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
                Next::Ring(source) if self.serves(source) => self.take(source, ring(source), space),
                Next::Ring(_) | Next::Nothing => break,
            };
        }
        filled
    }

    /// What goes out next.
    fn next(&self) -> Next {
        let drain = self.drain;
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
        if open == NONE || !self.serves(next) {
            return Next::Ring(next);
        }
        // Its producer has no more for now, and others wait. He who does not come cuts nobody's line.
        if self.cut(open) { self.next() } else { Next::Nothing }
    }

    fn serves(&self, source: usize) -> bool {
        source == self.late || self.whose.is_none_or(|me| self.drain.serves(me, source))
    }

    /// Ends an unfinished line here, if that may be; it is shown again later.
    fn cut(&self, open: usize) -> bool {
        let drain = self.drain;
        if !drain.cut(open) {
            return false;
        }
        drain.open.store(NONE, Ordering::Relaxed);
        let end = if drain.styled.swap(false, Ordering::Relaxed) { END.len() } else { 1 };
        drain.ending.store(end, Ordering::Relaxed);
        true
    }

    /// Goes on with the rings after this one, or first with its line, if it has begun one.
    fn pass_over(&mut self, late: usize) {
        if self.drain.open.load(Ordering::Relaxed) == late {
            self.late = late;
        } else {
            self.drain.last.store(late, Ordering::Relaxed);
        }
    }

    /// Takes bytes of one line from one ring; how many.
    fn take<const N: usize>(&mut self, source: usize, ring: Option<&Ring<N>>, space: &mut [u8]) -> usize {
        let drain = self.drain;
        let Some(ring) = ring else {
            drain.pending.fetch_and(!bit(source), Ordering::AcqRel);
            return 0;
        };
        let taken = ring.pop_line(space);
        if ring.is_empty() {
            drain.emptied(source);
            // What is pushed after this is marked after this; what was pushed before is seen by the second look.
            if !ring.is_empty() {
                drain.filled(source);
            }
        }
        let Some((bytes, last)) = space.get(..taken).and_then(|bytes| Some((bytes, *bytes.last()?))) else {
            return 0;
        };
        drain.last.store(source, Ordering::Relaxed);
        let ended = last == b'\n';
        drain.open.store(if ended { NONE } else { source }, Ordering::Relaxed);
        if ended && source == self.late {
            self.late = NONE;
        }
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
    /// Nothing waits, or nothing can go out now.
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
