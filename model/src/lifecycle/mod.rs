//! Where a partition is in its life, why it ended, whether it comes back, and what it cost.
//!
//! [`Life`] is a value and decides; [`Lifecycle`] is that value in one atomic word, which any core may read and change without
//! a lock. The first cause of an end wins; what comes later does not change the record.

pub mod exits;
mod life;
mod order;
mod policy;

#[cfg(test)]
mod tests;

pub use life::{Effect, Event, Life, Next, Reply, Request};
pub use order::{Order, order};
pub use policy::{MOST_COUNTED, Policy, Verdict};

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
        /// Another partition, which may, said so.
        Told = 12 "told",
        /// Its watchdog was not refreshed in time, twice.
        Watchdog = 13 "watchdog",
    }
}

impl Cause {
    /// Whether a partition that ended so has failed.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(
            self,
            Self::NotStarted
                | Self::SystemOff
                | Self::SystemReset
                | Self::AllCpusOff
                | Self::Quit
                | Self::Told
        )
    }

    /// Whether starting anew cannot help, or somebody has said that it is to stay off.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Quit
                | Self::Told
                | Self::BadImage
                | Self::BadTree
                | Self::CoreMissing
                | Self::HypervisorFault
                | Self::Audit
        )
    }
}

/// The life of one partition, as all cores share it. It is its word and nothing else: those who manage the partition read it where
/// it lies (`partita_abi::supervision::Header::life`).
#[derive(Debug)]
#[repr(transparent)]
pub struct Lifecycle {
    /// A [`Life`], as [`Life::pack`] makes it.
    word: AtomicU32,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// Off, and never started.
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU32::new(Life::NEW.pack()) }
    }

    /// All of it, of one moment.
    #[must_use]
    pub fn life(&self) -> Life {
        Life::unpack(self.word.load(Ordering::Acquire))
    }

    /// State and cause, of one moment.
    #[must_use]
    pub fn get(&self) -> (State, Cause) {
        let life = self.life();
        (life.state, life.cause)
    }

    /// Whether its state is this one.
    #[must_use]
    pub fn is(&self, state: State) -> bool {
        // Only the state, of all that `Life::pack` puts into the word: a direct partition asks at each of its exits.
        self.word.load(Ordering::Acquire) & 0xff == state as u32
    }

    /// [`Event::Load`]. `false`: it is not off, and somebody else starts it.
    #[must_use]
    pub fn load(&self) -> bool {
        self.change(Event::Load).is_some()
    }

    /// [`Event::Run`]. `false`: it was stopped meanwhile.
    #[must_use]
    pub fn run(&self) -> bool {
        self.change(Event::Run).is_some()
    }

    /// [`Event::Stop`]. `true` for the first to say so, who has to stop the partition's other cores; `false` when it is
    /// stopping or over already.
    #[must_use]
    pub fn stop(&self, cause: Cause) -> bool {
        self.change(Event::Stop(cause)).is_some()
    }

    /// [`Event::Ask`]: another partition, or nobody of the plan's, wants something of it, and may. What the asking core has to do
    /// then, or why there is nothing to do.
    #[must_use]
    pub fn ask(&self, request: Request, by: Option<u8>) -> Reply {
        let asked =
            |life: Life| if life.is_final(request) { None } else { life.after(Event::Ask(request, by)) };
        match self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            asked(Life::unpack(word)).map(Life::pack)
        }) {
            Ok(old) => {
                let old = Life::unpack(old);
                asked(old).map_or(Reply::Already, |new| Reply::Asked(old.effect(new)))
            }
            Err(word) if Life::unpack(word).is_final(request) => Reply::Final,
            Err(_) => Reply::Already,
        }
    }

    /// [`Event::Settle`]: its state then. To be called when its last core has left it.
    #[must_use]
    pub fn settle(&self, verdict: Verdict) -> Option<State> {
        self.change(Event::Settle(verdict)).map(|(_, new)| new.state)
    }

    fn change(&self, event: Event) -> Option<(Life, Life)> {
        let step = |old| Life::unpack(old).after(event).map(Life::pack);
        // Each retry means that another core has moved it on: by a step of its life, of which there are four, or by a request,
        // which costs that core an exit of its guest.
        let old = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).ok()?;
        let old = Life::unpack(old);
        old.after(event).map(|new| (old, new))
    }
}

/// The closing line of one partition, without the `partita: ` in front.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The partition's name.
    pub name: &'a str,
    /// Its last state.
    pub state: State,
    /// Why it ended,
    pub cause: Cause,
    /// and who told it to, if somebody did.
    pub by: Option<&'a str>,
    /// Its exits, summed over its virtual CPUs.
    pub exits: Count,
    /// Accesses of its devices that an SMMU refused.
    pub dma: u64,
    /// How often it was loaded again.
    pub restarts: u64,
    /// What it was refused of what it asked of others.
    pub refused: u64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "summary: {} state={} cause={} {} dma={} restarts={}",
            self.name, self.state, self.cause, self.exits, self.dma, self.restarts
        )?;
        if let Some(by) = self.by {
            write!(f, " by={by}")?;
        }
        if self.refused != 0 {
            write!(f, " refused={}", self.refused)?;
        }
        Ok(())
    }
}
