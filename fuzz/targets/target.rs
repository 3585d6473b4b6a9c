//! Hands what libFuzzer makes up to `target::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doorward_fuzz::target::check(bytes));
