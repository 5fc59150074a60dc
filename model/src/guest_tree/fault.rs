//! What can keep a guest's tree from being written besides what the plan refuses, in the words that the user reads.

use alloc::string::String;
use core::fmt;

/// Why a tree could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The plan has fewer partitions.
    NoPartition {
        /// The number asked for.
        number: usize,
    },
    /// A node that the plan names is not in the tree.
    Gone,
    /// A node has the path of one that the tree always has.
    Taken {
        /// The path.
        path: String,
    },
    /// `guest-tree` counts cells otherwise than the tree it goes into.
    CellCounts,
    /// The tree does not fit the room that the plan left for it.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The room.
        room: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPartition { number } => write!(f, "there is no partition number {number}; count from 0"),
            Self::Gone => f.write_str("is not in this tree; use the tree that the plan was made from"),
            Self::Taken { path } => {
                write!(
                    f,
                    "{path} is a node that the generated tree has already; remove it, or move the console"
                )
            }
            Self::CellCounts => f.write_str("must be <2>, as at the root of the generated tree"),
            Self::TooLarge { bytes, room } => write!(
                f,
                "the generated tree has {bytes} bytes and its place only {room}; shorten `guest-tree`, or choose \
                 another `dtb-address`"
            ),
        }
    }
}
