//! What the fuzz targets and the properties beside them reach of this module.

use std::time::{Duration, SystemTime};

use super::splunk_hec::answer::{Reply, report};
use super::{Report, elasticsearch};
use crate::http_client::{Answer, parse_retry_after};

/// An answer of any target: its status, its body, and whether all of the body came.
fn answer(status: u16, body: &[u8], is_whole: bool) -> Answer {
    Answer { status, body: body.to_vec(), is_whole, ..Answer::default() }
}

/// What an answer of Splunk's collector means for so many items.
pub(crate) fn splunk_hec(status: u16, body: &[u8], is_whole: bool, count: usize) -> Report {
    report(&Reply::read(answer(status, body, is_whole)), count)
}

/// What an answer of the bulk API means for so many items.
pub(crate) fn elasticsearch(status: u16, body: &[u8], is_whole: bool, count: usize) -> Report {
    elasticsearch::answer::report(&answer(status, body, is_whole), count)
}

/// How long a target asks to wait.
pub(crate) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    parse_retry_after(text, now)
}
