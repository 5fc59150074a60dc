//! Access to system registers that `aarch64-cpu` does not know, and the barriers around them.

/// Reads a system register by its assembler name.
macro_rules! mrs {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading this register changes no memory that Rust knows of.
        #[allow(unused_unsafe, reason = "it also stands in unsafe blocks")]
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack, preserves_flags)) };
        value
    }};
}

/// Writes a system register by its assembler name. The caller's SAFETY note covers the effect.
macro_rules! msr {
    ($name:expr, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags))
    }};
}

pub(crate) use {mrs, msr};
