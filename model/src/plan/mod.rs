//! The plan: what each partition gets, decided once before the first one starts.
//!
//! [`Plan::new`] is called with the same inputs by the host tool and by EL2 at boot, so both accept and refuse the
//! same plans with the same words. A plan is a plain value; nothing in it changes after it was made.

mod board;
pub mod devices;
mod error;
mod gic;
mod make;
mod overlay;
pub mod own;
mod own_tree;
pub mod pci;
pub mod place;
mod power;
mod ram;
mod reach;
mod rules;
mod smmu;
mod space;
mod spec;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod types;
pub mod vocabulary;

pub use board::MPIDR_AFFINITY;
pub use error::{ErrorKind, PlanError, SharedStream};
pub use gic::interface_pages;
pub use own_tree::TreeFault;
pub use pci::{Bridge, PciFunction, PciPart, Window};
pub use smmu::streams_of;
pub use types::*;

use crate::dt::Tree;

use crate::addr::PaSpan;

/// What a plan is made from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The firmware's flattened device tree.
    pub tree: &'a [u8],
    /// The overlay, flattened (`partitions.dtbo`); none when the tree already contains /partitions.
    pub overlay: Option<&'a [u8]>,
    /// The bundle's files (on the host: the images directory).
    pub files: &'a dyn Files,
    /// RAM as firmware will hand it over; empty: what the tree's memory nodes say.
    pub ram: &'a [PaSpan],
    /// What lies in RAM already: the hypervisor, the bundle, the firmware's tree.
    pub occupied: &'a [Reserved],
}

/// A plan, and the tree that it was read from.
#[derive(Clone, Debug)]
pub struct Planned<'a> {
    /// The plan.
    pub plan: Plan,
    /// The firmware's tree with the overlay applied.
    pub tree: Tree<'a>,
}

impl Planned<'_> {
    /// The same, which needs the trees' bytes no more.
    #[must_use]
    pub fn into_owned(self) -> Planned<'static> {
        Planned { plan: self.plan, tree: self.tree.into_owned() }
    }
}

/// Where images come from.
pub trait Files {
    /// The bytes of a file, if it exists.
    fn get(&self, name: &str) -> Option<&[u8]>;
}
