//! Result of a comparison: exact counts by class, and bounded lists.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::spool::Millis;

/// Upper bound of each list.
const MAX_LISTED: usize = 10_000;

/// Counts of one family of records, by class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordCounts {
    /// Received and accepted.
    pub(crate) received: u64,
    /// Those of `received` whose `recordedAt` here is not PingOne's.
    pub(crate) time_differs: u64,
    /// Received, and now in quarantine.
    pub(crate) quarantined: u64,
    /// Recorded by PingOne, subscribed, and never received.
    pub(crate) missing: u64,
    /// Received, and not listed by PingOne.
    pub(crate) only_here: u64,
    /// Recorded by PingOne; no webhook to this service sends its type.
    pub(crate) not_subscribed: u64,
    /// Not found; so old that it may have been received and forgotten.
    pub(crate) unknown: u64,
    /// Those of `missing` that are now stored.
    pub(crate) fetched: u64,
}

/// One record of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedRecord {
    pub(crate) id: String,
    /// Time of the record, in ms since the Unix epoch.
    pub(crate) at: Millis,
    /// `action.type` of an event; the flow's id of a run.
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// Result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReconcileReport {
    pub(crate) source: String,
    pub(crate) environment: String,
    /// Time range, in ms since the Unix epoch.
    pub(crate) from: Millis,
    pub(crate) to: Millis,
    /// Audit events.
    pub(crate) events: RecordCounts,
    /// Flow runs; absent if they could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runs: Option<RecordCounts>,
    /// Numbers of events that are not subscribed, by type.
    pub(crate) not_subscribed_types: BTreeMap<String, u64>,
    /// Missing audit events, at most 10,000.
    pub(crate) missing_events: Vec<ListedRecord>,
    /// Missing flow runs, at most 10,000.
    pub(crate) missing_runs: Vec<ListedRecord>,
    /// Audit events that PingOne does not list, at most 10,000.
    pub(crate) only_here_events: Vec<ListedRecord>,
    /// Records of PingOne without id, time or type.
    pub(crate) unreadable: u64,
    /// Events of the spool that were searched.
    pub(crate) searched_events: u64,
    /// Quarantine entries whose bytes are compressed or damaged, and cannot be searched.
    pub(crate) unsearched_entries: u64,
    /// Limits of this comparison, for people.
    pub(crate) notes: Vec<String>,
}

impl RecordCounts {
    /// Returns the number of records that PingOne lists.
    pub(super) fn listed(&self) -> u64 {
        let RecordCounts { received, quarantined, missing, not_subscribed, unknown, .. } = self;
        received + quarantined + missing + not_subscribed + unknown
    }
}

impl ReconcileReport {
    /// Returns the number of records that are missing now.
    pub(crate) fn still_missing(&self) -> u64 {
        let runs = self.runs.as_ref().map_or(0, |runs| runs.missing);
        self.events.missing.saturating_sub(self.events.fetched) + runs
    }

    /// Returns the number of records that could not be judged: neither received nor missing is certain.
    pub(crate) fn not_judged(&self) -> u64 {
        let runs = self.runs.as_ref().map_or(0, |runs| runs.unknown);
        self.events.unknown + runs + self.unreadable
    }

    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Adds a record to a list that has room.
pub(super) fn list(records: &mut Vec<ListedRecord>, id: &str, at: Millis, kind: &str) {
    if records.len() < MAX_LISTED {
        records.push(ListedRecord { id: id.to_owned(), at, kind: kind.to_owned() });
    }
}

/// Formats ms since the Unix epoch as PingOne writes a time.
pub(crate) fn time_text(millis: Millis) -> String {
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
