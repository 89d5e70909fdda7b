//! See `fuzz/properties/headers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| davinci_siem::fuzzing::headers::headers(bytes));
