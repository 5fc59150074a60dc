//! The exception vectors (vectors.S) and the exits that need no Rust (fast.S), with the layouts and numbers that they share
//! with Rust (macros.S).

use core::arch::global_asm;
use core::mem::offset_of;

use partita_abi::{psci, smccc};
use partita_model::gic::{Block, Mirror};
use partita_model::lifecycle::exits::Kind;
use partita_model::speculation;
use partita_model::weaken::Guard;

use crate::core::{Core, Peer};
use crate::gic::DOORBELL;
use crate::layout::EMERGENCY_TOP;
use crate::trap::Frame;

// Where crash.rs finds the guest's registers.
const _: () = assert!(Frame::ON_STACK == 31 * 8 + 8);

// The assembly compares with an immediate of the upper half, and with a number of 128 bytes.
const _: () = assert!(psci::VERSION & 0xffff == 0 && smccc::VERSION & 0xffff == 0);
const _: () = assert!(
    Mirror::SET_ENABLE.start.is_multiple_of(128) && Mirror::SET_ENABLE.end == Mirror::SET_ENABLE.start + 128
);

// What one load takes together.
const _: () = assert!(Core::EXITS == Core::SGIS + 48 && Core::FRAMES == Core::EXITS + 8);

// The images are found from the block's first byte.
const _: () = assert!(Block::IMAGES == 0);

// `guard` loads both at once.
const _: () = assert!(offset_of!(speculation::Guard, rounds) == offset_of!(speculation::Guard, firmware) + 4);

global_asm!(
    include_str!("macros.S"),
    include_str!("vectors.S"),
    include_str!("fast.S"),
    core_ready = const Core::READY,
    core_exits = const Core::EXITS,
    emergency_top = const EMERGENCY_TOP,
    core_frames = const Core::FRAMES,
    core_sgis = const Core::SGIS,
    core_registers = const Core::REGISTERS,
    core_guard = const Core::GUARD,
    mirror_values = const Mirror::VALUES,
    set_enable = const Mirror::SET_ENABLE.start,
    peer_bits = const size_of::<Peer>().ilog2(),
    block_pending = const Block::PENDING,
    block_busy = const Block::BUSY,
    block_loaded = const Block::LOADED,
    exit_irq = const 8 * Kind::Irq as usize,
    exit_sgi = const 8 * Kind::Sgi as usize,
    exit_sysreg = const 8 * Kind::SysReg as usize,
    exit_mmio = const 8 * Kind::Mmio as usize,
    exit_psci = const 8 * Kind::Psci as usize,
    exit_hvc = const 8 * Kind::Hvc as usize,
    doorbell = const DOORBELL,
    weaken = const cfg!(feature = "weaken") as usize,
    fast_sgi_affinity = const Guard::FastSgiAffinity as usize + 1,
    fast_sgi_peer = const Guard::FastSgiPeer as usize + 1,
    fast_mirror_page = const Guard::FastMirrorPage as usize + 1,
    psci_version = const psci::VERSION,
    psci_version_major = const psci::VERSION_1_1 >> 16,
    psci_version_minor = const psci::VERSION_1_1 & 0xffff,
    smccc_version = const smccc::VERSION,
    smccc_version_major = const smccc::VERSION_1_2 >> 16,
    smccc_version_minor = const smccc::VERSION_1_2 & 0xffff,
);
