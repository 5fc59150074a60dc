//! Out of the way: a plan may pin a partition's memory to where the boot loader put the hypervisor or the bundle. Then
//! they are copied to where the plan wants them, and EL2 starts anew there, as a boot loader would start it: nothing of
//! its state has to be moved, and the second start makes the same plan without a move.

use partita_model::addr::{Pa, PaSpan};
use partita_model::plan::{Movable, Move};

use crate::mmu::Stage1;
use crate::window::Window;
use crate::{cache, layout};

unsafe extern "C" {
    static cold: u8;
    fn restart(tree: u64, bundle: u64, bundle_end: u64, entry: u64, tables: u64, cold: u64) -> !;
}

/// Whether the plan wants anything moved that is still needed: the firmware's tree was read, and is not.
pub fn is_needed(moves: &[Move]) -> bool {
    moves.iter().any(|step| step.what != Movable::Tree)
}

/// Performs the moves and starts anew. `bytes` are the bundle's, at `bundle`; only this core runs yet.
pub fn start_anew(tables: &mut Stage1, tree: Pa, bundle: PaSpan, bytes: &[u8], moves: &[Move]) -> ! {
    let mut window = tables.add_window();
    let to = |what| moves.iter().find(|step| step.what == what).map(|step| step.to.base);
    let (mut bundle, mut entry) = (bundle, layout::image().base);
    if let Some(base) = to(Movable::Bundle) {
        let offset = bundle.base.0 & (layout::PAGE as u64 - 1);
        bundle.base = Pa(base.0 + offset);
        window.copy(bytes, bundle.base);
    }
    if let Some(base) = to(Movable::Hypervisor) {
        copy_image(&mut window, base);
        entry = base;
    }
    let own_tables = layout::pa_of(layout::boot_tables()).0;
    let leave = layout::pa_of(core::ptr::addr_of!(cold) as usize).0;
    let (start, size, pristine) = layout::initialised();
    // SAFETY: boot.S's tables are as it made them, and a whole image lies at `entry`, cleaned to memory. Where that is
    // this one, its data goes back to what was loaded; nothing reads it between here and boot.S.
    unsafe {
        core::ptr::copy_nonoverlapping(pristine as *const u8, start as *mut u8, size);
        cache::flush(start, size);
        restart(tree.0, bundle.base.0, bundle.end().0, entry.0, own_tables, leave)
    }
}

/// Copies the image as it was loaded. What it writes before it reads (bss, heap, stacks) is left out.
fn copy_image(window: &mut Window, to: Pa) {
    let (start, size, pristine) = layout::initialised();
    // SAFETY: text and rodata never change; the copy of the data was made by boot.S and is not written since.
    let (code, data) = unsafe {
        (
            core::slice::from_raw_parts(layout::IMAGE as *const u8, layout::rodata_end() - layout::IMAGE),
            core::slice::from_raw_parts(pristine as *const u8, size),
        )
    };
    window.copy(code, to);
    window.copy(data, Pa(to.0 + (start - layout::IMAGE) as u64));
}
