//! See `partita_fuzz::trap`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partita_fuzz::trap::run(data));
