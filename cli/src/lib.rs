//! The parts of the host tool that bring a plan's images about: guests fetched or built, the hypervisor's ELF.
#![forbid(unsafe_code)]

pub mod kit;
pub mod toolchain;
