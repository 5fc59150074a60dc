//! Commands: what EL2 asks of an SMMU.

/// A command (IHI 0070, chapter 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// CMD_CFGI_STE: forget one stream's entry, and the descriptor of its table.
    ForgetStream(u32),
    /// CMD_CFGI_ALL: forget all entries.
    ForgetStreams,
    /// CMD_TLBI_S12_VMALL: forget all translations of a VMID.
    ForgetVmid(u16),
    /// CMD_TLBI_NSNH_ALL: forget all translations of EL1 and stage 2.
    ForgetTranslations,
    /// CMD_SYNC: consumed when all before it have taken effect.
    Sync,
}

impl Command {
    /// As it stands in the queue.
    #[must_use]
    pub fn encode(self) -> [u64; 2] {
        match self {
            // 4.3.1. SSec, bit 10, is zero: the Non-secure stream. Leaf, bit 64, is zero: the L1 descriptor as well.
            Self::ForgetStream(id) => [0x03 | u64::from(id) << 32, 0],
            // 4.3.3: CMD_CFGI_STE_RANGE with Range, bits 68:64, all ones.
            Self::ForgetStreams => [0x04, 31],
            // 4.4: VMID, bits 47:32.
            Self::ForgetVmid(vmid) => [0x28 | u64::from(vmid) << 32, 0],
            Self::ForgetTranslations => [0x30, 0],
            // 4.7: CS, bits 13:12 = 0b00: no signal, it is polled.
            Self::Sync => [0x46, 0],
        }
    }
}
