//! `make bench`: what operations cost in instructions, without a hypervisor and in a partition, for both GICs.

use partita_tests::speed::{Figures, alone, guarded, partition};
use partita_tests::{On, Target};

/// The rows in the order in which they are printed.
const ROWS: [&str; 13] = [
    "nothing",
    "psci-version-hvc",
    "psci-version-smc",
    "smccc-version-hvc",
    "smccc-unknown-hvc",
    "gicd-read",
    "isenabler-write-again",
    "isenabler-write",
    "tlbi-for-all-cores",
    "timer-latency",
    "sgi-self",
    "sgi-other-sender",
    "sgi-other-receiver",
];

fn main() {
    let [v3, v2] = [Target::VirtGicv3, Target::VirtGicv2].map(On::outside_tests);
    let columns = [alone(v3), partition(v3), guarded(v3).0, alone(v2), partition(v2), guarded(v2).0];
    println!("Instructions; the last two rows: at EL2. Guarded: on the way to Rust, as on cortex-a72.\n");
    let heads = ["native", "partition", "guarded", "native", "partition", "guarded"];
    println!("{:24}{:>12}{:24}{:>12}", "", "GICv3", "", "GICv2");
    println!("{:24}{}", "", heads.map(|head| format!("{head:>12}")).concat());
    for row in ROWS {
        let cell = |figures: &Figures| figures.get(row).map_or_else(|| "-".to_owned(), u64::to_string);
        let cells = columns.each_ref().map(|column| format!("{:>12}", cell(column)));
        println!("{row:24}{}", cells.concat());
    }
}
