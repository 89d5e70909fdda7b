//! See `fuzz/properties/answers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| davinci_siem::fuzzing::answers::splunk_hec(bytes));
