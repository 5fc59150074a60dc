//! Numbers that guests, the hypervisor and the tools must agree on: PSCI and SMCCC function identifiers,
//! Partita's own hypercalls, and the layout of what they share. Nothing here computes anything.
#![no_std]
#![forbid(unsafe_code)]

pub mod psci;
pub mod smccc;
pub mod supervision;
