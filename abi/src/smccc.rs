//! SMC calling convention: identifiers outside PSCI (DEN 0028), and Partita's own calls.

/// SMCCC_VERSION.
pub const VERSION: u32 = 0x8000_0000;
/// SMCCC_ARCH_FEATURES.
pub const ARCH_FEATURES: u32 = 0x8000_0001;
/// SMCCC_ARCH_SOC_ID (not offered).
pub const ARCH_SOC_ID: u32 = 0x8000_0002;
/// SMCCC_ARCH_WORKAROUND_1 (Spectre v2).
pub const ARCH_WORKAROUND_1: u32 = 0x8000_8000;
/// SMCCC_ARCH_WORKAROUND_2 (Spectre v4).
pub const ARCH_WORKAROUND_2: u32 = 0x8000_7fff;
/// SMCCC_ARCH_WORKAROUND_3 (Spectre-BHB).
pub const ARCH_WORKAROUND_3: u32 = 0x8000_3fff;
/// TRNG_VERSION (DEN 0098); answered with NOT_SUPPORTED.
pub const TRNG_VERSION: u32 = 0x8400_0050;

/// The version that SMCCC_VERSION answers: 1.2.
pub const VERSION_1_2: u32 = 0x0001_0002;

/// First identifier of the vendor-specific hypervisor range, SMC32 fast calls (DEN 0028, table 6-2).
pub const VENDOR_HYP: u32 = 0x8600_0000;
/// Vendor-specific hypervisor call: count of calls.
pub const VENDOR_HYP_CALL_COUNT: u32 = 0x8600_ff00;
/// Vendor-specific hypervisor call: UID.
pub const VENDOR_HYP_UID: u32 = 0x8600_ff01;
/// Vendor-specific hypervisor call: revision (major in w0, minor in w1).
pub const VENDOR_HYP_REVISION: u32 = 0x8600_ff03;

/// Partita's UID `7e1f4c6a-95d3-4b0e-8a64-2f70617274a1`, as the four words that VENDOR_HYP_UID returns in w0..w3
/// (DEN 0028, section 6.2: bytes of the UUID in little-endian words).
pub const UID: [u32; 4] = [0x6a4c_1f7e, 0x0e4b_d395, 0x702f_648a, 0xa174_7261];
/// Revision of Partita's own calls: major.
pub const REVISION_MAJOR: u32 = 0;
/// Revision of Partita's own calls: minor.
pub const REVISION_MINOR: u32 = 2;
