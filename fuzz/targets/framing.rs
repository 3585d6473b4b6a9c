//! Hands what libFuzzer makes up to `framing::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doorward_fuzz::framing::check(bytes));
