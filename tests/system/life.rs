//! Lives of a partition: it ends, in every way there is, and comes back; its neighbours notice nothing.

use partita_tests::lives::{lies, lives, weakened};
use partita_tests::speed::{STATES, stops};
use partita_tests::{Machine, On, Outcome, Target, guest_elf, partita, system_tests};

const PLAN: &str = "tests/system/life.dtso";

/// Each way twice: what one leaves behind may only show after another.
const SHORT: u64 = 34;

fn comes_back(on: On) {
    let lives = lives(on, SHORT, &[], 400);
    println!("{lives:?}");
    assert_eq!(lives.ways as u64, SHORT / 2, "every way was gone");
}

/// What the core of a partition that is told to stop may do at EL2 before it is out of its guest, in instructions: the longest thing
/// that it may be in the midst of (docs/locks.md), and what it does to leave.
const OUT: u64 = 40_000;

/// The one core that all machines have.
fn cpu(on: On) -> &'static [&'static str] {
    if on.target() == Target::Raspi4b { &[] } else { &["--cpu", "cortex-a72"] }
}

/// The crasher ends so with this policy, until it stays off.
fn with_policy(on: On, policy: &str, ways: &str) -> Outcome {
    let words = format!("lives=9 ways={ways}");
    let changes = [
        ("restart = \"always\";\n", policy),
        ("restart-limit = <0 0>;\n", ""),
        ("lives=34", words.as_str()),
        ("hz=100", "hz=100 reports=3"),
    ];
    Machine::run_changed(on, PLAN, &changes).args(cpu(on)).limit(200).to_end()
}

/// How often it started.
fn starts(outcome: &Outcome) -> usize {
    outcome.lines("crasher").iter().filter(|line| line.starts_with("crasher: life ")).count()
}

#[track_caller]
fn ended(outcome: &Outcome, starts_wanted: usize, summary: &str, status: i32) {
    outcome.check(starts(outcome) == starts_wanted, &format!("it started {starts_wanted} times"));
    outcome.check(outcome.summary("crasher").starts_with(summary), summary);
    outcome.check(outcome.status == Some(status), &format!("exit status {status}"));
}

system_tests! {
    fn of_every_end_a_new_one(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        comes_back(on);
    }

    fn a_direct_partition_comes_back(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        comes_back_directly(on);
    }

    fn a_damaged_file_is_not_started_again(on) [virt_gicv3: run, virt_gicv2: ONE_POLICY, raspi4b: ONE_POLICY] {
        not_as_it_was(on);
    }

    fn a_failure_is_on_record(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        on_record(on);
    }

    fn a_fault_of_el2s_costs_its_partition(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        fails_alone(on, "fault", " esr_el2=0x96000");
    }

    /// The other core comes for the same lock again and again.
    fn a_fault_under_the_partitions_lock(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        fails_alone(on, "fault-locked", " esr_el2=0x96000");
    }

    fn a_fault_at_the_stacks_end(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        fails_alone(on, "fault-overflow", " stack-overflow");
    }

    fn a_fault_under_a_shared_lock_stops_the_machine(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        fails_whole(on);
    }

    /// Told by another partition, whatever its core is in the midst of.
    fn out_of_anything(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        for stop in stops(on, &STATES, 4, 1, false) {
            assert!(stop.out[0] <= OUT, "{stop:?}");
        }
    }

    /// Whatever both of its cores are in the midst of. How long one of them waits for what the other one has locked is the computer's
    /// doing.
    fn out_of_anything_on_two_cores(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        assert_eq!(stops(on, &STATES, 1, 2, false).len(), STATES.len());
    }

    /// A direct partition's core that comes to the hypervisor takes the others out with it, which do not.
    fn out_of_what_comes_to_the_hypervisor(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        const COMING: [&str; 4] = ["calls", "aborts", "console-flood", "calls-beside-a-loop"];
        assert_eq!(stops(on, &COMING, 2, 2, true).len(), 2 * COMING.len());
    }

    fn never(on) [virt_gicv3: run, virt_gicv2: ONE_POLICY, raspi4b: ONE_POLICY] {
        let outcome = with_policy(on, "", "reset,aarch32");
        // A reset is the guest's own affair.
        ended(&outcome, 2, "state=failed cause=unexpected-exception ", 3);
        let told = "crasher: failed: unexpected-exception";
        outcome.check(outcome.lines("partita").contains(&told), told);
    }

    fn on_failure(on) [virt_gicv3: run, virt_gicv2: ONE_POLICY, raspi4b: ONE_POLICY] {
        let outcome = with_policy(on, "restart = \"on-failure\";", "aarch32,aarch32,off");
        ended(&outcome, 3, "state=off cause=system-off ", 0);
        for restart in 1..=2 {
            let told = format!("crasher: failed: unexpected-exception; starts again, restart {restart}");
            outcome.check(outcome.lines("partita").contains(&told.as_str()), &told);
        }
    }

    fn only_so_often(on) [virt_gicv3: run, virt_gicv2: ONE_POLICY, raspi4b: ONE_POLICY] {
        let policy = "restart = \"always\"; restart-limit = <3 600>;";
        let outcome = with_policy(on, policy, "off,aarch32,cpus-off,off-beside-a-loop");
        ended(&outcome, 4, "state=failed cause=system-off ", 3);
        let told = "crasher: ended: system-off; stays off: restarted too often (restart-limit)";
        outcome.check(outcome.lines("partita").contains(&told), told);
        // The victim went on to its own end.
        outcome.check(outcome.lines("victim").contains(&"victim: end whole"), "the victim's last words");
    }
}

/// With the physical CPU interface, in ways that all cores of a partition go along with.
fn comes_back_directly(on: On) {
    let policy =
        "restart = \"always\"; restart-limit = <5 600>; interrupt-path = \"direct\"; stop = \"best-effort\";";
    let outcome = with_policy(on, policy, "off,aarch32,cpus-off");
    ended(&outcome, 6, "state=failed cause=", 3);
    let told = "; stays off: restarted too often (restart-limit)";
    outcome.check(outcome.lines("partita").iter().any(|line| line.ends_with(told)), told);
    outcome.check(!outcome.log.contains("RESIDUE"), "nothing is left of the life before");
    outcome.check(outcome.lines("victim").contains(&"victim: end whole"), "the victim's last words");
}

/// A file of the bundle, damaged in memory while the partition runs, is not started again.
fn not_as_it_was(on: On) {
    let changes = [("lives=34", "lives=2 ways=off calm=3")];
    let machine = Machine::run_changed(on, PLAN, &changes).debugged();
    let mut machine = machine.start_on_terminal();
    machine.wait_for_line("crasher: life 0 way off");
    let mut debugger = machine.debugger();
    let base = lies(on, "the bundle");
    // The archive's member has this name behind its header; its contents follow.
    let mut pages = (base..).step_by(0x1000);
    let mut before: Vec<u8> = Vec::new();
    let place = loop {
        let page = pages.next().expect("addresses go on");
        before.extend(debugger.table(page).iter().flat_map(|word| word.to_le_bytes()));
        if let Some(at) = before.windows(16).position(|bytes| bytes == b"00000000crasher\0") {
            break base + at as u64;
        }
        assert!(before.len() < 0x80_0000, "the bundle has no crasher");
    };
    debugger.write((place & !7) + 0x1000, 0x7e57_ab1e);
    debugger.leave();
    machine
        .wait_until("it ends", |log| log.contains("crasher: failed: ") || log.contains("crasher: life 1 "));
    machine.end_victim();
    let outcome = machine.end();
    ended(&outcome, 1, "state=failed cause=bad-image ", 3);
    outcome.check(outcome.lines("victim").contains(&"victim: end whole"), "the victim's last words");
}

/// What a failure leaves on record, in short and whole, and what `partita crash` makes of it.
fn on_record(on: On) {
    let changes =
        [("restart = \"always\";\n", "restart = \"on-failure\";\n"), ("lives=34", "lives=1 ways=aarch32")];
    let mut machine = Machine::run_changed(on, PLAN, &changes).args(cpu(on)).start_on_terminal();
    machine.wait_for_line("crasher: done 1");
    let short = "partita: crash: crasher life=0 cause=unexpected-exception cpu=0";
    let log = machine.now().log;
    assert!(log.contains(short) && log.contains("partita: crash: crasher cpu=1 off"), "{log}");
    assert!(!log.contains(" x0="), "only in short: {log}");
    // The next life does not change the record of the one before.
    machine.type_text("\u{1d}c");
    machine.wait_for_line(" x30=");
    machine.wait_until("the record is whole", |log| log.matches("crash: crasher cpu=1 off").count() == 2);
    let log = machine.now().log;
    machine.end_victim();
    machine.type_text("\u{1d}q");
    let path = machine.folder().join("log");
    std::fs::write(&path, log).expect("the test's folder takes files");
    let elf = guest_elf("crasher");
    let mut command = std::process::Command::new(partita());
    let output = command.arg("crash").arg(&path).args(["crasher", "--elf"]).arg(elf).output();
    let output = output.expect("partita can be run");
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(words.contains("crasher: life 0: unexpected-exception, by its CPU 0\n  CPU 0 at 0x"), "{words}");
    // Where it was, and what it did.
    assert!(words.contains(" crasher_aarch32+0x0\n"), "{words}");
    assert!(words.contains("the hypervisor had no answer to an AArch32 system register\n"), "{words}");
    assert!(words.contains("  CPU 1 was off\n"), "{words}");
    let _ = machine.end();
}

/// EL2 fails on a core of the crasher's: that one is taken down, with a record, and the victim goes on.
fn fails_alone(on: On, way: &str, in_record: &str) {
    let folder = tempfile::TempDir::new().expect("a folder for the test");
    let mut machine = weakened(on, folder.path(), way).limit(120).start_on_terminal();
    machine.wait_for_line("crasher: failed: hypervisor-fault");
    machine.wait_for_line("crash: crasher cpu=1 ");
    let reports = |log: &str| log.matches("[victim] victim: report ").count();
    let before = reports(&machine.now().log);
    machine.wait_until("the victim reports", |log| reports(log) >= before + 2);
    machine.end_victim();
    let outcome = machine.end();
    let summary = outcome.summary("crasher");
    outcome.check(summary.starts_with("state=failed cause=hypervisor-fault "), summary);
    outcome.check(starts(&outcome) == 1, "it stays off, whatever its policy says");
    let lines = outcome.lines("partita");
    let record: Vec<_> = lines.iter().filter(|line| line.starts_with("crash: crasher ")).collect();
    outcome.check(record.iter().any(|line| line.contains(" el2_pc=0x8000000")), "where EL2 was");
    outcome.check(record.iter().any(|line| line.contains(in_record)), in_record);
    outcome.check(outcome.lines("victim").contains(&"victim: end whole"), "the victim's last words");
}

/// EL2 fails with a lock that all share: the machine stops, and says so.
fn fails_whole(on: On) {
    let folder = tempfile::TempDir::new().expect("a folder for the test");
    let mut machine = weakened(on, folder.path(), "fault-shared").limit(120).start();
    let told = "partita: error: the hypervisor itself failed with a lock that all cores share: an exception on core 0x1: ESR 0x96000";
    machine.wait_for_line(told);
    let outcome = machine.end();
    let (_, after) = outcome.log.split_once(told).expect("it was there");
    outcome.check(!after.contains("[victim]"), "nothing runs on");
    outcome.check(outcome.status == Some(0), "the machine was powered off");
}

const ONE_POLICY: &str = "the model decides, on all alike";
