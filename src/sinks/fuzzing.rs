//! Parts of this module that the fuzz targets and the properties call.

use std::time::{Duration, SystemTime};

use super::splunk_hec::answer::{Reply, report};
pub(crate) use super::syslog::{Framing, HeaderFormat, SyslogSinkConfig, Transport};
use super::{Report, elasticsearch};
use crate::http_client::{Answer, parse_retry_after};

/// An answer of any target: its status, its body, and whether all of the body came.
fn answer(status: u16, body: &[u8], is_whole: bool) -> Answer {
    Answer { status, body: body.to_vec(), is_whole, ..Answer::default() }
}

/// Returns the report for an answer of Splunk's collector.
pub(crate) fn splunk_hec(status: u16, body: &[u8], is_whole: bool, count: usize) -> Report {
    report(&Reply::read(answer(status, body, is_whole)), count)
}

/// Returns the report for an answer of the bulk API.
pub(crate) fn elasticsearch(status: u16, body: &[u8], is_whole: bool, count: usize) -> Report {
    elasticsearch::answer::report(&answer(status, body, is_whole), count)
}

/// Returns the waiting time that a target requests.
pub(crate) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    parse_retry_after(text, now)
}
