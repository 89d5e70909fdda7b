//! How what is sent differs from what PingOne documents, and was accepted all the same.
//!
//! One row for each type of event, kind of deviation and member. What a member says is never kept: its
//! shape tells enough.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::shape::{self, Shape};
use super::table::{Table, cut};
use crate::event::FindingKind;

/// Deviations that are told apart.
const ROWS: usize = 512;

/// How long a row is kept that is not seen again: 90 days, in milliseconds.
const REMEMBERED: i64 = 90 * 24 * 3600 * 1000;

/// Bytes of a type.
const TYPE: usize = 80;

/// Between the parts of a row's name; none of them has it.
const BETWEEN: &str = "\0";

/// The rows of the types that PingOne will stop sending.
const SEND_RESPONSE: &str = "DAVINCI_INTERACTION.SEND_RESPONSE\0deprecated_type\0$.action.type";
const RECEIVE_REQUEST: &str = "DAVINCI_INTERACTION.RECEIVE_REQUEST\0deprecated_type\0$.action.type";

/// One deviation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftLine {
    /// `action.type` of the events.
    #[serde(rename = "type")]
    pub kind: String,
    /// `deprecated_type`, or a kind of finding such as `unknown_field`.
    pub finding: String,
    /// The member, as a path from the event's root.
    pub path: String,
    /// How often.
    pub count: u64,
    /// When an event with it was first received, milliseconds since the epoch.
    pub first_seen: i64,
    /// When the last was.
    pub last_seen: i64,
    /// What the member looked like when it was first seen.
    pub example: Option<Shape>,
}

#[derive(Debug, Default)]
struct Row {
    count: u64,
    first_seen: i64,
    last_seen: i64,
    example: Option<Shape>,
}

/// All deviations.
#[derive(Debug)]
pub(super) struct Drift(Table<Row>);

impl Drift {
    pub(super) fn new() -> Drift {
        Drift(Table::new(ROWS))
    }

    /// Notes what is findings about events of a type. `first` is one of them.
    pub(super) fn add(
        &mut self,
        (action, finding, path): (&str, FindingKind, &str),
        first: &[u8],
        count: u64,
        now: i64,
    ) {
        // What is findings about a type is findings about one type, whatever it is called.
        let row = self.0.row(&name(cut(action, TYPE), finding.as_str(), &unnumbered(path)));
        row.seen(count, now);
        if row.example.is_none() && finding != FindingKind::More {
            row.example = Some(shape::at(first, path));
        }
    }

    /// Counts findings for which there is no row.
    pub(super) fn add_others(&mut self, count: u64) {
        self.0.other().count += count;
    }

    /// Notes that events of a deprecated type came.
    pub(super) fn add_deprecated(&mut self, kind: Kind, count: u64, now: i64) {
        let name = match kind {
            Kind::SendResponse => SEND_RESPONSE,
            Kind::ReceiveRequest => RECEIVE_REQUEST,
            _ => return,
        };
        self.0.row(name).seen(count, now);
    }

    /// Takes what was known before. What has not been seen for long gives its row to what is new.
    pub(super) fn remember(&mut self, known: Vec<DriftLine>, others: u64, now: i64) {
        for line in known.into_iter().filter(|line| now - line.last_seen < REMEMBERED) {
            let DriftLine { kind, finding, path, count, first_seen, last_seen, example } = line;
            *self.0.row(&name(&kind, &finding, &path)) =
                Row { count, first_seen, last_seen, example };
        }
        self.0.other().count += others;
    }

    /// Every row, the newest first.
    pub(super) fn lines(&self) -> Vec<DriftLine> {
        let line = |(name, row): (&str, &Row)| {
            let mut parts = name.splitn(3, BETWEEN).map(str::to_owned);
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

    /// How often something deviated that found no row.
    pub(super) fn others(&self) -> u64 {
        self.0.others().count
    }
}

impl Row {
    fn seen(&mut self, count: u64, now: i64) {
        if self.count == 0 {
            self.first_seen = now;
        }
        self.count += count;
        self.last_seen = now;
    }
}

fn name(kind: &str, finding: &str, path: &str) -> String {
    [&*clean(kind), finding, &*clean(path)].join(BETWEEN)
}

fn clean(text: &str) -> Cow<'_, str> {
    match text.contains(BETWEEN) {
        true => Cow::Owned(text.replace(BETWEEN, "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// Which of the resources it was does not matter.
fn unnumbered(path: &str) -> Cow<'_, str> {
    let numbered = path.strip_prefix("$.resources[").and_then(|rest| rest.split_once(']'));
    match numbered {
        Some((_, rest)) => Cow::Owned(format!("$.resources[]{rest}")),
        None => Cow::Borrowed(path),
    }
}
