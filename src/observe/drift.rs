//! Schema drift: differences between accepted events and PingOne's documentation.
//!
//! One row per event type, finding and field. The value of a field is never stored, only its shape.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::shape::{self, ValueShape};
use super::table::{BoundedTable, cut};
use crate::event::FindingKind;

/// Maximum number of distinct rows.
const MAX_ROWS: usize = 512;

/// Time after which a row that is not seen again is dropped at the next start: 90 days, in ms.
const RETENTION_MS: i64 = 90 * 24 * 3600 * 1000;

/// Maximum length of a type.
const MAX_TYPE_BYTES: usize = 80;

/// Separator of the parts of a key; it is replaced within them.
const SEPARATOR: &str = "\0";

/// Keys of the types that PingOne has deprecated.
const SEND_RESPONSE: &str = "DAVINCI_INTERACTION.SEND_RESPONSE\0deprecated_type\0$.action.type";
const RECEIVE_REQUEST: &str = "DAVINCI_INTERACTION.RECEIVE_REQUEST\0deprecated_type\0$.action.type";

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftLine {
    /// `action.type` of the events.
    #[serde(rename = "type")]
    pub kind: String,
    /// `deprecated_type`, or the kind of a finding such as `unknown_field`.
    pub finding: String,
    /// JSON path of the field.
    pub path: String,
    /// Number of events.
    pub count: u64,
    /// Receive time of the first event, in ms since the Unix epoch.
    pub first_seen: i64,
    /// Receive time of the last event, in ms since the Unix epoch.
    pub last_seen: i64,
    /// Shape of the field in the first event.
    pub example: Option<ValueShape>,
}

#[derive(Debug, Default)]
struct DriftRow {
    count: u64,
    first_seen: i64,
    last_seen: i64,
    example: Option<ValueShape>,
}

/// All differences.
#[derive(Debug)]
pub(super) struct Drift(BoundedTable<DriftRow>);

impl Drift {
    pub(super) fn new() -> Drift {
        Drift(BoundedTable::new(MAX_ROWS))
    }

    /// Counts a finding about events of a type. `first` is one of the events.
    pub(super) fn add(
        &mut self,
        (action, finding, path): (&str, FindingKind, &str),
        first: &[u8],
        count: u64,
        now: i64,
    ) {
        // The flow does not matter: rows are per type.
        let row =
            self.0.row(&name(cut(action, MAX_TYPE_BYTES), finding.as_str(), &unnumbered(path)));
        row.seen(count, now);
        if row.example.is_none() && finding != FindingKind::More {
            row.example = Some(shape::at(first, path));
        }
    }

    /// Counts findings beyond the bounds.
    pub(super) fn add_others(&mut self, count: u64) {
        self.0.other().count += count;
    }

    /// Counts events of a deprecated type.
    pub(super) fn add_deprecated(&mut self, kind: Kind, count: u64, now: i64) {
        let name = match kind {
            Kind::SendResponse => SEND_RESPONSE,
            Kind::ReceiveRequest => RECEIVE_REQUEST,
            _ => return,
        };
        self.0.row(name).seen(count, now);
    }

    /// Restores rows of the previous process, without those older than `RETENTION_MS`.
    pub(super) fn remember(&mut self, known: Vec<DriftLine>, others: u64, now: i64) {
        for line in known.into_iter().filter(|line| now - line.last_seen < RETENTION_MS) {
            let DriftLine { kind, finding, path, count, first_seen, last_seen, example } = line;
            *self.0.row(&name(&kind, &finding, &path)) =
                DriftRow { count, first_seen, last_seen, example };
        }
        self.0.other().count += others;
    }

    /// Returns every row, the newest first.
    pub(super) fn lines(&self) -> Vec<DriftLine> {
        let line = |(name, row): (&str, &DriftRow)| {
            let mut parts = name.splitn(3, SEPARATOR).map(str::to_owned);
            let mut part = || parts.next().unwrap_or_default();
            DriftLine {
                kind: part(),
                finding: part(),
                path: part(),
                count: row.count,
                first_seen: row.first_seen,
                last_seen: row.last_seen,
                example: row.example.clone(),
            }
        };
        let mut lines: Vec<DriftLine> = self.0.rows().map(line).collect();
        lines.sort_by(|one, two| {
            let key = |line: &DriftLine| (std::cmp::Reverse(line.first_seen), line.path.clone());
            key(one).cmp(&key(two))
        });
        lines
    }

    /// Number of findings beyond the bound of rows.
    pub(super) fn others(&self) -> u64 {
        self.0.others().count
    }
}

impl DriftRow {
    fn seen(&mut self, count: u64, now: i64) {
        if self.count == 0 {
            self.first_seen = now;
        }
        self.count += count;
        self.last_seen = now;
    }
}

fn name(kind: &str, finding: &str, path: &str) -> String {
    [&*clean(kind), finding, &*clean(path)].join(SEPARATOR)
}

fn clean(text: &str) -> Cow<'_, str> {
    match text.contains(SEPARATOR) {
        true => Cow::Owned(text.replace(SEPARATOR, "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// Removes the index of a resource from a path: all resources share a row.
fn unnumbered(path: &str) -> Cow<'_, str> {
    let numbered = path.strip_prefix("$.resources[").and_then(|rest| rest.split_once(']'));
    match numbered {
        Some((_, rest)) => Cow::Owned(format!("$.resources[]{rest}")),
        None => Cow::Borrowed(path),
    }
}
