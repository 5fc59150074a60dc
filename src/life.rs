//! A partition's beginning and end, on its own cores.

use partita_model::audit::Words;
use partita_model::bundle;
use partita_model::gic::{Bits, Hw, Word};
use partita_model::lifecycle::{Cause, State, Verdict};
use partita_model::watchdog::Watchdog;
use partita_model::weaken::{Guard, removed};
use spin::mutex::SpinMutexGuard;

use crate::audit;
use crate::core::Core;
use crate::partition::{self, Partition};
use crate::status;
use crate::{board, cache, clock, console, gic, pci, power, smmu};

/// Fills the partition's memory and starts its first virtual CPU. Runs on that one's core, when no other core of the
/// partition is in the guest. Its steps are functions of their own, which those who count can tell apart.
#[inline(never)]
pub fn load(core: &mut Core) {
    let (partition, start) = (core.partition, clock::now());
    let first = !partition.status.was_started();
    if !first {
        partition.status.count_restart();
        // Before the first time all tables, and all files, were looked at.
        if audit::of_partition(core) == audit::Verdict::Broken {
            return end(core, Cause::Audit);
        }
        if !files_are_whole(core) {
            return end(core, Cause::BadImage);
        }
    }
    if partition.image.clear_first || !first {
        clear_memory(core);
    }
    fill_memory(core);
    launch(core);
    if first {
        partition.status.loaded.done(start);
    }
}

/// Whether the files in the bundle still are what they were at boot.
#[inline(never)]
fn files_are_whole(core: &Core) -> bool {
    let partition = core.partition;
    let serve = || partition.mailbox.serve(core.vcpu);
    partition.image.files.iter().all(|file| bundle::is_whole(file.bytes, &file.sum, serve))
}

#[inline(never)]
fn clear_memory(core: &mut Core) {
    let partition = core.partition;
    for memory in partition.memory.iter().filter(|_| !removed(Guard::MemoryClear)) {
        // The window flushes what it closes.
        core.window.each(memory.physical(), |bytes, _| {
            cache::zero(bytes.as_mut_ptr() as usize, bytes.len());
        });
    }
}

/// The image's pieces and the tree come to where they belong.
#[inline(never)]
fn fill_memory(core: &mut Core) {
    let image = &core.partition.image;
    for (source, target) in &image.pieces {
        core.window.copy(source, target.base);
    }
    if let Some((tree, at)) = &image.tree {
        core.window.copy(tree, at.base);
    }
    cache::invalidate_instructions();
}

/// The first virtual CPU may enter; its devices are as after reset.
#[inline(never)]
fn launch(core: &mut Core) {
    let partition = core.partition;
    if partition.streams {
        smmu::admit(partition.number);
    }
    let mut state = partition.lock(core.vcpu);
    state.vgic.reset(&mut core.physical());
    state.terminal.reset();
    state.psci.launch(partition.image.start);
    partition.status.starts();
    // If it was told to stop meanwhile, it goes on to that.
    let _ = partition.life().run();
}

/// Ends the partition, at the word of one of its own cores: the others are kicked out of the guest, this one leaves.
#[cold]
#[inline(never)]
pub fn stop(core: &mut Core, cause: Cause) -> ! {
    end(core, cause);
    core.leave()
}

/// Ends the partition because EL2 failed on this core, in the midst of anything but what all share. Everything of the core's own is
/// brought back to where EL2's loop can have it: that one gathers the others, and finishes.
pub fn give_up(core: &mut Core) -> ! {
    core.window.shut();
    // What was acknowledged and not ended; the UART's interrupt is everybody's, so it is not left active.
    gic::controller().take_back(core.seat(), core.own_interrupts());
    let uart = board::uart_intid();
    if uart != 0 {
        core.physical().clear(Word::Shared(uart as usize / 32), Bits::Active, 1 << (uart % 32));
    }
    core.partition.free(core.vcpu);
    end(core, Cause::HypervisorFault);
    core.leave()
}

/// Has all cores of the partition leave the guest; the calling one sees to itself.
pub fn end(core: &mut Core, cause: Cause) {
    let partition = core.partition;
    let mut state = partition.lock(core.vcpu);
    // When another core said so first, its cause stands. A watchdog's end is no core's doing.
    if partition.life().stop(cause) && cause.is_failure() {
        let by = (cause != Cause::Watchdog).then_some(core.vcpu);
        state.record.begin(partition.status.restarts(), cause, by);
        partition.status.area.fails(partition.status.restarts(), cause, by);
    }
    drop(state);
    spread(core);
}

/// Has the partition's other cores see that it ends.
pub fn spread(core: &mut Core) {
    let partition = core.partition;
    let others = || (0..partition.vcpus.len()).filter(|vcpu| *vcpu != core.vcpu);
    others().for_each(|vcpu| partition.kick(vcpu));
    if partition.direct && others().count() != 0 {
        unplug(core);
    }
}

/// Takes a direct partition's memory away from under its other cores, which no kick reaches: each comes to EL2 when it next
/// fetches or loads something, and sees that the partition ends. One that sleeps is woken when this one is out (core.rs,
/// `idle`), unless its guest masked interrupts at the CPU interface; that one stays where it is, in a partition that has
/// nothing any more.
fn unplug(core: &mut Core) {
    let partition = core.partition;
    core.window.each(partition.root.0, |bytes, _| bytes.fill(0));
    // SAFETY: translations of this partition's VMID go, on all cores; what made them is empty, and its guest is to end.
    unsafe {
        core::arch::asm!("dsb ish", "tlbi vmalls12e1is", "dsb ish", "isb", options(nostack, preserves_flags));
    }
}

/// Says that the partition ended, why, and what becomes of it. Where the user ends everything it is no news.
fn tell(partition: &Partition, state: &mut partition::State, cause: Cause, verdict: Verdict) {
    if cause == Cause::Quit {
        return;
    }
    let by = partition.status.told_by();
    let again = partition.life().is(State::Loading) && (verdict == Verdict::Again || by.is_some());
    let mut words = Words::default();
    words.text(&partition.status.name).text(if cause.is_failure() { ": failed: " } else { ": ended: " });
    words.text(cause.word());
    if let Some(by) = by {
        words.text(" to by ").text(by);
    }
    if again {
        words.text("; starts again, restart ").number(partition.status.restarts() + 1);
    } else if verdict == Verdict::Exhausted {
        words.text("; stays off: restarted too often (restart-limit)");
    }
    let partition::State { record, terminal, .. } = state;
    console::announce(partition, terminal, words.as_str());
    if cause.is_failure() {
        record.lines(&partition.status.name, false, |line| console::announce(partition, terminal, line));
    }
}

/// The last core has left the guest: everything that the partition had set up in hardware goes back to its reset
/// state; then it is off, or loaded again by its first core.
#[inline(never)]
pub fn finish(core: &mut Core, mut state: SpinMutexGuard<'_, partition::State>) {
    let partition = core.partition;
    // First of all no DMA any more: from here on the memory may be filled anew.
    state.pci.iter_mut().for_each(pci::reset);
    if partition.streams {
        smmu::block(partition.number);
    }
    state.vgic.reset(&mut core.physical());
    if partition.direct {
        let (root, entries) = &partition.root;
        core.window.copy(entries, root.base);
    }
    state.terminal.reset();
    if !removed(Guard::WatchdogEnd) {
        // A timer that still runs for it finds nothing to do.
        state.watchdog = Watchdog::new();
    }
    let (_, cause) = partition.life().get();
    let quitting = console::quitting();
    let verdict = if quitting { Verdict::Stay } else { state.policy.verdict(cause, clock::now()) };
    // Off or failed by its cause, or on its way back.
    // What is said of it is said by its own cores before somebody else may start it.
    partition.status.ends();
    partition.status.area.recorded();
    let settled = partition.life().settle(verdict);
    tell(partition, &mut state, cause, verdict);
    if settled == Some(State::Loading) {
        drop(state);
        if core.vcpu != 0 {
            partition.kick(0);
        }
        return;
    }
    drop(state);
    console::receive(core);
    if status::one_is_off(console::quitting()) {
        console::settle();
        status::summarize();
        power::off();
    }
}
