//! See `fuzz/properties/inflate.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| davinci_siem::fuzzing::inflate::inflate(bytes));
