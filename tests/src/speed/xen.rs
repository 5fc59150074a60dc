//! The same for Xen: its column is there where its package can be had.

use super::counts::Counter;
use super::exits::{rows, sender_and_receiver};
use super::{Figures, ICOUNT};
use crate::xen::{CODE, Guest, Xen};
use crate::{On, guest};

/// The benchmark as the only guest of Xen.
///
/// # Errors
/// Why there are no figures.
pub fn exits_in_xen(on: On, xen: &Xen) -> Result<Figures, String> {
    let folder = tempfile::TempDir::new().map_err(|error| error.to_string())?;
    let kernel = folder.path().join("bench");
    std::fs::write(&kernel, guest("bench")).map_err(|error| error.to_string())?;
    let bench = |bootargs, cores| Guest { kernel: &kernel, initrd: None, bootargs, cores, mib: 64 };

    let end = |line: &str| line.starts_with("bench: sgi-self ");
    let lines = xen.run(on, bench("hypervisor", 1), &ICOUNT, 120, end)?;
    let mut figures = rows(lines.iter().map(String::as_str))?;
    let counter = Counter::of(CODE);
    let [option, plugin] = counter.args();
    xen.run(on, bench("mark", 2), &[&option, &plugin], 120, |line| line == "bench: marked 16")?;
    figures.extend(sender_and_receiver(&counter.marks())?);
    Ok(figures)
}
