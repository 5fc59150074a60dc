//! Guests that know nothing of Partita.

use partita_tests::{Machine, guest};

#[test]
fn u_boot() {
    let mut machine = Machine::run("platforms/qemu-virt/u-boot.dtso").start_on_terminal();
    machine.wait_for("[u-boot] U-Boot ");
    machine.wait_for("Hit any key to stop autoboot");
    machine.type_text("\r");
    machine.wait_for("=> ");
    machine.type_text("echo it $((40 + 2)) \r");
    machine.type_text("bdinfo\r");
    machine.wait_for("DRAM bank");
    machine.type_text("poweroff\r");
    let outcome = machine.end();
    outcome.check(outcome.status == Some(0), "exit status 0");
    outcome
        .check(outcome.summary("u-boot").starts_with("state=off cause=system-off "), "it powered itself off");
}

/// A plan from DESIGN's table alone, with a flat image: no header, built-in addresses, PSCI by HVC or SMC.
fn flat(program: &str, cpu: &str) {
    let outcome = Machine::run("tests/system/flat.dtso")
        .image("flat.bin", &guest(program))
        .args(&["--icount", "--cpu", cpu])
        .to_end();
    outcome.check(outcome.status == Some(0), "exit status 0");
    let lines = outcome.lines("flat");
    outcome
        .check(lines == ["flat: el 00000001 tree d00dfeed psci 00010001"], "at EL1, with a tree, PSCI 1.1");
}

#[test]
fn flat_by_hvc_on_cortex_a72() {
    flat("flat-hvc", "cortex-a72");
}

#[test]
fn flat_by_hvc_on_max() {
    flat("flat-hvc", "max");
}

#[test]
fn flat_by_smc_on_max() {
    flat("flat-smc", "max");
}

#[test]
fn flat_without_a_tree() {
    let outcome =
        Machine::run_changed("tests/system/flat.dtso", &[("kernel =", "dtb = \"none\";\n\t\t\tkernel =")])
            .image("flat.bin", &guest("flat-hvc"))
            .to_end();
    outcome.check(outcome.lines("flat") == ["flat: el 00000001 tree none psci 00010001"], "x0 is 0");
}
