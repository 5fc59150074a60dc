//! What an SMMU has, by its ID registers, and whether that is enough.

use core::fmt;

/// What matters of the ID registers (IHI 0070, 6.3: SMMU_IDR0, SMMU_IDR1, SMMU_IDR5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Bits of a StreamID.
    pub stream_bits: u8,
    /// Whether a stream table may have two levels.
    pub two_level: bool,
    /// Bits of an address that the SMMU puts out, at most 48.
    pub output_bits: u32,
    /// Whether its accesses to tables and queues see the cores' caches.
    pub coherent: bool,
    /// Whether devices may ask for translations and then use them unasked (PCIe ATS).
    pub ats: bool,
    /// Whether it takes part in the cores' broadcast TLB maintenance.
    pub broadcast: bool,
    /// Most entries of the command queue, as a power of two.
    pub commands: u8,
    /// Most entries of the event queue, as a power of two.
    pub events: u8,
}

/// Why an SMMU cannot keep devices to a partition's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It translates no stage 2.
    NoStage2,
    /// It does not read tables of the AArch64 format.
    NoAarch64,
    /// It does not read little-endian tables.
    NoLittleEndian,
    /// It has no granule of 4 KiB.
    No4K,
    /// It stalls every faulting transaction, so that a device could hold it up.
    Stalls,
    /// Its tables or queues are where its maker put them.
    Preset,
    /// A stream of the plan is beyond the StreamIDs that it has.
    NoStream(u32),
    /// Telling the plan's streams apart would take more memory than EL2 gives to it.
    TooManyStreams(u32),
    /// No memory is left for its tables.
    NoMemory,
}

/// Some bits of a register.
const fn field(register: u32, low: u32, bits: u32) -> u32 {
    register >> low & ((1 << bits) - 1)
}

impl Features {
    /// Reads the ID registers.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn read(idr0: u32, idr1: u32, idr5: u32) -> Result<Self, Unfit> {
        // IDR0.S2P, bit 0.
        if field(idr0, 0, 1) == 0 {
            return Err(Unfit::NoStage2);
        }
        // IDR0.TTF, bits 3:2: bit 3 is AArch64.
        if field(idr0, 3, 1) == 0 {
            return Err(Unfit::NoAarch64);
        }
        // IDR0.TTENDIAN, bits 22:21: 0b11 is big-endian alone.
        if field(idr0, 21, 2) == 0b11 {
            return Err(Unfit::NoLittleEndian);
        }
        // IDR0.STALL_MODEL, bits 25:24: 0b10 is stalling forced.
        if field(idr0, 24, 2) == 0b10 {
            return Err(Unfit::Stalls);
        }
        // IDR1.TABLES_PRESET and QUEUES_PRESET, bits 30 and 29.
        if field(idr1, 29, 2) != 0 {
            return Err(Unfit::Preset);
        }
        // IDR5.GRAN4K, bit 4.
        if field(idr5, 4, 1) == 0 {
            return Err(Unfit::No4K);
        }
        Ok(Self {
            // IDR1.SIDSIZE, bits 5:0; more than 32 is reserved.
            stream_bits: field(idr1, 0, 6).min(32) as u8,
            // IDR0.ST_LEVEL, bits 28:27: 0b01.
            two_level: field(idr0, 27, 2) == 0b01,
            // IDR5.OAS, bits 2:0: 32, 36, 40, 42, 44, 48, 52 bits. 52 need another granule or descriptor format.
            output_bits: match field(idr5, 0, 3) {
                0 => 32,
                1 => 36,
                2 => 40,
                3 => 42,
                4 => 44,
                _ => 48,
            },
            // IDR0.COHACC, BTM and ATS, bits 4, 5 and 10.
            coherent: field(idr0, 4, 1) != 0,
            broadcast: field(idr0, 5, 1) != 0,
            ats: field(idr0, 10, 1) != 0,
            // IDR1.CMDQS, bits 25:21, and EVENTQS, bits 20:16; 19 is the most that there is.
            commands: field(idr1, 21, 5).min(19) as u8,
            events: field(idr1, 16, 5).min(19) as u8,
        })
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStage2 => f.write_str("it translates no stage 2 (SMMU_IDR0.S2P)"),
            Self::NoAarch64 => f.write_str("it reads no tables of the AArch64 format (SMMU_IDR0.TTF)"),
            Self::NoLittleEndian => f.write_str("it reads big-endian tables only (SMMU_IDR0.TTENDIAN)"),
            Self::No4K => f.write_str("it has no granule of 4 KiB (SMMU_IDR5.GRAN4K)"),
            Self::Stalls => f.write_str("it stalls what faults (SMMU_IDR0.STALL_MODEL)"),
            Self::Preset => f.write_str("it has tables or queues of its own choice (SMMU_IDR1)"),
            Self::NoStream(id) => write!(f, "it has no stream {id:#x} (SMMU_IDR1.SIDSIZE)"),
            Self::TooManyStreams(id) => write!(f, "a stream table as far as {id:#x} is too large"),
            Self::NoMemory => f.write_str("no memory is left for its tables"),
        }
    }
}

impl core::error::Error for Unfit {}
