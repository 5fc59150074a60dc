//! Where a partition is in its life, why it ended, and what it cost.
//!
//! The state is one atomic word that any core may read without a lock. The first cause of an end wins; what comes
//! later does not change the record.

pub mod exits;

#[cfg(test)]
mod tests;

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use exits::Count;

/// The hypervisor's last line where nothing can power the board off: who watches the console may do it then.
pub const PARKED: &str = "parked: this board has no way to power off";

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $code:literal $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$item])* $variant = $code),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            const fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The word for the summary: lower case, dashes for spaces.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// A partition's state.
    State {
        /// Not started, or ended in order.
        Off = 0 "off",
        /// Its memory is being filled.
        Loading = 1 "loading",
        /// At least one of its virtual CPUs runs.
        Running = 2 "running",
        /// It has ended; its cores are on their way out.
        Stopping = 3 "stopping",
        /// It ended by a fault, or could not be started.
        Failed = 4 "failed",
    }
}

words! {
    /// Why a partition is not running.
    Cause {
        /// It has not been started.
        NotStarted = 0 "not-started",
        /// It called PSCI SYSTEM_OFF.
        SystemOff = 1 "system-off",
        /// It called PSCI SYSTEM_RESET.
        SystemReset = 2 "system-reset",
        /// Its last virtual CPU called PSCI CPU_OFF.
        AllCpusOff = 3 "all-cpus-off",
        /// The user ended it at the console.
        Quit = 4 "stopped-by-user",
        /// An image of its is damaged, missing or does not fit.
        BadImage = 5 "bad-image",
        /// Its device tree could not be written.
        BadTree = 6 "bad-device-tree",
        /// A core of its did not start.
        CoreMissing = 7 "core-did-not-start",
        /// A core of its took an SError interrupt.
        SError = 8 "serror",
        /// A core of its took an exception that the hypervisor has no answer to.
        UnexpectedException = 9 "unexpected-exception",
        /// The hypervisor itself faulted on a core of its.
        HypervisorFault = 10 "hypervisor-fault",
        /// The tables that it runs under are not what the plan says.
        Audit = 11 "audit-failed",
    }
}

impl Cause {
    /// Whether a partition that ended so has failed.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(
            self,
            Self::NotStarted | Self::SystemOff | Self::SystemReset | Self::AllCpusOff | Self::Quit
        )
    }
}

/// The life of one partition.
#[derive(Debug)]
pub struct Lifecycle {
    /// State in bits 7..0, cause in bits 15..8.
    word: AtomicU32,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

const fn word(state: State, cause: Cause) -> u32 {
    state as u32 | (cause as u32) << 8
}

const fn parts(word: u32) -> (State, Cause) {
    match (State::from_code(word & 0xff), Cause::from_code(word >> 8)) {
        (Some(state), Some(cause)) => (state, cause),
        // Only `word` makes words; should one be neither, the partition is not to be trusted.
        _ => (State::Failed, Cause::HypervisorFault),
    }
}

impl Lifecycle {
    /// Off, and never started.
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU32::new(word(State::Off, Cause::NotStarted)) }
    }

    /// State and cause, of one moment.
    #[must_use]
    pub fn get(&self) -> (State, Cause) {
        parts(self.word.load(Ordering::Acquire))
    }

    /// Whether its state is this one.
    #[must_use]
    pub fn is(&self, state: State) -> bool {
        self.get().0 == state
    }

    /// Off or Failed -> Loading. `false`: it is neither, and somebody else starts it.
    #[must_use]
    pub fn load(&self) -> bool {
        self.change(|state, cause| match state {
            State::Off | State::Failed => Some((State::Loading, cause)),
            _ => None,
        })
    }

    /// Loading -> Running.
    #[must_use]
    pub fn run(&self) -> bool {
        self.change(|state, cause| (state == State::Loading).then_some((State::Running, cause)))
    }

    /// Loading or Running -> Stopping, for this cause. `true` for the first to say so, who has to stop the partition's
    /// other cores; `false` when it is stopping or over already.
    #[must_use]
    pub fn stop(&self, cause: Cause) -> bool {
        self.change(|state, _| match state {
            State::Loading | State::Running => Some((State::Stopping, cause)),
            _ => None,
        })
    }

    /// Stopping -> Off or Failed, as the cause was. To be called when its last core has left it.
    #[must_use]
    pub fn settle(&self) -> bool {
        self.change(|state, cause| match state {
            State::Stopping if cause.is_failure() => Some((State::Failed, cause)),
            State::Stopping => Some((State::Off, cause)),
            _ => None,
        })
    }

    fn change(&self, next: impl Fn(State, Cause) -> Option<(State, Cause)>) -> bool {
        let step = |old| {
            let (state, cause) = parts(old);
            next(state, cause).map(|(state, cause)| word(state, cause))
        };
        // Each retry means that another core has moved the state on, and it moves five times at most.
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }
}

/// The closing line of one partition, without the `partita: ` in front.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The partition's name.
    pub name: &'a str,
    /// Its last state.
    pub state: State,
    /// Why it ended.
    pub cause: Cause,
    /// Its exits, summed over its virtual CPUs.
    pub exits: Count,
    /// Accesses of its devices that an SMMU refused.
    pub dma: u64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "summary: {} state={} cause={} {} dma={}",
            self.name, self.state, self.cause, self.exits, self.dma
        )
    }
}
