//! What there is to be measured: the rows, in the order in which they are printed.

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Instructions.
    Instructions,
    /// Bytes.
    Bytes,
    /// Parts of 100,000.
    Share,
    /// Times.
    Times,
}

impl Unit {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Instructions => "instructions",
            Unit::Bytes => "bytes",
            Unit::Share => "parts of 100000",
            Unit::Times => "times",
        }
    }

    /// A figure as it is printed.
    pub fn show(self, figure: u64) -> String {
        match self {
            Unit::Share => format!("{}.{:03} %", figure / 1000, figure % 1000),
            _ => grouped(figure),
        }
    }
}

/// A number with its digits in threes.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name among figures, budgets, and in JSON.
    pub name: &'static str,
    /// What a person reads.
    pub label: &'static str,
    /// What it counts.
    pub unit: Unit,
}

const fn row(name: &'static str, unit: Unit, label: &'static str) -> Row {
    Row { name, label, unit }
}

/// All rows.
pub const ROWS: &[Row] = {
    use Unit::{Bytes, Instructions, Share, Times};
    &[
        row("psci-version-hvc", Instructions, "PSCI_VERSION by HVC"),
        row("psci-version-smc", Instructions, "PSCI_VERSION by SMC"),
        row("smccc-version-hvc", Instructions, "SMCCC_VERSION by HVC"),
        row(
            "smccc-unknown-hvc",
            Instructions,
            "a call that nobody offers, by HVC: the least that comes to Rust",
        ),
        row("gicd-read", Instructions, "load of GICD_TYPER"),
        row("isenabler-write-again", Instructions, "store to ISENABLER0, set already"),
        row("isenabler-write", Instructions, "store to ISENABLER0 that enables a PPI and an SGI"),
        row("tlbi-for-all-cores", Instructions, "TLBI VAE1IS, in a guest of one core"),
        row("tlbi-beside", Instructions, "the same beside another partition"),
        row(
            "timer-latency",
            Instructions,
            "timer interrupt, until the vector's first instruction has read the count",
        ),
        row("sgi-self", Instructions, "SGI to oneself, until the handler has returned"),
        row("sgi-other-sender", Instructions, "SGI to another core that sleeps: instructions at EL2, sender"),
        row("sgi-other-receiver", Instructions, "the same, receiver"),
        row("reset-to-entry", Instructions, "reset to the guest's first instruction, without digests"),
        row("reset-to-entry-digests", Instructions, "digests of the bundle's files meanwhile"),
        row(
            "restart-stop",
            Instructions,
            "a partition that spins is told to restart: until its core is out of it",
        ),
        row("restart-reset", Instructions, "its devices, interrupts and registers are as after reset"),
        row("restart-audit", Instructions, "its tables are walked again"),
        row("restart-digests", Instructions, "its images are verified again"),
        row("restart-clear", Instructions, "its 64 MiB are cleared"),
        row("restart-fill", Instructions, "image and tree are copied"),
        row("restart-launch", Instructions, "until its first instruction"),
        row("restart", Instructions, "all of that, from the command to the first instruction"),
        row("image-text", Bytes, "code in the image, bytes"),
        row("image-exits", Bytes, "of that, what a guest's exit can come to"),
        row("image-rodata", Bytes, "constants in the image, bytes"),
        row("image-file", Bytes, "the image as it is loaded, bytes"),
        row("ram-kept", Bytes, "RAM that is the hypervisor's for good, bytes"),
        row("linux-all", Instructions, "Linux boots, sums 64 MiB, powers off: all instructions"),
        row("linux-el2", Instructions, "those at EL2 among them"),
        row("linux-share", Share, "the same as a share"),
        row("linux-idle-exits", Times, "exits of idle Linux in 20 s, beyond its own interrupts"),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_by_their_unit() {
        assert_eq!(Unit::Instructions.show(999), "999");
        assert_eq!(Unit::Bytes.show(1_234_567), "1,234,567");
        assert_eq!(Unit::Share.show(444), "0.444 %");
        assert_eq!(Unit::Share.show(12_005), "12.005 %");
    }
}
