//! `make bench`: what operations cost in instructions, without a hypervisor and in a partition, for both GICs.

use partita_tests::speed::{Figures, alone, partition};

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
    let columns = [alone(3), partition(3), alone(2), partition(2)];
    println!("Instructions; the last two rows: at EL2.\n");
    println!("{:24}{:>12}{:>12}{:>12}{:>12}", "", "GICv3", "", "GICv2", "");
    println!("{:24}{:>12}{:>12}{:>12}{:>12}", "", "native", "partition", "native", "partition");
    for row in ROWS {
        let cell = |figures: &Figures| figures.get(row).map_or_else(|| "-".to_owned(), u64::to_string);
        let [a, b, c, d] = columns.each_ref().map(cell);
        println!("{row:24}{a:>12}{b:>12}{c:>12}{d:>12}");
    }
}
