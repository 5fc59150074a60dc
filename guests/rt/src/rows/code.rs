//! Running single instructions that are put together at run time, and system registers by their encoding.

use core::arch::asm;
use core::cell::UnsafeCell;

use crate::exception::{Fault, catch};

/// A page for generated code. Only the boot core uses it.
#[repr(C, align(4096))]
struct Page(UnsafeCell<[u32; 1024]>);
// SAFETY: see above.
unsafe impl Sync for Page {}
static PAGE: Page = Page(UnsafeCell::new([0; 1024]));

const RET: u32 = 0xd65f_03c0;

/// Writes `words` to memory and makes them fetchable (DDI 0487, B2.7.4.4: clean, invalidate, synchronise).
pub fn publish(at: u64, words: &[u32]) {
    for (index, word) in words.iter().enumerate() {
        let to = at + index as u64 * 4;
        crate::mmio::write32(to, *word);
        // SAFETY: cache maintenance by address changes no contents.
        unsafe {
            asm!("dc cvau, {to}", "dsb ish", "ic ivau, {to}", "dsb ish", "isb", to = in(reg) to, options(nostack))
        };
    }
}

/// Calls the code at `at` with x0 = `argument`.
pub fn call(at: u64, argument: u64) -> u64 {
    let value;
    // SAFETY: generated code is one instruction and a return; the clobbers of a C call cover what it may change.
    unsafe {
        asm!("blr {at}", at = in(reg) at, inlateout("x0") argument => value, clobber_abi("C"));
    }
    value
}

/// Runs one instruction with x0 = `argument`: x0 after it, and the exception it caused.
pub fn run(instruction: u32, argument: u64) -> (u64, Option<Fault>) {
    let at = PAGE.0.get() as u64;
    publish(at, &[instruction, RET]);
    catch(|| call(at, argument))
}

/// Encoding of a system register: op0, op1, CRn, CRm, op2.
pub type Register = (u32, u32, u32, u32, u32);

const fn encode((op0, op1, crn, crm, op2): Register) -> u32 {
    (op0 & 1) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
}

/// MRS of any register.
pub fn read(register: Register) -> (u64, Option<Fault>) {
    run(0xd530_0000 | encode(register), 0)
}

/// MSR of any register.
pub fn write(register: Register, value: u64) -> Option<Fault> {
    run(0xd510_0000 | encode(register), value).1
}

/// Reads a system register by the name that the assembler knows.
#[macro_export]
macro_rules! mrs {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading this register has no effect on memory.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) };
        value
    }};
}

/// Writes a system register by the name that the assembler knows, with ISB.
#[macro_export]
macro_rules! msr {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the rows that write a register know what it does; none of them moves memory under Rust.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) };
    }};
}
