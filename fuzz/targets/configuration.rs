//! Hands what libFuzzer makes up to `configuration::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doorward_fuzz::configuration::check(bytes));
