//! EL2's audit of the tables in use. They are changed from outside, through QEMU's debugger stub, and EL2 has to find it: at
//! boot, and when somebody asks at the console.

use partita_tests::reach::Image;
use partita_tests::{Debugger, Machine, On, Outcome, Running, build_image, system_tests};

use crate::live;

const PLAN: &str = "tests/system/live.dtso";
/// Ctrl-] a.
const ASK: &str = "\x1da";
/// Ctrl-] q.
const QUIT: &str = "\x1dq";
const OUTPUT: u64 = 0x0000_ffff_ffff_f000;
/// Blocks of 2 MiB: a partition's memory, EL2's data.
const MEMORY: u64 = 0x7fc | 1;
const DATA: u64 = 1 << 54 | 1 << 10 | 3 << 8 | 1 << 6 | 1 << 2 | 1;

fn running(on: On) -> Running {
    let mut machine = Machine::run(on, PLAN).debugged().start_on_terminal();
    machine.wait_for("[pair] tick ");
    machine.wait_for("[single] tick ");
    machine
}

/// The table that the entry of an address at a level leads to.
fn next(debugger: &mut Debugger, table: u64, level: u32, address: u64) -> u64 {
    let entry = debugger.table(table)[(address >> (12 + 9 * (3 - level)) & 0x1ff) as usize];
    assert_eq!(entry & 3, 3, "a table at level {level} for {address:#x}");
    entry & OUTPUT
}

fn place(table: u64, level: u32, address: u64) -> u64 {
    table + 8 * (address >> (12 + 9 * (3 - level)) & 0x1ff)
}

/// Changes something, asks, and stops the machine once `told` was said.
fn broken(on: On, told: &str, change: impl FnOnce(&mut Debugger)) -> Outcome {
    let mut machine = running(on);
    let mut debugger = machine.debugger();
    change(&mut debugger);
    debugger.leave();
    machine.type_text(ASK);
    machine.wait_for(told);
    machine.wait_for("(pair): ");
    machine.wait_for("(single): ");
    machine.type_text(QUIT);
    machine.end()
}

system_tests! {
    fn asked_for_while_partitions_run(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let mut machine = running(on);
        for times in 1..=2 {
            machine.type_text(ASK);
            machine.wait_until("every core says that its tables are as planned", |log| {
                log.matches("blocks and pages of EL2's own, ").count() == 3 * times
            });
        }
        let ticks = machine.now().reports("single");
        machine.wait_until("the partitions go on", |_| true);
        machine.type_text(QUIT);
        let outcome = machine.end();
        // Memory in three blocks and five pages, and the device; two blocks.
        for (core, name, leaves) in [(0, "single", 2), (1, "pair", 9), (3, "pair", 9)] {
            let start = format!("audit: core {core:#x} ({name}): as planned: ");
            let found = outcome.lines("partita").into_iter().filter(|line| line.starts_with(&start)).count();
            outcome.check(found == 2, &format!("two lines of core {core}"));
            let end = format!(", {} of the partition's", leaves + live::interface_leaves(on));
            let line = outcome.lines("partita").into_iter().find(|line| line.starts_with(&start));
            outcome.check(line.is_some_and(|line| line.ends_with(&end)), &format!("core {core}: {end}"));
        }
        outcome.check(outcome.reports("single") >= ticks, "the partitions went on");
        outcome.check(outcome.summary("pair").contains("cause=stopped-by-user "), "nothing was wrong");
    }

    /// A partition gets a window onto the hypervisor.
    fn a_foreign_block_in_stage_2(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let hypervisor = live::hypervisor(on) & !0x1f_ffff;
        let told = format!(
            "(pair): mapped beyond the plan: 0x42000000-0x421fffff to {hypervisor:#x} with 0x7fc; the partition ends"
        );
        let outcome = broken(on, &told, |debugger| {
            let root = debugger.system(1, "VTTBR_EL2") & OUTPUT;
            let table = next(debugger, root, 1, 0x4200_0000);
            debugger.write(place(table, 2, 0x4200_0000), hypervisor | MEMORY);
        });
        outcome.check(outcome.summary("pair").contains("state=failed cause=audit-failed "), "pair ended for it");
        outcome.check(outcome.summary("single").contains("cause=stopped-by-user "), "single did not");
    }

    /// EL2 gets a window onto a partition.
    fn a_foreign_block_in_el2s_own(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let va = 0x8000_3fe0_0000_u64;
        let memory = live::memory(on, "pair");
        let told = format!(
            "core 0x0 (single): mapped beyond the plan: {va:#x}-{:#x} to {memory:#x} with {:#x}; the partition ends",
            va + 0x1f_ffff,
            DATA & !1
        );
        let outcome = broken(on, &told, |debugger| {
            let root = debugger.system(0, "TTBR0_EL2") & OUTPUT;
            let table = next(debugger, root, 0, va);
            let table = next(debugger, table, 1, va);
            debugger.write(place(table, 2, va), memory | DATA);
        });
        outcome.check(outcome.summary("single").contains("state=failed cause=audit-failed "), "single ended for it");
        outcome.check(outcome.summary("pair").contains("cause=stopped-by-user "), "pair did not");
    }

    /// The tables are changed between their making and the audit.
    fn what_is_wrong_at_boot_does_not_start(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        let audit = Image::new(&build_image()).symbol("partita::audit::at_boot");
        let (memory, heap) = (live::memory(on, "single"), live::hypervisor(on));
        let machine = Machine::run(on, PLAN).debugged().args(&["-S"]).start();
        let mut debugger = machine.debugger();
        debugger.run_to(audit);
        // The block that maps the first 2 MiB of the memory is somewhere in EL2's.
        let place = (0..0x80_0000).step_by(0x1000).find_map(|page| {
            let table = debugger.table(heap + page);
            let index = table.iter().position(|descriptor| *descriptor == memory | MEMORY)?;
            Some(heap + page + 8 * index as u64)
        });
        let place = place.expect("the first block of the partition's memory");
        // Read-only: S2AP[1].
        debugger.write(place, (memory | MEMORY) & !(1 << 7));
        debugger.leave();
        let outcome = machine.end();
        let told = format!(
            "error: audit: single: stage 2: 0x40000000-0x401fffff to {memory:#x} with 0x77c where the plan has \
             {memory:#x} with 0x7fc; nothing starts"
        );
        outcome.check(outcome.lines("partita").contains(&told.as_str()), &told);
        outcome.check(!outcome.log.contains("[single]"), "nothing started");
    }
}
