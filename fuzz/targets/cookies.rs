//! Hands what libFuzzer makes up to `cookies::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doorward_fuzz::cookies::check(bytes));
