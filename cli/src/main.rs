//! The `partita` host tool.

fn main() {}
