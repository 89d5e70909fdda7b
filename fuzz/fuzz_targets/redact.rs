//! See `fuzz/properties/redact.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| davinci_siem::fuzzing::redact::redact(bytes));
