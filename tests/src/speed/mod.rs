//! What Partita costs, in instructions and bytes: the benchmark guest under -icount, where a tick of its counter is an
//! instruction, and the counter plugin where that is not enough. The figures are the same on every computer.

mod all;
mod boot;
mod chart;
mod counts;
mod exits;
mod image;
mod linux;
mod report;
mod rows;
mod stops;
mod xen;

use std::collections::BTreeMap;

pub use all::measure;
pub use boot::{boot, boot_alone, boot_told, boot_xen};
pub use chart::chart;
pub(crate) use counts::Counter;
pub use exits::{Turns, alone, guarded, partition, turns};
pub use image::image;
pub use linux::{linux, linux_alone, linux_kit, linux_xen};
pub use report::{Column, Report};
pub use stops::{STATES, restart, stops};
pub use xen::exits_in_xen;

/// A core that counts at 1 GHz, and on which nothing guards the way to Rust.
const CPU: &str = "max";
/// One whose branch history is overwritten on the way to Rust, made to count as fast.
const GUARDED: &str = "cortex-a72,cntfrq=1000000000";
/// QEMU: an instruction takes a nanosecond.
const ICOUNT: [&str; 2] = ["-icount", "shift=0,sleep=off"];

/// The plan of all of it: one partition of one core.
const PLAN: &str = "tests/system/bench.dtso";

/// Figures by row.
pub type Figures = BTreeMap<String, u64>;

/// How interrupts come to a partition: its column's name, and the words of the plan that ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The column.
    pub name: &'static str,
    /// Properties of the partition.
    words: &'static str,
}

/// Every one that there is.
pub const PATHS: &[Path] = &[
    Path { name: "mediated", words: "interrupt-path = \"mediated\";" },
    Path { name: "direct", words: "interrupt-path = \"direct\"; stop = \"best-effort\";" },
];

impl Path {
    /// What makes `PLAN` a plan with this path.
    fn change(self) -> (&'static str, &'static str) {
        ("interrupt-path = \"mediated\";", self.words)
    }
}
