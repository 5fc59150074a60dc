//! The linked image's exits: where they begin, and what of its code they can come to.

use crate::reach::{Image, Reached};

/// Where exits are not followed further: the machine is at its end, and no partition runs that could be disturbed.
pub const ENDS: [(&str, &str); 3] = [
    (
        "partita::trap::fault::machine_fails",
        "EL2 failed with a lock that all share: it is said and the machine ends",
    ),
    ("partita::status::summarize", "every partition is off: the last words"),
    ("partita::power::off", "the same, or a defect was told: the machine ends"),
];

/// What must not be reached: every way to the panic handler goes through one of the first, every allocation through one
/// of the others.
pub const FORBIDDEN: &[&str] = &[
    "rust_begin_unwind",
    "panicking",
    "unwrap_failed",
    "expect_failed",
    "handle_alloc_error",
    "__rust_alloc",
    "__rust_realloc",
    "__rust_dealloc",
    "GlobalAlloc",
    "buddy_system_allocator",
];

/// The vector tables, and whether they guard the way to Rust.
pub const TABLES: [(&str, bool); 8] = [
    ("vectors", false),
    ("vectors_v2", false),
    ("vectors_guarded", true),
    ("vectors_v2_guarded", true),
    ("vectors_direct", false),
    ("vectors_v2_direct", false),
    ("vectors_direct_guarded", true),
    ("vectors_v2_direct_guarded", true),
];

/// Entries of a vector table (DDI 0487, D1.3.5).
pub fn slots(table: u64) -> impl Iterator<Item = u64> {
    (0..16).map(move |slot| table + 0x80 * slot)
}

/// What any exit can come to.
pub fn reached(image: &Image) -> Reached {
    let entries: Vec<u64> =
        TABLES.iter().map(|(table, _)| table).flat_map(|table| slots(image.symbol(table))).collect();
    image.reach(&entries, &ENDS.map(|(name, _)| name), FORBIDDEN)
}
