//! Supervision: what a partition may ask of those that it manages, by the registers of its device and by hypercalls.
//!
//! A partition is named by its place among those that the caller manages. So there is no way to name another, and what is refused
//! tells nothing about it. All is decided here from numbers; src/supervise.rs performs it. `partita_abi::supervision` has the
//! layouts, docs/supervision.md the words.

#[cfg(test)]
mod tests;

use partita_abi::supervision::{Command, MAGIC, VERSION, call, code, registers as reg, request};

use crate::lifecycle::{Effect, Reply, Request};
use crate::weaken::{Guard, removed};

/// What a refusal is about; each has its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such request, register or call.
    Unknown,
    /// No such index.
    NoSuch,
    /// Bits that have to be zero are not.
    Malformed,
    /// It cannot be started any more.
    Final,
}

impl Refusal {
    /// Its code.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Unknown => code::UNKNOWN,
            Self::NoSuch => code::NO_SUCH,
            Self::Malformed => code::MALFORMED,
            Self::Final => code::FINAL,
        }
    }
}

/// An access to the register page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// This is read.
    Value(u64),
    /// How much was refused is read,
    Refused,
    /// or what became of the last command.
    Result,
    /// A command was written.
    Command(Command),
    /// The area of the partition with this index is cleaned, then its life is read.
    Refresh(usize),
    /// It is nothing that can be done: zero is read, and it is counted.
    Refuse,
}

/// What an access to the register page is, of a partition that manages so many.
#[must_use]
pub fn access(offset: u64, width: u8, write: Option<u64>, managed: usize) -> Access {
    if width != 8 || !offset.is_multiple_of(8) {
        return Access::Refuse;
    }
    match (offset, write) {
        (reg::MAGIC, None) => Access::Value(MAGIC),
        (reg::VERSION, None) => Access::Value(VERSION),
        (reg::COUNT, None) => Access::Value(managed as u64),
        (reg::REFUSED, None) => Access::Refused,
        (reg::RESULT, None) => Access::Result,
        (reg::COMMAND, Some(word)) => Access::Command(Command(word)),
        (reg::REFRESH..reg::REFRESH_END, None) => {
            index((offset - reg::REFRESH) / 8, managed).map_or(Access::Refuse, Access::Refresh)
        }
        _ => Access::Refuse,
    }
}

/// What a command asks for, and of whom.
///
/// # Errors
///
/// What it is refused for.
pub fn command(command: Command, managed: usize) -> Result<(Request, usize), Refusal> {
    if command.reserved() != 0 {
        return Err(Refusal::Malformed);
    }
    let request = match command.request() {
        request::STOP => Request::Stop,
        request::START => Request::Start,
        request::RESTART => Request::Restart,
        _ => return Err(Refusal::Unknown),
    };
    Ok((request, index(command.index().into(), managed)?))
}

/// A hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// How many are managed.
    Count,
    /// The name of one.
    Name(usize),
    /// Where one is in its life.
    State(usize),
    /// Something of one.
    Ask(Request, usize),
    /// A sign of life.
    Beat,
}

impl Call {
    /// The first function,
    pub const FIRST: u32 = call::COUNT;
    /// and the last.
    pub const LAST: u32 = call::COUNT + call::CALLS - 1;

    /// Whether a function is one of these.
    #[must_use]
    pub const fn owns(function: u32) -> bool {
        matches!(function, Self::FIRST..=Self::LAST)
    }

    /// What a call asks for, of a partition that manages so many.
    ///
    /// # Errors
    ///
    /// What it is refused for.
    pub fn read(function: u32, x1: u64, managed: usize) -> Result<Self, Refusal> {
        let index = || index(x1, managed);
        Ok(match function {
            call::COUNT => Self::Count,
            call::NAME => Self::Name(index()?),
            call::STATE => Self::State(index()?),
            call::STOP => Self::Ask(Request::Stop, index()?),
            call::START => Self::Ask(Request::Start, index()?),
            call::RESTART => Self::Ask(Request::Restart, index()?),
            call::BEAT => Self::Beat,
            _ => return Err(Refusal::Unknown),
        })
    }

    /// How many registers from x1 on have its answer; of a refusal they are zero.
    #[must_use]
    pub const fn answers(function: u32) -> usize {
        match function {
            call::COUNT => 1,
            call::NAME => 4,
            call::STATE => 3,
            _ => 0,
        }
    }
}

/// The number that a caller gave, if there is such an index.
fn index(number: u64, managed: usize) -> Result<usize, Refusal> {
    // Without the guard it is the partition of this number in the plan, if there is one: who performs it looks no further.
    if number < managed as u64 || removed(Guard::ManagesNamed) {
        Ok(number as usize)
    } else {
        Err(Refusal::NoSuch)
    }
}

/// The code of what became of a request, and whether that is a refusal. `direct`: the partition's interrupts are.
///
/// # Errors
///
/// It is refused.
pub const fn outcome(reply: Reply, direct: bool) -> Result<i8, Refusal> {
    match reply {
        Reply::Asked(Effect::KickAll) if direct => Ok(code::BEST_EFFORT),
        Reply::Asked(_) => Ok(code::ASKED),
        Reply::Already => Ok(code::ALREADY),
        Reply::Final => Err(Refusal::Final),
    }
}
