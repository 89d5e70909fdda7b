//! `audit`: operators' actions. Reads the audit log beside the spool, also while the service runs.

use chrono::{DateTime, Utc};
use clap::Args;

use super::output::{count, json, safe, table, time};
use super::{CommandFailure, replay};
use crate::audit::{self, AuditRead, AuditRecord};
use crate::spool::SpoolConfig;

#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    /// Start of the listing: 2026-03-01, 2026-03-01T12:00:00Z, or 6h for six hours ago; default: all records
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    since: Option<DateTime<Utc>>,
    /// Print JSON, one action per line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &AuditArguments, spool: &SpoolConfig) -> Result<(), CommandFailure> {
    let since = arguments.since.map_or(i64::MIN, |since| since.timestamp_millis());
    let AuditRead { records, malformed } = audit::read(&spool.directory, since)?;
    if malformed > 0 {
        eprintln!("{} of the audit log cannot be read", count(malformed, "line"));
    }
    if arguments.json {
        return records.iter().try_for_each(json);
    }
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    table(&["TIME", "ACTOR", "ADDRESS", "ACTION", "OBJECT", "RESULT"], &rows)
}

fn row(record: &AuditRecord) -> Vec<String> {
    let AuditRecord { actor, address, action, object, result, counts, changed, .. } = record;
    let counts = counts.iter().map(|(name, number)| format!("{name} {number}"));
    let changed = (!changed.is_empty()).then(|| format!("changed {}", changed.join(", ")));
    let details: Vec<String> = counts.chain(changed).collect();
    let result = match details.is_empty() {
        true => result.clone(),
        false => format!("{result}: {}", details.join("; ")),
    };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { safe(text) };
    vec![
        time(record.time),
        safe(actor),
        or_dash(address.as_deref().unwrap_or_default()),
        safe(action),
        or_dash(object),
        safe(&result),
    ]
}
