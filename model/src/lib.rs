//! The pure part of Partita: everything that is decided, nothing that is done.
//!
//! Parsing, planning, stage-2 table contents, distributor filtering, power states, guest device trees and the
//! console are plain functions and state machines: (state, input) -> (state, actions). The EL2 image performs the
//! actions; the host tool prints them; the tests run them. So nothing here may touch hardware, and nothing here
//! is `unsafe`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod addr;
pub mod audit;
pub mod bundle;
pub mod console;
pub mod crash;
pub mod dt;
pub mod errata;
pub mod gic;
pub mod guest_tree;
pub mod idregs;
pub mod image;
pub mod lifecycle;
pub mod midr;
pub mod pci;
pub mod pl011;
pub mod plan;
pub mod psci;
pub mod smccc;
pub mod smmu;
pub mod sort;
pub mod speculation;
pub mod stage1;
pub mod stage2;
pub mod supervision;
pub mod syndrome;
pub mod sysreg;
pub mod watchdog;
pub mod weaken;
