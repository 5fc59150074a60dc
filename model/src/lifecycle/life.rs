//! A partition's life as a value: every step that there is. `tests/lives` follows it through all interleavings of several
//! cores' steps; EL2 takes the same steps by [`super::Lifecycle`].

use super::{Cause, State, Verdict};

/// What follows when a partition that stops is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// What its `restart` says.
    Policy = 0,
    /// It is loaded again.
    Again = 1,
    /// It stays off.
    Stay = 2,
}

/// What one partition may want of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// To run: from the start, if it is off.
    Start,
    /// To be off, and to stay so.
    Stop,
    /// To be off, and then to run from the start.
    Restart,
}

/// What the core that asked has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Kick all of the partition's cores, which are to leave the guest.
    KickAll,
    /// Kick the partition's first core, which is to load it.
    KickFirst,
    /// Nothing: what is under way ends as was asked.
    Nothing,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// It will be so, when the core that asked has done this.
    Asked(Effect),
    /// It is so, or on its way.
    Already,
    /// It cannot be: the partition is never started again.
    Final,
}

/// What happens to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is to start.
    Load,
    /// Its memory is filled.
    Run,
    /// It has ended, by a word or by the fault of its own, or the user says so.
    Stop(Cause),
    /// Another partition asks (a number for it), or the user.
    Ask(Request, Option<u8>),
    /// Its last core has left it.
    Settle(Verdict),
}

/// Where a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// The state.
    pub state: State,
    /// Why it is not running, or why it did not run last.
    pub cause: Cause,
    /// Of [`Cause::Told`]: who said so, as a number that the caller of [`super::Lifecycle::ask`] chose.
    pub by: Option<u8>,
    /// While it stops: what follows.
    pub next: Next,
}

impl Life {
    /// Off, and never started.
    pub const NEW: Self = Self { state: State::Off, cause: Cause::NotStarted, by: None, next: Next::Policy };

    /// Where it is after an event; `None` where that cannot happen or changes nothing.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        match (self.state, event) {
            (State::Off | State::Failed, Event::Load) => Some(self.loading()),
            (State::Loading, Event::Run) => Some(Self { state: State::Running, ..self }),
            (State::Loading | State::Running, Event::Stop(cause)) => Some(Self::stopping(cause, None)),
            (State::Stopping, Event::Settle(verdict)) => Some(self.settled(verdict)),
            (_, Event::Ask(request, by)) => self.asked(request, by),
            _ => None,
        }
    }

    /// The memory is about to be filled. Why it ended the last time stays on record.
    const fn loading(self) -> Self {
        Self { state: State::Loading, next: Next::Policy, ..self }
    }

    /// It ends. A reset says itself what follows, and where nothing can follow, nothing does.
    const fn stopping(cause: Cause, by: Option<u8>) -> Self {
        let next = match cause {
            Cause::SystemReset => Next::Again,
            _ if cause.is_final() => Next::Stay,
            _ => Next::Policy,
        };
        Self { state: State::Stopping, cause, by, next }
    }

    const fn settled(self, verdict: Verdict) -> Self {
        let failed = self.cause.is_failure();
        match (self.next, verdict) {
            (Next::Again, _) | (Next::Policy, Verdict::Again) => self.loading(),
            (Next::Policy, Verdict::Exhausted) => Self { state: State::Failed, next: Next::Policy, ..self },
            _ => {
                let state = if failed { State::Failed } else { State::Off };
                Self { state, next: Next::Policy, ..self }
            }
        }
    }

    /// The last request counts for what follows; the first cause stays.
    const fn asked(self, request: Request, by: Option<u8>) -> Option<Self> {
        let next = match request {
            Request::Stop => Next::Stay,
            Request::Start | Request::Restart => Next::Again,
        };
        match (self.state, request) {
            (State::Off | State::Failed, Request::Start | Request::Restart) => Some(self.loading()),
            (State::Loading | State::Running, Request::Stop | Request::Restart) => {
                Some(Self { next, ..Self::stopping(Cause::Told, by) })
            }
            // Nobody overrules what cannot be helped, nor the user who ends everything.
            (State::Stopping, _) if self.cause.is_final() && !matches!(self.cause, Cause::Told) => None,
            (State::Stopping, _) if next as u32 != self.next as u32 => Some(Self { next, ..self }),
            _ => None,
        }
    }

    /// Whether no request to run can be granted any more: what ended it stands. EL2 that failed on a core once is not tried again,
    /// as its second failure there stops the machine (src/trap/fault.rs).
    #[must_use]
    pub const fn is_final(self, request: Request) -> bool {
        let ended = match self.state {
            State::Off | State::Failed => matches!(self.cause, Cause::Quit | Cause::HypervisorFault),
            State::Stopping => self.cause.is_final() && !matches!(self.cause, Cause::Told),
            State::Loading | State::Running => false,
        };
        ended && !matches!(request, Request::Stop)
    }

    /// What the core that took this step has to do.
    #[must_use]
    pub const fn effect(self, new: Self) -> Effect {
        match new.state {
            _ if self.state as u32 == new.state as u32 => Effect::Nothing,
            State::Stopping => Effect::KickAll,
            State::Loading => Effect::KickFirst,
            _ => Effect::Nothing,
        }
    }

    /// State in bits 7..0, cause in 15..8, the number of who said so, plus 1, in 23..16, what follows in 31..24.
    #[must_use]
    pub const fn pack(self) -> u32 {
        let by = match self.by {
            Some(number) => number.saturating_add(1) as u32,
            None => 0,
        };
        self.state as u32 | (self.cause as u32) << 8 | by << 16 | (self.next as u32) << 24
    }

    /// From [`Self::pack`].
    #[must_use]
    pub const fn unpack(word: u32) -> Self {
        let by = (word >> 16 & 0xff) as u8;
        let by = if by == 0 { None } else { Some(by - 1) };
        let next = match word >> 24 {
            0 => Next::Policy,
            1 => Next::Again,
            _ => Next::Stay,
        };
        match (State::from_code(word & 0xff), Cause::from_code(word >> 8 & 0xff)) {
            (Some(state), Some(cause)) => Self { state, cause, by, next },
            // Only `pack` makes words; should one be none, the partition is not to be trusted.
            _ => Self { state: State::Failed, cause: Cause::HypervisorFault, by: None, next: Next::Stay },
        }
    }
}
