//! Guests that know nothing of Partita.

use partita_tests::{A72_ONLY, Machine, OTHER_CORE, On, guest, system_tests};

/// A plan from DESIGN's table alone, with a flat image: no header, built-in addresses, PSCI by HVC or SMC.
fn flat(on: On, program: &str, cpu: &str) {
    let outcome = Machine::run(on, "tests/system/flat.dtso")
        .image("flat.bin", &guest(program))
        .args(&["--icount", "--cpu", cpu])
        .to_end();
    outcome.check(outcome.status == Some(0), "exit status 0");
    let lines = outcome.lines("flat");
    outcome
        .check(lines == ["flat: el 00000001 tree d00dfeed psci 00010001"], "at EL1, with a tree, PSCI 1.1");
}

system_tests! {
    fn u_boot(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: "this U-Boot is for virt"] {
        let mut machine = Machine::run(on, "platforms/qemu-virt/u-boot.dtso").start_on_terminal();
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
        let summary = outcome.summary("u-boot");
        outcome.check(summary.starts_with("state=off cause=system-off "), "it powered itself off");
    }

    fn flat_by_hvc_on_cortex_a72(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        flat(on, "flat-hvc", "cortex-a72");
    }

    fn flat_by_hvc_on_max(on) [virt_gicv3: run, virt_gicv2: OTHER_CORE, raspi4b: A72_ONLY] {
        flat(on, "flat-hvc", "max");
    }

    fn flat_by_smc_on_max(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: A72_ONLY] {
        flat(on, "flat-smc", "max");
    }

    fn flat_without_a_tree(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let changes = [("kernel =", "dtb = \"none\";\n\t\t\tkernel =")];
        let machine = Machine::run_changed(on, "tests/system/flat.dtso", &changes);
        let outcome = machine.image("flat.bin", &guest("flat-hvc")).to_end();
        outcome.check(outcome.lines("flat") == ["flat: el 00000001 tree none psci 00010001"], "x0 is 0");
    }
}
