//! Runs every system instruction of a form: MRS, MSR, SYS, SYSL and what has no name, each as an instruction made at run
//! time.

use core::arch::asm;
use core::cell::UnsafeCell;

use partita_guest::exception::{Fault, catch};
use partita_guest::mmio::write32;

use crate::code::{Register, call};

const RET: u32 = 0xd65f_03c0;
/// Encodings below one op1: CRn, CRm, op2.
const EACH: usize = 16 * 16 * 8;

#[repr(C, align(4096))]
struct Code(UnsafeCell<[[u32; 2]; EACH]>);
// SAFETY: used by the boot core only, and by its address only.
unsafe impl Sync for Code {}
static CODE: Code = Code(UnsafeCell::new([[0; 2]; EACH]));

/// The instruction of a form, with the operand in a general register.
#[derive(Clone, Copy)]
pub struct Form(u32);

/// MRS, SYSL and the reading form of op0 0: value in x0.
pub const READ: Form = Form(0xd520_0000);
/// MSR (register), SYS: value from x0.
pub const WRITE: Form = Form(0xd500_0000);
/// The same with no operand: register 31.
pub const BARE: Form = Form(0xd500_001f);
/// MRRS, into x0 and x1.
pub const READ_PAIR: Form = Form(0xd560_0000);
/// MSRR and SYSP, from x0 and x1.
pub const WRITE_PAIR: Form = Form(0xd540_0000);

/// One encoding, ready to be run.
pub struct Instruction {
    /// op0, op1, CRn, CRm, op2.
    pub register: Register,
    at: u64,
}

impl Instruction {
    /// Runs it with x0 = `value`: x0 after it, and the exception it caused.
    pub fn run(&self, value: u64) -> (u64, Option<Fault>) {
        catch(|| call(self.at, value))
    }
}

/// Calls `visit` with every encoding of `form` with this op0, until it fails.
pub fn each<E>(form: Form, op0: u32, mut visit: impl FnMut(&Instruction) -> Result<(), E>) -> Result<(), E> {
    let code = CODE.0.get() as u64;
    for op1 in 0..8 {
        for number in 0..EACH as u32 {
            let at = code + u64::from(number) * 8;
            write32(at, form.0 | op0 << 19 | op1 << 16 | number << 5);
            write32(at + 4, RET);
        }
        publish(code, code + EACH as u64 * 8);
        for number in 0..EACH as u32 {
            let register = (op0, op1, number >> 7, number >> 3 & 0xf, number & 7);
            visit(&Instruction { register, at: code + u64::from(number) * 8 })?;
        }
    }
    Ok(())
}

/// Makes code fetchable (DDI 0487, B2.7.4.4): clean all, then invalidate all.
fn publish(from: u64, to: u64) {
    // The smallest line that there may be is 16 bytes (CTR_EL0).
    for at in (from..to).step_by(16) {
        // SAFETY: cache maintenance by address changes no contents.
        unsafe { asm!("dc cvau, {at}", at = in(reg) at, options(nostack)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack)) };
    for at in (from..to).step_by(16) {
        // SAFETY: as above.
        unsafe { asm!("ic ivau, {at}", at = in(reg) at, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}
