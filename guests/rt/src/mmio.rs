//! Device and memory accesses as exactly one load or store with a plain base register. Compilers may merge volatile accesses
//! with address arithmetic into forms that carry no syndrome (ISV = 0), which no hypervisor can emulate.

use core::arch::asm;

macro_rules! access {
    ($read:ident, $write:ident, $type:ty, $load:literal, $store:literal, $form:literal) => {
        /// Reads one device register or memory cell.
        #[inline(always)]
        pub fn $read(address: u64) -> $type {
            let value: $type;
            // SAFETY: a guest reads anywhere at its own risk: what it may not read is an exception that it gets, and the
            // memory that Rust manages is not changed by reading.
            unsafe {
                asm!(concat!($load, " {value:", $form, "}, [{address}]"), value = out(reg) value,
                    address = in(reg) address, options(nostack, preserves_flags))
            };
            value
        }

        /// Writes one device register or memory cell.
        #[inline(always)]
        pub fn $write(address: u64, value: $type) {
            // SAFETY: callers name device registers, or memory outside the image: nothing that Rust manages.
            unsafe {
                asm!(concat!($store, " {value:", $form, "}, [{address}]"), value = in(reg) value,
                    address = in(reg) address, options(nostack, preserves_flags))
            };
        }
    };
}

access!(read8, write8, u8, "ldrb", "strb", "w");
access!(read16, write16, u16, "ldrh", "strh", "w");
access!(read32, write32, u32, "ldr", "str", "w");
access!(read64, write64, u64, "ldr", "str", "x");
