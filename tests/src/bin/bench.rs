//! `make bench`: what operations cost in instructions, without a hypervisor and in a partition, for both GICs.

use partita_tests::speed::{Figures, alone, partition};
use partita_tests::{On, Target};

/// The rows in the order in which they are printed.
const ROWS: [&str; 11] = [
    "nothing",
    "psci-version-hvc",
    "psci-version-smc",
    "smccc-version-hvc",
    "gicd-read",
    "isenabler-write-again",
    "isenabler-write",
    "timer-latency",
    "sgi-self",
    "sgi-other-sender",
    "sgi-other-receiver",
];

fn main() {
    let [v3, v2] = [Target::VirtGicv3, Target::VirtGicv2].map(On::outside_tests);
    let columns = [alone(v3), partition(v3), alone(v2), partition(v2)];
    println!("Instructions; the last two rows: at EL2.\n");
    println!("{:24}{:>12}{:>12}{:>12}{:>12}", "", "GICv3", "", "GICv2", "");
    println!("{:24}{:>12}{:>12}{:>12}{:>12}", "", "native", "partition", "native", "partition");
    for row in ROWS {
        let cell = |figures: &Figures| figures.get(row).map_or_else(|| "-".to_owned(), u64::to_string);
        let [a, b, c, d] = columns.each_ref().map(cell);
        println!("{row:24}{a:>12}{b:>12}{c:>12}{d:>12}");
    }
}
