//! Whether a partition that ended comes back: what `restart` and `restart-limit` say, and how often it did.

use alloc::vec::Vec;

use super::Cause;
use crate::plan::Restart;

/// The most restarts that a limit can count: each has a place for its time.
pub const MOST_COUNTED: u32 = 1000;

/// What the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is loaded again.
    Again,
    /// It stays off.
    Stay,
    /// It would be loaded again, but was so too often.
    Exhausted,
}

/// One partition's policy, and the times of its last restarts.
#[derive(Clone, Debug)]
pub struct Policy {
    when: Restart,
    /// Ticks of the counter within which at most `times.len()` restarts may be; 0: as many as come.
    period: u64,
    /// When it was restarted, in a ring; none where it was not.
    times: Vec<Option<u64>>,
    /// The oldest of them.
    oldest: usize,
}

impl Policy {
    /// At most `count` restarts in so many ticks. This is the only place that allocates.
    #[must_use]
    pub fn new(when: Restart, count: u32, period: u64) -> Self {
        Self { when, period, times: alloc::vec![None; count.min(MOST_COUNTED) as usize], oldest: 0 }
    }

    /// What follows an end by this cause, now. Where that is [`Verdict::Again`], it counts as done.
    #[must_use]
    pub fn verdict(&mut self, cause: Cause, now: u64) -> Verdict {
        let wanted = match self.when {
            Restart::Never => false,
            Restart::OnFailure => cause.is_failure(),
            Restart::Always => true,
        };
        if !wanted || cause.is_final() {
            return Verdict::Stay;
        }
        if self.period == 0 {
            return Verdict::Again;
        }
        let Some(oldest) = self.times.get_mut(self.oldest) else { return Verdict::Exhausted };
        // The counter does not go back; were it to, that is no reason to restart more often.
        if oldest.is_some_and(|then| now.saturating_sub(then) < self.period) {
            return Verdict::Exhausted;
        }
        *oldest = Some(now);
        self.oldest = if self.oldest + 1 < self.times.len() { self.oldest + 1 } else { 0 };
        Verdict::Again
    }
}
