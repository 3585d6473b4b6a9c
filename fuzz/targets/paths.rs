//! Hands what libFuzzer makes up to `paths::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doorward_fuzz::paths::check(bytes));
