//! `audit`: operators' actions. Reads the audit log beside the spool, also while the service runs.

use std::path::Path;

use chrono::{DateTime, Utc};
use clap::Args;

use super::output::{count, json, safe, table, time};
use super::{CommandFailure, replay};
use crate::app::system_clock;
use crate::audit::{self, AuditDetails, AuditLog, AuditRead, AuditRecord};
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

/// Records an action on the spool itself, while no service runs. A failure is printed: the action has happened.
pub(super) fn note_offline(
    directory: &Path,
    (action, object): (&str, &str),
    is_ok: bool,
    counts: &[(&str, u64)],
    details: AuditDetails,
) {
    let actor = format!("uid:{}", rustix::process::getuid().as_raw());
    let result = if is_ok { "ok" } else { "failed" };
    let record = AuditRecord::new((system_clock())(), &actor, action, object, result);
    let counts = counts.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    let log = AuditLog::new(directory.to_owned());
    if let Err(error) = log.append(&AuditRecord { counts, details, ..record }) {
        eprintln!("audit log: {error}");
    }
}

fn row(record: &AuditRecord) -> Vec<String> {
    let AuditRecord { actor, address, action, object, result, .. } = record;
    let parameters = parameters(record);
    let result = match parameters.is_empty() {
        true => result.clone(),
        false => format!("{result}: {}", parameters.join("; ")),
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

/// Returns numbers, keys and parameters of a record, each with its name.
fn parameters(record: &AuditRecord) -> Vec<String> {
    let AuditRecord { counts, changed, ignored, details, .. } = record;
    let AuditDetails { replaced, entries, from, to } = details;
    let keys =
        |name, keys: &[String]| (!keys.is_empty()).then(|| format!("{name} {}", keys.join(", ")));
    let counts = counts.iter().map(|(name, number)| format!("{name} {number}"));
    let replaced = replaced.then(|| "content replaced".to_owned());
    let entries = (!entries.is_empty()).then(|| format!("entries {entries}"));
    let from = from.map(|from| format!("from {}", time(from)));
    let to = to.map(|to| format!("to {}", time(to)));
    counts
        .chain(keys("changed", changed))
        .chain(keys("ignored", ignored))
        .chain([replaced, entries, from, to].into_iter().flatten())
        .collect()
}
