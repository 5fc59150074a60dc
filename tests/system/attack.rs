//! The attacker beside its victim: no row escapes, and the victim notices nothing.

use partita_tests::attack::{Conditions, Siege, lay};
use partita_tests::{A72_ONLY, system_tests};

/// A PL011 does not repeat a transmit interrupt that was acknowledged.
const ONE_UART: &str = "the mini-UART of raspi4b has an interrupt that stays";

/// By all that the attacker, the victim, EL2 and those outside say.
#[track_caller]
fn nothing_escapes(siege: &Siege) {
    let failures = siege.failures();
    assert!(failures.is_empty(), "{failures:#?}\n--- console\n{}", siege.log);
}

system_tests! {
    fn rows_on_cortex_a72(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let siege = lay(on, Conditions::default());
        nothing_escapes(&siege);
        let held = siege.held();
        assert!(held >= 180 && siege.rows.len() >= 200, "{held} of {} rows held\n{}", siege.rows.len(), siege.log);
    }

    fn rows_on_max(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: A72_ONLY] {
        let siege = lay(on, Conditions { cpu: "max", counted: false, ..Conditions::default() });
        nothing_escapes(&siege);
        assert!(siege.held() >= 180, "{} rows held\n{}", siege.held(), siege.log);
    }

    /// The attacker has the physical CPU interface.
    fn rows_of_a_direct_partition(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let siege = lay(on, Conditions { path: "direct", ..Conditions::default() });
        nothing_escapes(&siege);
        assert!(siege.held() >= 180, "{} rows held\n{}", siege.held(), siege.log);
    }

    /// A core that stands still at EL2 with the console in its hands: the UART's interrupt does not come to the victim's again
    /// and again until that one goes on.
    fn console_in_hands_that_rest(on) [virt_gicv3: ONE_UART, virt_gicv2: ONE_UART, raspi4b: run] {
        let bootargs = Some("test=long-line,lines,from-all-cores");
        let siege = lay(on, Conditions { bootargs, starved: true, ..Conditions::default() });
        nothing_escapes(&siege);
    }

    /// A row in a boot of its own: the core that loops is got out when the other one powers the partition off.
    fn loop_without_end(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let bootargs = Some("test=vector-unmappable");
        let siege = lay(on, Conditions { bootargs, counted: false, ..Conditions::default() });
        nothing_escapes(&siege);
        assert_eq!(siege.held(), 1, "the other core ran on\n{}", siege.log);
    }
}
