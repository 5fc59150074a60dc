//! The flat guest with PSCI by SMC.
#![no_std]
#![no_main]

core::arch::global_asm!(concat!(".macro call\n", "smc #0\n", ".endm\n"), include_str!("../flat.S"));

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
