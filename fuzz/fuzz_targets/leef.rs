//! See `fuzz/properties/format.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| davinci_siem::fuzzing::format::leef(bytes));
