//! Hands what libFuzzer makes up to `headers::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doorward_fuzz::headers::check(bytes));
