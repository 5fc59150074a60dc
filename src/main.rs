//! Partita, the EL2 image: the only home of `unsafe`, and of everything that touches hardware.
//!
//! The first core reads the firmware's tree and the bundle, makes the plan (pure code, in `partita-model`), prepares
//! what every partition and core needs, starts the other cores and becomes one of them. From then on a core does
//! nothing but answer its own partition's exits (trap/), one at a time, and allocates nothing.
#![no_std]
#![no_main]

extern crate alloc;

mod area;
mod audit;
mod board;
mod boot;
mod cache;
mod clock;
mod console;
mod core;
mod crash;
mod early;
mod efi;
mod el1;
mod gic;
mod heap;
mod kinds;
mod layout;
mod life;
mod mmu;
mod muster;
mod partition;
mod pci;
mod power;
mod prepare;
mod print;
mod relocate;
mod smmu;
mod status;
mod supervise;
mod sysreg;
mod timeline;
mod trap;
mod traps;
mod uart;
mod vectors;
mod watchdog;
mod weaken;
mod window;

use ::core::arch::global_asm;

global_asm!(include_str!("boot.S"));
