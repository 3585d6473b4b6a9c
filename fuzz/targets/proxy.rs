//! Hands what libFuzzer makes up to `proxy::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doorward_fuzz::proxy::check(bytes));
