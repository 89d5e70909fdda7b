//! See `fuzz/properties/body.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| davinci_siem::fuzzing::body::body(bytes));
