//! Properties that hold for any bytes, one function each. The fuzz targets (`fuzz/fuzz_targets/`)
//! and the property tests ([`tests`]) call them. Compiled for tests and fuzzing only.
//!
//! | file | input | property |
//! | --- | --- | --- |
//! | [`body`] | a webhook body | one fate per element, no byte lost, stored events read the same |
//! | [`inflate`] | an encoded body | never beyond the limit; a truncated body is never taken for whole |
//! | [`format`](mod@format) | an event, in each format | one line, readable by the format's own rules, no field lost |
//! | [`redact`] | an event and rules | matched values are gone, nothing else has changed |
//! | [`syslog`] | an event as a message | a framed stream splits into the same messages |
//! | [`answers`] | an answer of Splunk or Elasticsearch | one verdict per item; delivered only if the answer says so |
//! | [`headers`] | header values | credentials are right or refused |
//! | [`settings`] | a configuration | every problem names its place and shows no secret |
//!
//! The properties use their own readers ([`tree`], [`lines`], [`addresses`], [`rfc5424`]), which follow the
//! standards and share no code with the service.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise ends the test or the fuzz run, and nothing else ever comes here"
)]

mod addresses;
pub mod answers;
pub mod body;
pub mod format;
pub mod headers;
pub mod inflate;
pub(crate) mod lines;
pub mod redact;
pub(crate) mod rfc5424;
pub mod settings;
pub mod syslog;
pub(crate) mod tree;

#[cfg(test)]
mod tests;
