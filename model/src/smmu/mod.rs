//! SMMUv3 with stage 2 alone: what its tables, commands and events say (IHI 0070, Arm System Memory Management Unit
//! Architecture Specification, version 3). Registers are read and written elsewhere; what they mean is decided here.
//!
//! A stream that no partition has is aborted, and so is every stream of a partition that does not run. The others reach
//! their partition's RAM through tables of their own and nothing else: device registers are in none.

mod command;
mod entry;
mod event;
mod faults;
mod features;
mod queue;
mod table;
#[cfg(test)]
mod tests;
mod words;

pub use command::Command;
pub use entry::{Guard, Mode};
pub use event::{Event, Kind};
pub use faults::{Faults, Note, RECORDED, SAID};
pub use features::{Features, Unfit};
pub use queue::Queue;
pub use table::{Owned, Owner, StreamTable, build, pages_needed};
pub use words::Words;
