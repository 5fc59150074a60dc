//! What is said of the boot itself, to who asks for it: the time line.

use partita_tests::speed::boot_told;
use partita_tests::{Outcome, system_tests};

const PHASES: [&str; 8] = ["firmware", "tree", "bundle", "digests", "plan", "tables", "audit", "cores"];

/// The number behind these words.
fn after(outcome: &Outcome, words: &str) -> u64 {
    let rest = outcome.log.split_once(words).map(|(_, rest)| rest);
    let digits = rest.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    digits.unwrap_or_else(|| outcome.fail(&format!("it says {words}")))
}

system_tests! {
    /// Every phase takes some time, and the guest is loaded when all are over.
    fn the_time_line_is_told(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "as on virt"] {
        let outcome = boot_told(on, "partita.verbose");
        let mut sum = 0;
        for phase in PHASES {
            let ticks = after(&outcome, &format!("boot: {phase} "));
            outcome.check(ticks > 0, "a phase takes some time");
            sum += ticks;
        }
        let (took, at) = (after(&outcome, " loaded in "), after(&outcome, " ticks, by tick "));
        outcome.check(took > 0 && sum + took <= at, "the partition is loaded when the phases are over");
    }

    fn nobody_is_told_unasked(on) [virt_gicv3: run, virt_gicv2: "as with GICv3", raspi4b: "as on virt"] {
        let outcome = boot_told(on, "quiet");
        outcome.check(!outcome.log.contains("boot: "), "nobody asked for the time line");
    }
}
