//! See `fuzz/properties/syslog.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| davinci_siem::fuzzing::syslog::syslog(bytes));
