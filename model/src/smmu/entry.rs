//! Stream table entries: what an SMMU does with one stream.

use crate::addr::Pa;
use crate::stage2::{Shape, vtcr};
use crate::weaken::{self, removed};

/// 64-bit words of an entry (IHI 0070, 5.2).
pub(super) const WORDS: usize = 8;

/// STE.V, bit 0: the entry is valid. An invalid one would abort too, but with an event for each transaction.
const V: u64 = 1;
/// STE.Config, bits 3:1 = 0b110: stage 1 bypassed, stage 2 translates. 0b000 aborts without an event.
const CONFIG_STAGE2: u64 = 0b110 << 1;
/// STE.Config = 0b100: nothing is translated. Only for test builds without a guard.
const CONFIG_BYPASS: u64 = 0b100 << 1;
/// STE.SHCFG, bits 109:108 = 0b01: shareability as the device says, which stage 2 can only raise. All else of the second
/// word is zero: attributes as they come, and EATS (93:92) = 0b00, so that requests for translations (PCIe ATS) abort.
const SHCFG_INCOMING: u64 = 0b01 << 44;
/// STE.S2AA64, bit 179: tables of the AArch64 format. S2ENDI, bit 180, is zero: little-endian.
const S2AA64: u64 = 1 << 51;
/// STE.S2AFFD, bit 181: no faults for the access flag, which every entry has set anyway.
const S2AFFD: u64 = 1 << 53;
/// STE.S2R, bit 186: faults are recorded. S2S, bit 185, is zero: they terminate and never stall (3.12.1).
const S2R: u64 = 1 << 58;
/// S2T0SZ, S2SL0, S2IR0, S2OR0, S2SH0, S2TG and S2PS, bits 178:160, stand as in VTCR_EL2 18:0.
const VTCR: u64 = 0x7_ffff;
/// STE.S2TTB, bits 243:196: the root, with the low four bits zero.
const S2TTB: u64 = 0x000f_ffff_ffff_fff0;

/// What a partition's streams are translated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The tables of the partition's RAM.
    pub root: Pa,
    /// Their form.
    pub shape: Shape,
    /// Bits of an address that the SMMU puts out.
    pub output_bits: u32,
    /// The partition's VMID, under which the SMMU keeps what it has read of them.
    pub vmid: u16,
}

/// What happens to a stream's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are aborted, and nobody is told.
    Abort,
    /// They reach the partition's RAM. What goes elsewhere is aborted, and an event recorded.
    Translate,
    /// The same without events.
    Silent,
}

impl Guard {
    /// The entry of a stream. Between modes only the first and the third word change, each by itself: whichever the SMMU
    /// sees first, the tables are the same (3.21.3).
    #[must_use]
    pub fn entry(&self, mode: Mode) -> [u64; WORDS] {
        let config = match mode {
            Mode::Abort => 0,
            _ if removed(weaken::Guard::SmmuStage2) => CONFIG_BYPASS,
            Mode::Translate | Mode::Silent => CONFIG_STAGE2,
        };
        let record = if mode == Mode::Translate { S2R } else { 0 };
        let walk = vtcr(&self.shape, self.output_bits) & VTCR;
        let third = u64::from(self.vmid) | walk << 32 | S2AA64 | S2AFFD | record;
        [V | config, SHCFG_INCOMING, third, self.root.0 & S2TTB, 0, 0, 0, 0]
    }
}

/// The entry of a stream that nobody has.
pub(super) fn nobody() -> [u64; WORDS] {
    let config = if removed(weaken::Guard::SmmuStream) { CONFIG_BYPASS } else { 0 };
    [V | config, 0, 0, 0, 0, 0, 0, 0]
}
