//! A partition's beginning and end, on its own cores.

use partita_model::lifecycle::Cause;
use partita_model::weaken::{Guard, removed};
use spin::mutex::SpinMutexGuard;

use crate::audit::{self, Verdict};
use crate::core::Core;
use crate::partition::State;
use crate::status;
use crate::{cache, clock, console, pci, power, smmu};

/// Fills the partition's memory and starts its first virtual CPU. Runs on that one's core, when no other core of the
/// partition is in the guest.
pub fn load(core: &mut Core) {
    let (partition, start) = (core.partition, clock::now());
    let first = partition.lock(core.vcpu).loads == 0;
    // Before the first time all of them were looked at.
    if !first && audit::of_partition(core) == Verdict::Broken {
        let _ = partition.life().stop(Cause::Audit);
        return;
    }
    let clear = |first: bool| (partition.image.clear_first || !first) && !removed(Guard::MemoryClear);
    for memory in partition.memory.iter().filter(|_| clear(first)) {
        core.window.each(memory.physical(), |bytes, _| {
            cache::clear(bytes.as_mut_ptr() as usize, bytes.len());
        });
    }
    for (source, target) in &partition.image.pieces {
        core.window.copy(source, target.base);
    }
    if let Some((tree, at)) = &partition.image.tree {
        core.window.copy(tree, at.base);
    }
    cache::invalidate_instructions();
    if partition.streams {
        smmu::admit(partition.number);
    }
    let mut state = partition.lock(core.vcpu);
    state.vgic.reset(&mut core.physical());
    state.terminal.reset();
    state.psci.launch(partition.image.start);
    state.loads += 1;
    // Only a core that runs the partition could have stopped it, and none does.
    let _ = partition.life().run();
    if first {
        partition.status.loaded.done(start);
    }
}

/// Ends the partition, at the word of one of its own cores: the others are kicked out of the guest, this one leaves.
pub fn stop(core: &mut Core, cause: Cause) -> ! {
    end(core, cause);
    core.leave()
}

/// Has all cores of the partition leave the guest; the calling one sees to itself.
pub fn end(core: &mut Core, cause: Cause) {
    let partition = core.partition;
    let state = partition.lock(core.vcpu);
    // When another core said so first, its cause stands.
    let _ = partition.life().stop(cause);
    drop(state);
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

/// The last core has left the guest: everything that the partition had set up in hardware goes back to its reset
/// state; then it is off, or loaded again by its first core.
pub fn finish(core: &mut Core, mut state: SpinMutexGuard<'_, State>) {
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
    // Off or failed by its cause, or off for a moment before it is loaded again.
    let again = partition.life().get().1 == Cause::SystemReset;
    let _ = partition.life().settle();
    if again {
        let _ = partition.life().load();
        drop(state);
        if core.vcpu != 0 {
            partition.kick(0);
        }
        return;
    }
    state.terminal.reset();
    drop(state);
    console::receive(core);
    if status::one_is_off(console::quitting()) {
        console::settle();
        status::summarize();
        power::off();
    }
}
