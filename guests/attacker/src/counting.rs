//! Exceptions by the hundred thousand, without a handler in the way: see `vectors.S`.

use core::arch::global_asm;

global_asm!(include_str!("vectors.S"));

unsafe extern "C" {
    static counting_vectors: u8;
    static undefined_vectors: u8;
}

/// EL1 with its own stack, everything masked (DDI 0487, SPSR_EL1).
pub const EL1H_MASKED: u64 = 0x3c5;

/// The vectors that count.
pub fn vectors() -> u64 {
    &raw const counting_vectors as u64
}

/// The vectors that are undefined instructions.
pub fn undefined() -> u64 {
    &raw const undefined_vectors as u64
}

/// Runs instructions with the counting vectors until `$limit` exceptions have come of them, or they fall through. x0 and x1 are
/// `$x0` and `$x1` before; the instructions may use x0 to x7. Answers with the number of exceptions and the last syndrome.
#[macro_export]
macro_rules! provoke {
    ($limit:expr, $x0:expr, $x1:expr, $($instruction:literal),+ $(,)?) => {{
        let (count, syndrome): (u64, u64);
        let (limit, x0, x1): (u64, u64, u64) = ($limit, $x0, $x1);
        // SAFETY: stack pointer and vectors are put back, and PSTATE is as it was: interrupts are masked while rows do this.
        // No register of the caller's lives across it, as AArch32 would cut them to 32 bits.
        unsafe {
            core::arch::asm!(
                "stp x19, x29, [sp, #-16]!",
                "mov x24, sp",
                "mrs x22, vbar_el1",
                "msr vbar_el1, x2",
                "isb",
                "adr x27, 77f",
                "mov x28, xzr",
                "mov x23, xzr",
                $($instruction,)+
                "77:",
                "msr spsel, #1",
                "mov sp, x24",
                "msr vbar_el1, x22",
                "isb",
                "ldp x19, x29, [sp], #16",
                inout("x0") x0 => _, inout("x1") x1 => _, inout("x2") $crate::counting::vectors() => _,
                out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _,
                out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _,
                out("x16") _, out("x17") _, out("x18") _, out("x20") _, out("x21") _, out("x22") _,
                out("x23") syndrome, out("x24") _, in("x25") $crate::counting::EL1H_MASKED, in("x26") limit,
                out("x27") _, out("x28") count, out("x30") _,
            )
        };
        (count, syndrome)
    }};
}
