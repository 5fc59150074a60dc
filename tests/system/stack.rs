//! What happens when EL2's own stack is at its end: the page below is not mapped, and who comes there is told.

use partita_tests::reach::Image;
use partita_tests::{Machine, On, build_image, system_tests};

const STACK_SIZE: u64 = 0x4000;
/// The guests' registers, which the vectors put on the stack.
const FRAME: u64 = 0x100;

/// A core that has come to Rust from a guest finds its stack all but used up: what comes next is below it.
fn overflow(on: On) {
    let trap = Image::new(&build_image()).symbol("trap_sync");
    let mut machine = Machine::run(on, "tests/system/live.dtso").debugged().start();
    machine.wait_for("[pair] tick ");
    let mut debugger = machine.debugger();
    let core = debugger.run_to(trap);
    let top = debugger.el2_stack(core) + FRAME;
    debugger.set_stack(core, top - STACK_SIZE + 16);
    debugger.leave();
    machine.wait_for_line(" stack-overflow");
    let outcome = machine.now();
    let told = |line: &&str| line.starts_with("crash: ") && line.contains(" esr_el2=0x96000");
    let found = outcome.lines("partita").into_iter().find(told);
    let line = found.unwrap_or_else(|| outcome.fail("no record of it"));
    let far = line.split_once(" far_el2=0x").and_then(|(_, far)| far.split(' ').next());
    let far = far.and_then(|far| u64::from_str_radix(far, 16).ok());
    let guard = top - STACK_SIZE - 0x1000..top - STACK_SIZE;
    outcome.check(far.is_some_and(|far| guard.contains(&far)), "the address is in the page below the stack");
}

system_tests! {
    fn an_overflow_is_told(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: run] {
        overflow(on);
    }
}
