//! What system tests need: the `partita` tool built from today's source, machines that never outlive their test, and their
//! consoles as text.
//!
//! Tests do with it what a user would do at a shell. They never look into the tool or the hypervisor.

pub mod attack;
mod build;
mod bundle;
mod console;
mod debugger;
mod entry;
pub mod exits;
mod firmware;
pub mod lives;
mod machine;
pub mod reach;
mod registry;
mod slots;
pub mod soak;
pub mod speed;
pub mod tables;
pub mod xen;

pub use build::{guest, guest_elf, has_partitactl, image as build_image, partita, root};
pub use bundle::{bundle, compile};
pub use console::{Console, lines_of};
pub use debugger::Debugger;
pub use firmware::Firmware;
pub use machine::{
    EDU, Machine, ONE_THREAD, Outcome, Running, emulator, native, native_image, pi_with_u_boot, qemu,
    with_firmware,
};
pub use registry::{
    A72_ONLY, ABOUT_THE_BOARD, GICV2_ONLY, OTHER_CORE, On, Place, Target, Test, run_test, show,
};
