//! See `partita_fuzz::gic`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partita_fuzz::gic::run(data));
