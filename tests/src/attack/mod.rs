//! Isolation under attack: what is judged from outside the machine, and what fails when a guard is taken away.

mod exceptions;
mod removals;
mod trial;

pub use exceptions::Exceptions;
pub use removals::{REMOVALS, Removal, Scene, Sign};
pub use trial::{Trial, control, run};
