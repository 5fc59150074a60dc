//! PSCI 1.1 function identifiers and return codes (DEN 0022, section 5.1 and table 5).

/// Bit 30: the SMC64 form of a function that has one (DEN 0028, section 2.5).
pub const SMC64: u32 = 1 << 30;
/// PSCI_VERSION.
pub const VERSION: u32 = 0x8400_0000;
/// CPU_SUSPEND (SMC32; `| SMC64` for the 64-bit form).
pub const CPU_SUSPEND: u32 = 0x8400_0001;
/// CPU_OFF.
pub const CPU_OFF: u32 = 0x8400_0002;
/// CPU_ON (SMC32; `| SMC64` for the 64-bit form).
pub const CPU_ON: u32 = 0x8400_0003;
/// AFFINITY_INFO (SMC32; `| SMC64` for the 64-bit form).
pub const AFFINITY_INFO: u32 = 0x8400_0004;
/// MIGRATE (optional; not offered).
pub const MIGRATE: u32 = 0x8400_0005;
/// MIGRATE_INFO_TYPE.
pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
/// SYSTEM_OFF.
pub const SYSTEM_OFF: u32 = 0x8400_0008;
/// SYSTEM_RESET.
pub const SYSTEM_RESET: u32 = 0x8400_0009;
/// PSCI_FEATURES.
pub const FEATURES: u32 = 0x8400_000a;

/// The version that PSCI_VERSION answers: 1.1 (major in the upper half).
pub const VERSION_1_1: u32 = 0x0001_0001;

/// SUCCESS.
pub const SUCCESS: i32 = 0;
/// NOT_SUPPORTED; also SMCCC's answer to an unknown function.
pub const NOT_SUPPORTED: i32 = -1;
/// INVALID_PARAMETERS.
pub const INVALID_PARAMETERS: i32 = -2;
/// DENIED.
pub const DENIED: i32 = -3;
/// ALREADY_ON.
pub const ALREADY_ON: i32 = -4;
/// ON_PENDING.
pub const ON_PENDING: i32 = -5;
/// INTERNAL_FAILURE.
pub const INTERNAL_FAILURE: i32 = -6;
/// INVALID_ADDRESS.
pub const INVALID_ADDRESS: i32 = -9;
