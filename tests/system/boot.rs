//! What is said of the boot itself, to who asks for it: the time line. And that it leaves nothing behind.

use partita_tests::speed::boot_told;
use partita_tests::{Machine, On, Outcome, system_tests};

const PHASES: [&str; 8] = ["firmware", "tree", "bundle", "digests", "plan", "tables", "audit", "cores"];

/// The number behind these words.
fn after(outcome: &Outcome, words: &str) -> u64 {
    let rest = outcome.log.split_once(words).map(|(_, rest)| rest);
    let digits = rest.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    digits.unwrap_or_else(|| outcome.fail(&format!("it says {words}")))
}

/// A guest that looks whether all of its second piece of memory is zero, says `.` or `!`, and powers off.
const LOOK: [u32; 17] = [
    0xd2aa_0001, // mov x1, #0x50000000
    0xd2aa_1802, // mov x2, #0x50c00000
    0x5280_05c5, // mov w5, #'.'
    0xf840_8423, // ldr x3, [x1], #8
    0xb500_0083, // cbnz x3, to `!`
    0xeb02_003f, // cmp x1, x2
    0x54ff_ffa1, // b.ne to the load
    0x1400_0002, // b behind `!`
    0x5280_0425, // mov w5, #'!'
    0xd2a1_2004, // mov x4, #0x9000000
    0xb900_0085, // str w5, [x4]
    0x5280_0145, // mov w5, #10
    0xb900_0085, // str w5, [x4]
    0x5280_0100, // mov w0, #8
    0x72b0_8000, // movk w0, #0x8400, lsl #16
    0xd400_0002, // hvc #0: SYSTEM_OFF (DEN 0022, 5.1.9)
    0x1400_0000, // b to itself
];

/// Where the partition has the core that boots, and where that is nobody's.
fn lent(on: On, changes: &[(&str, &str)]) {
    let image: Vec<u8> = LOOK.iter().flat_map(|word| word.to_le_bytes()).collect();
    let machine = Machine::run_changed(on, "tests/system/lent.dtso", changes).image("lent.bin", &image);
    let outcome = machine.args(&["--", "-m", "32M"]).to_end();
    outcome.check(outcome.lines("lent") == ["."], "nothing but zeros in memory that was the boot's");
}

system_tests! {
    fn what_is_lent_is_empty(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "one amount of memory"] {
        lent(on, &[]);
    }

    fn what_is_lent_is_empty_beside_a_spare_core(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "one amount of memory"] {
        lent(on, &[("cpus = <0>", "cpus = <1>")]);
    }

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
