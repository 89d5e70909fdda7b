//! Encodes an event as a JSON object with the columns of the table in `deploy/postgres`, and writes the statement that
//! inserts such objects.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::Severity;
use crate::sinks::event_ids::EventIds;
use crate::sinks::{Reason, Rendered};

/// Columns with their types, in the order of the statement.
#[cfg(any(test, feature = "postgres"))]
pub(super) const COLUMNS: [(&str, &str); 12] = [
    ("event_uid", "text"),
    ("event_id", "text"),
    ("time", "timestamptz"),
    ("recorded_at", "timestamptz"),
    ("action_type", "text"),
    ("outcome", "text"),
    ("severity", "text"),
    ("environment_id", "text"),
    ("interaction_id", "text"),
    ("flow_id", "text"),
    ("source", "text"),
    ("event", "jsonb"),
];

/// Values of a row. PostgreSQL reads a missing one as NULL.
#[derive(Serialize)]
struct Row<'a> {
    /// RFC 3339 with nanoseconds; PostgreSQL keeps microseconds.
    time: String,
    recorded_at: String,
    #[serde(flatten)]
    ids: EventIds<'a>,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_id: Option<&'a str>,
    source: &'a str,
}

/// Returns one row.
///
/// # Errors
/// Returns the reason why the line is not JSON.
pub(super) fn encode(rendered: Rendered<'_>) -> Result<Vec<u8>, Reason> {
    let Rendered { line, event, source } = rendered;
    let not_json = |_| Reason::new("the event is not one line of JSON");
    let _: &RawValue = serde_json::from_slice(&line).map_err(not_json)?;
    let severity = Severity::ALL.iter().find(|(_, severity)| *severity == event.severity());
    let row = Row {
        time: event.time().to_rfc3339(),
        recorded_at: event.envelope().recorded_at.to_rfc3339(),
        ids: EventIds::of(event, source),
        severity: severity.map_or("", |(name, _)| name),
        environment_id: event.environment_id(),
        source,
    };
    // It cannot fail: the row holds strings only.
    let mut out = serde_json::to_vec(&row).unwrap_or_default();
    out.pop();
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(&line);
    out.push(b'}');
    Ok(out)
}

/// Condition of the insert that is always true. It sets `synchronous_commit` for the transaction of the insert, so that
/// a commit is on disk when the server answers. A setting of the session would not hold behind PgBouncer, whose
/// transactions may each run in another session.
#[cfg(any(test, feature = "postgres"))]
const IS_DURABLE: &str = "(SELECT set_config('synchronous_commit', \
     CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
     ELSE current_setting('synchronous_commit') END, true)) IS NOT NULL";

/// Returns the statement that inserts the rows of a JSON array, its only parameter. A row whose uid is in the table is
/// left out.
#[cfg(any(test, feature = "postgres"))]
pub(super) fn statement(table: &str) -> String {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let types = COLUMNS.map(|(name, kind)| format!("{name} {kind}")).join(", ");
    format!(
        "INSERT INTO {table} ({names}) SELECT {names} FROM json_to_recordset($1::text::json) \
         AS rows ({types}) WHERE {IS_DURABLE} ON CONFLICT (event_uid) DO NOTHING"
    )
}
