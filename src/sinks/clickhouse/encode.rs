//! Encodes an event as a row of the table in `deploy/clickhouse`, in the format `JSONEachRow`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::event::Severity;
use crate::sinks::event_ids::EventIds;
use crate::sinks::{Item, Rendered};

/// Columns of the insert, in the order of the table in `deploy/clickhouse`.
pub(super) const COLUMNS: [&str; 14] = [
    "time",
    "recorded_at",
    "event_id",
    "event_uid",
    "action_type",
    "outcome",
    "severity",
    "interaction_id",
    "flow_id",
    "flow_name",
    "connector_id",
    "environment_id",
    "source",
    "event",
];

/// Values of a row. ClickHouse fills a missing one with the default of its column.
#[derive(Serialize)]
struct Row<'a> {
    /// UTC with milliseconds, as ClickHouse reads a `DateTime64(3, 'UTC')`.
    time: String,
    recorded_at: String,
    #[serde(flatten)]
    ids: EventIds<'a>,
    environment_id: &'a str,
    flow_name: &'a str,
    connector_id: &'a str,
    severity: &'static str,
    source: &'a str,
    event: &'a str,
}

/// Returns a row, without a line break.
pub(super) fn encode(rendered: Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let row = Row {
        time: text_of(event.time()),
        recorded_at: text_of(event.envelope().recorded_at),
        ids: EventIds::of(event, source),
        environment_id: event.environment_id().unwrap_or_default(),
        flow_name: event.flow_name().unwrap_or_default(),
        connector_id: event.connector_id().unwrap_or_default(),
        severity: name_of(event.severity()),
        source,
        event: &String::from_utf8_lossy(&line),
    };
    // It cannot fail: the row holds strings only.
    serde_json::to_vec(&row).unwrap_or_default()
}

fn text_of(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

fn name_of(severity: Severity) -> &'static str {
    Severity::ALL.iter().find(|(_, known)| *known == severity).map_or("", |(name, _)| name)
}

/// Returns the token of an insert, which a repetition of the same rows has again: 32 hexadecimal digits.
pub(super) fn token_of(items: &[Item]) -> String {
    let mut hash = Sha256::new();
    for Item { position, payload } in items {
        hash.update(position.to_le_bytes());
        hash.update((payload.len() as u64).to_le_bytes());
        hash.update(payload);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
