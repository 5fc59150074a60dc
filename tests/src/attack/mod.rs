//! Isolation under attack: what is judged from outside the machine, and what fails when a guard is taken away.

mod console;
mod exceptions;
pub(crate) mod qmp;
mod removals;
pub(crate) mod siege;
mod starved;
mod streams;
pub(crate) mod suffered;
mod trial;

pub use exceptions::Exceptions;
pub use removals::{NO_STREAMS, OTHER_STREAMS, REMOVALS, Removal, Scene, Sign};
pub use siege::{Conditions, Fate, Row, Siege, lay};
pub use suffered::Suffered;
pub use trial::{Trial, control, run};
