//! The `guest-tree` subnode: its properties and children go into the tree as they are.

use super::{Fault, Writer};
use crate::dt::{cell, merge};
use crate::plan::{ErrorKind, PlanError};

impl Writer<'_> {
    /// Merges `guest-tree` at the root. It may add to any node or override what is there, since a tree grants
    /// nothing; only the root's cell counts, which every other node relies on, and the phandles have to stay true.
    pub(super) fn guest_tree(&mut self) -> Result<(), PlanError> {
        let Some(path) = &self.partition.guest_tree else {
            return Ok(());
        };
        let from = self.host(path)?.1;
        for name in ["#address-cells", "#size-cells"] {
            if from.property(name).is_some() && cell(from, name) != Some(2) {
                return Err(PlanError::property(
                    path.as_str(),
                    name,
                    ErrorKind::GuestTree(Fault::CellCounts),
                ));
            }
        }
        merge(&mut self.root, from.clone());
        Ok(())
    }
}
