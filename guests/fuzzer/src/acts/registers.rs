//! System registers and instructions by encoding, whatever they are, but for those that this core stands on.

use core::arch::asm;
use core::cell::UnsafeCell;

use partita_guest::cpu;
use partita_guest::gic::{self, Version};

use super::memory::call;
use crate::world::World;

/// A page of generated code a core: instructions, each with its return.
#[repr(C, align(4096))]
struct Code(UnsafeCell<[[u32; 1024]; cpu::MAX_CORES]>);
// SAFETY: each core writes and runs its own page.
unsafe impl Sync for Code {}
static CODE: Code = Code(UnsafeCell::new([[0; 1024]; cpu::MAX_CORES]));

/// Instructions made at a time: making them is what costs.
const BATCH: usize = 24;
const RET: u32 = 0xd65f_03c0;

/// op0, op1, CRn, CRm, op2.
type Encoding = [u32; 5];

/// Makes a batch of accesses and runs it.
pub fn batch(world: &mut World) {
    let page = CODE.0.get() as u64 + 0x1000 * cpu::index() as u64;
    let mut made = [(false, [0; 5]); BATCH];
    for (place, entry) in made.iter_mut().enumerate() {
        let (read, encoding) = choose(world);
        *entry = (read, encoding);
        let [op0, op1, crn, crm, op2] = encoding;
        // SYSL, MRS or SYS, MSR with Xt = x0 (DDI 0487, C4.1.95).
        let word =
            0xd500_0000 | u32::from(read) << 21 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5;
        let at = page + 8 * place as u64;
        partita_guest::mmio::write32(at, word);
        partita_guest::mmio::write32(at + 4, RET);
        // SAFETY: cleans what was just written, so that it can be fetched; contents do not change (DDI 0487, B2.7.4.4).
        unsafe { asm!("dc cvau, {at}", "dsb ish", "ic ivau, {at}", at = in(reg) at, options(nostack)) };
    }
    // SAFETY: barriers only.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
    for (place, (read, encoding)) in made.into_iter().enumerate() {
        // Instructions take addresses: this core's scratch memory, or where it has none.
        let operand = match encoding[0] {
            1 if world.random.once_in(2) => world.scratch(),
            1 => world.random.any() & 0x3f_ffff_ffff | 0x20_0000_0000,
            // ICC_BPR0_EL1, ICC_BPR1_EL1: QEMU 10.0.2 aborts when more than the field's three bits are written.
            3 if matches!(encoding, [3, 0, 12, 8 | 12, 3]) => world.random.below(8),
            _ => world.random.value(),
        };
        // ID registers always trap (HCR_EL2.TID3).
        let is_id = matches!(encoding, [3, 0, 0, 1..=7, _]) && read;
        world.attempt(is_id, || call(page + 8 * place as u64, operand, 0));
    }
}

fn choose(world: &mut World) -> (bool, Encoding) {
    let random = &mut world.random;
    loop {
        let read = random.once_in(2);
        let field = |random: &mut crate::random::Random, limit| random.below(limit) as u32;
        let op0 = random.pick(&[1, 2, 3, 3, 3]);
        let mut encoding = [op0, field(random, 8), field(random, 16), field(random, 16), field(random, 8)];
        if op0 == 3 && random.once_in(2) {
            // Where registers lie densely: EL1's own, counters, the interrupt controller.
            encoding[1] = random.pick(&[0, 0, 3, 4, 5]);
            encoding[2] = random.pick(&[0, 1, 2, 4, 5, 6, 9, 12, 12, 13, 14, 14]);
        }
        // Set/way maintenance costs a pass over all memory.
        let by_set = matches!(encoding, [1, 0, 7, 6 | 10 | 14, 2 | 4 | 6]);
        if by_set && !random.once_in(16) || !read && is_ground(encoding) {
            continue;
        }
        return (read, encoding);
    }
}

/// What this core stands on: translation, vectors, stack, its number, masks, self-hosted debug.
fn is_ground(encoding: Encoding) -> bool {
    matches!(
        encoding,
        // SCTLR_EL1, SCTLR2_EL1; TTBR0_EL1, TTBR1_EL1, TCR_EL1, TCR2_EL1; SPSel, DAIF; MAIR_EL1 and what is beside it;
        [3, 0, 1, 0, 0 | 3] | [3, 0, 2, 0, _] | [3, 0, 4, 2, 0] | [3, 3, 4, 2, 1] | [3, 0, 10, 2, _]
        // VBAR_EL1; TPIDR_EL1; MDSCR_EL1.
        | [3, 0, 12, 0, 0] | [3, 0, 13, 0, 4] | [2, 0, 0, 2, 2]
    )
}

/// An SGI with any value, by each of the registers that send them.
pub fn sgi(world: &mut World) {
    let value = match world.random.below(4) {
        // Well-formed, to the partition's cores.
        0 | 1 => world.random.below(16) << 24 | world.random.below(16),
        2 => world.random.below(16) << 24 | world.random.any() & 0xff_00ff_ffff,
        _ => world.random.any(),
    };
    match gic::version() {
        Version::V3 => {
            let which = world.random.below(3);
            // SAFETY: sends an interrupt, or does nothing.
            world.attempt(true, || unsafe {
                match which {
                    0 => asm!("msr S3_0_C12_C11_5, {}", in(reg) value, options(nostack)),
                    1 => asm!("msr S3_0_C12_C11_6, {}", in(reg) value, options(nostack)),
                    _ => asm!("msr S3_0_C12_C11_7, {}", in(reg) value, options(nostack)),
                }
            });
        }
        Version::V2 => {
            let value = (value & 0xffff | value >> 24 << 16) as u32;
            world.attempt(true, || partita_guest::mmio::write32(gic::gicd() + 0xf00, value));
        }
    }
}
