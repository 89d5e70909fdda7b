//! What must hold for any bytes: one function per promise, called by the fuzz targets (`fuzz/`) and by
//! properties ([`tests`]). Not part of the service: built for tests and for fuzzing only.
//!
//! | file | any bytes as | what is promised |
//! | --- | --- | --- |
//! | [`body`] | a webhook's body | one fate for each element, no byte lost, the same event when it is read again |
//! | [`inflate`] | an encoded body | never beyond the limit; what is cut is never taken for whole |
//! | [`format`](mod@format) | an event, in each format | one line, readable by the format's own rules, no member lost |
//! | [`redact`] | an event and rules | what a rule means is gone, nothing else has changed |
//! | [`syslog`] | an event as a message | what is framed is split again into the same messages |
//! | [`answers`] | an answer of Splunk or Elasticsearch | one verdict per item; delivered only if it says so |
//! | [`headers`] | header values | credentials are right or refused |
//! | [`settings`] | a configuration | every problem names something, and no secret |
//!
//! They judge by readers of their own ([`tree`], [`lines`], [`rfc5424`]), which are as plain as the standards
//! allow and share no code with what is judged.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise ends the test or the fuzz run, and nothing else ever comes here"
)]

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
